"""Tests of handlers/delivery.py, with a target that does what it is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from appmetrics.handlers.delivery import NetworkHandler, RefusedForGood
from appmetrics.handlers.outage import LAST_RETRY, Pauses
from appmetrics.sample import Sample, Series
from appmetrics.testing import ManualClock
from appmetrics.testing.rounds import batch
from servers import PATIENCE, wait_for


class Target(NetworkHandler):
    """One payload of ten bytes a sample; ``fail`` is what sending raises."""

    def __init__(self, **common: Any) -> None:
        super().__init__(name="tested", jitter=lambda: 1.0, **common)
        self.fail: Exception | None = None
        self.attempts = 0
        self.arrived: list[bytes] = []

    def encode(self, samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        for sample in samples:
            yield sample.series.name.encode().ljust(10), 1

    def send(self, payload: bytes) -> None:
        self.attempts += 1
        fail = self.fail  # which the test may change meanwhile
        if fail:
            raise fail
        self.arrived.append(payload.strip())

    def target(self) -> str:
        return "there:1"


REFUSED = ConnectionRefusedError("refused")


@pytest.fixture
def clock() -> ManualClock:
    """A clock moved by hand."""
    return ManualClock()


@pytest.fixture
def target(clock: ManualClock) -> Target:
    """A handler whose target works, for now."""
    return Target(clock=clock)


@pytest.fixture
def running() -> Iterator[Target]:
    """One with a worker, whose target is away; it is stopped in the end."""
    target = Target()
    target.fail = REFUSED
    target.start()
    yield target
    assert target.stop(PATIENCE)


def emit(handler: Target, *names: str) -> None:
    """One round of gauges, as the worker hands it over."""
    handler.handle(batch([(Series(name), 1) for name in names]))


def test_sends_in_order_and_counts(target: Target) -> None:
    """Payloads leave in the order of their samples, each counted when it has left."""
    emit(target, "a", "b")
    assert target.arrived == [b"a", b"b"]
    assert target.stats.sent == 2
    assert target.waiting == 0
    assert target.idle() is None


def test_nothing_is_lost_in_an_outage(target: Target, clock: ManualClock) -> None:
    """What could not be sent is kept, and goes out in order once the target is back."""
    target.fail = REFUSED
    emit(target, "a", "b")
    emit(target, "c")
    assert target.waiting == target.queued == 3
    assert target.stats.sent == 0
    assert "refused" in target.stats.last_error
    target.fail = None
    clock.advance(1)
    assert target.idle() is None
    assert target.arrived == [b"a", b"b", b"c"]
    assert target.stats.sent == 3
    assert target.stats.dropped == 0


def test_retries_between_rounds_with_growing_pauses(target: Target, clock: ManualClock) -> None:
    """The pause doubles with each failure up to a limit; rounds don't shorten it."""
    target.fail = REFUSED
    emit(target, "a")
    pauses = []
    for _ in range(9):
        attempts = target.attempts
        pause = target.idle()
        assert pause is not None
        pauses.append(pause)
        emit(target, "b")
        assert target.attempts == attempts
        clock.advance(pause)
        target.idle()
        assert target.attempts == attempts + 1
    assert pauses == [1, 2, 4, 8, 16, 32, LAST_RETRY, LAST_RETRY, LAST_RETRY]


def test_pauses_have_a_jitter(clock: ManualClock) -> None:
    """Many processes that lost the same target don't come back at the same moment."""
    target = Target(clock=clock)
    target._pauses = Pauses(lambda: 0.0)
    target.fail = REFUSED
    emit(target, "a")
    assert target.idle() == 0.5


def test_success_resets_the_pause(target: Target, clock: ManualClock) -> None:
    """After the target was back, the first pause is the shortest again."""
    target.fail = REFUSED
    emit(target, "a")
    clock.advance(60)
    target.idle()
    target.fail = None
    clock.advance(60)
    target.idle()
    target.fail = REFUSED
    emit(target, "b")
    assert target.idle() == 1


@pytest.mark.parametrize("drop", ["oldest", "newest"])
def test_the_policy_says_which_samples_go(clock: ManualClock, drop: str) -> None:
    """When more samples wait than may, the oldest or the newest go, and are counted."""
    target = Target(clock=clock, buffer_samples=3, drop=drop)
    target.fail = REFUSED
    for name in "abcde":
        emit(target, name)
    assert (target.waiting, target.stats.dropped) == (3, 2)
    target.fail = None
    clock.advance(1)
    target.idle()
    assert target.arrived == ([b"c", b"d", b"e"] if drop == "oldest" else [b"a", b"b", b"c"])


def test_a_full_buffer_drops_the_oldest(clock: ManualClock) -> None:
    """The buffer holds what was configured; the oldest samples go, and are counted."""
    target = Target(clock=clock, buffer=30)
    target.fail = REFUSED
    for name in "abcde":
        emit(target, name)
    assert target.waiting == 3
    assert target.stats.dropped == 2
    target.fail = None
    clock.advance(1)
    target.idle()
    assert target.arrived == [b"c", b"d", b"e"]


def test_a_batch_may_be_larger_than_the_buffer(clock: ManualClock) -> None:
    """While the target works, the buffer's size doesn't matter."""
    target = Target(clock=clock, buffer=15)
    emit(target, "a", "b", "c")
    assert target.arrived == [b"a", b"b", b"c"]
    assert target.stats.dropped == 0


def test_the_newest_payload_stays(clock: ManualClock) -> None:
    """However small the buffer is, the newest payload is kept."""
    target = Target(clock=clock, buffer=1)
    target.fail = REFUSED
    emit(target, "a", "b")
    assert target.waiting == 1


def test_an_outage_is_two_log_lines(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """One warning says what is away, why, and what is kept; one line tells the end and the loss."""
    caplog.set_level(logging.INFO, "appmetrics")
    target = Target(clock=clock, buffer=40)
    emit(target, "a")
    clock.advance(10)
    target.fail = REFUSED
    for name in "bcdef":
        emit(target, name)
        clock.advance(10)
    target.fail = None
    clock.advance(60)
    target.idle()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    away, back = caplog.messages
    when = time.strftime("%H:%M:%S", time.localtime(clock.time() - 110))
    assert away == f"tested (there:1) refused since {when}; keeping about 30 s in memory"
    assert back == "tested (there:1) is back after 110 s; 4 samples kept, 1 lost"


def test_a_target_that_comes_and_goes_is_tried_ever_more_rarely(
    target: Target, clock: ManualClock
) -> None:
    """Back-off is not reset by a target that takes one payload and fails again."""
    pauses = []
    for _ in range(8):
        target.fail = REFUSED
        emit(target, "a")
        pause = target.idle()
        assert pause is not None
        pauses.append(pause)
        clock.advance(pause)
        target.fail = None
        target.idle()
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_payload_that_cannot_be_sent_holds_up_nothing(target: Target) -> None:
    """An error that is not the network's drops that payload, and the next one goes."""
    send = target.send

    def picky(payload: bytes) -> None:
        if payload.strip() == b"a":
            raise ValueError("too odd")
        send(payload)

    target.send = picky  # type: ignore[method-assign]
    emit(target, "a", "b")
    assert target.arrived == [b"b"]
    assert (target.stats.sent, target.stats.dropped, target.stats.errors) == (1, 1, 1)


def test_what_the_target_refuses_is_dropped_for_good(
    target: Target, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused payload is counted and never sent again; one line tells of many."""
    target.fail = RefusedForGood("bad line 1")
    emit(target, "a", "b")
    assert (target.attempts, target.waiting) == (2, 0)
    assert (target.stats.dropped, target.stats.errors, target.stats.sent) == (2, 2, 0)
    target.fail = None
    emit(target, "c")
    assert target.arrived == [b"c"]
    (message,) = [m for m in caplog.messages if "bad line 1" in m]
    assert message == (
        "tested (there:1) refuses 1 sample for good: bad line 1 "
        "(more are only counted, for 10 min 0 s)"
    )
    clock.advance(601)
    target.fail = RefusedForGood("bad line 2")
    emit(target, "d")
    assert "bad line 2" in caplog.messages[-1]


def test_payloads_under_way_are_settled_one_by_one(target: Target, clock: ManualClock) -> None:
    """What a pipelining target has acknowledged is not sent again when it then dies."""
    outcomes: list[Exception | None] = [None, RefusedForGood("bad"), None, REFUSED]

    def pipelined(payloads: Sequence[bytes]) -> Iterator[RefusedForGood | None]:
        target.arrived += [payload.strip() for payload in payloads]
        for outcome in outcomes:
            if isinstance(outcome, OSError):
                raise outcome
            yield outcome  # type: ignore[misc]

    target.send_all = pipelined  # type: ignore[method-assign]
    emit(target, "a", "b", "c", "d", "e")
    assert (target.stats.sent, target.stats.dropped, target.waiting) == (2, 1, 2)
    target.arrived.clear()
    outcomes[:] = [None, None]
    clock.advance(1)
    target.idle()
    assert target.arrived == [b"d", b"e"]


def test_flush_tells_whether_the_target_has_it_all(running: Target) -> None:
    """During an outage flush() waits, and says no when its time is up."""
    running.put(batch([(Series("a"), 1)]))
    wait_for(lambda: running.stats.errors, "a first attempt")
    assert not running.flush(0.05)
    running.fail = None
    assert running.flush(PATIENCE)
    assert running.arrived == [b"a"]


def test_attempts_are_shorter_when_the_end_is_near(target: Target) -> None:
    """Once stop() has set a deadline, no attempt may take longer than what is left."""
    limits: list[float] = []
    target.timeout = 100.0
    target.send = lambda payload: limits.append(target.time_limit)  # type: ignore[method-assign]
    emit(target, "a")
    target.put(batch([(Series("b"), 1)]))
    target.stop(3)
    assert limits[0] == 100
    assert limits[1] <= 3


def test_past_the_deadline_there_is_no_further_attempt(target: Target) -> None:
    """A backlog that can't be sent in time is left, counted and told."""
    target.fail = REFUSED
    emit(target, "a", "b")
    target.fail = None
    target.deadline = 0.0
    target.close()
    assert target.arrived == []
    assert target.stats.dropped == 2


def test_a_batch_that_cannot_be_encoded_is_dropped_whole(target: Target) -> None:
    """No half of a batch stays in the buffer while all of it counts as dropped."""
    encode = target.encode

    def failing(samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        yield from encode(samples)
        raise ValueError("for the test")

    target.encode = failing  # type: ignore[method-assign]
    emit(target, "a", "b")
    assert target.waiting == 0
    assert target.stats.dropped == 2


def test_closing_tries_once_more(target: Target) -> None:
    """At the end there is a last attempt, however long the pause still was."""
    target.fail = REFUSED
    emit(target, "a")
    target.fail = None
    target.close()
    assert target.arrived == [b"a"]


def test_what_is_left_at_the_end_is_told(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    """Samples that are lost with the process are counted and logged."""
    target.fail = REFUSED
    emit(target, "a", "b")
    target.close()
    assert target.stats.dropped == 2
    assert target.waiting == 0
    assert "has not got all at the end: 0 samples kept on disk, 2 lost" in caplog.messages[-1]


def test_a_child_process_does_not_send_what_its_parent_keeps(target: Target) -> None:
    """After a fork the buffer is the parent's alone."""
    target.fail = REFUSED
    emit(target, "a")
    target.after_fork()
    target.fail = None
    emit(target, "b")
    assert target.arrived == [b"b"]


def test_the_worker_retries_by_itself(running: Target) -> None:
    """In a running handler what was kept goes out without another round."""
    running.put(batch([(Series("a"), 1)]))
    wait_for(lambda: running.stats.errors, "a first attempt")
    running.fail = None
    wait_for(lambda: running.arrived == [b"a"], "a second attempt")


def test_what_a_replaced_handler_keeps_goes_on_to_the_one_in_force() -> None:
    """Also if its successor has been replaced and has ended meanwhile."""
    first, second, third = Target(), Target(), Target()
    first.fail = REFUSED
    emit(first, "a")
    first.successor, second.successor = second, third
    second.stop()
    first._opened = True
    first.stop()
    emit(third, "b")
    assert third.arrived == [b"b", b"a"]
    assert [h.stats.dropped for h in (first, second, third)] == [0, 0, 0]
