"""Meters: their settings, what is inherited, declaring and events."""

from __future__ import annotations

import logging
import math
import pickle
import threading
from decimal import Decimal
from typing import Any

import pytest

import appmetrics
from appmetrics import rejection
from appmetrics.errors import InstrumentError
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.levels import DEBUG, ERROR, INFO, WARNING
from appmetrics.meter import Meter
from appmetrics.sample import STATES
from appmetrics.testing import World


@pytest.fixture
def meter(world: World) -> Meter:
    """A meter in it."""
    return world.meter("shop")


@pytest.fixture
def memory(world: World) -> MemoryHandler:
    """A handler at the root."""
    handler = MemoryHandler()
    world.meter().add_handler(handler)
    return handler


def repr_of_type(value: object) -> str:
    """A short test id."""
    return type(value).__name__


# -- names -----------------------------------------------------------------------


def test_instruments_are_named_below_their_meter(world: World, meter: Meter) -> None:
    """The root meter adds nothing; __name__ of the root meter is empty."""
    assert meter.counter("orders").name == "shop.orders"
    assert meter.counter("queue.depth").name == "shop.queue.depth"
    assert world.meter().counter("orders").name == "orders"
    assert repr(meter.counter("orders")) == "<Counter shop.orders{}>"
    assert repr(meter) == "<Meter shop (INFO)>"
    assert repr(world.meter()) == "<Meter root (INFO)>"


@pytest.mark.parametrize("name", ["", None, 5, b"x"])
def test_a_name_must_be_text(meter: Meter, name: Any) -> None:
    """Anything else is an InstrumentError, which is a ValueError."""
    with pytest.raises(InstrumentError):
        meter.counter(name)
    with pytest.raises(ValueError, match="name"):
        meter.timed(name)


@pytest.mark.parametrize("name", [" ", "..", "a\nb", "größe", "x" * 495, "%s", ";"])
def test_odd_names_are_names(meter: Meter, memory: MemoryHandler, world: World, name: str) -> None:
    """What a target can't take is the target's concern."""
    meter.counter(name).inc()
    world.advance(10)
    assert memory.last(f"shop.{name}") is not None


def test_an_unknown_level_or_merge_mode_is_refused(meter: Meter) -> None:
    """At the declaration."""
    with pytest.raises(ValueError, match="unknown level"):
        meter.counter("orders", level="LOUD")
    with pytest.raises(InstrumentError, match="merge"):
        meter.gauge("depth", merge="average")
    with pytest.raises(ValueError, match="unknown level"):
        meter.level = "LOUD"


def test_levels_may_be_given_by_name(meter: Meter) -> None:
    """As in logging."""
    meter.level = "warning"
    assert meter.level == WARNING
    assert meter.counter("orders", level="ERROR").series.level == ERROR


# -- inheritance -------------------------------------------------------------------


def test_the_nearest_level_wins(world: World) -> None:
    """Unset levels are inherited; the root's is INFO."""
    assert world.meter("a.b.c").effective_level == INFO
    world.meter("a").level = ERROR
    assert world.meter("a.b.c").effective_level == ERROR
    world.meter("a.b").level = DEBUG
    assert world.meter("a.b.c").effective_level == DEBUG
    assert world.meter("a.x").effective_level == ERROR
    world.meter("a.b").level = 0
    assert world.meter("a.b.c").effective_level == ERROR


def test_common_labels_are_inherited_and_the_nearest_wins(world: World) -> None:
    """One by one, not as a whole."""
    world.meter().labels = {"env": "prod", "dc": "x"}
    world.meter("a").labels = {"env": "test", "number": 5}
    assert world.meter("a.b").effective_labels == {"env": "test", "dc": "x", "number": "5"}
    assert world.meter("b").effective_labels == {"env": "prod", "dc": "x"}


def test_propagate_stops_handlers_only(world: World) -> None:
    """Levels, labels and filters from above stay in force."""
    top, own = MemoryHandler(name="top"), MemoryHandler(name="own")
    root, below = world.meter(), world.meter("a.b")
    root.add_handler(top)
    root.level = ERROR
    root.labels = {"env": "prod"}
    root.add_filter(lambda series: series)
    world.meter("a").propagate = False
    world.meter("a").add_handler(own)
    assert below.effective_handlers == [own]
    assert below.effective_level == ERROR
    assert below.effective_labels == {"env": "prod"}
    assert len(below.effective_filters) == 1


def test_a_handler_at_several_ancestors_is_there_once(world: World) -> None:
    """However often it is attached."""
    handler = MemoryHandler()
    for name in ("", "a", "a.b"):
        world.meter(name).add_handler(handler)
        world.meter(name).add_handler(handler)
    assert world.meter("a.b.c").effective_handlers == [handler]
    assert world.meter("a").handlers == (handler,)


def test_handlers_and_filters_can_be_removed(meter: Meter) -> None:
    """Removing what isn't there is no error."""
    handler = MemoryHandler()

    def filter(series: Any) -> Any:
        return series

    meter.add_handler(handler)
    meter.add_filter(filter)
    for _ in range(2):
        meter.remove_handler(handler)
        meter.remove_filter(filter)
    assert (meter.handlers, meter.filters) == ((), ())


# -- events ------------------------------------------------------------------------


def test_an_event_goes_to_the_handlers_at_once(
    world: World, meter: Meter, memory: MemoryHandler
) -> None:
    """With its time and all that was said, as plain text."""
    world.meter().labels = {"env": "prod"}
    world.clock.advance(7)
    meter.event(
        "deploy",
        "1.4.2",
        state="ok",
        attributes={"by": "ci", "build": 7},
        tags=["a", "b"],
        metric=3,
        ttl=60,
    )
    [sample] = memory.samples
    assert sample.series.name == "shop.deploy"
    assert sample.series.kind == "event"
    assert sample.series.labels == (("env", "prod"),)
    assert sample.time == world.clock.time()
    assert sample.value == ("1.4.2", "ok", {"by": "ci", "build": "7"}, ("a", "b"), 3, 60)


def test_events_have_levels(world: World, meter: Meter, memory: MemoryHandler) -> None:
    """Below the meter's or the handler's level they don't arrive."""
    meter.event("quiet", level=DEBUG)
    meter.event("loud", level="ERROR")
    memory.level = ERROR
    meter.event("normal")
    assert [sample.series.name for sample in memory.samples] == ["shop.loud"]


def test_early_events_wait_for_the_first_handler(world: World, meter: Meter) -> None:
    """The newest hundred, in order, with the time they happened at."""
    for number in range(120):
        meter.event("deploy", str(number))
        world.clock.advance(1)
    handler = MemoryHandler()
    world.meter().add_handler(handler)
    assert [s.value.description for s in handler.samples] == [str(n) for n in range(20, 120)]
    assert handler.samples[0].time == world.clock.time() - 100
    late = MemoryHandler()
    world.meter().add_handler(late)
    assert late.samples == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"attributes": 5},
        {"tags": None},
        {"level": "LOUD"},
        {"description": None},
        {"state": object()},
        {"ttl": "soon"},
    ],
)
def test_an_odd_event_never_raises(
    meter: Meter, memory: MemoryHandler, arguments: dict[str, Any]
) -> None:
    """It is left out, or what can be said of it is."""
    meter.event("deploy", **{"description": "x", **arguments})


def test_an_event_that_cannot_be_text_is_rejected(meter: Meter, memory: MemoryHandler) -> None:
    """Counted as a rejected update, like any other."""

    class Evil:
        def __str__(self) -> str:
            raise RuntimeError("evil")

        __repr__ = __str__

    before = sum(rejection.counts.values())
    meter.event(Evil(), Evil())  # type: ignore[arg-type]
    meter.event("deploy", attributes={"by": Evil()})
    assert sum(rejection.counts.values()) == before + 2
    assert memory.samples == []


@pytest.mark.parametrize("number", [math.nan, math.inf, "5", 1j, 10**400], ids=repr_of_type)
def test_an_events_numbers_are_numbers(meter: Meter, memory: MemoryHandler, number: Any) -> None:
    """What isn't one is left out and counted as rejected; the event itself arrives."""
    before = sum(rejection.counts.values())
    meter.event("deploy", metric=number)
    meter.event("deploy", ttl=number)
    assert [(s.value.metric, s.value.ttl) for s in memory.samples] == [(None, None)] * 2
    assert sum(rejection.counts.values()) == before + 2


def test_an_events_number_is_plain(meter: Meter, memory: MemoryHandler) -> None:
    """Decimals and the like are converted."""
    meter.event("deploy", metric=Decimal("1.5"))  # type: ignore[arg-type]
    [sample] = memory.samples
    assert type(sample.value.metric) is float


# -- declaring ----------------------------------------------------------------------


def test_help_and_states_come_from_the_declaration(meter: Meter) -> None:
    """Defaults: no help, no unit, INFO, Riemann's states."""
    assert meter.counter("orders").series == meter.counter("orders", "Later help").series
    assert meter.counter("orders").series.level == INFO
    assert meter.state("database").series.states == STATES


def test_a_callback_can_be_given_later(meter: Meter) -> None:
    """A gauge that is declared again with a callback gets it."""
    gauge = meter.gauge("depth")
    meter.gauge("depth", callback=lambda: 3)
    gauge.refresh()
    meter.gauge("depth")
    gauge.refresh()
    assert gauge.value == 3


def test_only_handlers_can_be_handlers(meter: Meter) -> None:
    """One of logging's, say, would stop all rounds."""
    with pytest.raises(TypeError, match=r"must be an appmetrics\.Handler"):
        meter.add_handler(logging.NullHandler())  # type: ignore[arg-type]
    assert meter.handlers == ()


def test_handlers_added_by_two_threads_at_once_are_both_there(meter: Meter) -> None:
    """The second waits until the first has been added."""
    first, second = MemoryHandler(name="first"), MemoryHandler(name="second")
    other = threading.Thread(target=meter.add_handler, args=(second,))

    class Slow(tuple[Any, ...]):
        def __iter__(self) -> Any:
            if other.ident is None:
                other.start()
                other.join(0.05)  # it has to wait for us
            return super().__iter__()

    meter.settings = meter.settings._replace(handlers=Slow())
    meter.add_handler(first)
    other.join()
    assert set(meter.handlers) == {first, second}


def test_a_meter_is_pickled_by_its_name(meter: Meter) -> None:
    """As a logger is; one of another hierarchy can't be."""
    own = appmetrics.get_meter("shop.pickled")
    assert pickle.loads(pickle.dumps(own)) is own
    with pytest.raises(pickle.PicklingError, match="not of the process' own hierarchy"):
        pickle.dumps(meter)
