"""`explain`: the way of a series from its instrument to the handlers, step by step.

Only reads, and what it says is an `Explanation`. What one handler does with a
series is said by ``delivery``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from .. import levels
from ..buckets import Distribution
from ..display import ago, count, duration, printable, quantity, quoted, title
from ..instrument import Instrument
from ..instruments import Gauge
from ..meter import Meter
from ..reporter import Reporter, Route
from ..sample import COUNTER, HISTOGRAM, STATE, TIMER, Series, StateValue
from ..selection import Point
from .answer import INFO, OK, PROBLEM, Explanation, Step
from .delivery import Delivery, filter_name, named, some
from .subject import Entries, Subject, hypothetical, nearest_names

#: Of an instrument's series so many are looked at; twice the usual limit of children.
MOST = 2000
#: Seconds after which a round that was due counts as missing.
LATE = 5.0


class Configuration(Protocol):
    """What is asked of the configuration that was loaded (``config.loaded()``)."""

    source: str
    time: float

    @property
    def refused(self) -> Exception | None:
        """Why a newer content of the file was not taken."""

    def changed(self) -> bool:
        """Whether the file now holds something else."""


def explain(
    reporter: Reporter,
    name: str,
    labels: Mapping[str, str] | None = None,
    *,
    kind: str = "",
    level: int = levels.INFO,
    loaded: Configuration | None = None,
    live: bool = True,
) -> Explanation:
    """What becomes of the series of a dotted name.

    ``labels`` narrow it down to some of its series. With a ``kind`` (and
    ``level``) a name that nobody has registered is explained as if somebody had.
    Without ``live`` nothing is said that only a running process can know.
    """
    return _Examiner(reporter, name, dict(labels or {}), live).examine(kind, level, loaded)


class _Examiner:
    def __init__(self, reporter: Reporter, name: str, labels: dict[str, str], live: bool) -> None:
        self.reporter = reporter
        self.hierarchy = reporter.hierarchy
        self.now = reporter.clock.time()
        self.name = name
        self.labels = labels
        self.live = live
        self.steps: list[Step] = []

    def say(self, verdict: str, topic: str, text: str, lines: Iterable[str] = ()) -> None:
        self.steps.append(Step(topic, verdict, text, tuple(lines)))

    def examine(self, kind: str, level: int, loaded: Configuration | None) -> Explanation:
        routes = self.reporter.routes()
        registry = self.hierarchy.registry
        instrument = registry.instruments.get(self.name)
        points = instrument.own_points() if instrument else self._foreign(self.name)
        found = instrument is not None or bool(points)
        nearest: tuple[str, ...] = ()
        if not found:
            others = (point.series.name for point in self._others())
            nearest = nearest_names(self.name, [*registry.instruments, *others])
        if instrument is not None:
            meter = self.hierarchy.meters[instrument.declaration.meter]
            subjects = self._instrument(instrument, points, meter)
        elif points:
            meter = self.hierarchy.meter_of(points[0])
            subjects = [Subject(point.series, point) for point in points]
            help = subjects[0].series.help or "not made by a meter"
            self.say(OK, "exists", f"{subjects[0].series.kind}: {help}")
        else:
            # An instrument is never made by the meter of its own full name.
            meter = self.hierarchy.nearest(self.name.rpartition(".")[0])
            subjects = [hypothetical(self.name, kind, level, self.labels)] if kind else []
            self._unknown(kind, level, nearest)
        if subjects:
            if self.live and subjects[0].point is not None:
                self._values(subjects, routes)
            self._level(subjects[0].series, meter)
            self._lineage(meter)
            self._rounds(routes)
            for route in routes:
                delivery = Delivery(self.reporter, route, meter, self.live)
                self.steps.append(delivery.step(subjects, self.now))
        if self.live:
            self._configuration(loaded, routes)
        return Explanation(self.name, self.labels, found, nearest, tuple(self.steps))

    # -- does it exist -------------------------------------------------------

    def _others(self) -> Iterator[Point]:
        """What an application keeps with scales, and what appmetrics tells about itself."""
        points = list(self.hierarchy.registry.points)
        return (point for point in points if not isinstance(point, Instrument))

    def _foreign(self, name: str) -> Sequence[Point]:
        return [point for point in self._others() if point.series.name == name]

    def _unknown(self, kind: str, level: int, nearest: Sequence[str]) -> None:
        taken = f"taken for a {kind} of level {levels.name(level)}" if kind else ""
        if not self.live:
            self.say(INFO, "exists", taken or "a file can't tell")
            return
        text = "nothing of this name is registered in this process"
        more = taken or "an instrument exists once the code that makes it has run"
        self.say(PROBLEM, "exists", f"{text}; {more}")
        if nearest:
            self.say(INFO, "similar", "names that may be meant", nearest)

    def _instrument(
        self, instrument: Instrument, points: Sequence[Any], meter: Meter
    ) -> list[Subject]:
        """The series of an instrument that are asked for."""
        declared = instrument.declaration
        names = ", ".join(declared.labels)
        text = f"{instrument.kind} of {named(meter)}, made at {declared.where}"
        self.say(OK, "exists", f"{text}, with labels ({names})" if names else text)
        if not points:
            # Any values will do, to show the way that a series would go.
            values = {**dict.fromkeys(declared.labels, "example"), **self.labels}
            series = instrument.series._replace(labels=tuple(sorted(values.items())))
            text = "none was given values so far, so there is no series; with"
            self.say(PROBLEM, "labels", text, [title(self.name, series.labels)])
            return [Subject(series, None)]
        subjects = [Subject(point.series, point) for point in points]
        # The common labels count, too: that is what a series looks like outside.
        common, wanted = meter.effective_labels, self.labels.items()
        chosen = [s for s in subjects if wanted <= {**common, **dict(s.series.labels)}.items()]
        if not chosen:
            there = some([title(self.name, subject.series.labels) for subject in subjects])
            asked = ", ".join(f"{key}={quoted(value)}" for key, value in wanted)
            self.say(PROBLEM, "labels", f"no series has {asked}; there are", there)
        if declared.overflowed:
            text = f"the limit of {count(declared.max_children, 'series', 'series')} is reached"
            more = f"{count(declared.overflowed, 'further use')} went to _overflow_ (max_children)"
            self.say(PROBLEM, "labels", f"{text}, {more}")
        if len(chosen) > MOST:
            text = f"the first {MOST:,} of {len(chosen):,} series are looked at"
            self.say(INFO, "labels", f"{text}; labels narrow it down")
        return chosen[:MOST]

    # -- what it says --------------------------------------------------------

    def _values(self, subjects: Sequence[Subject], routes: Sequence[Route]) -> None:
        rounds = [Entries(r.selection, subjects) for r in routes if not r.handler.pull]
        lines = []
        missing = 0
        for subject in subjects:
            reading = subject.point.read() if subject.point is not None else None
            missing += reading is None
            text = _reading(subject, reading)
            if reading is not None:
                when = max((each.changed(subject) for each in rounds), default=0.0)
                text += f"; {self._changed(subject.series, reading, when, bool(rounds))}"
            lines.append(text)
        verdict = PROBLEM if missing == len(subjects) else OK
        if len(lines) == 1:
            self.say(verdict, "value", lines[0])
            return
        lines = [f"{title('', s.series.labels)}: {line}" for s, line in zip(subjects, lines)]
        self.say(verdict, "values", count(len(lines), "series", "series"), some(lines))

    def _changed(self, series: Series, reading: Any, when: float, rounds: bool) -> str:
        if series.kind in (COUNTER, TIMER, HISTOGRAM) and not getattr(reading, "count", reading):
            return "never updated"
        if not rounds:
            return "when it was updated last is not known: no handler reads it in rounds"
        if not when:
            return "no round has seen it change since the routing was last changed"
        return f"a round last found it changed {ago(when, self.now)}"

    # -- which way it goes ---------------------------------------------------

    def _level(self, series: Series, meter: Meter) -> None:
        setter = next((each for each in meter.lineage() if each.level), None)
        by = f"set by {named(setter)}" if setter else "the default"
        own, lowest = levels.name(series.level), levels.name(meter.effective_level)
        if series.level < meter.effective_level:
            text = f"{own} is below {lowest}, {by}: it is off, and updates are ignored"
            self.say(PROBLEM, "level", text)
        else:
            self.say(OK, "level", f"{own}; from {lowest} on it is recorded, {by}")

    def _lineage(self, meter: Meter) -> None:
        lineage = meter.lineage()
        lines = [f"{named(each)}: {text}" for each in lineage if (text := _settings(each))]
        stopper = next((each for each in lineage if not each.propagate), None)
        text = " < ".join(each.name or "root" for each in lineage)
        if stopper and stopper.parent:
            text += f"; handlers above {stopper.name} don't get it (propagate = no)"
        self.say(INFO, "meter", text, lines)

    def _rounds(self, routes: Sequence[Route]) -> None:
        if not routes:
            self.say(PROBLEM, "handlers", "no meter has a handler, so nothing is shipped")
        dues = [route.due for route in routes if not route.handler.pull]
        if not self.live or not dues:
            return
        known = [due for due in dues if due is not None]
        late = self.now - min(known, default=self.now)
        if not known:
            text = "it has not been started in this process, so there are no rounds"
            self.say(PROBLEM, "reporter", f"{text} (appmetrics.start())")
        elif late > LATE:
            text = f"a round that was due {duration(float(round(late)))} ago has not been made"
            self.say(PROBLEM, "reporter", f"{text}: its thread does not run, or hangs")
        else:
            self.say(OK, "reporter", "makes its rounds")

    def _configuration(self, loaded: Configuration | None, routes: Sequence[Route]) -> None:
        if loaded is None:
            text = "none was loaded" + ("; the handlers were added by code" if routes else "")
            self.say(INFO if routes else PROBLEM, "configuration", text)
            return
        text = f"{loaded.source}, loaded {ago(loaded.time, self.now)}"
        if loaded.refused is not None:
            text += "; it has changed since, and was refused"
            self.say(PROBLEM, "configuration", text, str(loaded.refused).splitlines())
        elif loaded.changed():
            self.say(PROBLEM, "configuration", f"{text}; it has changed on disk since then")
        else:
            self.say(OK, "configuration", f"{text}, unchanged since then")


def _settings(meter: Meter) -> str:
    """What was set at a meter itself."""
    own = meter.settings
    parts = [f"level {levels.name(own.level)}"] if own.level else []
    if own.handlers:
        parts.append(f"handlers {', '.join(handler.name for handler in own.handlers)}")
    if not own.propagate:
        parts.append("propagate no")
    if own.filters:
        parts.append(f"filters {', '.join(map(filter_name, own.filters))}")
    parts += (f"label {key}={quoted(value)}" for key, value in own.labels.items())
    return "; ".join(parts)


def _reading(subject: Subject, reading: Any) -> str:
    series = subject.series
    if reading is None:
        if series.kind == STATE:
            return "no reading: it was never set, or its ttl has passed"
        if isinstance(subject.point, Gauge):
            return "no reading: the callback has not answered"
        return "no reading"
    if isinstance(reading, StateValue):
        text = printable(reading.text)
        return f"{text}, {quoted(reading.description)}" if reading.description else text
    if isinstance(reading, Distribution):
        mean, high = (quantity(each, series.unit) for each in (reading.mean, reading.max))
        text = count(reading.count, "value")
        return f"{text}, mean {mean}, max {high}" if reading.count else text
    return quantity(reading, series.unit)
