"""Statistics: the words for what is told of counters, timers and histograms.

Handlers and formatters share them, so that a word means the same at every target:
``count`` (this interval's), ``rate`` (of the count, per second) and ``total`` (all
since the start) of counters, timers and histograms; of the last two also ``sum``,
``mean``, ``min``, ``max`` and percentiles such as ``p50`` or ``p99.9``, of this
interval's values. An idle interval has count, rate and sum 0, and no mean, extremes
or percentiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from .buckets import Distribution
from .exposition.values import number
from .options import Converter, names
from .sample import Sample

COUNTER_STATISTICS = ("count", "rate", "total")
TIMER_STATISTICS = (*COUNTER_STATISTICS, "sum", "mean", "min", "max")

_PERCENTILE = re.compile(r"p([0-9]{1,2}(?:\.[0-9]+)?|100)", re.ASCII)


def _counter_statistics(value: object) -> tuple[str, ...]:
    words = names(value)
    if not words or not set(words) <= set(COUNTER_STATISTICS):
        raise ValueError
    return words


def _timer_statistics(value: object) -> tuple[str, ...]:
    words = names(value)
    if not words or not all(w in TIMER_STATISTICS or _PERCENTILE.fullmatch(w) for w in words):
        raise ValueError
    return words


#: Converts to words for counters.
counter_statistics = Converter(
    f"some of {', '.join(COUNTER_STATISTICS)}", _counter_statistics, COUNTER_STATISTICS
)
#: Converts to words for timers and histograms.
timer_statistics = Converter(
    f"some of {', '.join(TIMER_STATISTICS)}, and percentiles such as p95",
    _timer_statistics,
    TIMER_STATISTICS,
)


def key(word: str) -> str:
    """A statistic as part of a name, where a dot would separate: ``p99_9``."""
    return word.replace(".", "_")


@lru_cache(maxsize=256)
def _percents(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The words that are percentiles, extremes included, and their percents, rising."""
    found = {"min": 0.0, "max": 100.0}
    found |= {word: float(match[1]) for word in words if (match := _PERCENTILE.fullmatch(word))}
    rising = sorted((percent, word) for word, percent in found.items() if word in words)
    return tuple(word for _, word in rising), tuple(percent for percent, _ in rising)


def statistics(sample: Sample, words: Sequence[str]) -> Iterator[tuple[str, float]]:
    """(word, value) of a counter, timer or histogram; leaves out what has no finite value."""
    change, total = sample.delta, sample.value
    percentiles: dict[str, float] = {}
    if isinstance(change, Distribution) and change.count:
        named, percents = _percents(tuple(words))
        # All in one walk over the buckets.
        percentiles = dict(zip(named, change.percentiles(percents)))
    for word in words:
        value: Any = None
        if word == "rate":
            value = None if change is None else sample.rate
        elif word == "total":
            value = getattr(total, "count", total)
        elif word == "count":
            value = getattr(change, "count", change)
        elif word in percentiles:
            value = percentiles[word]
        elif isinstance(change, Distribution) and (word == "sum" or change.count):
            value = change.sum if word == "sum" else change.mean
        finite = number(value)
        if finite is not None:
            yield word, finite
