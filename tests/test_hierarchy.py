"""Routing: which handler gets which series, and what it looks like there."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

import appmetrics
from appmetrics import hierarchy as module
from appmetrics.errors import InstrumentError
from appmetrics.filters import KindFilter, LabelsFilter, NameFilter, RenameFilter
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.levels import DEBUG, ERROR, INFO
from appmetrics.meter import MeterSettings
from appmetrics.sample import Series
from appmetrics.testing import World
from servers import PATIENCE


@pytest.fixture
def memory(world: World) -> MemoryHandler:
    """A handler at the root."""
    handler = MemoryHandler(name="memory")
    world.meter().add_handler(handler)
    return handler


def shipped(world: World, memory: MemoryHandler) -> dict[str, Any]:
    """name -> value of the next round, without the self-metrics."""
    memory.clear()
    world.advance(10)
    return {
        s.series.name: s.value
        for s in memory.samples
        if not s.series.name.startswith("appmetrics.")
    }


# -- the tree of meters --------------------------------------------------------------


def test_the_same_name_is_the_same_meter(world: World) -> None:
    """Parents are made on the way; the root has the empty name."""
    meter = world.meter("a.b")
    assert world.meter("a.b") is meter
    assert meter.parent is world.meter("a")
    assert world.meter("a").parent is world.meter()
    assert world.meter("").parent is None


@pytest.mark.parametrize("name", [None, 5, b"a"])
def test_a_meters_name_must_be_text(world: World, name: Any) -> None:
    """Anything else is an InstrumentError."""
    with pytest.raises(InstrumentError):
        world.meter(name)


def test_the_process_has_a_hierarchy() -> None:
    """get_meter is that of the process' own hierarchy."""
    assert appmetrics.get_meter("x.y") is module.hierarchy.get_meter("x.y")


# -- levels ---------------------------------------------------------------------------


def test_an_instrument_below_its_meters_level_is_not_shipped(
    world: World, memory: MemoryHandler
) -> None:
    """It comes back when the level is lowered, with what it counts from then on."""
    detail = world.meter("shop").counter("detail", level=DEBUG)
    detail.inc()
    assert shipped(world, memory) == {}
    world.meter("shop").level = DEBUG
    detail.inc()
    assert shipped(world, memory) == {"shop.detail": 1}
    world.meter("shop").level = INFO
    detail.inc()
    assert shipped(world, memory) == {}


def test_a_handler_has_a_level(world: World, memory: MemoryHandler) -> None:
    """Series below it don't reach this handler, others they do."""
    world.meter("shop").counter("orders").inc()
    world.meter("shop").counter("errors", level=ERROR).inc()
    picky = MemoryHandler(name="picky", level=ERROR)
    world.meter().add_handler(picky)
    assert set(shipped(world, memory)) == {"shop.orders", "shop.errors"}
    assert {s.series.name for s in picky.samples} == {"shop.errors"}


def test_a_level_reaches_everything_below_unless_set_there(
    world: World, memory: MemoryHandler
) -> None:
    """Also instruments and meters that are made later."""
    world.meter("a").level = ERROR
    world.meter("a.b").level = DEBUG
    world.meter("a").counter("off").inc()
    world.meter("a.c").counter("off").inc()
    world.meter("a.b").counter("on", level=DEBUG).inc()
    assert shipped(world, memory) == {"a.b.on": 1}


# -- handlers ---------------------------------------------------------------------------


def test_a_series_reaches_the_handlers_above_it_once(world: World, memory: MemoryHandler) -> None:
    """A handler at several ancestors gets it once; one elsewhere not at all."""
    for name in ("shop", "shop.checkout"):
        world.meter(name).add_handler(memory)
    elsewhere = MemoryHandler(name="elsewhere")
    world.meter("warehouse").add_handler(elsewhere)
    world.meter("shop.checkout").counter("orders").inc()
    assert shipped(world, memory) == {"shop.checkout.orders": 1}
    assert [s.series.name for s in memory.samples].count("shop.checkout.orders") == 1
    assert elsewhere.samples == []


def test_propagate_keeps_series_from_the_handlers_above(
    world: World, memory: MemoryHandler
) -> None:
    """They still reach those of the meter itself."""
    own = MemoryHandler(name="own")
    world.meter("shop").add_handler(own)
    world.meter("shop").propagate = False
    world.meter("shop.sub").counter("orders").inc()
    assert shipped(world, memory) == {}
    assert [s.series.name for s in own.samples] == ["shop.sub.orders"]


def test_an_instrument_belongs_to_the_meter_that_made_it(
    world: World, memory: MemoryHandler
) -> None:
    """Its level and routing are those of that meter, not those its name suggests."""
    world.meter("shop.db").level = ERROR
    world.meter("shop").counter("db.queries").inc()
    assert shipped(world, memory) == {"shop.db.queries": 1}


# -- labels -------------------------------------------------------------------------------


def test_common_labels_are_added_and_an_instruments_own_win(
    world: World, memory: MemoryHandler
) -> None:
    """A series knows which of its labels are common."""
    world.meter().labels = {"env": "prod", "shop": "all"}
    world.meter("shop").counter("orders", labels=("shop",)).labels("de").inc()
    shipped(world, memory)
    sample = memory.last("shop.orders", env="prod", shop="de")
    assert sample is not None
    assert sample.series.common == {"env"}


def test_a_change_of_common_labels_is_another_series_from_the_next_round(
    world: World, memory: MemoryHandler
) -> None:
    """With the delta going on where it was."""
    orders = world.meter("shop").counter("orders")
    orders.inc(5)
    shipped(world, memory)
    world.meter().labels = {"env": "prod"}
    orders.inc()
    shipped(world, memory)
    sample = memory.last("shop.orders", env="prod")
    assert sample is not None
    assert (sample.value, sample.delta) == (6, 1)


# -- filters ------------------------------------------------------------------------------


def test_a_meters_filters_apply_to_its_subtree(world: World, memory: MemoryHandler) -> None:
    """To nothing beside it."""
    world.meter("shop").add_filter(NameFilter(exclude=["*.secret"]))
    for name in ("shop", "shop.sub", "other"):
        world.meter(name).counter("secret").inc()
        world.meter(name).counter("open").inc()
    assert set(shipped(world, memory)) == {
        "shop.open",
        "shop.sub.open",
        "other.open",
        "other.secret",
    }


def test_a_meters_filters_apply_although_handlers_sit_below(world: World) -> None:
    """A filter of the root meter holds for a handler at a meter that doesn't propagate."""
    own = MemoryHandler(name="own")
    world.meter().add_filter(KindFilter(include=["gauge"]))
    world.meter("shop").add_handler(own)
    world.meter("shop").propagate = False
    world.meter("shop").counter("orders").inc()
    world.meter("shop").gauge("depth").set(1)
    world.advance(10)
    assert [s.series.name for s in own.samples] == ["shop.depth"]


def test_filters_run_nearest_first_and_the_handlers_last(
    world: World, memory: MemoryHandler
) -> None:
    """Each sees what the one before made of the series."""
    seen: list[tuple[str, str]] = []

    def noting(who: str) -> Any:
        def filter(series: Series) -> Series:
            if series.name.startswith("a.b"):
                seen.append((who, series.name))
                return series._replace(name=f"{series.name}.{who}")
            return series

        return filter

    world.meter().add_filter(noting("root"))
    world.meter("a").add_filter(noting("a"))
    handler = MemoryHandler(name="own", filters=[noting("handler")])
    world.meter().add_handler(handler)
    world.meter("a").counter("b").inc()
    world.advance(10)
    assert seen[-1] == ("handler", "a.b.a.root")
    assert any(s.series.name == "a.b.a.root.handler" for s in handler.samples)


def test_a_filter_sees_a_series_once_per_routing(world: World, memory: MemoryHandler) -> None:
    """Not once per round; again after a change of routing."""
    seen: list[str] = []

    def filter(series: Series) -> Series:
        seen.append(series.name)
        return series

    world.meter("shop").add_filter(filter)
    orders = world.meter("shop").counter("orders", labels=("shop",))
    orders.labels("de").inc()
    for _ in range(3):
        shipped(world, memory)
    assert len(seen) == 1
    orders.labels("fr").inc()
    shipped(world, memory)
    assert len(seen) == 2
    world.meter("shop").labels = {"env": "prod"}
    shipped(world, memory)
    assert len(seen) == 4


def test_a_series_of_a_broken_filter_is_left_out(
    world: World, memory: MemoryHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """The others go on; the failure is logged once."""

    def broken(series: Series) -> Series:
        if series.name.endswith("bad"):
            raise RuntimeError("broken")
        return series

    world.meter("shop").add_filter(broken)
    for name in ("bad", "very.bad", "good"):
        world.meter("shop").counter(name).inc()
    assert shipped(world, memory) == {"shop.good": 1}
    assert len([r for r in caplog.records if "filter" in r.getMessage()]) == 1


def test_series_that_become_the_same_are_merged(world: World, memory: MemoryHandler) -> None:
    """By dropping a label or by renaming, over several instruments."""
    memory.filters = (
        LabelsFilter(drop=["user"]),
        RenameFilter(match=r"^(shop|store)\.", replace="all."),
    )
    world.hierarchy.changed()
    for name in ("shop", "store"):
        orders = world.meter(name).counter("orders", labels=("user", "kind"))
        orders.labels("ann", "x").inc()
        orders.labels("bob", "x").inc(2)
    shipped(world, memory)
    sample = memory.last("all.orders", kind="x")
    assert sample is not None
    assert (sample.value, sample.delta) == (6, 6)
    world.meter("shop").counter("orders", labels=("user", "kind")).labels("cy", "x").inc(4)
    shipped(world, memory)
    sample = memory.last("all.orders", kind="x")
    assert sample is not None
    assert (sample.value, sample.delta) == (10, 4)


def test_a_merged_series_does_not_fall_when_a_part_is_reset(
    world: World, memory: MemoryHandler
) -> None:
    """Its delta is what came since, whatever the sum does."""
    memory.filters = (LabelsFilter(drop=["user"]),)
    world.hierarchy.changed()
    orders = world.meter("shop").counter("orders", labels=("user",))
    orders.labels("ann").inc(100)
    orders.labels("bob").inc(10)
    shipped(world, memory)
    orders.labels("ann")._kept[0] = 1
    orders.labels("bob").inc(3)
    shipped(world, memory)
    sample = memory.last("shop.orders")
    assert sample is not None
    assert sample.delta == 1 + 3


# -- route and configure -----------------------------------------------------------------


def test_every_step_of_a_route_can_be_traced(world: World) -> None:
    """Who dropped a series: for ``explain``."""

    def drop(series: Series) -> None:
        return None

    handler = MemoryHandler(filters=[drop])
    meter = world.meter("shop")
    meter.labels = {"env": "prod"}
    steps: list[tuple[str, Any, bool]] = []
    series = meter.counter("orders").series
    result = world.hierarchy.route(
        series, meter, handler, lambda what, by, s: steps.append((what, by, s is None))
    )
    assert result is None
    assert steps == [("labels", meter, False), ("filter", drop, True)]


def test_a_configuration_swaps_the_settings_it_names(world: World) -> None:
    """Meters that only the former one named go back to defaults; others are left alone."""
    configure = world.hierarchy.configure
    world.meter("c").level = ERROR
    configure({"a": MeterSettings(level=DEBUG), "b": MeterSettings(level=DEBUG)})
    configure({"b": MeterSettings(level=ERROR, labels={"x": "y"})})
    assert [world.meter(name).level for name in "abc"] == [0, ERROR, ERROR]
    assert world.meter("b").labels == {"x": "y"}


def test_handlers_anywhere_are_found_once(world: World) -> None:
    """All that the reporter has to serve."""
    one, two = MemoryHandler(name="one"), MemoryHandler(name="two")
    for name in ("", "a", "b"):
        world.meter(name).add_handler(one)
    world.meter("x.y").add_handler(two)
    assert world.hierarchy.handlers() == [one, two]


def test_every_change_has_a_version(world: World) -> None:
    """It rises with each change of routing or levels."""
    versions = [world.hierarchy.version]
    for change in (
        lambda: world.meter("a").add_handler(MemoryHandler()),
        lambda: setattr(world.meter("a"), "level", DEBUG),
        lambda: setattr(world.meter("a"), "propagate", False),
        lambda: setattr(world.meter("a"), "labels", {"x": "y"}),
        lambda: world.hierarchy.configure({}),
    ):
        change()
        versions.append(world.hierarchy.version)
    assert versions == sorted(set(versions))


def test_rejected_updates_are_a_metric(world: World, memory: MemoryHandler) -> None:
    """appmetrics.rejected counts them all."""
    world.meter("shop").counter("orders")
    world.advance(10)
    before = memory.last("appmetrics.rejected")
    assert before is not None
    world.meter("shop").counter("orders").inc(-1)
    world.advance(10)
    after = memory.last("appmetrics.rejected")
    assert after is not None
    assert (after.value - before.value, after.delta) == (1, 1)


def test_updates_beyond_the_cap_of_children_are_a_metric(
    world: World, memory: MemoryHandler
) -> None:
    """appmetrics.overflowed counts label sets that found no place."""
    world.hierarchy.max_children = 1
    users = world.meter("shop").counter("users", labels=("user",))
    for user in "abc":
        users.labels(user).inc()
    world.advance(10)
    sample = memory.last("appmetrics.overflowed")
    assert sample is not None
    assert sample.value == 2


@pytest.mark.parametrize(
    "result",
    [
        lambda series: True,
        lambda series: series.name,
        lambda series: series._replace(name=None),
        lambda series: series._replace(labels=[]),
        lambda series: series._replace(labels=(("shop", 1),)),
        lambda series: series._replace(kind="histogram"),
    ],
)
def test_a_filter_that_returns_something_else_is_broken(
    world: World, memory: MemoryHandler, caplog: pytest.LogCaptureFixture, result: Any
) -> None:
    """What it was asked for is left out; the others go on."""
    world.meter("shop").add_filter(result)
    world.meter("shop").counter("orders").inc()
    world.meter("bank").counter("transfers").inc()
    assert shipped(world, memory) == {"bank.transfers": 1}
    assert len([r for r in caplog.records if "filter" in r.getMessage()]) == 1


def test_a_broken_filter_is_logged_without_the_lock(world: World, memory: MemoryHandler) -> None:
    """A logging handler of the application may need it, to declare a counter."""
    free: list[bool] = []

    class Declaring(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            thread = threading.Thread(target=world.meter("log").counter, args=("warnings",))
            thread.start()
            thread.join(PATIENCE)
            free.append(not thread.is_alive())

    def broken(series: Series) -> Series:
        raise RuntimeError("broken")

    handler = Declaring()
    logging.getLogger("appmetrics").addHandler(handler)
    try:
        world.meter("shop").add_filter(broken)
        world.meter("shop").counter("orders").inc()
        world.advance(10)
        world.meter("bank").add_filter(lambda series: broken(series))
        world.meter("bank").event("opened")
    finally:
        logging.getLogger("appmetrics").removeHandler(handler)
    assert free == [True, True]


def test_something_declared_while_levels_are_applied_is_no_error(world: World) -> None:
    """By a signal handler, or a __del__, in the very thread that configures."""
    declared = world.meter("shop").counter("orders").declaration

    class Declaring(int):
        def __ge__(self, other: Any) -> bool:
            world.meter("shop").counter("late")
            return True

    declared.level = Declaring(INFO)
    world.meter("shop").level = DEBUG
    assert world.meter("shop").counter("late").declaration.enabled


def test_an_instrument_that_is_known_is_found_without_the_lock(world: World) -> None:
    """Whoever declares it at each call doesn't wait for a configuration."""
    orders = world.meter("shop").counter("orders")
    found: list[Any] = []

    def declare() -> None:
        found.append(world.meter("shop").counter("orders"))

    with world.hierarchy.lock:
        thread = threading.Thread(target=declare)
        thread.start()
        thread.join(PATIENCE)
        assert found == [orders]
