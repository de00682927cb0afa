"""The families of a Prometheus exposition: the lines of all series of one name.

There is one class for each shape of lines. What a family is called, and which
names clash, is for ``names`` and ``prometheus``.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

from ..buckets import HIGHEST, LOWEST, SUBS, upper_edge
from ..sample import COUNTER, STATES, Series
from .names import escape, label_text
from .values import LARGEST, encodable, number

#: Default bounds by unit, powers of two all: 1 ms to 64 s, 64 bytes to 1 GiB, ...
BOUNDS = {
    "seconds": tuple(2.0**power for power in range(-10, 7)),
    "bytes": tuple(2.0**power for power in range(6, 31, 2)),
    "ratio": tuple(2.0**power for power in range(-10, 1)),
}
#: ... and 1/64 to 1,048,576 for everything else.
OTHER_BOUNDS = tuple(2.0**power for power in range(-6, 21, 2))


def exact_bounds(numbers: Iterable[float]) -> tuple[float, ...]:
    """Each number moved to the nearest edge of a bucket (at most 2.2 % away), rising.

    Zero is an edge of its own; infinity is dropped, as it is always there.
    Raises ValueError for a negative number and for not-a-number.
    """
    edges = set()
    for bound in numbers:
        if not bound >= 0:
            raise ValueError(f"a bound must be a number that is not negative, not {bound!r}")
        if bound == 0:
            edges.add(0.0)
        elif bound < math.inf:
            index = round(math.log2(min(max(bound, LOWEST), HIGHEST)) * SUBS) - 1
            edges.add(upper_edge(index // SUBS + 1, index % SUBS))
    return tuple(sorted(edges))


class Family:
    """All series of one name, in order; a subclass for each shape of lines."""

    __slots__ = ("first", "header", "indexes", "labels", "name", "seen")

    def __init__(self, series: Series, name: str, header: str) -> None:
        self.first = series
        self.name = name
        self.header = header
        self.indexes = array("I")
        self.labels: list[str] = []
        #: The labels as a set, kept only from when changed labels could be taken.
        self.seen: set[str] | None = None

    def takes(self, series: Series, name: str) -> bool:
        """Whether the series belongs here: same instrument, same name."""
        first = self.first
        return (self.name, first.name, first.kind) == (name, series.name, series.kind)

    def add(self, index: int, series: Series) -> bool:
        """Take a series in; False if its labels are taken."""
        text, changed = label_text(series.labels, self.own_label)
        labels = self.wrap(text)
        if changed and self.seen is None:
            self.seen = set(self.labels)
        if self.seen is not None:
            if labels in self.seen:
                return False
            self.seen.add(labels)
        # In this order, as a scrape may be reading: an index has its labels.
        self.labels.append(labels)
        self.indexes.append(index)
        return True

    @property
    def own_label(self) -> str:
        """A label name that this family needs itself."""
        return ""

    def wrap(self, labels: str) -> str:
        """The label text as it is kept: as ``lines`` needs it."""
        return f"{labels}," if labels else ""

    def lines(self, readings: Iterable[tuple[str, Any]]) -> Iterator[str]:
        """The lines for (kept label text, reading) pairs; none where no reading is."""
        raise NotImplementedError


class Numbers(Family):
    """Counters and gauges."""

    __slots__ = ("head", "lowest")

    def __init__(self, series: Series, name: str, header: str) -> None:
        super().__init__(series, name, header)
        counter = series.kind == COUNTER
        self.head = f"{name}_total" if counter else name
        self.lowest = 0 if counter else -LARGEST

    def wrap(self, labels: str) -> str:
        return f"{{{labels}}} " if labels else " "

    def lines(self, readings: Iterable[tuple[str, Any]]) -> Iterator[str]:
        head, lowest, largest = self.head, self.lowest, LARGEST
        for labels, value in readings:
            if type(value) is not int and type(value) is not float:
                value = number(value)
                if value is None:
                    continue
            if lowest <= value <= largest:
                yield f"{head}{labels}{value}\n"


class Histograms(Family):
    """Histograms and timers."""

    __slots__ = ("bounds", "edges")

    def __init__(
        self, series: Series, name: str, header: str, bounds: tuple[float, ...] | None
    ) -> None:
        super().__init__(series, name, header)
        self.bounds = BOUNDS.get(series.unit, OTHER_BOUNDS) if bounds is None else bounds
        self.edges = [f'le="{bound!r}"}} ' for bound in self.bounds]

    def lines(self, readings: Iterable[tuple[str, Any]]) -> Iterator[str]:
        name = self.name
        bucket = f"{name}_bucket{{"
        for labels, value in readings:
            if value is None:
                continue
            for edge, seen in zip(self.edges, value.below(self.bounds), strict=True):
                yield f"{bucket}{labels}{edge}{seen}\n"
            yield f'{bucket}{labels}le="+Inf"}} {value.count}\n'
            total = number(value.sum)
            if total is not None:  # OpenMetrics: both or neither
                plain = f"{{{labels[:-1]}}} " if labels else " "
                yield f"{name}_count{plain}{value.count}\n"
                yield f"{name}_sum{plain}{total}\n"


class States(Family):
    """States."""

    __slots__ = ("states",)

    def __init__(self, series: Series, name: str, header: str) -> None:
        super().__init__(series, name, header)
        self.states = tuple(dict.fromkeys(map(encodable, series.states or STATES)))

    @property
    def own_label(self) -> str:
        return self.name

    def lines(self, readings: Iterable[tuple[str, Any]]) -> Iterator[str]:
        pieces = [(state, f'{self.name}="{escape(state)}"}} ') for state in self.states]
        for labels, value in readings:
            current = None if value is None else encodable(value.state)
            if current in self.states:
                for state, piece in pieces:
                    yield f"{self.name}{{{labels}{piece}{int(state == current)}\n"
