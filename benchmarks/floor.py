"""What else was tried for the hot path, and not kept: ``python -m benchmarks floor``.

The decision about it is in ``docs/decisions``. Each variant does what ours does
only in part, or not under threads; here is what it would save.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

import appmetrics
from appmetrics.instruments import Timing
from appmetrics.spans import decorate

from . import ours
from .harness import Figure, Statement, fastest, listing


class Kept:
    """Spans that are taken from a list, and put back at the end of their block."""

    def __init__(self, timer: Any) -> None:
        self.timer, self.free = timer, [timer.time()]

    def time(self) -> Any:
        """A used span, or a new one."""
        try:
            return self.free.pop()
        except IndexError:
            return self.timer.time()


class Returning(Timing):
    """A span that goes back to such a list."""

    __slots__ = ()
    free: list[Any] = []  # noqa: RUF012

    def __exit__(self, kind: Any, error: object, traceback: object) -> None:
        super().__exit__(kind, error, traceback)
        self.free.append(self)


def kept(timer: Any) -> Kept:
    """A free list of spans."""
    source, span = Kept(timer), Returning()
    span._instrument, span._labels, span._start = timer, None, None
    source.free = Returning.free = [span]
    return source


def packed(timer: Any) -> Callable[..., Any]:
    """The decorator as usual: arguments are packed and unpacked."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        try:
            return ours.nothing(*args, **kwargs)
        finally:
            timer.observe(perf_counter() - start)

    return call


def watched(timer: Any) -> Callable[[], None] | None:
    """A function timed by ``sys.monitoring``, without a wrapper; needs Python 3.12."""
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is None:
        return None
    local = threading.local()
    local.starts = []

    def work() -> None:
        pass

    def begin(code: Any, offset: int) -> None:
        local.starts.append(perf_counter())

    def end(code: Any, offset: int, value: object) -> None:
        timer.observe(perf_counter() - local.starts.pop())

    monitoring.use_tool_id(4, "appmetrics")
    events = monitoring.events
    monitoring.register_callback(4, events.PY_START, begin)
    monitoring.register_callback(4, events.PY_RETURN, end)
    monitoring.set_local_events(4, work.__code__, events.PY_START | events.PY_RETURN)
    return work


def figures() -> list[Figure]:
    """Prints and returns the times of what we have and of what was tried."""
    meter = appmetrics.get_meter("floor")
    counter, timer = meter.counter("counter"), meter.timer("timer")
    statements = {
        "counter.inc()": Statement("counter.inc()", {"counter": counter}),
        "... a bound method kept in C (itertools.count)": Statement(
            "inc()", {"inc": itertools.count().__next__}
        ),
        "... a bound method of ours, kept": Statement("inc()", {"inc": counter.inc}),
        "with timer.time()": Statement("with timer.time(): pass", {"timer": timer}),
        "... from a free list of spans": Statement(
            "with timer.time(): pass", {"timer": kept(timer)}
        ),
        "@timed": Statement("work()", {"work": decorate(ours.nothing, timer.time())}),
        "... with *args and **kwargs": Statement("work()", {"work": packed(timer)}),
        "a bare call": Statement("work()", {"work": ours.nothing}),
    }  # fmt: skip
    work = watched(timer)
    if work is not None:
        statements["... by sys.monitoring"] = Statement("work()", {"work": work})
    result = [Figure(name, t * 1e9, "ns") for name, t in fastest(statements).items()]
    print(listing(result))
    return result
