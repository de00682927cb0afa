"""Tests of handlers/backlog.py and replay.py: what is kept, and in which order it leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from appmetrics.buckets import Distribution
from appmetrics.handlers.backlog import Backlog, Limits, Newest, Payload, Totals
from appmetrics.handlers.replay import History, Recent
from appmetrics.sample import Sample, Series

ROOM = Limits(1_000_000, 1000)


def one_each(samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
    """A payload for each sample: name, delta or value, time."""
    for each in samples:
        value = each.value if each.delta is None else each.delta
        value = getattr(value, "count", value)
        yield f"{each.series.name} {value} {each.time:g}".encode(), 1


def sample(name: str, when: float, value: Any = 1, delta: Any = None) -> Sample:
    """A gauge's sample, or with a delta a counter's."""
    kind = "gauge" if delta is None else "counter"
    return Sample(Series(name, kind=kind), when, value, delta, 10.0)


def sent(backlog: Backlog, wall: float = 0.0, now: float = 0.0, most: int = 1000) -> list[str]:
    """Take all that is ready, as if each payload were sent."""
    texts: list[str] = []
    while payloads := backlog.ready(wall, now)[: most - len(texts)]:
        for payload in payloads:
            assert backlog.take(sent=True) == payload
            texts.append(payload.data.decode())
    return texts


# -- history


def test_history_keeps_every_sample_in_order() -> None:
    """Each sample of an outage leaves with its time, the oldest first."""
    backlog = History(one_each, ROOM)
    for when in range(3):
        backlog.add([sample("a", when), sample("b", when)])
        assert backlog.hold() == 0
    assert backlog.waiting == 6
    assert sent(backlog) == ["a 1 0", "b 1 0", "a 1 1", "b 1 1", "a 1 2", "b 1 2"]
    assert (backlog.waiting, backlog.bytes) == (0, 0)


def test_new_data_goes_before_the_backlog() -> None:
    """What has just come is sent first; the backlog follows."""
    backlog = History(one_each, ROOM)
    for when in (1, 2):
        backlog.add([sample("a", when)])
        backlog.hold()
    backlog.add([sample("a", 3)])
    assert sent(backlog) == ["a 1 3", "a 1 1", "a 1 2"]


def test_the_backlog_has_a_rate_and_new_data_has_none() -> None:
    """Only so many kept samples a second are sent; what has just come goes at once."""
    backlog = History(one_each, ROOM, rate=10)
    backlog.add([sample("a", when) for when in range(40)])
    backlog.hold()
    assert len(sent(backlog, now=100.0)) == 11  # a second's worth, and one on credit
    assert backlog.pause(100.0) == pytest.approx(0.1)
    assert sent(backlog, now=100.0) == []
    backlog.add([sample("b", 1)])
    assert sent(backlog, now=100.0) == ["b 1 1"]
    assert len(sent(backlog, now=100.5)) == 5
    assert len(sent(backlog, now=200.0)) == 11
    backlog.ready(0, 200.0, hurry=True)
    assert backlog.take(sent=True).samples == 1


@pytest.mark.parametrize(
    ("drop", "left"), [("oldest", ["a 1 3", "a 1 4"]), ("newest", ["a 1 0", "a 1 1"])]
)
@pytest.mark.parametrize("limits", [Limits(10, 1000), Limits(1000, 2)])
def test_history_drops_from_one_end(drop: str, left: list[str], limits: Limits) -> None:
    """Beyond its bytes or samples a backlog drops from the end that was asked for."""
    backlog = History(one_each, limits._replace(drop=drop))
    backlog.add([sample("a", when) for when in range(5)])
    assert backlog.hold() == 3
    assert sent(backlog) == left


def test_the_last_batches_are_repeated() -> None:
    """After a lost connection the last batches go again behind new data, not as new samples."""
    backlog = History(one_each, ROOM, batches=2)
    backlog._recent.IN_FLIGHT = 0  # type: ignore[misc]
    for when in range(4):
        backlog.add([sample("a", when)])
        sent(backlog)
    backlog.repeat()
    assert backlog.waiting == 0
    assert backlog.pause(0) == 0
    backlog.add([sample("a", 4)])
    assert backlog.ready(0, 0) == [
        Payload(b"a 1 4", 1),
        Payload(b"a 1 2", 0, 1),
        Payload(b"a 1 3", 0, 1),
    ]
    sent(backlog)
    assert backlog.bytes == 0
    backlog.repeat()
    assert [payload.repeated for payload in backlog.ready(0, 0)] == [1, 1, 1]


def test_what_the_buffers_on_the_way_may_hold_is_repeated() -> None:
    """Small batches are repeated as far as the buffers of a hung target reach, no further."""
    recent = Recent(2, limit=10_000_000)
    for _ in range(2000):
        recent.next_batch()
        recent.add(Payload(b"x" * 1024, 10))
    assert len(recent.give()) == Recent.IN_FLIGHT // 1024
    assert recent.give() == []


def test_what_is_repeated_is_bounded() -> None:
    """Batches that are larger than the buffer are repeated in part."""
    recent = Recent(2, limit=100)
    for _ in range(3):
        recent.next_batch()
        recent.add(Payload(b"x" * 40, 1))
        recent.add(Payload(b"x" * 40, 1))
    assert len(recent.give()) == 2


# -- newest


def test_newest_keeps_one_sample_of_each_series() -> None:
    """Of an outage the newest sample of each series is sent, whatever came before."""
    backlog = Newest(one_each, ROOM)
    for when in range(5):
        backlog.add([sample("a", when), *([sample("b", when)] if when < 3 else [])])
        backlog.hold()
    assert backlog.waiting == 2
    assert sorted(sent(backlog)) == ["a 1 4", "b 1 2"]
    assert backlog.waiting == 0


def test_newest_leaves_out_what_outlived_its_time() -> None:
    """A sample older than its time to live is not sent, and is counted once."""
    ttls = {"a": 10.0, "b": 100.0, "c": None}
    backlog = Newest(one_each, ROOM, ttl=lambda sample: ttls[sample.series.name])
    backlog.add([sample(name, 1000) for name in "abc"])
    backlog.hold()
    assert sent(backlog, wall=1050) == ["b 1 1000", "c 1 1000"]
    assert (backlog.expired(), backlog.expired()) == (1, 0)


def test_what_was_not_taken_gives_way_to_newer_samples() -> None:
    """A payload that failed is made anew of what is newest by then."""
    backlog = Newest(one_each, ROOM)
    backlog.add([sample("a", 1), sample("b", 1), sample("c", 1)])
    assert sent(backlog, most=1) == ["a 1 1"]
    backlog.add([sample("b", 2)])
    backlog.hold()
    assert sent(backlog) == ["c 1 1", "b 1 2"]


def test_newest_is_bounded() -> None:
    """Beyond its limits, the series that were silent for longest go."""
    backlog = Newest(one_each, Limits(1_000_000, 2))
    for name in "abcab":
        backlog.add([sample(name, 1)])
    assert backlog.hold() == 1
    assert sent(backlog) == ["a 1 1", "b 1 1"]


# -- totals


def test_totals_add_up() -> None:
    """Of an outage a counter sends the sum of its changes, a gauge its newest value."""
    backlog = Totals(one_each, ROOM)
    for when in range(1, 4):
        backlog.add([sample("orders", when, 100 * when, delta=when), sample("queue", when, when)])
        backlog.hold()
    payloads = list(backlog.ready(0, 0))
    assert [payload.data for payload in payloads] == [b"orders 6 3", b"queue 3 3"]


def test_totals_add_up_distributions_and_time() -> None:
    """A timer's changes are merged; a rate is over the whole time."""
    series = Series("render", kind="timer")
    taken: list[Sample] = []

    def keep(samples: Sequence[Sample]) -> list[tuple[bytes, int]]:
        taken.extend(samples)
        return [(b"x", len(samples))]

    backlog = Totals(keep, ROOM)
    for number in (1, 2):
        change = Distribution.of([number] * number)
        backlog.add([Sample(series, number, change, change, 10.0)])
        backlog.hold()
    backlog.ready(0, 0)
    (folded,) = taken
    assert (folded.delta.count, folded.delta.sum, folded.elapsed) == (3, 5, 20)


def test_totals_lose_nothing_when_sending_fails() -> None:
    """A delta that was not taken is added to the next one."""
    backlog = Totals(one_each, ROOM)
    backlog.add([sample("a", 1, 5, delta=5)])
    assert backlog.ready(0, 0)
    backlog.hold()
    backlog.add([sample("a", 2, 8, delta=3)])
    assert sent(backlog) == ["a 8 2"]


# -- all of them


@pytest.mark.parametrize("kind", [History, Newest, Totals])
def test_what_waits_can_be_handed_on(kind: type[Backlog]) -> None:
    """A backlog gives all it has to another one, and is empty."""
    first, second = kind(one_each, ROOM), kind(one_each, ROOM)
    first.add([sample("a", 1)])
    first.hold()
    first.add([sample("b", 1)])
    second.inherit(first.give())
    assert (first.waiting, first.pause(0), second.waiting) == (0, None, 2)
    assert sent(second) == ["a 1 1", "b 1 1"]


@pytest.mark.parametrize("kind", [History, Newest, Totals])
def test_samples_that_cannot_be_encoded_do_not_stay(kind: type[Backlog]) -> None:
    """What fails once would fail for ever, and keeps nothing back."""

    def failing(samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        yield b"half", 1
        raise ValueError("for the test")

    backlog = kind(failing, ROOM)
    with pytest.raises(ValueError, match="for the test"):
        backlog.add([sample("a", 1)])
        backlog.ready(0, 0)
    assert (backlog.waiting, backlog.ready(0, 0)) == (0, [])
