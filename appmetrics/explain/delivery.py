"""What one handler does with a series: gets it or not, as what, and how it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import levels
from ..display import ago, count, duration, printable, title
from ..errors import describe
from ..handlers.base import Filter, shown_target
from ..meter import Meter
from ..reporter import Reporter
from ..rounds import Route
from ..sample import Labels, Series
from .answer import INFO, OK, PROBLEM, Step
from .subject import Places, Subject

#: Of many series or lines so many are shown.
SHOWN = 10


def named(meter: Meter) -> str:
    """A meter as part of a sentence."""
    return f"meter {meter.name}" if meter.name else "the root meter"


def filter_name(filter: Filter) -> str:
    """What the configuration calls a filter, else what its code does."""
    return str(getattr(filter, "name", "") or getattr(filter, "__name__", "") or repr(filter))


def some(lines: Sequence[str], most: int = SHOWN) -> list[str]:
    """The first lines, and how many there are besides."""
    rest = len(lines) - most
    return list(lines) if rest < 2 else [*lines[:most], f"... and {rest:,} more"]


class Delivery:
    """One handler, as seen from one meter."""

    def __init__(self, reporter: Reporter, route: Route, meter: Meter, live: bool) -> None:
        self.reporter = reporter
        self.hierarchy = reporter.hierarchy
        self.route = route
        self.handler = route.handler
        self.meter = meter
        self.live = live

    def step(self, subjects: Sequence[Subject], now: float) -> Step:
        """What becomes of the series."""
        topic = f"handler {self.handler.name}"
        apart = self._apart()
        if apart:
            return Step(topic, *apart)
        places = Places(self.route.selection, subjects)
        #: Final lines of what it gets, and series that it doesn't send, by what was done to them.
        sent: dict[str, dict[str, None]] = {}
        unsent: dict[str, list[str]] = {}
        refusals = self._refusals()
        for subject in subjects:
            final, notes = self._way(subject.series)
            refusal = ""
            if final is not None:
                unnamed = "left out" if places.is_left_out(subject) else ""
                refusal = refusals.get((final.kind, final.identity), unnamed)
            if final is None or refusal:
                who = title(subject.series.name, subject.series.labels)
                unsent.setdefault(refusal or notes[-1], []).append(who)
                continue
            merged = places.merged(subject)
            if merged > 1:
                notes.append(f"merged from {count(merged, 'series', 'series')}")
            sent.setdefault("; ".join(notes), {}).update(dict.fromkeys(self._lines(final)))
        verdict = PROBLEM if unsent else OK
        if not sent and len(unsent) == 1:
            return Step(topic, verdict, f"does not get it: {next(iter(unsent))}")
        missing = sum(map(len, unsent.values()))
        text = f"gets {len(subjects) - missing} of {len(subjects)} series" if missing else "gets it"
        failing, state = self._state(now)
        text += ", but sending fails" if failing else ""
        lines: list[str] = []
        for note, final_lines in sent.items():
            lines += [f"({note})"] if note else []
            lines += some(list(final_lines))
        # Notes and reasons may differ from series to series.
        lines = some(lines, 2 * SHOWN)
        for reason, names in list(unsent.items())[:SHOWN]:
            lines += [f"(not sent: {reason})", *some(names)]
        return Step(topic, PROBLEM if failing else verdict, text, (state, *lines))

    def _apart(self) -> tuple[str, str] | None:
        """Verdict and reason, if the handler gets nothing of this meter at all."""
        handler, meter = self.handler, self.meter
        if handler.everywhere or handler in meter.effective_handlers:
            return None
        lineage = meter.lineage()
        places = [m for m in list(self.hierarchy.meters.values()) if handler in m.handlers]
        text = f"does not get it: it is attached to {', '.join(map(named, places))}"
        if any(place in lineage for place in places):
            stopper = next(each for each in lineage if not each.propagate)
            return PROBLEM, f"{text}, and {named(stopper)} has propagate = no"
        return INFO, f"{text}, not to the meters above"

    def _way(self, series: Series) -> tuple[Series | None, list[str]]:
        """The series as the handler gets it, and what was done to it on the way."""
        if series.level < self.meter.effective_level:
            return None, ["its level is off"]
        notes: list[str] = []
        before = series

        def trace(what: str, by: Any, after: Series | None) -> None:
            nonlocal before
            if what == "level":
                own, lowest = levels.name(before.level), levels.name(self.handler.level)
                notes.append(f"its level {own} is below {lowest}, the handler's")
            elif after is None:
                notes.append(f"{self._named(by)} {_failure(by, before) or 'drops it'}")
            elif what == "labels":
                added = [pair for pair in after.labels if pair not in before.labels]
                notes.append(f"common labels {title('', added)}")
            elif after != before:
                notes.append(f"{self._named(by)} makes it {title(after.name, after.labels)}")
            before = after or before

        return self.hierarchy.route(series, self.meter, self.handler, trace), notes

    def _named(self, filter: Filter) -> str:
        owner = next((m for m in self.meter.lineage() if any(f is filter for f in m.filters)), None)
        return f"filter {filter_name(filter)}" + (f" of {named(owner)}" if owner else "")

    def _refusals(self) -> dict[tuple[str, tuple[str, Labels]], str]:
        """Why the handler leaves out series that it gets: collisions, mostly."""
        left_out = list(getattr(self.handler, "left_out", ()))
        return {(each.kind, each.identity): f"left out: {why}" for each, why in left_out}

    def _lines(self, final: Series) -> list[str]:
        try:
            return self.handler.describe(final) or [f"(of kind {final.kind} it sends nothing)"]
        except Exception as error:
            return [f"(describe() failed: {describe(error)})"]

    def _state(self, now: float) -> tuple[bool, str]:
        """Whether sending fails, and how it goes."""
        handler, stats = self.handler, self.handler.stats
        interval = duration(handler.interval or self.reporter.interval)
        target = printable(shown_target(handler))
        parts = [target] if target else []
        parts.append("reads when it is asked" if handler.pull else f"every {interval}")
        if not self.live:
            return False, ", ".join(parts)
        if not handler.pull:
            waiting = getattr(handler, "waiting", 0)
            parts.append(f"queue {handler.queued}")
            spooled = getattr(handler, "spooled", 0)
            on_disk = f" ({spooled:,} of them on disk)" if spooled else ""
            if waiting:
                parts.append(f"{count(waiting, 'sample')} waiting for the target{on_disk}")
            parts.append(f"sent {count(stats.sent, 'sample')}")
            parts += [f"the last {ago(stats.last_sent, now)}"] if stats.last_sent else []
        parts += [f"dropped {stats.dropped:,}"] if stats.dropped else []
        if stats.last_error_time is None:
            return False, ", ".join([*parts, "no error"])
        errors = f"{count(stats.errors, 'error')}, the last {ago(stats.last_error_time, now)}"
        failing = stats.last_error_time > (stats.last_sent or 0.0)
        return failing, ", ".join([*parts, f"{errors}: {stats.last_error}"])


def _failure(filter: Filter, series: Series) -> str:
    """What a filter that gave nothing raised, if so."""
    try:
        filter(series)
    except Exception as error:
        return f"failed, so it is left out: {describe(error)}"
    return ""
