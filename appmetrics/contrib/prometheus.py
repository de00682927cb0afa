"""prometheus_client's registry as a source for our handlers, and ours as its collector.

`install` is the collector ``prometheus``: what an application counts with
prometheus_client comes out through every handler. `Collector` is the reverse: what it
counts here is exposed by prometheus_client. Both may be used at once; neither shows
what it got from the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector as _Collector

from ..collectors.gauges import silence
from ..exposition.prometheus import expose
from ..exposition.values import number
from ..handlers.base import Handler
from ..hierarchy import Hierarchy
from ..instrument import MAX_CHILDREN
from ..rejection import log
from ..reporter import Reporter, reporter
from ..sample import COUNTER, GAUGE, Sample, Series, sorted_labels

#: Series that are taken from a registry; one that has more is read so far.
MAX_SERIES = 100 * MAX_CHILDREN

#: The suffixes of samples that only grow, by the type of their metric.
_COUNTING = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
}

_reading = threading.local()


def install(hierarchy: Hierarchy, registry: CollectorRegistry = REGISTRY) -> Callable[[], None]:
    """Read a registry of prometheus_client in every round, from now on; returns what ends that.

    Each of its samples is a series of the same name with the same labels: counters, and
    what of histograms and summaries only grows, are counters; all else is a gauge.
    """
    source = Source(hierarchy, registry)
    gauge = hierarchy.get_meter("prometheus").gauge(
        "series", "Series read from prometheus_client", callback=source.refresh
    )

    def remove() -> None:
        silence([gauge])
        source.forget()

    return remove


class Stat:
    """One sample of prometheus_client as a point that our handlers read."""

    __slots__ = ("series", "value")

    def __init__(self, series: Series) -> None:
        self.series = series
        self.value: Any = None

    def read(self) -> Any:
        """The number it had in this round; None if it has gone."""
        return self.value


class Source:
    """The samples of a registry of prometheus_client as points of a hierarchy."""

    def __init__(self, hierarchy: Hierarchy, registry: CollectorRegistry) -> None:
        self._hierarchy = hierarchy
        self._registry = registry
        self._stats: dict[tuple[str, frozenset[tuple[str, str]]], Stat] = {}
        self._full = False

    def refresh(self) -> int:
        """Read all samples; returns how many there are. On the callbacks' thread."""
        _reading.on = True
        try:
            found = {}
            for metric in self._registry.collect():
                for sample in metric.samples:
                    stat = self._stat(metric, sample)
                    value = number(sample.value)
                    if stat is not None and value is not None:
                        found[id(stat)] = value
        finally:
            _reading.on = False
        for stat in self._stats.values():
            stat.value = found.get(id(stat))
        return len(found)

    def forget(self) -> None:
        """There are no readings any more."""
        for stat in self._stats.values():
            stat.value = None

    def _stat(self, metric: Any, sample: Any) -> Stat | None:
        key = (sample.name, frozenset(sample.labels.items()))
        stat = self._stats.get(key)
        if stat is not None:
            return stat
        if sample.name.endswith("_created") or sample.name in self._hierarchy.registry.instruments:
            return None
        if len(self._stats) >= MAX_SERIES:
            if not self._full:
                self._full = True
                log.warning(
                    "prometheus_client has more than %d series; not all are read", MAX_SERIES
                )
            return None
        stat = self._stats[key] = Stat(_series(metric, sample))
        self._hierarchy.registry.points.append(stat)
        return stat


def _series(metric: Any, sample: Any) -> Series:
    counts = sample.name.endswith(_COUNTING.get(metric.type, ()) or "\0")
    return Series(
        sample.name,
        sorted_labels(sample.labels),
        COUNTER if counts else GAUGE,
        metric.unit if sample.name.endswith((metric.name, "_sum", "_total")) else "",
        help=metric.documentation,
    )


class _Reader(Handler):
    """Stands for the collector where series are chosen: it gets all."""

    pull = True
    everywhere = True

    def emit(self, samples: Sequence[Sample]) -> int:
        return 0


class Collector(_Collector):
    """All our series as a collector of prometheus_client::

        from prometheus_client import REGISTRY
        REGISTRY.register(Collector())

    The names are those of our own page. ``bounds`` are the ``le`` bounds of
    histograms, None for a selection by unit.
    """

    def __init__(
        self, *, bounds: Iterable[float] | None = None, reporter: Reporter = reporter
    ) -> None:
        self._bounds = None if bounds is None else tuple(bounds)
        self._reporter = reporter
        self._reader = _Reader(name="prometheus-client")

    def describe(self) -> list[Any]:
        """Nothing: to register reads nothing, and what is declared later is exposed, too."""
        return []

    def collect(self) -> Iterator[Any]:
        """The families of all series now, without those that came from prometheus_client."""
        if getattr(_reading, "on", False):
            return
        selection = self._reporter.pull(self._reader)
        values = selection.values()
        points = selection.points
        pairs = [
            (selection.series[place], value)
            for place, value in enumerate(values)
            if value is not None and not isinstance(points[selection.indexes(place)[0]], Stat)
        ]
        yield from text_string_to_metric_families(expose(pairs, bounds=self._bounds))
