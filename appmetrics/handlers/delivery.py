"""`NetworkHandler`: what handlers of network targets share.

A bounded buffer of encoded payloads, back-off while the target is away, and the
two log lines that tell of an outage. A subclass encodes samples and sends one
payload; nothing here knows a protocol.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from ..clock import SYSTEM, Clock
from ..display import duration, quantity
from ..errors import describe
from ..options import Option, period, size
from ..sample import Sample
from .base import Handler, log

#: Seconds until the second attempt, doubled with each further one up to the last.
FIRST_RETRY = 1.0
LAST_RETRY = 60.0

BUFFER = 16 * 1024 * 1024


class NetworkHandler(Handler):
    """Encodes batches, keeps them until the target took them, the oldest first.

    When the buffer is full, the oldest payloads are dropped and counted.
    ``clock`` and ``jitter`` (a function giving 0 to 1) are for tests.
    """

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("timeout", period, 5.0, "Seconds that one attempt to connect or send may take."),
        Option("buffer", size, BUFFER, "Bytes kept while the target is away; the oldest go."),
    )

    #: Samples that wait for the target.
    waiting: int
    _payloads: deque[tuple[bytes, int]]
    _away_since: float | None

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        buffer: int = BUFFER,
        clock: Clock = SYSTEM,
        jitter: Callable[[], float] = random.random,
        **common: Any,
    ) -> None:
        self.timeout = timeout
        self.buffer = buffer
        self._jitter = jitter
        super().__init__(clock=clock, **common)

    # -- to override ---------------------------------------------------------

    def encode(self, samples: Sequence[Sample]) -> Iterable[tuple[bytes, int]]:
        """The payloads of a batch, each with the number of samples that it counts for."""
        raise NotImplementedError(f"{type(self).__name__} must override encode()")

    def send(self, payload: bytes) -> None:
        """Send one payload, within ``timeout``; raises OSError."""
        raise NotImplementedError(f"{type(self).__name__} must override send()")

    # -- mechanism -----------------------------------------------------------

    @property
    def queued(self) -> int:
        """Rounds and events that wait for the worker, and samples that wait for the target."""
        return super().queued + self.waiting

    def emit(self, samples: Sequence[Sample]) -> int:
        before = self._bytes
        # All or nothing: a batch that fails in the middle is counted as dropped.
        for payload, count in list(self.encode(samples)):
            self._payloads.append((payload, count))
            self._bytes += len(payload)
            self.waiting += count
        if samples and samples[-1].elapsed >= 1:
            self._pace = (self._bytes - before) / samples[-1].elapsed
        self._deliver()
        # Afterwards, since a batch may be larger than the buffer. The newest payload stays.
        while self._bytes > self.buffer and len(self._payloads) > 1:
            self._take(lost=True)
        return 0  # those that left were counted one payload at a time

    def idle(self) -> float | None:
        self._deliver()
        if not self._payloads:
            return None
        return max(0.0, self._next_attempt - self.clock.monotonic())

    def close(self) -> None:
        self._next_attempt = 0.0
        self._deliver()
        if self._payloads and isinstance(self.successor, NetworkHandler):
            self.successor.take_over(self._payloads)
        elif self._payloads:
            log.warning(
                "handler %s: %s is still away at the end; %d samples are lost",
                self.name,
                self.target(),
                self.waiting,
            )
            while self._payloads:
                self._take(lost=True)

    def take_over(self, payloads: Iterable[tuple[bytes, int]]) -> None:
        """Go on with what a replaced handler could not deliver. From any thread."""
        self._inherited.extend(payloads)
        if isinstance(self.successor, NetworkHandler):
            # It has been replaced itself, and its worker may have ended.
            rest = [self._inherited.popleft() for _ in range(len(self._inherited))]
            self.successor.take_over(rest)
        else:
            self._wake()

    def _deliver(self) -> None:
        """Send what waits, unless it is too early for another attempt."""
        while self._inherited:
            payload, count = self._inherited.pop()
            self._payloads.appendleft((payload, count))
            self._bytes += len(payload)
            self.waiting += count
        while self._payloads and self.clock.monotonic() >= self._next_attempt:
            try:
                self.send(self._payloads[0][0])
            except OSError as error:
                self._went_away(error)
                return
            except Exception as error:
                # Trying again would fail again, and hold up all that follows.
                self._take(lost=True)
                self.failed(error)
            else:
                self._delay = FIRST_RETRY
                self._take(lost=False)
        if self._away_since is not None and not self._payloads:
            self._came_back(self._away_since)

    def _take(self, *, lost: bool) -> None:
        """The oldest payload leaves the buffer, sent or lost."""
        payload, count = self._payloads.popleft()
        self._bytes -= len(payload)
        self.waiting -= count
        if lost:
            self.stats.dropped += count
            self._lost += count
        else:
            self.count_sent(count)
            self._late += count

    def _went_away(self, error: Exception) -> None:
        delay = self._delay * (0.5 + self._jitter() / 2)
        self._delay = min(LAST_RETRY, self._delay * 2)
        self._next_attempt = self.clock.monotonic() + delay
        reason = describe(error)
        self.count_failure(reason)
        if self._away_since is None:
            self._away_since = self.clock.monotonic()
            self._late = self._lost = 0
            log.warning(
                "handler %s: can't send to %s (%s); %s, retrying in %.1f s",
                self.name,
                self.target(),
                reason,
                self._patience(),
                delay,
            )

    def _patience(self) -> str:
        """What is kept, and for how long, in words."""
        kept = f"up to {quantity(self.buffer, 'bytes')} of samples are kept"
        if self._pace:
            kept += f" (enough for {duration(round(self.buffer / self._pace))})"
        return f"{kept}, then the oldest are dropped"

    def _came_back(self, since: float) -> None:
        log.info(
            "handler %s: %s is back after %s; %d samples were sent late, %d were lost",
            self.name,
            self.target(),
            duration(round(self.clock.monotonic() - since)),
            self._late,
            self._lost,
        )
        self._away_since = None

    def after_fork(self) -> None:
        # What waits belongs to the parent, which still has it.
        super().after_fork()
        self._payloads = deque()
        self._inherited: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._pace = 0.0  # bytes a second, by the last round
        self.waiting = 0
        self._delay = FIRST_RETRY
        self._next_attempt = 0.0
        self._away_since = None
        self._late = self._lost = 0
