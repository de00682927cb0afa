"""Readings become samples: deltas, merging, resets, missing values."""

from __future__ import annotations

from typing import Any

import pytest

from appmetrics.buckets import EMPTY, Distribution
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.sample import STATES, Sample, Series, StateValue
from appmetrics.selection import LEFT_OUT, Selection, difference, merge
from appmetrics.testing import World


class Point:
    """A thing to read, whose value the test sets."""

    def __init__(self, kind: str, value: Any = None, name: str = "it", **more: Any) -> None:
        self.series = Series(name, kind=kind, **more)
        self.value = value

    def read(self) -> Any:
        return self.value


def selected(*points: Point) -> Selection:
    """A selection of them, since monotonic time 100."""
    selection = Selection(lambda point: point.series, 100.0)
    selection.extend(points)
    return selection


def round_of(selection: Selection, when: float = 110.0) -> list[Sample]:
    """The samples of the next round."""
    return selection.samples(selection.read(), 1000 + when, when, lambda series: None)


def state(name: str) -> StateValue:
    """A reading of a state."""
    return StateValue(name, "", STATES.index(name), name, None)


def test_a_counters_delta_is_what_came_since() -> None:
    """The first delta is everything, then the change; the rate is per second."""
    point = Point("counter", 5)
    selection = selected(point)
    [sample] = round_of(selection, 110)
    assert (sample.value, sample.delta, sample.elapsed, sample.rate) == (5, 5, 10, 0.5)
    point.value = 12
    [sample] = round_of(selection, 120)
    assert (sample.time, sample.value, sample.delta, sample.rate) == (1120, 12, 7, 0.7)
    [sample] = round_of(selection, 130)
    assert (sample.delta, sample.rate) == (0, 0)


def test_a_counter_that_fell_was_reset() -> None:
    """All it has now came since."""
    point = Point("counter", 50)
    selection = selected(point)
    round_of(selection)
    point.value = 3
    [sample] = round_of(selection, 120)
    assert sample.delta == 3


def test_a_distributions_delta_is_a_distribution() -> None:
    """Percentiles of the interval and of all time are both there; the rate is the count's."""
    point = Point("timer", Distribution.of([1, 1]))
    selection = selected(point)
    round_of(selection)
    point.value = Distribution.of([1, 1, 8])
    [sample] = round_of(selection, 120)
    assert sample.delta == Distribution.of([8])
    assert sample.value.count == 3
    assert sample.rate == 0.1


def test_gauges_and_states_have_no_delta() -> None:
    """They are what they are now."""
    selection = selected(Point("gauge", 3), Point("state", state("ok"), "other"))
    assert [(s.value, s.delta, s.rate) for s in round_of(selection)] == [
        (3, None, 0),
        (state("ok"), None, 0),
    ]


def test_a_point_without_a_reading_is_left_out() -> None:
    """And comes back with its next one."""
    point = Point("gauge")
    selection = selected(point)
    assert round_of(selection) == []
    point.value = 1
    assert len(round_of(selection, 120)) == 1


@pytest.mark.parametrize(
    ("kind", "before", "after", "delta"),
    [
        ("counter", 5, 7, 2),
        ("timer", Distribution.of([1]), Distribution.of([1, 2]), Distribution.of([2])),
    ],
)
def test_a_round_without_a_reading_does_not_make_the_next_one_count_twice(
    kind: str, before: Any, after: Any, delta: Any
) -> None:
    """A counter that could not be read goes on from its last reading."""
    point = Point(kind, before)
    selection = selected(point)
    round_of(selection)
    point.value = None
    assert round_of(selection, 120) == []
    point.value = after
    [sample] = round_of(selection, 130)
    assert sample.delta == delta


def test_rates_divide_by_the_time_between_readings() -> None:
    """Monotonic time, so a late round has no wrong rate; no time gives no rate."""
    point = Point("counter", 0)
    selection = selected(point)
    round_of(selection, 110)
    point.value = 30
    assert round_of(selection, 125)[0].rate == 2
    point.value = 60
    assert round_of(selection, 125)[0].rate == 0


def test_points_that_become_one_series_are_merged() -> None:
    """Counters and buckets add up."""
    counters = selected(Point("counter", 1), Point("counter", 2), Point("counter", None))
    [sample] = round_of(counters)
    assert (sample.value, sample.delta) == (3, 3)
    timers = selected(Point("timer", Distribution.of([1])), Point("timer", Distribution.of([2])))
    assert round_of(timers)[0].value == Distribution.of([1, 2])


@pytest.mark.parametrize(("mode", "expected"), [("sum", 6), ("max", 4), ("min", 2)])
def test_gauges_are_merged_by_their_mode(mode: str, expected: int) -> None:
    """Sum, maximum or minimum."""
    selection = selected(*(Point("gauge", v, merge=mode) for v in (4, None, 2)))
    assert round_of(selection)[0].value == expected


def test_the_worst_of_merged_states_wins() -> None:
    """By number: the declared order."""
    selection = selected(*(Point("state", state(name)) for name in ("ok", "critical", "warning")))
    assert round_of(selection)[0].value == state("critical")


def test_deltas_are_taken_before_merging() -> None:
    """A part that was reset or fell silent never makes the merged series fall."""
    one, other = Point("counter", 100), Point("counter", 10)
    selection = selected(one, other)
    round_of(selection)
    one.value, other.value = 3, 12
    [sample] = round_of(selection, 120)
    assert sample.delta == 3 + 2
    one.value, other.value = None, 13
    [sample] = round_of(selection, 130)
    assert sample.delta == 1


def test_merging_the_largest_numbers_stays_finite() -> None:
    """A sum beyond the largest float is cut off there."""
    for kind in ("counter", "gauge"):
        [sample] = round_of(selected(Point(kind, 1.7e308), Point(kind, 1.7e308)))
        assert sample.value - sample.value == 0


def test_series_of_different_kinds_are_not_merged() -> None:
    """A name that two kinds share (by renaming) stays two series."""
    selection = selected(Point("counter", 1), Point("gauge", 2), Point("gauge", 3))
    assert sorted((s.series.kind, s.value) for s in round_of(selection)) == [
        ("counter", 1),
        ("gauge", 5),
    ]


def test_new_points_are_taken_in_once() -> None:
    """extend() looks at the list's new part only, and asks once about each."""
    asked: list[Any] = []
    points = [Point("counter", 1, "a")]

    def choose(point: Any) -> Series | None:
        asked.append(point)
        return point.series if point.series.name != "b" else None

    selection = Selection(choose, 0.0)
    selection.extend(points)
    points += [Point("counter", 1, "b"), Point("counter", 1, "c")]
    selection.extend(points)
    selection.extend(points)
    assert asked == points
    assert [series.name for series in selection.series] == ["a", "c"]


def test_a_point_that_joins_between_reading_and_sampling_waits() -> None:
    """A worker may still turn an older round into samples."""
    points = [Point("counter", 1, "a")]
    selection = selected(*points)
    readings = selection.read()
    points += [Point("counter", 5, "b"), Point("counter", 7, "a")]
    selection.extend(points)
    names = [s.series.name for s in selection.samples(readings, 0, 110, lambda s: None)]
    assert names == ["a"]
    assert {s.series.name: s.delta for s in round_of(selection, 120)} == {"a": 7, "b": 5}


def test_a_rendering_is_prepared_once_per_series() -> None:
    """And comes with every sample."""
    prepared: list[str] = []

    def prepare(series: Series) -> str:
        prepared.append(series.name)
        return series.name.upper()

    selection = selected(Point("counter", 1, "a"), Point("counter", 1, "a"), Point("gauge", 1, "b"))
    for when in (110, 120):
        samples = selection.samples(selection.read(), 0, when, prepare)
        assert [sample.prepared for sample in samples] == ["A", "B"]
    assert prepared == ["a", "b"]


def test_a_series_that_a_handler_refuses_is_left_out() -> None:
    """LEFT_OUT from prepare() leaves out the one series."""
    selection = selected(Point("counter", 1, "a"), Point("counter", 1, "b"))
    samples = selection.samples(
        selection.read(), 0, 110, lambda s: LEFT_OUT if s.name == "a" else None
    )
    assert [sample.series.name for sample in samples] == ["b"]


def test_a_successor_goes_on_from_the_readings_handed_over() -> None:
    """Nothing is counted twice and nothing is lost, although a worker is behind."""
    old_point, late = Point("counter", 5, "a"), Point("counter", 9, "b")
    old = selected(old_point)
    old.handed_over(old.read(), 110)
    old_point.value = 8
    new = selected(old_point, late)
    new.follow(old, same_handler=False)
    assert {s.series.name: (s.delta, s.elapsed) for s in round_of(new, 120)} == {
        "a": (3, 10),
        "b": (9, 10),
    }


def test_it_is_known_when_a_value_last_changed() -> None:
    """The time of the round that found another value; for a timer, another count."""
    point, idle = Point("timer", Distribution.of([1]), "a"), Point("gauge", 0, "b")
    selection = selected(point, idle)
    round_of(selection, 110)
    point.value = Distribution.of([1, 2])
    round_of(selection, 120)
    round_of(selection, 130)
    changed = {s.name: selection.changed(place) for place, s in enumerate(selection.series)}
    assert changed["a"] == 1120


def test_values_are_read_for_those_who_ask() -> None:
    """Merged, in the order of the entries, None where there is none."""
    selection = selected(Point("counter", 1), Point("counter", 2), Point("gauge", None, "b"))
    assert selection.values() == [3, None]


def test_merge_and_difference_know_what_is_missing() -> None:
    """None is no number: it neither adds nor counts as zero."""
    series = Series("it", kind="counter")
    assert merge(series, []) is None
    assert merge(series, [None, None]) is None
    assert merge(series, [None, 2]) == 2
    assert difference("counter", None, 3) is None
    assert difference("counter", 3, None) == 3
    assert difference("timer", EMPTY, EMPTY) == EMPTY


def test_selections_that_read_nothing_are_not_kept() -> None:
    """While a worker hangs, the routing may change any number of times."""
    point = Point("counter", 1)
    first = latest = selected(point)
    first.handed_over(first.read(), 101.0)
    waiting = first.read()
    point.value = 5
    for _ in range(10):
        former, latest = latest, selected(point)
        latest.follow(former, same_handler=True)
        latest.extend([point, Point("counter", 7, name="later")])
    assert latest._former is not None
    assert latest._former[0] is first
    readings = latest.read()
    latest.handed_over(readings, 120.0)
    first.samples(waiting, 1101, 101.0, lambda series: None)
    deltas = [s.delta for s in latest.samples(readings, 1120, 120.0, lambda series: None)]
    assert deltas == [4, 7]


def test_handlers_share_what_they_know_of_a_series() -> None:
    """A second handler of the same series keeps no second copy of it, a filtered one its own."""
    world = World()
    plain, other, filtered = (MemoryHandler(name=name) for name in ("a", "b", "c"))
    filtered.filters = (lambda series: series._replace(unit="bytes"),)
    for handler in (plain, other, filtered):
        world.meter().add_handler(handler)
    world.meter("shop").counter("orders").inc()
    world.advance(10)
    first, second, third = (
        route.selection.series for route in world.reporter.routes() if route.selection
    )
    orders = [next(s for s in every if s.name == "shop.orders") for every in (first, second, third)]
    assert orders[0] is orders[1]
    assert [series.unit for series in orders] == ["", "", "bytes"]
