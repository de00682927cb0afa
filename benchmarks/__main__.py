"""Run all operations interleaved and print the ratios: ``python -m benchmarks [ROUNDS]``.

Times on a shared machine move by a factor of two from minute to minute; ratios
between operations that take turns in one run hardly do. Each operation's time
is the least of all rounds, the loop around it included. ``A`` is an empty method
call, ``P`` prometheus_client's equivalent.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import prometheus_client as peer

import appmetrics

STEPS = 5_000


class Case(NamedTuple):
    """One operation, ours, and the peer's if it has one."""

    name: str
    ours: Callable[[], object]
    theirs: Callable[[], object] | None = None


class _Empty:
    def method(self) -> None:
        pass


def _plain() -> None:
    pass


def cases() -> list[Case]:
    """The operations of the hot path."""
    meter = appmetrics.get_meter("benchmark")
    counter = meter.counter("counter")
    labelled = meter.counter("labelled", labels=("a", "b"))
    gauge = meter.gauge("gauge")
    histogram = meter.histogram("histogram")
    timer = meter.timer("timer")
    off = meter.counter("off", level="DEBUG")
    their_counter = peer.Counter("counter", "-")
    their_labelled = peer.Counter("labelled", "-", ["a", "b"])
    their_gauge = peer.Gauge("gauge", "-")
    their_histogram = peer.Histogram("histogram", "-")
    their_timer = peer.Histogram("timer", "-")

    def with_timer() -> None:
        with timer.time():
            pass

    def with_their_timer() -> None:
        with their_timer.time():
            pass

    return [
        Case("counter.inc()", counter.inc, their_counter.inc),
        Case(
            "bound child.inc()", labelled.labels("x", "y").inc, their_labelled.labels("x", "y").inc
        ),
        Case(
            "labels(a, b).inc()",
            lambda: labelled.labels("x", "y").inc(),
            lambda: their_labelled.labels("x", "y").inc(),
        ),
        Case("gauge.set(v)", lambda: gauge.set(1.5), lambda: their_gauge.set(1.5)),
        Case(
            "histogram.observe(v)",
            lambda: histogram.observe(0.3),
            lambda: their_histogram.observe(0.3),
        ),
        Case("with timer.time()", with_timer, with_their_timer),
        Case("@timed, the whole call", meter.timed("timed")(_plain), their_timer.time()(_plain)),
        Case("level off: inc()", off.inc),
        Case("level off: @timed", meter.timed("timed_off", level="DEBUG")(_plain)),
        Case("a bare call", _plain),
    ]


def measure(call: Callable[[], object]) -> float:
    """Seconds for one call, the loop included."""
    steps = range(STEPS)
    start = time.perf_counter()
    for _ in steps:
        call()
    return (time.perf_counter() - start) / STEPS


def main(rounds: int = 60) -> None:
    """Measure everything in turns and print a table."""
    logging.disable()
    empty = _Empty().method
    calls: dict[tuple[str, str], Callable[[], object]] = {("A", "ours"): empty}
    for case in cases():
        calls[case.name, "ours"] = case.ours
        if case.theirs:
            calls[case.name, "theirs"] = case.theirs
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for key, call in calls.items():
            best[key] = min(best[key], measure(call))
    base = best.pop(("A", "ours"))
    print(f"{'':26}{'ns':>8}{'x A':>8}{'P / ours':>10}")
    print(f"{'A: empty method call':26}{base * 1e9:8.0f}{1:8.1f}")
    for (name, whose), seconds in best.items():
        if whose == "ours":
            ratio = best.get((name, "theirs"), 0.0) / seconds
            shown = f"{ratio:10.1f}" if ratio else ""
            print(f"{name:26}{seconds * 1e9:8.0f}{seconds / base:8.1f}{shown}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
