"""`Rendering`: from series and samples to the bytes of events.

What never changes of a series is made once (`Rendering.prepared`), the rest for each
sample. Who owns an identity, and what is sent when, is the handler's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..exposition.values import number
from ..sample import COUNTER, EVENT, GAUGE, STATE, Sample, Series
from ..statistics import statistics
from .events import RESERVED, Event, constant, encoded, metric, state, whole
from .naming import Naming
from .thresholds import Rule

#: The value of a sample that says goodbye: nobody tells of this series from now on.
LEAVING: Any = object()


class Part(NamedTuple):
    """One of a series' events: its statistic, the fields of its identity, what judges it."""

    statistic: str
    identity: bytes
    rule: Rule | None


class Prepared(NamedTuple):
    """What never changes in a series' events: the fields of all, and each one's own."""

    fields: bytes
    parts: tuple[Part, ...]


class Rendering:
    """How series are told to Riemann; ``counter_statistics`` and ``statistics`` (of timers
    and histograms) say in how many events. ``instance`` is appended to the host.

    Raises ValueError if the naming would give two statistics one identity.
    """

    def __init__(
        self,
        naming: Naming,
        *,
        tags: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
        thresholds: Sequence[Rule] = (),
        statistics: Sequence[str] = (),
        counter_statistics: Sequence[str] = (),
    ) -> None:
        self._naming = naming
        self._tags = tuple(tags)
        self._attributes = dict(attributes or {})
        self._thresholds = tuple(thresholds)
        self._words = {COUNTER: tuple(counter_statistics)}
        self._words |= dict.fromkeys((GAUGE, STATE, EVENT), ())
        self._of_timers = tuple(statistics)
        self.instance = ""
        for kind, words in (("counter", self._words[COUNTER]), ("timer", self._of_timers)):
            if len(words) > 1 and not naming.tells_statistics:
                raise ValueError(
                    f"service: without {{statistic}}, the {words[0]} and the {words[1]}"
                    f" of one {kind} would have the same host and service"
                )

    def _statistics(self, kind: str) -> tuple[str, ...]:
        return self._words.get(kind, self._of_timers)

    def identities(self, series: Series) -> list[tuple[str, str]]:
        """Host and service of each of a series' events."""
        return self._naming.identities(series, self._statistics(series.kind), self.instance)

    def prepared(self, series: Series, ttl: float) -> Any:
        """What the events of a series have in common; `Prepared` for all but events."""
        attributes = _unreserved({**self._attributes, **dict(series.labels)})
        identities = self.identities(series)
        if series.kind == EVENT:
            return Event(*identities[0], tags=self._tags, attributes=attributes)
        words = self._statistics(series.kind) or ("",)
        parts = (
            Part(word, constant(Event(*identity)), self._rule(series, word))
            for word, identity in zip(words, identities)
        )
        shared = Event(ttl=ttl, tags=self._tags, attributes=attributes)
        return Prepared(constant(shared), tuple(parts))

    def _rule(self, series: Series, statistic: str) -> Rule | None:
        if series.kind == STATE:
            return None
        return next((r for r in self._thresholds if r.matches(series.name, statistic)), None)

    def events(self, sample: Sample, when: bytes) -> Iterator[bytes]:
        """A sample's events; ``when`` are the fields of its time."""
        prepared, value, kind = sample.prepared, sample.value, sample.series.kind
        if kind == EVENT:
            yield encoded(self._event(prepared, sample))
        elif value is LEAVING:
            for part in prepared.parts:
                yield whole(part.identity + state("leaving") + prepared.fields + when)
        elif kind == STATE:
            told = constant(Event(state=value.state, description=value.description or None))
            fields = prepared.parts[0].identity + told + prepared.fields
            yield whole(fields + when + metric(value.number))
        elif kind == GAUGE:
            finite = number(value)
            if finite is not None:
                yield _judged(prepared, prepared.parts[0], when, finite)
        else:
            told_of = dict(statistics(sample, self._statistics(kind)))
            for part in prepared.parts:
                if part.statistic in told_of:
                    yield _judged(prepared, part, when, told_of[part.statistic])

    def _event(self, prepared: Event, sample: Sample) -> Event:
        told = sample.value
        return prepared._replace(
            state=told.state or None,
            description=told.description or None,
            metric=told.metric,
            time=sample.time,
            ttl=told.ttl,
            tags=tuple(dict.fromkeys((*self._tags, *told.tags))),
            attributes={**prepared.attributes, **_unreserved(told.attributes)},
        )


def _judged(prepared: Prepared, part: Part, when: bytes, value: float) -> bytes:
    judged = state(part.rule.state(value)) if part.rule else b""
    return whole(part.identity + judged + prepared.fields + when + metric(value))


def _unreserved(attributes: Mapping[str, str]) -> dict[str, str]:
    """Attributes that Riemann does not take for fields of the event: ``host`` becomes ``host_``."""
    return {f"{key}_" if key in RESERVED else key: value for key, value in attributes.items()}
