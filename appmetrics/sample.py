"""What travels: a series (which), a sample (how much, when), and their values.

Everything here is immutable plain data, known to every layer. Nothing here
reads an instrument or knows a target.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from .levels import INFO

COUNTER = "counter"
GAUGE = "gauge"
HISTOGRAM = "histogram"
TIMER = "timer"
STATE = "state"
EVENT = "event"
KINDS = (COUNTER, GAUGE, HISTOGRAM, TIMER, STATE, EVENT)

#: The unit of a gauge that counts different values: what statsd calls a set.
VALUES = "values"

Labels = tuple[tuple[str, str], ...]

#: So deep does a name go in a tree by dotted name; the rest is one key. Encoders
#: and decoders that recurse fail on trees of some hundred levels.
MAX_DEPTH = 32

#: Riemann's states, which are Nagios' too: the index is Nagios' number.
STATES = ("ok", "warning", "critical", "unknown")
UNKNOWN = "unknown"


def sorted_labels(labels: Mapping[str, object]) -> Labels:
    """Labels in their one canonical form: pairs of text, sorted by name."""
    return tuple(sorted((str(key), str(value)) for key, value in labels.items()))


@functools.lru_cache(maxsize=256)
def _names(labels: Labels) -> frozenset[str]:
    return frozenset(name for name, _ in labels)


class Series(NamedTuple):
    """Who a number belongs to; what filters see and decide on.

    ``name`` is dotted, ``labels`` are sorted pairs, ``kind`` is one of `KINDS`,
    ``unit`` a base unit in the plural (``seconds``, ``bytes``) or empty.
    ``merge`` says how gauges that become one series are combined: ``sum``,
    ``max`` or ``min`` (``worker`` as ``sum``, where no process is to be told from
    another). ``states`` are the declared states of a state. ``common``
    names those labels that a meter or a filter added, not the instrument itself.
    """

    name: str
    labels: Labels = ()
    kind: str = GAUGE
    unit: str = ""
    level: int = INFO
    help: str = ""
    merge: str = "sum"
    states: tuple[str, ...] = ()
    common: frozenset[str] = frozenset()

    @property
    def identity(self) -> tuple[str, Labels]:
        """What makes two series the same one to a target."""
        return self[:2]

    def label(self, name: str, default: str = "") -> str:
        """The value of one label."""
        return next((value for key, value in self.labels if key == name), default)

    def with_common(self, labels: Mapping[str, object]) -> Series:
        """The same series with these common labels; its own labels win."""
        return self.with_pairs(sorted_labels(labels))

    def with_pairs(self, labels: Labels) -> Series:
        """`with_common` for labels in canonical form."""
        own = dict(self.labels)
        added = tuple(pair for pair in labels if pair[0] not in own)
        # One set of names for all series that get the same labels.
        names = _names(added)
        common = self.common | names if self.common else names
        return self._replace(labels=tuple(sorted(self.labels + added)), common=common)


class StateValue(NamedTuple):
    """The reading of a state.

    ``state`` is one of the series' declared states; ``number`` its index (0 ok,
    1 warning, 2 critical, 3 unknown); ``text`` what the application set, which
    differs from ``state`` if it was not declared; ``ttl`` in seconds or None.
    """

    state: str
    description: str
    number: int
    text: str
    ttl: float | None


class Event(NamedTuple):
    """Something that happened once: a deployment, a failover."""

    description: str
    state: str
    attributes: Mapping[str, str]
    tags: tuple[str, ...]
    metric: float | None
    ttl: float | None


class Sample(NamedTuple):
    """One reading of one series as one handler sees it.

    ``value`` by kind: a number (counter: the total; gauge), a `Distribution`
    (histogram and timer: everything so far), a `StateValue` or an `Event`.
    ``delta`` is the change since this handler's previous reading: a number for
    a counter, a `Distribution` for histogram and timer, None for the others.
    ``elapsed`` is the seconds between the two readings, ``time`` the round's
    due time in seconds since 1970. ``prepared`` is what the handler's own
    ``prepare(series)`` returned when it first met this series.
    """

    series: Series
    time: float
    value: Any
    delta: Any = None
    elapsed: float = 0.0
    prepared: Any = None

    @property
    def rate(self) -> float:
        """Change per second: of a counter's value, or of a distribution's count."""
        if self.delta is None or not self.elapsed:
            return 0.0
        change: float = getattr(self.delta, "count", self.delta)
        return change / self.elapsed
