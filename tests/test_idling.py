"""Idle sets of label values: left out when nothing changes, back with the next change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from appmetrics.cells import locked
from appmetrics.config import Configurator
from appmetrics.errors import InstrumentError
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.idling import LOOKS_APART, sweep, wake
from appmetrics.instrument import Declaration
from appmetrics.instruments import Counter
from appmetrics.scales_tree import scales_value
from appmetrics.testing import World

TTL = 300
#: After so long it has been seen that nothing changed for so long.
LONG = TTL + 2 * LOOKS_APART + 10


@pytest.fixture
def memory(world: World) -> MemoryHandler:
    """A handler that gets all of it."""
    memory = MemoryHandler(size=100_000)
    world.meter().add_handler(memory)
    return memory


def latest(world: World, memory: MemoryHandler, name: str) -> dict[str, Any]:
    """The samples of a name in the next round, by their label."""
    memory.clear()
    world.advance(10)
    samples = [sample for sample in memory.samples if sample.series.name == name]
    return {sample.series.labels[0][1]: sample for sample in samples}


@pytest.mark.parametrize(
    ("kind", "update", "count"),
    [
        ("counter", lambda child: child.inc(3), lambda sample: sample.delta),
        ("gauge", lambda child: child.inc(3), lambda sample: sample.value),
        ("histogram", lambda child: child.observe(0), lambda sample: sample.delta.count),
        ("timer", lambda child: child.observe(1), lambda sample: sample.delta.count),
    ],
)
def test_what_does_not_change_is_left_out_and_comes_back(
    world: World,
    memory: MemoryHandler,
    kind: str,
    update: Callable[[Any], None],
    count: Callable[[Any], float],
) -> None:
    """Whoever holds the child just updates it; nothing is lost, counted twice or reset."""
    instrument = getattr(world.meter("shop"), kind)("x", labels=("shop",), ttl=TTL)
    held, busy = instrument.labels("de"), instrument.labels("at")
    update(held)
    before = held.value
    for _ in range(int(LONG / 50)):
        update(busy)
        world.advance(50)
    update(busy)
    assert set(latest(world, memory, "shop.x")) == {"at"}
    assert held.value == before
    assert repr(held).startswith(f"<{kind.title()} ")
    assert instrument.labels("de") is held
    update(held)
    again = latest(world, memory, "shop.x")
    assert set(again) == {"at", "de"}
    assert count(again["de"]) == (6 if kind == "gauge" else 3 if kind == "counter" else 1)
    assert count(latest(world, memory, "shop.x")["de"]) == (6 if kind == "gauge" else 0)


def test_nothing_goes_idle_unless_asked(world: World, memory: MemoryHandler) -> None:
    """Without a time to live, children stay for ever."""
    world.meter("shop").counter("orders", labels=("shop",)).labels("de").inc()
    world.advance(100_000)
    assert set(latest(world, memory, "shop.orders")) == {"de"}


def test_a_default_for_all_is_an_option(world: World, memory: MemoryHandler) -> None:
    """Those without labels, states, callbacks, and who has a time of his own, are left alone."""
    configurator = Configurator(world.hierarchy, world.reporter)
    meter = world.meter("shop")
    meter.counter("plain").inc()
    meter.counter("labelled", labels=("shop",)).labels("de").inc()
    meter.counter("kept", labels=("shop",), ttl=math.inf).labels("de").inc()
    meter.state("state", labels=("shop",)).labels("de").set("ok")
    meter.gauge("asked", labels=("shop",), callback=lambda: {"de": 5})
    configurator.dict_config(
        {"metrics": {"idle_ttl": TTL, "handlers": ["m"]}, "handlers": {"m": memory}}
    )
    world.advance(LONG)
    memory.clear()
    world.advance(10)
    names = {s.series.name for s in memory.samples if s.series.name.startswith("shop.")}
    assert names == {"shop.plain", "shop.kept", "shop.state", "shop.asked"}
    configurator.dict_config({"metrics": {"handlers": ["m"]}, "handlers": {"m": memory}})
    world.advance(LOOKS_APART)
    assert set(latest(world, memory, "shop.labelled")) == {"de"}


def test_how_many_are_idle_is_a_metric_and_a_line_once_for_each_instrument(
    world: World, memory: MemoryHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """The line names the instrument."""
    caplog.set_level("INFO")
    orders = world.meter("shop").counter("orders", labels=("shop",), ttl=TTL)
    for shop in ("de", "at"):
        orders.labels(shop).inc()
    for _ in range(2):
        world.advance(LONG)
        sample = memory.last("appmetrics.idle")
        assert sample is not None
        assert sample.value == 2
        orders.labels("de").inc()
        world.advance(LOOKS_APART + 10)
        sample = memory.last("appmetrics.idle")
        assert sample is not None
        assert sample.value == 1
    said = [r.getMessage() for r in caplog.records if "have not changed" in r.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("shop.orders: ")


def test_a_handler_that_comes_meanwhile_counts_from_then(
    world: World, memory: MemoryHandler
) -> None:
    """What an idle child had counted before is not the new handler's, when it comes back."""
    orders = world.meter("shop").counter("orders", labels=("shop",), ttl=TTL).labels("de")
    orders.inc(1000)
    world.advance(LONG)
    late = MemoryHandler(name="late")
    world.meter().add_handler(late)
    world.advance(10)
    orders.inc(2)
    world.advance(10)
    for handler in (memory, late):
        sample = handler.last("shop.orders", shop="de")
        assert sample is not None
        assert (sample.value, sample.delta) == (1002, 2)


def test_routing_that_changes_meanwhile_loses_nothing(world: World, memory: MemoryHandler) -> None:
    """A selection made anew goes on where the old one was."""
    orders = world.meter("shop").counter("orders", labels=("shop",), ttl=TTL).labels("de")
    orders.inc(1000)
    world.advance(LONG)
    world.meter("shop").labels = {"env": "test"}
    world.advance(10)
    orders.inc(2)
    world.advance(10)
    sample = memory.last("shop.orders", env="test", shop="de")
    assert sample is not None
    assert sample.delta == 2


def test_an_idle_child_stays_idle_when_all_begins_at_zero(world: World) -> None:
    """In a forked child, or between tests, it doesn't come back as a row of zero."""
    orders = world.meter("shop").counter("orders", labels=("shop",), ttl=TTL)
    child = orders.labels("de")
    child.inc()
    world.advance(LONG)
    world.hierarchy.after_fork()
    assert child.read() is None
    assert child.value == 0
    child.inc()
    assert child.read() == 1


def test_an_update_between_two_looks_wakes_also_if_nobody_read_it(world: World) -> None:
    """The look itself sees that it has changed."""
    orders = world.meter("shop").counter("orders", labels=("shop",), ttl=TTL)
    child, instruments = orders.labels("de"), [orders]
    child.inc()
    assert sweep(instruments, 0.0, None) == {}
    assert sweep(instruments, TTL, None) == {"shop.orders": 1}
    child.inc()
    assert sweep(instruments, TTL + 1.0, None) == {}
    assert child.read() == 2
    wake(child)
    assert child.read() == 2


def test_it_also_works_where_updates_take_a_lock() -> None:
    """On free-threaded builds."""
    cls = locked(Counter, "inc", "move", "drain")
    orders = cls(Declaration("orders", labels=("shop",), idle_ttl=TTL))
    child = orders.labels("de")
    child.inc()
    sweep([orders], 0.0, None)
    sweep([orders], TTL, None)
    assert (child.read(), child.value) == (None, 1)
    child.inc()
    assert (child.read(), type(child)) == (2, cls)
    assert scales_value(orders) == {"shop=de": 2}


@pytest.mark.parametrize("ttl", [0, -1, math.nan, "5", True])
def test_a_time_to_live_is_positive_seconds(world: World, ttl: Any) -> None:
    """Anything else is an error at the declaration."""
    with pytest.raises(InstrumentError, match="ttl must be seconds, more than 0"):
        world.meter("shop").counter("orders", labels=("shop",), ttl=ttl)


def test_a_time_to_live_needs_labels(world: World) -> None:
    """An instrument without any has no children that could go."""
    with pytest.raises(InstrumentError, match="it has no labels"):
        world.meter("shop").timer("render", ttl=60)
