"""Where the time of an update goes: ladders of classes, each of which does one thing more.

The last rung of each ladder is ours. What a rung takes longer than the one before is
the price of what it adds.
"""

from __future__ import annotations

from math import ceil, log2
from time import perf_counter
from typing import Any

from appmetrics.instrument import Declaration
from appmetrics.instruments import Counter, Histogram, Timer
from appmetrics.octaves import BUCKETS, TOTAL

from .harness import Figure, Statement, fastest, table


class Block:
    """Nothing but Python's ``with``."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        pass


class Asked(Block):
    """The block is asked for by a call."""

    def time(self) -> Any:
        """Itself."""
        return self


class Made(Asked):
    """Each call makes an object, with what a span has."""

    __slots__ = ("_instrument", "_labels", "_start")
    _instrument: Any
    _labels: Any
    _start: Any

    def time(self) -> Any:
        """A new one."""
        span = Made()
        span._instrument = self
        span._labels = span._start = None
        return span


class Clocked(Made):
    """And reads the clock when entered and left."""

    __slots__ = ()

    def time(self) -> Any:
        """A new one."""
        span = Clocked()
        span._instrument = self
        span._labels = span._start = None
        return span

    def __enter__(self) -> Any:
        self._start = perf_counter()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        perf_counter() - self._start


class Adding:
    """A histogram's ``observe`` that only adds, always in the same place."""

    __slots__ = ("_cell",)
    _cell: Any

    def observe(self, value: float) -> None:
        """Add."""
        cells = self._cell
        cells[30][3] += 1
        cells[TOTAL][0] += value


class Finding(Adding):
    """And finds the bucket."""

    __slots__ = ()

    def observe(self, value: float) -> None:
        """Add where it belongs."""
        _edge, place, sub = BUCKETS[ceil(log2(value) * 16.0 + 17183.999999999)]
        cells = self._cell
        cells[place][sub] += 1
        cells[TOTAL][0] += value


class Plain:
    """A number as an attribute."""

    __slots__ = ("_number",)
    _number: int

    def inc(self) -> None:
        """Add one."""
        self._number += 1


class Celled:
    """A number in a cell."""

    __slots__ = ("_cell",)
    _cell: Any

    def inc(self) -> None:
        """Add one."""
        self._cell[0] += 1


def ladders() -> dict[str, dict[str, Statement]]:
    """Of each update its rungs, by what they add."""
    timer, histogram = Timer(Declaration("timer")), Histogram(Declaration("histogram"))
    for instrument in (timer, histogram):
        for power in range(-29, 5):
            instrument.observe(2.0**power)
    adding, finding, plain, celled = Adding(), Finding(), Plain(), Celled()
    adding._cell = finding._cell = histogram._cell
    plain._number, celled._cell = 0, [0]

    def block(target: Any, code: str = "with timer.time(): pass") -> Statement:
        return Statement(code, {"timer": target})

    def observing(target: Any) -> Statement:
        return Statement("histogram.observe(0.3)", {"histogram": target})

    def counting(target: Any) -> Statement:
        return Statement("counter.inc()", {"counter": target})

    return {
        "with timer.time(): pass": {
            "Python's with": block(Block(), "with timer: pass"),
            "a call": block(Asked()),
            "making the span": block(Made()),
            "the clock, twice": block(Clocked()),
            "the bucket, adding, entering it twice": block(timer),
        },
        "histogram.observe(0.3)": {
            "a call that adds to a bucket and to the sum": observing(adding),
            "finding the bucket": observing(finding),
            "a look at what is given": observing(histogram),
        },
        "counter.inc()": {
            "a call that adds to an attribute": counting(plain),
            "a cell, which can be shared and switched off": counting(celled),
            "an amount, if there is one": counting(Counter(Declaration("counter"))),
        },
    }


def figures() -> list[Figure]:
    """Prints and returns the price of each rung, in ns."""
    found = ladders()
    times = fastest({(name, part): s for name, rungs in found.items() for part, s in rungs.items()})
    result = []
    for name, rungs in found.items():
        before, rows = 0.0, []
        for part in rungs:
            taken = times[name, part] * 1e9
            result.append(Figure(f"{name}: {part}", taken - before, "ns"))
            rows.append((part, f"{taken - before:.0f}", f"{taken:.0f}"))
            before = taken
        print(table((name, "ns", "so far"), rows), end="\n\n")
    return result
