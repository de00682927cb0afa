"""Backlogs: what waits for a target, by what that target does with what comes late.

`Newest` keeps the newest sample of each series, for targets that know the present
only; `Totals` adds up what each series has counted, for targets without a notion of
time; ``replay.History`` keeps every payload, for targets that store by time. A
backlog decides what is sent next and what is dropped. Nothing here sends, waits,
logs or knows a handler; all is called in the handler's worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..sample import EVENT, Sample
from ..selection import merge

#: What a sample that waits is taken to weigh, in bytes, until it is encoded.
SAMPLE_BYTES = 500

#: The payloads that `Backlog.ready` gives at once: so many may be under way to a
#: target that acknowledges, and after so many new data has its turn again.
AT_ONCE = 32

Encode = Callable[[Sequence[Sample]], Iterable[tuple[bytes, int]]]


class Payload(NamedTuple):
    """Bytes to be sent as one, and the samples that they count for.

    ``repeated`` are samples in it that were counted as sent before.
    """

    data: bytes
    samples: int
    repeated: int = 0


class Limits(NamedTuple):
    """How much may wait, in bytes and in samples, and which end goes beyond that."""

    bytes: int
    samples: int
    drop: str = "oldest"

    def exceeded(self, bytes: int, samples: int) -> bool:
        """Whether so much is too much."""
        return bytes > self.bytes or samples > self.samples


class Backlog:
    """What waits. ``encode`` turns samples into payloads; see `NetworkHandler`.

    The life of a payload: `add` takes samples, `ready` shows what may be sent,
    `take` removes the first of that. If the target is away, `hold` keeps what
    was not taken within the limits.
    """

    #: What a log line says of an outage: the backlog ``keeps`` so.
    keeps = ""

    def __init__(self, encode: Encode, limits: Limits) -> None:
        self._encode = encode
        self.limits = limits

    @property
    def waiting(self) -> int:
        """Samples that wait."""
        raise NotImplementedError

    @property
    def bytes(self) -> int:
        """Bytes of memory in use for them."""
        raise NotImplementedError

    @property
    def urgent(self) -> bool:
        """Whether something waits that can't give way to newer data."""
        return bool(self.waiting)

    def add(self, samples: Sequence[Sample]) -> None:
        """Take in a round, or events. Raises what ``encode`` does, and then keeps nothing."""
        raise NotImplementedError

    def ready(self, wall: float, now: float, hurry: bool = False) -> list[Payload]:
        """What is to be sent now, in this order; empty if nothing is, or not yet.

        ``wall`` is the time since 1970, ``now`` is monotonic; in a ``hurry``, at the
        end, there is no rate, and what is safe on disk stays there.
        """
        raise NotImplementedError

    def take(self, sent: bool) -> Payload:
        """Remove the first payload of the last `ready`, which was sent, or can't be."""
        raise NotImplementedError

    def hold(self) -> int:
        """The target is away: keep what waits, within the limits. Returns the samples dropped."""
        raise NotImplementedError

    def expired(self) -> int:
        """How many samples have been left out as too old since the last call."""
        return 0

    def pause(self, now: float) -> float | None:
        """Seconds until `ready` has more, None if nothing waits."""
        return 0.0 if self.waiting else None

    def repeat(self) -> None:
        """A connection has ended that acknowledged nothing: send again what it carried last.

        May be called between `ready` and `take`.
        """

    def room(self) -> tuple[float, float]:
        """Bytes and samples that can still be kept."""
        return self.limits.bytes - self.bytes, self.limits.samples - self.waiting

    def close(self) -> None:
        """The end: close what is open."""

    def abandon(self) -> None:
        """In a forked child, where all of it is the parent's."""

    def give(self) -> list[Any]:
        """All that waits in memory leaves, for the handler that takes this one's place."""
        raise NotImplementedError

    def inherit(self, legacy: list[Any]) -> None:
        """Go on with what another backlog of this class gave."""
        raise NotImplementedError


class BySeries(Backlog):
    """Keeps one sample of each series; a subclass says which, and how long it is good.

    Samples are encoded when they are about to be sent. While the target is there
    they pass through without being looked up.
    """

    def __init__(
        self,
        encode: Encode,
        limits: Limits,
        ttl: Callable[[Sample], float | None] = lambda sample: None,
    ) -> None:
        super().__init__(encode, limits)
        self._ttl = ttl
        self._fresh: list[Sample] = []
        self._kept: dict[Any, Sample] = {}
        #: Encoded and not yet taken, and the samples in it.
        self._payloads: deque[Payload] = deque()
        self._encoded: deque[Sample] = deque()
        self._expired = 0

    def combine(self, old: Sample, new: Sample) -> Sample:
        """One sample for two of the same series."""
        raise NotImplementedError

    @property
    def waiting(self) -> int:
        return len(self._fresh) + len(self._kept) + len(self._encoded)

    @property
    def bytes(self) -> int:
        return self.waiting * SAMPLE_BYTES

    def add(self, samples: Sequence[Sample]) -> None:
        self._fresh.extend(samples)

    def ready(self, wall: float, now: float, hurry: bool = False) -> list[Payload]:
        if not self._payloads:
            self._encode_all(wall)
        return [self._payloads[i] for i in range(min(AT_ONCE, len(self._payloads)))]

    def _encode_all(self, wall: float) -> None:
        # More than one round may be fresh, and events with it: as they came.
        if self._kept:
            self._collect()
        samples = self._fresh or list(self._kept.values())
        self._fresh, self._kept = [], {}
        good = [sample for sample in samples if not self._old(sample, wall)]
        self._expired += len(samples) - len(good)
        if not good:
            return
        # If this raises, the samples are gone: they would fail again for ever.
        self._payloads.extend([Payload(*item) for item in self._encode(good)])
        if self._payloads:
            self._encoded.extend(good)

    def _old(self, sample: Sample, wall: float) -> bool:
        ttl = self._ttl(sample)
        return ttl is not None and wall > sample.time + ttl

    def take(self, sent: bool) -> Payload:
        payload = self._payloads.popleft()
        for _ in range(min(payload.samples, len(self._encoded))):
            self._encoded.popleft()
        if not self._payloads:
            self._encoded.clear()
        return payload

    def hold(self) -> int:
        self._collect()
        dropped = 0
        while self.limits.exceeded(self.bytes, self.waiting) and len(self._kept) > 1:
            oldest = self.limits.drop == "oldest"
            del self._kept[next(iter(self._kept) if oldest else reversed(self._kept))]
            dropped += 1
        return dropped

    def _collect(self) -> None:
        """What was encoded or is fresh becomes one sample for each series again."""
        # What is encoded is older than what is kept beside it.
        samples = [*self._encoded, *self._kept.values(), *self._fresh]
        self._payloads.clear()
        self._encoded.clear()
        self._fresh, self._kept = [], {}
        for sample in samples:
            key = (sample.series.identity, sample.series.kind)
            old = self._kept.pop(key, None)  # so that the newest is the last
            self._kept[key] = sample if old is None else self.combine(old, sample)

    def expired(self) -> int:
        number, self._expired = self._expired, 0
        return number

    def give(self) -> list[Any]:
        self._collect()
        samples, self._kept = list(self._kept.values()), {}
        return samples

    def inherit(self, legacy: list[Any]) -> None:
        self._fresh[:0] = legacy


class Newest(BySeries):
    """Of each series the newest sample, unless it is older than its time to live.

    For targets of current state: yesterday's news must never revive a dead host.
    """

    keeps = "the newest sample of each series"

    def combine(self, old: Sample, new: Sample) -> Sample:
        return new


class Totals(BySeries):
    """Of each series one sample with all changes added up, and the newest value.

    For targets that have no notion of time and add up what they are told.
    """

    keeps = "the sum of each series"

    def combine(self, old: Sample, new: Sample) -> Sample:
        if new.series.kind == EVENT or old.delta is None or new.delta is None:
            return new
        return new._replace(
            delta=merge(new.series, (old.delta, new.delta)), elapsed=old.elapsed + new.elapsed
        )
