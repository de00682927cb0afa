"""`explain`: the way of a series from its instrument to the handlers, step by step.

Only reads, and what it says is an `Explanation`. What one handler does with a
series is said by ``delivery``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .. import levels
from ..buckets import Distribution
from ..display import ago, count, duration, printable, quantity, quoted, title
from ..handlers.base import Handler
from ..instrument import Instrument
from ..instruments import Gauge
from ..meter import Meter
from ..reporter import Reporter
from ..rounds import Route
from ..sample import COUNTER, HISTOGRAM, STATE, TIMER, Series, StateValue
from ..selection import Point
from .answer import INFO, OK, PROBLEM, Explanation, Step
from .configuration import Configuration, configuration_step
from .delivery import Delivery, filter_name, named, some
from .guess import event_takers, found_as, sent_as
from .subject import NEAREST, Places, Subject, hypothetical, nearest_names, no_label

#: Of an instrument's series so many are looked at; twice the usual limit of children.
MOST = 2000
#: Seconds after which a round that was due counts as missing.
LATE = 5.0


def explain(
    reporter: Reporter,
    name: str,
    labels: Mapping[str, str] | None = None,
    *,
    kind: str = "",
    level: int = levels.INFO,
    loaded: Configuration | None = None,
    live: bool = True,
    page: Handler | None = None,
) -> Explanation:
    """What becomes of the series of a dotted name.

    ``labels`` narrow it down to some of its series. With a ``kind`` (and
    ``level``) a name that nobody has registered is explained as if somebody had.
    Without ``live`` nothing is said that only a running process can know. ``page``
    is the handler of the page that is asked, if it is one.
    """
    examiner = _Examiner(reporter, name, dict(labels or {}), live, page)
    return examiner.examine(kind, level, loaded)


class _Examiner:
    def __init__(
        self,
        reporter: Reporter,
        name: str,
        labels: dict[str, str],
        live: bool,
        page: Handler | None,
    ) -> None:
        self.reporter = reporter
        self.hierarchy = reporter.hierarchy
        self.now = reporter.clock.time()
        self.name = name
        self.labels = labels
        self.live = live
        self.page = page
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
        sent: list[tuple[Series, Handler]] = []
        if not found:
            others = (point.series.name for point in self._others())
            nearest = nearest_names(self.name, [*registry.instruments, *others])
            if self.live:
                sent = list(sent_as(self.name, routes, self.hierarchy))
                nearest = tuple(dict.fromkeys([*(s.name for s, _ in sent), *nearest]))[:NEAREST]
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
            self._unknown(kind, level, nearest, found_as(sent))
            if self.live and not kind and not sent:
                self._event(routes)
        if subjects:
            if self.live and subjects[0].point is not None:
                self._values(subjects, meter, routes)
            self._level(subjects[0].series, meter)
            self._lineage(meter)
            self._rounds(routes)
            for route in routes:
                delivery = Delivery(self.reporter, route, meter, self.live)
                self.steps.append(delivery.step(subjects, self.now))
        if self.live:
            served = bool(routes or self.page)
            self.steps.append(configuration_step(loaded, self.now, bool(routes), served))
        return Explanation(self.name, self.labels, found, nearest, tuple(self.steps))

    # -- does it exist -------------------------------------------------------

    def _others(self) -> Iterator[Point]:
        """What an application keeps with scales, and what appmetrics tells about itself."""
        points = list(self.hierarchy.registry.points)
        return (point for point in points if not isinstance(point, Instrument))

    def _foreign(self, name: str) -> Sequence[Point]:
        return [point for point in self._others() if point.series.name == name]

    def _unknown(self, kind: str, level: int, nearest: Sequence[str], sent: Sequence[str]) -> None:
        taken = f"taken for a {kind} of level {levels.name(level)}" if kind else ""
        if not self.live:
            self.say(INFO, "exists", taken or "a file can't tell")
            return
        text = "nothing of this name is registered in this process"
        more = taken or "an instrument exists once the code that makes it has run"
        self.say(PROBLEM, "exists", f"{text}; {more}")
        if sent:
            self.say(INFO, "found", sent[0], some(sent[1:]))
        elif nearest:
            self.say(INFO, "similar", "names that may be meant", nearest)

    def _event(self, routes: Sequence[Route]) -> None:
        takers = event_takers(self.name, routes, self.hierarchy)
        text = "if it is an event: events aren't registered; "
        text += (
            f"handlers that take events: {', '.join(takers)}" if takers else "no handler takes it"
        )
        self.say(INFO, "event", text)

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
            text = no_label(self.labels, [*declared.labels, *common]) or f"no series has {asked}"
            self.say(PROBLEM, "labels", f"{text}; there are", there)
        if declared.overflowed:
            text = f"the limit of {count(declared.max_children, 'series', 'series')} is reached"
            more = f"{count(declared.overflowed, 'further use')} went to _overflow_ (max_children)"
            self.say(PROBLEM, "labels", f"{text}, {more}")
        if len(chosen) > MOST:
            text = f"the first {MOST:,} of {len(chosen):,} series are looked at"
            self.say(INFO, "labels", f"{text}; labels narrow it down")
        return chosen[:MOST]

    # -- what it says --------------------------------------------------------

    def _values(self, subjects: Sequence[Subject], meter: Meter, routes: Sequence[Route]) -> None:
        getting = meter.effective_handlers
        readers = (r for r in routes if not r.handler.pull and r.handler in getting)
        rounds = [Places(route.selection, subjects) for route in readers]
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
        sharing = self.reporter.sharing
        if self.page and all(self.page is not route.handler for route in routes):
            self.say(OK, "page", "this page shows it")
        if not sharing.sends:
            other = sharing.leader()
            text = f"process {other} sends for this one" if other else "another process is to send"
            self.say(INFO, "handlers", f"{text}; what becomes of it is explained there")
        elif not routes and not self.page:
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
