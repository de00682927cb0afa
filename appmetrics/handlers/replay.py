"""`History`: what waits for a target that stores by time, and how it is replayed.

Every payload is kept with the times of its samples and sent in order behind new
data, at a limited rate; what a connection without acknowledgements carried last is
sent again.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from ..sample import Sample
from .backlog import AT_ONCE, Backlog, Encode, Limits, Payload

if TYPE_CHECKING:
    from .spool import Spool


class History(Backlog):
    """Every payload with the times of its samples, in order, behind new data.

    For targets that store by time. ``rate`` is how many samples a second of the
    backlog are sent (0: no limit). ``batches`` is how many of the last batches
    `repeat` sends again, for targets that acknowledge nothing. With a ``spool``,
    what an outage leaves is on disk, as far as it takes it, and the rest in memory.
    """

    keeps = "every sample"

    def __init__(
        self,
        encode: Encode,
        limits: Limits,
        rate: float = 0.0,
        batches: int = 0,
        spool: Spool | None = None,
    ) -> None:
        super().__init__(encode, limits)
        self._rate = rate
        self.spool = spool
        self._live: deque[Payload] = deque()
        self._old: deque[Payload] = deque()
        #: What will be sent once more.
        self._again: list[Payload] = []
        #: Where what `ready` gave came from: one of the two, None for the spool.
        self._shown: deque[deque[Payload] | None] = deque()
        self._waiting = self._bytes = 0
        # How many samples of the backlog may go now, and since when that has grown.
        self._credit = 0.0
        self._credited = -math.inf
        self._recent = Recent(batches, limits.bytes)

    @property
    def waiting(self) -> int:
        return self._waiting + (self.spool.samples if self.spool else 0)

    @property
    def bytes(self) -> int:
        return self._bytes

    @property
    def urgent(self) -> bool:
        return bool(self._live)

    def add(self, samples: Sequence[Sample]) -> None:
        # All or nothing: a batch that fails in the middle is counted as dropped.
        payloads = [Payload(*item) for item in self._encode(samples)]
        self._live.extend(payloads)
        self._waiting += sum(payload.samples for payload in payloads)
        self._bytes += sum(len(payload.data) for payload in payloads)
        self._recent.next_batch()

    def ready(self, wall: float, now: float, hurry: bool = False) -> list[Payload]:
        self._enqueue_again()
        found = list(islice(self._live, AT_ONCE))
        self._shown.extend([self._live] * len(found))
        credit = math.inf if hurry else self._allowance(now)
        if credit >= 0 and len(found) < AT_ONCE:
            on_disk = self.spool.head() if self.spool and not hurry else []
            for queue, payload in chain(
                ((None, payload) for payload in on_disk),
                ((self._old, payload) for payload in self._old),
            ):
                found.append(payload)
                self._shown.append(queue)
                credit -= payload.samples
                if len(found) == AT_ONCE or credit < 0:
                    break
        return found

    def _allowance(self, now: float) -> float:
        """The credit of now; negative if it must grow first."""
        if not self._rate:
            return math.inf
        # At most a second's worth is saved up.
        grown = self._credit + (now - self._credited) * self._rate
        self._credit, self._credited = min(grown, self._rate), now
        return self._credit

    def take(self, sent: bool) -> Payload:
        queue = self._shown.popleft()
        if queue is None:
            assert self.spool is not None
            payload = self.spool.take()
        else:
            payload = queue.popleft()
            self._forget(payload)
        if queue is not self._live:
            self._credit -= payload.samples
        if sent:
            self._recent.add(payload)
        return payload

    def _forget(self, payload: Payload) -> None:
        self._waiting -= payload.samples
        self._bytes -= len(payload.data)

    def hold(self) -> int:
        self._enqueue_again()
        self._old.extend(self._live)
        self._live.clear()
        dropped = self._to_disk() if self.spool else 0
        # The one at the other end stays, however small the buffer is.
        while self.limits.exceeded(self._bytes, self._waiting) and len(self._old) > 1:
            oldest = self.limits.drop == "oldest"
            payload = self._old.popleft() if oldest else self._old.pop()
            self._forget(payload)
            dropped += payload.samples
        return dropped

    def _to_disk(self) -> int:
        """What the spool takes leaves the memory; returns the samples dropped for it."""
        assert self.spool is not None
        while self._old:
            some = list(islice(self._old, AT_ONCE))
            taken = self.spool.append(some, self.limits.drop)
            for _ in range(taken):
                self._forget(self._old.popleft())
            if taken < len(some):
                break
        return self.spool.take_dropped()

    def pause(self, now: float) -> float | None:
        if self._live:
            return 0.0
        if not (self._old or self._again) and not (self.spool and self.spool.bytes):
            return None
        if not self._old and self.spool and self.spool.trouble:
            return 1.0  # until it is looked at again
        credit = self._allowance(now)
        return 0.0 if credit >= 0 else -credit / self._rate

    def repeat(self) -> None:
        again = self._recent.give()
        self._again.extend(again)
        self._bytes += sum(len(payload.data) for payload in again)

    def _enqueue_again(self) -> None:
        self._shown.clear()
        self._old.extendleft(reversed(self._again))
        self._again.clear()

    def room(self) -> tuple[float, float]:
        if self.spool and not self.spool.trouble:
            return super().room()[0] + self.spool.room, math.inf
        return super().room()

    def close(self) -> None:
        if self.spool:
            self.spool.close()

    def abandon(self) -> None:
        if self.spool:
            self.spool.abandon()

    def give(self) -> list[Any]:
        self._enqueue_again()
        payloads = [*self._old, *self._live]
        self._old.clear()
        self._live.clear()
        self._waiting = self._bytes = 0
        return payloads

    def inherit(self, legacy: list[Any]) -> None:
        self._shown.clear()
        self._old.extendleft(reversed(legacy))
        self._waiting += sum(payload.samples for payload in legacy)
        self._bytes += sum(len(payload.data) for payload in legacy)


class Recent:
    """The payloads sent last to a target that acknowledges nothing, to be sent again.

    Those of the last ``batches`` batches, and so many before them as the buffers of
    two systems hold between us and a target that has stopped reading; at most
    ``limit`` bytes. They are hardly ever needed and much alike, so they are kept
    compressed, at zlib's fastest.
    """

    IN_FLIGHT = 512 * 1024

    def __init__(self, batches: int, limit: int) -> None:
        self._batches = batches
        self._limit = limit
        #: Of each payload: its batch, its length, and itself with its data compressed.
        self._payloads: deque[tuple[int, int, Payload]] = deque()
        self._batch = self._bytes = 0

    def next_batch(self) -> None:
        """What is added from now on belongs to another batch."""
        self._batch += 1
        self._trim()

    def add(self, payload: Payload) -> None:
        """This payload has been sent."""
        if self._batches:
            length = len(payload.data)
            packed = payload._replace(data=zlib.compress(payload.data, 1))
            self._payloads.append((self._batch, length, packed))
            self._bytes += length
            self._trim()

    def _trim(self) -> None:
        while self._payloads:
            batch, length, _ = self._payloads[0]
            needed = batch > self._batch - self._batches
            if self._bytes <= (self._limit if needed else min(self._limit, self.IN_FLIGHT)):
                return
            self._payloads.popleft()
            self._bytes -= length

    def give(self) -> list[Payload]:
        """All of them, which count as sent already, and begin anew."""
        payloads = [
            Payload(zlib.decompress(packed.data), 0, packed.samples or packed.repeated)
            for _, _, packed in self._payloads
        ]
        self._payloads.clear()
        self._bytes = 0
        return payloads
