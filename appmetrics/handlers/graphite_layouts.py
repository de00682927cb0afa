"""Layouts: which statistics go to carbon, what they are called, and how they roll up.

`Plain` is appmetrics' own, `Statsd` that of statsd's graphite backend (without its
legacy namespace), for people whose dashboards have its names. Paths are made in
``graphite_names``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from ..buckets import Distribution
from ..exposition.values import number
from ..sample import COUNTER, GAUGE, STATE, VALUES, Sample, Series
from ..statistics import key, statistics

#: How carbon condenses several points into one, by the statistic's key; else averages.
ROLL_UP = {
    "count": "sum",
    "sum": "sum",
    "total": "last",
    "min": "min",
    "max": "max",
    "lower": "min",
    "upper": "max",
    "sum_squares": "sum",
}


def roll_up(key: str) -> str:
    """Carbon's aggregation method for a statistic: sum, last, min, max or average."""
    head, _, tail = key.rpartition("_")
    return ROLL_UP.get(head if tail.isdigit() and head in ROLL_UP else key, "average")


class Plain:
    """The words that are configured, as everywhere in appmetrics."""

    def __init__(self, statistics: Sequence[str], counter_statistics: Sequence[str]) -> None:
        self.words = tuple(statistics)
        self.counter_words = tuple(counter_statistics)
        self._keys = tuple(map(key, self.words))
        self._counter_keys = tuple(map(key, self.counter_words))

    def keys(self, series: Series) -> tuple[str, ...]:
        """The statistics of a series as they stand in its paths; empty: it has one path."""
        if series.kind in (GAUGE, STATE):
            return ()
        return self._counter_keys if series.kind == COUNTER else self._keys

    def values(self, sample: Sample) -> Iterable[tuple[str, float]]:
        """(key, value) for each statistic that has a finite value."""
        words = self.counter_words if sample.series.kind == COUNTER else self.words
        return ((key(word), value) for word, value in statistics(sample, words))


class Statsd:
    """``stats.counters.X.count``, ``stats.timers.X.upper_90``, ``stats.gauges.X``,
    and ``stats.sets.X.count`` of gauges whose unit is ``values``.

    Seconds become milliseconds. Of timers and histograms, counts, sums and means are
    exact; the others are as near as the buckets tell, within 2.2 %.
    """

    COUNTER = ("count", "rate")
    SET = ("count",)
    IDLE = ("count", "count_ps")
    TIMER = (
        *("count", "count_ps", "sum", "sum_squares", "mean", "median", "upper", "lower", "std"),
        *("count_90", "mean_90", "upper_90", "sum_90", "sum_squares_90"),
    )

    def keys(self, series: Series) -> tuple[str, ...]:
        """As `Plain.keys`."""
        if series.kind in (GAUGE, STATE):
            return self.SET if self._is_set(series) else ()
        return self.COUNTER if series.kind == COUNTER else self.TIMER

    def group(self, series: Series) -> str:
        """Components in front of the path."""
        kinds = {COUNTER: "counters", GAUGE: "gauges", STATE: "gauges"}
        return f"stats.{'sets' if self._is_set(series) else kinds.get(series.kind, 'timers')}"

    @staticmethod
    def _is_set(series: Series) -> bool:
        return series.kind == GAUGE and series.unit == VALUES

    def values(self, sample: Sample) -> Iterator[tuple[str, float]]:
        """As `Plain.values`."""
        if sample.series.kind == COUNTER:
            found = dict(statistics(sample, self.COUNTER))
        else:
            factor = 1000.0 if sample.series.unit == "seconds" else 1.0
            found = _of_timer(sample.delta, sample.rate, factor)
        for name, value in found.items():
            finite = number(value)
            if finite is not None:
                yield name, finite


def _of_timer(change: Distribution | None, rate: float, factor: float) -> dict[str, float]:
    """What statsd's process_metrics.js tells of an interval's timings."""
    count = change.count if change else 0
    found: dict[str, float] = {"count": count, "count_ps": rate}
    if not change or not count:
        return found
    middles = _smallest(change, (count + 1) // 2)[2], _smallest(change, count // 2 + 1)[2]
    total, mean = change.sum * factor, change.mean * factor
    _, squares, _ = _smallest(change, count)
    squares *= factor * factor
    found |= {
        "sum": total,
        "sum_squares": squares,
        "mean": mean,
        "median": sum(middles) / 2 * factor,
        "upper": change.max * factor,
        "lower": change.min * factor,
        "std": math.sqrt(max(0.0, squares / count - mean * mean)),
    }
    # JavaScript's Math.round, as statsd has it.
    inside = count if count == 1 else math.floor(0.9 * count + 0.5)
    part, squares, last = _smallest(change, inside)
    # All of them: the exact sum is known.
    part = total if inside == count else part * factor
    found |= {
        "count_90": inside,
        "mean_90": part / inside,
        "upper_90": (change.max if inside == count else last) * factor,
        "sum_90": part,
        "sum_squares_90": squares * factor * factor,
    }
    return found


def _smallest(change: Distribution, many: int) -> tuple[float, float, float]:
    """Sum, sum of squares and last of the smallest values, as near as the buckets tell."""
    total = squares = last = 0.0
    for _, middle, inside in change.buckets():
        taken = min(inside, many)
        many -= taken
        total += taken * middle
        squares += taken * middle * middle
        last = middle
        if not many:
            break
    return total, squares, last
