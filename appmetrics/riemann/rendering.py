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


class Prepared(NamedTuple):
    """What never changes in a series' events: the fields of all, and of each one, in the order
    of its statistics, the fields of its identity and what judges it."""

    fields: bytes
    identities: tuple[bytes, ...]
    rules: tuple[Rule | None, ...]


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
        #: The same rules judge very many series.
        self._rules: dict[tuple[Rule | None, ...], tuple[Rule | None, ...]] = {}
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
        rules = tuple(self._rule(series, word) for word in words)
        shared = Event(ttl=ttl, tags=self._tags, attributes=attributes)
        return Prepared(
            constant(shared),
            tuple(constant(Event(*identity)) for identity in identities),
            self._rules.setdefault(rules, rules),
        )

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
            for identity in prepared.identities:
                yield whole(identity + state("leaving") + prepared.fields + when)
        elif kind == STATE:
            told = constant(Event(state=value.state, description=value.description or None))
            fields = prepared.identities[0] + told + prepared.fields
            yield whole(fields + when + metric(value.number))
        elif kind == GAUGE:
            finite = number(value)
            if finite is not None:
                yield _judged(prepared, 0, when, finite)
        else:
            words = self._statistics(kind)
            told_of = dict(statistics(sample, words))
            for place, word in enumerate(words):
                if word in told_of:
                    yield _judged(prepared, place, when, told_of[word])

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


def _judged(prepared: Prepared, place: int, when: bytes, value: float) -> bytes:
    rule = prepared.rules[place]
    judged = state(rule.state(value)) if rule else b""
    return whole(prepared.identities[place] + judged + prepared.fields + when + metric(value))


def _unreserved(attributes: Mapping[str, str]) -> dict[str, str]:
    """Attributes that Riemann does not take for fields of the event: ``host`` becomes ``host_``."""
    return {f"{key}_" if key in RESERVED else key: value for key, value in attributes.items()}
