"""The test kit: a clock by hand, what changed, a world of one's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import appmetrics
from appmetrics.errors import RejectedValue
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.hierarchy import hierarchy
from appmetrics.levels import DEBUG, ERROR, NOTSET
from appmetrics.meter import MeterSettings
from appmetrics.testing import Capture, ManualClock, UnknownMetric, World, capture, reset

_numbers = itertools.count()


@pytest.fixture
def meter() -> Iterator[appmetrics.Meter]:
    """A meter of the process' own hierarchy that no other test uses, detached at the end."""
    meter = appmetrics.get_meter(f"testkit{next(_numbers)}")
    yield meter
    meter.change(level=NOTSET, handlers=())


# -- ManualClock ---------------------------------------------------------------


def test_a_manual_clock_stands_still_until_it_is_advanced() -> None:
    """Both times move by what it is advanced, and not otherwise."""
    clock = ManualClock(500.0)
    assert (clock.time(), clock.monotonic()) == (500.0, 0.0)
    clock.advance(2.5)
    assert (clock.time(), clock.monotonic()) == (502.5, 2.5)


def test_a_manual_clocks_wall_time_can_jump() -> None:
    """Setting the wall time leaves the monotonic time alone."""
    clock = ManualClock()
    clock.set_wall_time(7.0)
    assert (clock.time(), clock.monotonic()) == (7.0, 0.0)


def test_a_manual_clock_does_not_run_backwards() -> None:
    """A negative step is a ValueError."""
    with pytest.raises(ValueError, match="backwards"):
        ManualClock().advance(-1)


# -- capture -------------------------------------------------------------------


def test_a_capture_measures_a_counters_change(meter: appmetrics.Meter) -> None:
    """What was counted before the block does not count."""
    orders = meter.counter("orders")
    orders.inc(5)
    with capture() as captured:
        orders.inc(2)
        assert captured.value(orders.name) == 2
    assert captured.value(orders.name) == 2


def test_labels_of_a_question_may_name_some_or_none(meter: appmetrics.Meter) -> None:
    """A question adds up all label sets that fit its labels, 0 if none does."""
    orders = meter.counter("orders", labels=("shop", "status"))
    with capture() as captured:
        orders.labels("de", 200).inc()
        orders.labels("de", 500).inc(2)
        orders.labels("fr", 200).inc(4)
    assert captured.value(orders.name, shop="de", status=200) == 1
    assert captured.value(orders.name, shop="de") == 3
    assert captured.value(orders.name) == 7
    assert captured.value(orders.name, shop="it") == 0


def test_a_timer_counts_its_observations(meter: appmetrics.Meter) -> None:
    """The value of a timer or histogram is a count; the distribution has the rest."""
    render = meter.timer("render", labels=("page",))
    render.labels("home").observe(9.0)
    with capture() as captured:
        render.labels("home").observe(1.0)
        render.labels("cart").observe(3.0)
    assert captured.value(render.name) == 2
    assert captured.distribution(render.name).sum == 4.0
    assert captured.distribution(render.name, page="cart").count == 1
    assert captured.distribution(render.name, page="none").count == 0


def test_gauges_and_states_read_as_they_are_now(meter: appmetrics.Meter) -> None:
    """A gauge is its number, not its change; a state is its text."""
    depth, database = meter.gauge("depth"), meter.state("database")
    depth.set(5)
    with capture() as captured:
        assert captured.value(depth.name) == 5
        assert captured.value(database.name) == "unknown"
        depth.dec(2)
        database.set("on fire")
    assert captured.value(depth.name) == 3
    assert captured.value(database.name) == "on fire"


def test_gauges_and_states_of_several_labels_are_merged(meter: appmetrics.Meter) -> None:
    """Gauges are combined by their merge mode, and the worst state wins."""
    size = meter.gauge("size", labels=("pool",), merge="max")
    state = meter.state("state", labels=("pool",))
    with capture() as captured:
        size.labels("a").set(3)
        size.labels("b").set(8)
        state.labels("a").set("critical")
        state.labels("b").set("ok")
    assert captured.value(size.name) == 8
    assert captured.value(size.name, pool="none") is None
    assert captured.value(state.name) == "critical"


def test_a_callback_is_asked_when_its_gauge_is(meter: appmetrics.Meter) -> None:
    """The value of a callback gauge is what its callback says at that moment."""
    numbers = itertools.count(41)
    depth = meter.gauge("depth", callback=lambda: next(numbers))
    with capture() as captured:
        assert captured.value(depth.name) == 41
    assert captured.value(depth.name) == 42


def test_events_are_captured(meter: appmetrics.Meter) -> None:
    """Events are listed with their text, and their value is how many there were."""
    meter.event("deploy", "before")
    with capture() as captured:
        meter.event("deploy", "1.4.2", attributes={"by": "ci"}, level=DEBUG)
        meter.event("deploy", "1.4.3")
        name = meter.full_name("deploy")
        assert captured.value(name) == 2
    assert [event.value.description for event in captured.events] == ["1.4.2", "1.4.3"]
    assert captured.events[0].value.attributes == {"by": "ci"}


def test_capturing_takes_no_event_from_the_configuration_to_come() -> None:
    """Events that wait for the first handler still get there, and count once."""
    world = World()
    world.meter("shop").event("early")
    memory = MemoryHandler()
    with world.capture() as captured:
        world.meter("shop").event("early")
        assert captured.value("shop.early") == 1
        world.meter().add_handler(memory)
        assert captured.value("shop.early") == 1
    assert [sample.series.name for sample in memory.samples] == ["shop.early", "shop.early"]


def test_what_changed_is_listed(meter: appmetrics.Meter) -> None:
    """names() and samples hold what changed, and nothing else."""
    orders, depth, render = meter.counter("orders"), meter.gauge("depth"), meter.timer("render")
    meter.counter("untouched").inc()
    depth.set(4)
    with capture() as captured:
        orders.inc(3)
        render.observe(0.5)
        depth.set(4)
        meter.gauge("zero").set(0)
        meter.event("deploy")
    assert captured.names() == [f"{meter.name}.{name}" for name in ("deploy", "orders", "render")]
    samples = {sample.series.name: sample for sample in captured.samples}
    assert samples[orders.name].delta == 3
    assert samples[render.name].delta.sum == 0.5


def test_a_capture_records_whatever_the_levels_are(meter: appmetrics.Meter) -> None:
    """Instruments that are switched off count in the block, and are off again after it."""
    detail = meter.counter("detail", level=DEBUG)
    appmetrics.get_meter(f"{meter.name}.sub").level = ERROR
    with capture() as captured:
        detail.inc()
        meter.counter("new", level=DEBUG).inc()
        appmetrics.get_meter(f"{meter.name}.sub").counter("below").inc()
    assert captured.value(detail.name) == 1
    assert captured.value(f"{meter.name}.new") == 1
    assert captured.value(f"{meter.name}.sub.below") == 1
    detail.inc()
    assert detail.value == 1
    assert appmetrics.get_meter(f"{meter.name}.sub").level == ERROR
    assert hierarchy.root.level == NOTSET


def test_a_capture_records_whatever_the_routing_is(meter: appmetrics.Meter) -> None:
    """Neither filters nor handlers nor propagation decide on what is captured."""
    meter.add_filter(lambda series: None)
    meter.propagate = False
    with capture() as captured:
        meter.counter("orders").inc()
        meter.event("deploy")
    assert captured.value(f"{meter.name}.orders") == 1
    assert len(captured.events) == 1


def test_levels_that_the_block_sets_stay() -> None:
    """A configuration made in the block is in force after it."""
    world = World()
    with world.capture():
        world.hierarchy.configure({"": MeterSettings(level=ERROR)})
        world.meter("shop").level = DEBUG
    assert world.meter().level == ERROR
    assert world.meter("shop").level == DEBUG


def test_a_rejected_update_raises_in_a_capture(meter: appmetrics.Meter) -> None:
    """RejectedValue in the block; counted and swallowed outside."""
    orders = meter.counter("orders")
    with capture(), pytest.raises(RejectedValue, match="orders"):
        orders.inc(-1)
    orders.inc(-1)


def test_a_capture_ends_also_when_its_block_raises(meter: appmetrics.Meter) -> None:
    """After an exception nothing raises or is switched on any more."""
    with pytest.raises(KeyError), capture():
        raise KeyError
    meter.counter("orders").inc(None)
    meter.counter("orders").inc("x")  # type: ignore[arg-type]
    assert hierarchy.root.level == NOTSET


def test_captures_nest(meter: appmetrics.Meter) -> None:
    """An inner capture measures its own block, the outer one both."""
    orders = meter.counter("orders", level=DEBUG)
    with capture() as outer:
        orders.inc()
        meter.event("deploy")
        with capture() as inner:
            orders.inc()
            meter.event("deploy")
        orders.inc()
    assert (outer.value(orders.name), inner.value(orders.name)) == (3, 1)
    assert (len(outer.events), len(inner.events)) == (2, 1)


def test_the_answers_stay_those_of_the_blocks_end(meter: appmetrics.Meter) -> None:
    """What is measured after the block is not in the capture."""
    orders, depth = meter.counter("orders"), meter.gauge("depth")
    with capture() as captured:
        orders.inc()
        depth.set(1)
    orders.inc()
    depth.set(2)
    meter.event("late")
    assert captured.value(orders.name) == 1
    assert captured.value(depth.name) == 1
    assert captured.names() == [depth.name, orders.name]


def test_an_unknown_name_is_explained(meter: appmetrics.Meter) -> None:
    """The error names near matches and what did change."""
    orders = meter.counter("orders")
    with capture() as captured:
        orders.inc(3)
        with pytest.raises(UnknownMetric) as caught:
            captured.value(f"{meter.name}.order")
        with pytest.raises(LookupError, match="did you mean"):
            captured.value("orders")
    assert f"did you mean '{orders.name}'" in str(caught.value)
    assert f"{orders.name}  counter +3" in str(caught.value)


def test_an_unknown_label_is_explained(meter: appmetrics.Meter) -> None:
    """The error names the labels that there are."""
    meter.counter("orders", labels=("shop",))
    meter.counter("plain")
    with capture() as captured:
        with pytest.raises(UnknownMetric, match=r"no label 'chop', only \(shop\)"):
            captured.value(f"{meter.name}.orders", chop="de")
        with pytest.raises(UnknownMetric, match="and none at all"):
            captured.value(f"{meter.name}.plain", shop="de")


def test_only_histograms_and_timers_have_a_distribution(meter: appmetrics.Meter) -> None:
    """distribution() of a counter is an error that says so."""
    meter.counter("orders")
    with capture() as captured, pytest.raises(UnknownMetric, match="but a counter"):
        captured.distribution(f"{meter.name}.orders")


def test_a_report_shows_each_kind() -> None:
    """One aligned line for each series that changed, the events last."""
    world = World()
    meter = world.meter("shop")
    meter.gauge("depth").set(1)
    with world.capture() as captured:
        assert captured.report() == "nothing"
        meter.counter("orders", labels=("shop",)).labels('d"e').inc(2)
        meter.gauge("depth").set(2.5)
        meter.timer("render").observe(0.5)
        meter.state("database").set("critical", "no route")
        meter.event("deploy", "1.4.2", state="ok")
    assert captured.report().splitlines() == [
        "shop.database            state critical: no route",
        "shop.depth               gauge 2.5, was 1",
        "shop.orders{shop='d\"e'}  counter +2, now 2",
        "shop.render              timer +1, mean 0.5 seconds",
        "shop.deploy              event ok 1.4.2",
    ]
    assert "shop.orders" in repr(captured)


def test_what_appmetrics_tells_about_itself_is_no_change() -> None:
    """Self-metrics are there when asked for by name, and not listed as changes."""
    world = World()
    world.meter().add_handler(MemoryHandler(name="memory"))
    world.meter("shop").counter("orders")
    world.advance(0)
    with world.capture() as captured:
        world.advance(20)
    assert captured.names() == []
    assert captured.value("appmetrics.handler.memory.sent") > 0


# -- reset ---------------------------------------------------------------------


def test_reset_zeroes_and_keeps_every_instrument(meter: appmetrics.Meter) -> None:
    """Instruments and children that the application holds go on from zero."""
    orders = meter.counter("orders", labels=("shop",)).labels("de")
    render, depth, state = meter.timer("render"), meter.gauge("depth"), meter.state("state")
    orders.inc()
    render.observe(1)
    depth.set(1)
    state.set("ok")
    reset()
    assert (orders.value, render.value.count, depth.value, state.value) == (0, 0, 0, "unknown")
    orders.inc()
    assert meter.counter("orders", labels=("shop",)).labels("de").value == 1


def test_a_capture_begins_anew_with_a_reset(meter: appmetrics.Meter) -> None:
    """After reset() in its block, a capture measures what came since."""
    orders = meter.counter("orders")
    orders.inc(5)
    with capture() as captured:
        orders.inc(7)
        meter.event("deploy")
        reset()
        orders.inc(8)
    assert captured.value(orders.name) == 8
    assert captured.events == []


# -- World ---------------------------------------------------------------------


def test_a_world_has_instruments_of_its_own() -> None:
    """Equal names in two worlds and in the process never meet."""
    one, two = World(), World()
    one.meter("shop").counter("only_in_this_world").inc()
    assert two.meter("shop").counter("only_in_this_world").value == 0
    assert "shop.only_in_this_world" not in hierarchy.registry.instruments


def test_a_world_does_the_rounds_that_fall_due_in_order() -> None:
    """Each handler's rounds come at its own interval, aligned, with exact deltas."""
    world = World(ManualClock(1000.0))
    seen: list[tuple[str, float, Any]] = []

    class Noting(appmetrics.Handler):
        def emit(self, samples: Any) -> None:
            seen.extend(
                (self.name, sample.time, sample.delta)
                for sample in samples
                if sample.series.name == "shop.orders"
            )

    world.meter().add_handler(Noting(name="slow", interval=10))
    world.meter().add_handler(Noting(name="fast", interval=4))
    orders = world.meter("shop").counter("orders")
    orders.inc()
    world.advance(5)
    orders.inc()
    world.advance(5)
    assert seen == [("fast", 1004.0, 1), ("fast", 1008.0, 1), ("slow", 1010.0, 2)]
    world.stop()


@pytest.mark.parametrize("interval", [0.1, 0.3, 1 / 3, 7])
def test_a_world_arrives_exactly_where_it_is_advanced_to(interval: float) -> None:
    """Intervals that floats can't hold neither stall it nor lose a round."""
    world = World()
    world.meter().add_handler(MemoryHandler(interval=interval))
    world.advance(50)
    assert world.clock.monotonic() == pytest.approx(50)
    assert world.reporter.skipped == 0


def test_a_worlds_reporter_does_its_jobs() -> None:
    """Jobs are called once a second on the way."""
    world = World()
    calls: list[float] = []
    world.reporter.jobs.append(lambda: calls.append(world.clock.monotonic()))
    world.meter().add_handler(MemoryHandler())
    world.advance(3)
    assert calls == [0.0, 1.0, 2.0, 3.0]


def test_a_worlds_end_is_the_last_round() -> None:
    """stop() ships what came after the last due round, and closes the handlers."""
    world = World()
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    orders = world.meter("shop").counter("orders")
    world.advance(10)
    orders.inc()
    world.stop()
    last = memory.last("shop.orders")
    assert last is not None
    assert last.delta == 1


def test_a_capture_can_be_told_its_hierarchy() -> None:
    """Capture(hierarchy) is capture() for another hierarchy than the process' own."""
    world = World()
    with Capture(world.hierarchy) as captured:
        world.meter("shop").counter("orders").inc()
    assert captured.names() == ["shop.orders"]
