"""When a handler's rounds are due, and which time each has."""

from __future__ import annotations

import pytest

from appmetrics.handlers.memory import MemoryHandler
from appmetrics.rounds import Route
from appmetrics.testing import ManualClock

START = 1_000_000_000.0


@pytest.fixture
def clock() -> ManualClock:
    """A clock that begins at a whole multiple of ten seconds."""
    return ManualClock(START)


def test_a_round_is_due_at_each_multiple_of_the_interval(clock: ManualClock) -> None:
    """Not before, however often it is asked; its time is that multiple."""
    route = Route(MemoryHandler())
    clock.advance(3)
    assert not route.is_due(clock.time(), 10)
    clock.advance(6)
    assert not route.is_due(clock.time(), 10)
    clock.advance(2)
    assert route.is_due(clock.time(), 10)
    assert route.begin(clock, 10, last=False) == 0
    assert route.last[0] == START + 10
    assert not route.is_due(clock.time(), 10)


def test_a_handlers_own_interval_counts(clock: ManualClock) -> None:
    """That of the reporter is for those that have none."""
    route = Route(MemoryHandler(interval=2))
    assert not route.is_due(clock.time(), 10)
    clock.advance(2)
    assert route.is_due(clock.time(), 10)


def test_rounds_that_were_missed_are_told(clock: ManualClock) -> None:
    """The next one has the time of now, not of the first that was due."""
    route = Route(MemoryHandler())
    assert not route.is_due(clock.time(), 10)
    clock.advance(34)
    assert route.is_due(clock.time(), 10)
    assert route.begin(clock, 10, last=False) == 2
    assert route.last[0] == START + 30


def test_no_time_is_given_twice(clock: ManualClock) -> None:
    """A second round within an interval has none; a last one takes the next that is free."""
    route = Route(MemoryHandler())
    clock.advance(1)
    times = []
    assert route.begin(clock, 10, last=False) == 0
    times.append(route.last[0])
    assert route.begin(clock, 10, last=False) is None
    for _ in range(2):
        assert route.begin(clock, 10, last=True) == 0
        times.append(route.last[0])
    assert times == [START, START + 10, START + 20]


def test_times_start_anew_with_a_clock_that_was_set_back(clock: ManualClock) -> None:
    """Or there would be no rounds until it has caught up."""
    route = Route(MemoryHandler())
    clock.advance(1)
    assert route.begin(clock, 10, last=False) == 0
    clock.set_wall_time(START - 3600 + 1)
    assert not route.is_due(clock.time(), 10)
    clock.advance(10)
    assert route.is_due(clock.time(), 10)
    assert route.begin(clock, 10, last=False) == 0
    assert route.last[0] == START - 3600 + 10
