"""`Told`: what waits for a target that is told of sums, and of single values.

Beside one sample for each series, as `Totals`, it takes the single values that were
observed, when they are about to be sent. Nothing here knows a protocol.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from .backlog import AT_ONCE, Encode, Limits, Payload, Totals
from .observations import Observations

#: Seconds until it is looked again for single values...
PAUSE = 1.0
#: ... and until more of them are taken, or rounds would wait for as long as many come.
GAP = 0.1


class Told(Totals):
    """Sums of each series, and single values behind them.

    While the target is away the values stay in their queue; what comes when that is
    full is dropped and counted.
    """

    keeps = "the sum of each series, and single values as far as there is room"

    def __init__(
        self,
        encode: Encode,
        limits: Limits,
        observations: Observations,
        encode_values: Callable[[Iterable[tuple[Any, float]]], Iterable[tuple[bytes, int]]],
    ) -> None:
        super().__init__(encode, limits)
        self._observations = observations
        self._encode_values = encode_values
        #: Taken from the queue and encoded, not sent yet.
        self._values: deque[Payload] = deque()
        self._told = 0
        self._sums_first = True
        self._dropped = 0
        self._taken = -math.inf

    @property
    def waiting(self) -> int:
        return super().waiting + self._told

    @property
    def bytes(self) -> int:
        return super().bytes + sum(len(payload.data) for payload in self._values)

    def ready(self, wall: float, now: float, hurry: bool = False) -> list[Payload]:
        if hurry:
            self._take_values(now)
        sums = super().ready(wall, now, hurry)
        self._sums_first = bool(sums)
        if sums:
            return sums
        if not self._values and now - self._taken >= GAP:
            self._take_values(now)
        return [self._values[i] for i in range(min(AT_ONCE, len(self._values)))]

    def _take_values(self, now: float) -> None:
        self._taken = now
        payloads = [Payload(*item) for item in self._encode_values(self._observations.take())]
        self._values.extend(payloads)
        self._told += sum(payload.samples for payload in payloads)

    def take(self, sent: bool) -> Payload:
        if self._sums_first:
            return super().take(sent)
        payload = self._values.popleft()
        self._told -= payload.samples
        return payload

    def expired(self) -> int:
        dropped = self._observations.dropped
        new, self._dropped = dropped - self._dropped, dropped
        return super().expired() + max(0, new)

    def pause(self, now: float) -> float | None:
        if self.waiting:
            return 0.0
        if self._observations.half_full:
            return max(0.0, self._taken + GAP - now)
        return PAUSE

    def give(self) -> list[Any]:
        values, self._values, self._told = list(self._values), deque(), 0
        return [*super().give(), *values]

    def inherit(self, legacy: list[Any]) -> None:
        values = [item for item in legacy if isinstance(item, Payload)]
        self._values.extend(values)
        self._told += sum(payload.samples for payload in values)
        super().inherit([item for item in legacy if not isinstance(item, Payload)])
