"""Prometheus text 0.0.4 and OpenMetrics 1.0.

`Exposition` is told of each series once, renders then what never changes, and
afterwards turns readings into text with one plain loop: families and series in
the order in which they were added, nothing is sorted. Kept per series is its
label text, an index and a reference, no object of its own. ``names`` says how
names are derived.

Counters and gauges are one line. Histograms and timers are Prometheus histograms
whose ``le`` bounds are exact edges of our buckets, so that every count is exact.
A state is a stateset in OpenMetrics and a gauge of 0 and 1 per declared state in
0.0.4, with the same names. Events are not exposed. What has no reading is left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from ..buckets import EMPTY, Distribution
from ..sample import COUNTER, EVENT, GAUGE, HISTOGRAM, STATE, STATES, TIMER, Series, StateValue
from .families import Family, Histograms, Numbers, States, exact_bounds
from .names import family_name, help_text, unit_name

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

#: A chunk of text has about this many lines.
CHUNK_LINES = 500

# Every name that a family may need, in either format: a series must not come and
# go with the format that a scraper happens to negotiate. The rule is OpenMetrics',
# which forbids names that could clash, ``_created`` included.
_CLAIMS = {
    COUNTER: ("", "_total", "_created"),
    GAUGE: ("",),
    HISTOGRAM: ("", "_bucket", "_count", "_sum", "_created"),
    TIMER: ("", "_bucket", "_count", "_sum", "_created"),
    STATE: ("",),
}
_TYPES = {COUNTER: "counter", GAUGE: "gauge", HISTOGRAM: "histogram", TIMER: "histogram"}


class Exposition:
    """Many series as one document, again and again.

    ``bounds`` are the ``le`` bounds of all histograms, moved to exact edges (see
    ``families.exact_bounds``); None for ``families.BOUNDS`` by unit. ``left_out`` lists each series
    that can't be exposed, with the reason. ``add`` must not run in two threads
    at once; ``render`` may run meanwhile.
    """

    def __init__(self, *, openmetrics: bool = False, bounds: Iterable[float] | None = None) -> None:
        self.openmetrics = openmetrics
        self.content_type = OPENMETRICS if openmetrics else TEXT
        self.left_out: list[tuple[Series, str]] = []
        self._bounds = None if bounds is None else exact_bounds(bounds)
        self._series: list[Series] = []
        self._families: list[Family] = []
        self._owners: dict[str, Family] = {}
        #: The families found, by what their names are made of.
        self._found: dict[tuple[str, str, str], Family] = {}

    def add(self, series: Series) -> None:
        """Make a series known: the n-th one added is the n-th value of ``render``."""
        index = len(self._series)
        self._series.append(series)
        if series.kind == EVENT:
            return
        key = (series.name, series.kind, series.unit)
        family = self._found.get(key)
        if family is None:
            family = self._claim(series)
            if family is None:
                return
            self._found[key] = family
        if not family.add(index, series):
            self._leave_out(series, f"these labels of {family.name}", family.first)

    def _claim(self, series: Series) -> Family | None:
        """The family of a series, made if all its names are free; None if they aren't."""
        name = family_name(series)
        family = self._owners.get(name)
        if family is not None and family.takes(series, name):
            return family
        claims = [name + suffix for suffix in _CLAIMS[series.kind]]
        taken = next((claim for claim in claims if claim in self._owners), None)
        if taken is not None:
            self._leave_out(series, f"the name {taken}", self._owners[taken].first)
            return None
        family = self._family(series, name)
        self._owners.update(dict.fromkeys(claims, family))
        self._families.append(family)
        return family

    def skip(self, series: Series, why: str) -> None:
        """Make a series known as `add` does, but leave it out."""
        self._series.append(series)
        self.left_out.append((series, why))

    def _leave_out(self, series: Series, what: str, owner: Series) -> None:
        reason = (
            f"{series.kind} {series.name}: {what} already belongs to "
            f"{owner.kind} {owner.name}, which was registered first"
        )
        self.left_out.append((series, reason))

    def _family(self, series: Series, name: str) -> Family:
        header = self._header(series, name)
        if series.kind in (COUNTER, GAUGE):
            return Numbers(series, name, header)
        if series.kind == STATE:
            return States(series, name, header)
        return Histograms(series, name, header, self._bounds)

    def _header(self, series: Series, name: str) -> str:
        text = help_text(series, quotes=self.openmetrics)
        if self.openmetrics:
            lines = f"# TYPE {name} {_TYPES.get(series.kind, 'stateset')}\n"
            unit = unit_name(series)
            if unit and name.endswith(f"_{unit}"):
                lines += f"# UNIT {name} {unit}\n"
            return f"{lines}# HELP {name} {text}\n"
        if series.kind == COUNTER:
            name += "_total"
        return f"# HELP {name} {text}\n# TYPE {name} {_TYPES.get(series.kind, 'gauge')}\n"

    def render(
        self, values: Sequence[Any], wanted: Callable[[Series], bool] | None = None
    ) -> Iterator[str]:
        """The document in chunks of about `CHUNK_LINES` lines.

        ``values[n]`` is the reading of the n-th series added; series added after
        the readings were taken are not in. ``wanted`` picks series.
        """
        lines: list[str] = []
        for family in self._families:
            header = family.header
            for line in family.lines(self._readings(family, values, wanted)):
                if header:
                    lines.append(header)
                    header = ""
                lines.append(line)
                if len(lines) >= CHUNK_LINES:
                    yield "".join(lines)
                    lines.clear()
        if self.openmetrics:
            lines.append("# EOF\n")
        if lines:
            yield "".join(lines)

    def _readings(
        self,
        family: Family,
        values: Sequence[Any],
        wanted: Callable[[Series], bool] | None,
    ) -> Iterable[tuple[str, Any]]:
        """(labels, value) of a family's series."""
        # Cut by the labels: series that are added while this runs have no value.
        known = islice(family.labels, bisect_left(family.indexes, len(values)))
        if wanted is None:
            return zip(known, map(values.__getitem__, family.indexes), strict=False)
        return (
            (labels, values[index])
            for labels, index in zip(known, family.indexes, strict=False)
            if wanted(self._series[index])
        )


def expose(
    pairs: Iterable[tuple[Series, Any]],
    *,
    openmetrics: bool = False,
    bounds: Iterable[float] | None = None,
) -> str:
    """The document of some series and their readings in one piece."""
    exposition = Exposition(openmetrics=openmetrics, bounds=bounds)
    values = []
    for series, value in pairs:
        exposition.add(series)
        values.append(value)
    return "".join(exposition.render(values))


def describe(series: Series, *, bounds: Iterable[float] | None = None) -> list[str]:
    """The lines that a series becomes, without their values; none for an event."""
    value: int | StateValue | Distribution = 0
    if series.kind == STATE:
        state = (series.states or STATES)[0]
        value = StateValue(state, "", 0, state, None)
    elif series.kind in (HISTOGRAM, TIMER):
        value = EMPTY
    lines = expose([(series, value)], bounds=bounds).split("\n")
    return [line.rpartition(" ")[0] for line in lines if line and line[0] != "#"]
