"""Tests of handlers/told.py: sums of series, and single values behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from appmetrics import Handler
from appmetrics.handlers.backlog import Limits
from appmetrics.handlers.observations import Observations
from appmetrics.handlers.told import GAP, PAUSE, Told
from appmetrics.sample import Sample, Series


def encode(samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
    """A payload for each sample."""
    return ((f"{sample.series.name}={sample.delta}".encode(), 1) for sample in samples)


def encode_values(values: Iterable[tuple[Any, float]]) -> Iterator[tuple[bytes, int]]:
    """A payload of all values."""
    told = [f"{key}:{value}" for key, value in values]
    return iter([(" ".join(told).encode(), len(told))] if told else [])


@pytest.fixture
def observations() -> Observations:
    """The queue of single values."""
    return Observations(Handler(), limit=4)


@pytest.fixture
def told(observations: Observations) -> Told:
    """A backlog of one's own."""
    return Told(encode, Limits(1000_000, 1000), observations, encode_values)


def counter(name: str, change: float) -> Sample:
    """A counter's sample."""
    return Sample(Series(name, kind="counter"), 1.0, change, change, 10.0)


def sent(told: Told, now: float, hurry: bool = False) -> list[bytes]:
    """Send all that is ready, as a handler does."""
    found = []
    while payloads := told.ready(0.0, now, hurry):
        for payload in payloads:
            found.append(payload.data)
            told.take(sent=True)
    return found


def test_sums_go_before_values(told: Told, observations: Observations) -> None:
    """One after the other, each counted for what it is."""
    observations.sink("t")(1)
    told.add([counter("a", 2)])
    assert sent(told, 1.0) == [b"a=2", b"t:1"]
    assert told.waiting == 0


def test_values_are_taken_at_intervals(told: Told, observations: Observations) -> None:
    """However many come, what else there is to do has its turn."""
    sink = observations.sink("t")
    sink(1)
    assert sent(told, 1.0) == [b"t:1"]
    sink(2)
    assert sent(told, 1.0 + GAP / 2) == []
    assert told.pause(1.0 + GAP / 2) == PAUSE
    sink(3)
    sink(4)
    assert 0 < (told.pause(1.0 + GAP / 2) or 0) <= GAP
    assert sent(told, 1.0 + GAP) == [b"t:2 t:3 t:4"]


def test_at_the_end_nothing_is_left_in_the_queue(told: Told, observations: Observations) -> None:
    """In a hurry values are taken at once."""
    sink = observations.sink("t")
    sink(1)
    sent(told, 1.0)
    sink(2)
    assert sent(told, 1.0, hurry=True) == [b"t:2"]


def test_values_wait_while_the_target_is_away(told: Told, observations: Observations) -> None:
    """What was taken waits to be sent, what comes waits in the queue; nothing is taken twice."""
    sink = observations.sink("t")
    sink(1)
    assert [payload.data for payload in told.ready(0.0, 1.0)] == [b"t:1"]
    assert told.hold() == 0
    told.add([counter("a", 2)])
    for value in range(2, 9):
        sink(value)
    told.hold()
    assert told.waiting == 2
    assert told.expired() == 3
    assert told.expired() == 0
    assert sent(told, 2.0) == [b"a=2", b"t:1", b"t:2 t:3 t:4 t:5"]


def test_a_successor_goes_on_with_both(told: Told, observations: Observations) -> None:
    """What one could not send, another one sends."""
    observations.sink("t")(1)
    told.add([counter("a", 2)])
    told.ready(0.0, 1.0, hurry=True)
    told.hold()
    assert told.waiting == 2
    legacy = told.give()
    assert told.waiting == 0
    other = Told(encode, Limits(1000_000, 1000), Observations(Handler()), encode_values)
    other.inherit(legacy)
    assert other.waiting == 2
    assert sent(other, 1.0) == [b"a=2", b"t:1"]
