"""What the hot path promises and no total can show: no call too many, none in the wrong place."""

from __future__ import annotations

import dis
import gc
import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest

from appmetrics import instruments, spans
from appmetrics.cells import LOCK_FREE
from appmetrics.instruments import Counter, Gauge, Histogram, State, Timer, Timing
from appmetrics.meter import Meter
from appmetrics.observing import Told
from appmetrics.testing import World


@pytest.fixture
def meter() -> Meter:
    """A meter of a world of its own."""
    return World().meter("shop")


# -- between the load of a cell and the store -------------------------------------

UPDATES = {
    Counter.inc: 2,
    Gauge.set: 2,
    Gauge.inc: 2,
    Gauge.dec: 2,
    State.set: 1,
    Histogram.observe: 2,
    Histogram._put: 2,
    Timing.__exit__: 2,
    instruments._add: 1,
}

#: What may switch threads, run other code, or go back.
SWITCHING = ("CALL", "SEND", "YIELD", "AWAIT", "JUMP_BACKWARD", "JUMP_ABSOLUTE", "IMPORT", "RESUME")


def windows(code: CodeType) -> Iterator[list[str]]:
    """For each store to an item, the operations since ``_cell`` was loaded last."""
    since: list[str] | None = None
    for step in dis.get_instructions(code):
        if step.opname.startswith("LOAD_ATTR") and step.argval == "_cell":
            since = []
        elif since is not None:
            if step.opname == "STORE_SUBSCR":
                yield list(since)
            since.append(step.opname)


@pytest.mark.parametrize("update", UPDATES, ids=lambda update: update.__qualname__)
def test_nothing_is_called_between_load_and_store(update: Callable[..., Any]) -> None:
    """The rule that makes an update without a lock safe; read from the byte code."""
    function: Any = inspect.unwrap(update)
    found = list(windows(function.__code__))
    assert len(found) == UPDATES[update]
    for between in found:
        assert [name for name in between if any(part in name for part in SWITCHING)] == []


def test_the_rule_is_seen_to_be_broken() -> None:
    """The reading of the byte code finds a call in between."""

    def wrong(self: Any, clock: Any) -> None:
        self._cell[0] += clock()

    (between,) = windows(wrong.__code__)
    assert any("CALL" in name for name in between)


def test_nobody_else_touches_a_cell() -> None:
    """Outside of the instruments no byte code of the hot path names a cell."""

    def names(code: CodeType) -> Iterator[str]:
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from names(constant)

    source = inspect.getsource(spans)
    assert not {"_cell", "_kept"} & set(names(compile(source, "spans", "exec")))


# -- how many calls -----------------------------------------------------------------

without_locks = pytest.mark.skipif(not LOCK_FREE, reason="updates take a lock, and a call for it")


def calls_of(function: Callable[[], object]) -> int:
    """How many Python functions a call of a Python function runs, itself included."""
    calls = 0

    def profile(frame: Any, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event == "call"

    gc.disable()  # its callbacks would be counted
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


def warm(timer: Timer) -> None:
    """Have all octaves, as the first value of one takes longer."""
    for exponent in range(-29, 10):
        timer.observe(2.0**exponent)


@without_locks
def test_an_update_is_one_call(meter: Meter) -> None:
    """The updates call no further Python function, however they are reached."""
    labelled = meter.counter("labelled", labels=("x",))
    child, counter, gauge = labelled.labels("y"), meter.counter("c"), meter.gauge("g")
    timer = meter.timer("t")
    warm(timer)
    assert calls_of(counter.inc) == calls_of(child.inc) == 1
    assert calls_of(gauge.inc) == calls_of(gauge.dec) == 1
    assert calls_of(lambda: counter.inc(2.5)) == 1 + 1
    assert calls_of(lambda: gauge.set(2.5)) == 1 + 1
    for value in (0.3, 2.0, 3):
        assert calls_of(lambda: timer.observe(value)) == 1 + 1  # noqa: B023
    assert calls_of(lambda: labelled.labels("y").inc()) == 1 + 2
    assert calls_of(lambda: labelled.labels(x="y").inc()) == 1 + 2


@without_locks
def test_an_update_that_is_off_is_one_call(meter: Meter) -> None:
    """A level that is off makes no update dearer."""
    assert calls_of(meter.counter("c", level="DEBUG").inc) == 1


@without_locks
def test_a_timed_block_is_three_calls(meter: Meter) -> None:
    """Making the span, entering, leaving: it records by itself."""
    timer = meter.timer("t")
    warm(timer)

    def block() -> None:
        with timer.time():
            pass

    assert calls_of(block) == 1 + 3
    assert timer.value.count == 39 + 1


@without_locks
def test_a_timed_call_is_two_calls_more(meter: Meter) -> None:
    """The wrapper and the observation; one more where it is off."""
    timer = meter.timer("t")
    warm(timer)
    assert calls_of(timer.time()(lambda: None)) == 1 + 2
    assert calls_of(meter.timed("off", level="DEBUG")(lambda: None)) == 1 + 1


@without_locks
def test_other_decorated_calls(meter: Meter) -> None:
    """The wrapper and the update; counting exceptions that don't come is the wrapper alone."""
    assert calls_of(meter.counted("calls")(lambda: None)) == 1 + 2
    assert calls_of(meter.count_exceptions("errors")(lambda: None)) == 1 + 1
    assert calls_of(meter.track("inside")(lambda: None)) == 1 + 3


# -- the same numbers ------------------------------------------------------------------


class Doubling(Timer):
    """A timer with an ``observe`` of its own."""

    __slots__ = ()

    def observe(self, value: float) -> None:
        """Twice."""
        super().observe(value)
        super().observe(value)


def test_a_timer_with_an_observe_of_its_own_is_asked(meter: Meter) -> None:
    """Also when it gets its class after spans and decorated functions were made."""
    timer = meter.timer("t")
    timed = timer.time()(lambda: None)
    with timer.time():
        timer.__class__ = Doubling
    timed()
    assert timer.value.count == 4
    timer.__class__ = Timer
    timed()
    assert timer.value.count == 5


def test_a_span_without_any_time_is_recorded(meter: Meter, monkeypatch: Any) -> None:
    """A clock that stands still costs no count."""
    timer = meter.timer("t")
    monkeypatch.setattr(spans, "perf_counter", lambda: 5.0)
    monkeypatch.setattr(instruments, "perf_counter", lambda: 5.0)
    with timer.time():
        pass
    assert timer.value.special[0] == 1
    assert timer.value.count == 1


def test_a_first_value_is_recorded_in_cells_that_hand_on_to_others(meter: Meter) -> None:
    """Observed cells make room in those that they stand for."""

    timer = meter.timer("t")
    seen: list[float] = []
    timer._cell = Told(timer._kept, [seen.append])
    for value in (0.3, 0.3, 5):
        timer.observe(value)
    with timer.time():
        pass
    assert timer.value.count == len(seen) == 4
    assert seen[:3] == [0.3, 0.3, 5]
