"""`Ways`: what becomes of series on their way to a handler, by level, labels and filters.

Which handlers there are, and who gets what, is the hierarchy's.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from .handlers.base import Filter, Handler
from .instrument import shown
from .meter import Meter
from .sample import COUNTER, GAUGE, HISTOGRAM, TIMER, Labels, Series, sorted_labels

log = logging.getLogger("appmetrics")

#: Is told of a step (``labels``, ``filter``), who did it, and the series as it left it.
Trace = Callable[[str, Any, "Series | None"], None]

#: Kinds whose values are alike.
_SHAPES = {COUNTER: "number", GAUGE: "number", TIMER: "distribution", HISTOGRAM: "distribution"}


class Way(NamedTuple):
    """What becomes of a meter's series on their way to one handler: those below the level
    end there, the common labels are added, the filters are asked in this order."""

    level: int
    labels: Labels
    filters: tuple[Filter, ...]


def untraced(what: str, by: object, series: Series | None) -> None:
    """Takes no notice."""


class Ways:
    """Leads series along, and knows which filters failed meanwhile."""

    def __init__(self) -> None:
        self._broken: set[int] = set()
        self._complaints: deque[tuple[Filter, Series, Exception]] = deque()

    def of(self, meter: Meter, handler: Handler) -> Way:
        """By the routing of now."""
        return Way(
            max(meter.effective_level, handler.level),
            sorted_labels(meter.effective_labels),
            (*meter.effective_filters, *handler.filters),
        )

    def follow(
        self,
        series: Series,
        way: Way,
        meter: Meter,
        trace: Trace = untraced,
    ) -> Series | None:
        """A series as it arrives; None if a filter leaves it out."""
        if way.labels:
            series = series.with_pairs(way.labels)
            trace("labels", meter, series)
        for filter in way.filters:
            result = self._apply(filter, series)
            trace("filter", filter, result)
            if result is None:
                return None
            series = result
        return series

    def _apply(self, filter: Filter, series: Series) -> Series | None:
        try:
            result = filter(series)
            if result is not None and result is not series:
                _check(series, result)
            return result
        except Exception as error:
            # Left out: a filter may be there to keep something from leaving.
            if id(filter) not in self._broken:
                self._broken.add(id(filter))
                self._complaints.append((filter, series, error))
            return None

    def complain(self) -> None:
        """Log what went wrong with filters; not while holding the lock.

        A logging handler of the application may be waiting for the lock, in order to
        declare a counter, and hold the one that logging needs.
        """
        while self._complaints:
            filter, series, error = self._complaints.popleft()
            log.error(
                "filter %r failed on %s, which is left out",
                filter,
                series.name,
                exc_info=error,
            )


def _check(series: Series, result: Series) -> None:
    """Raise TypeError for what no handler could take, and one series would stop a round."""
    if not isinstance(result, Series):
        raise TypeError(f"a filter returns a Series or None, not {shown(result)}")
    hash(result)  # it becomes a key
    if not all(isinstance(text, str) for text in (result.name, *sum(result.labels, ()))):
        raise TypeError("the name and the labels of a series are text")
    if _SHAPES.get(result.kind, result.kind) != _SHAPES.get(series.kind, series.kind):
        raise TypeError(f"a {series.kind} can't become a {result.kind}")
