"""`NetworkHandler`: what handlers of network targets share.

When to try, how long to wait after a failure, what to count, and the two log lines
that tell of an outage. What is kept meanwhile is a `Backlog`'s; a subclass encodes
samples and sends one payload. Nothing here knows a protocol.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from ..clock import SYSTEM, Clock
from ..display import count, duration
from ..errors import MetricsError, describe
from ..options import Option, choice, integer, period, size
from ..sample import Sample
from .backlog import Backlog, Limits
from .base import Handler, log
from .outage import Pauses, roughly, what_happened
from .replay import History

BUFFER = 16 * 1024 * 1024
BUFFER_SAMPLES = 1_000_000

#: Seconds between two log lines about payloads that a target refuses for good.
REFUSALS_APART = 600.0


class RefusedForGood(MetricsError):
    """The target will never take this payload: a bad line, a wrong type, too large.

    Raised by a handler's ``send``. The payload is dropped and counted; what
    follows goes on. ``samples`` is how many of it were refused, if not all.
    """

    def __init__(self, why: str, samples: int | None = None) -> None:
        super().__init__(why)
        self.samples = samples


class NetworkHandler(Handler):
    """Encodes batches, keeps them until the target took them.

    ``encode`` and ``send`` are a handler's own. While the target is away, what was
    not sent is kept in `make_backlog`'s backlog, and there is an attempt after 1 s,
    2 s, 4 s ... up to a minute, shortened by up to half at random.
    ``clock`` and ``jitter`` (a function giving 0 to 1) are for tests.
    """

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("timeout", period, 5.0, "Seconds that one attempt to connect or send may take."),
        Option("buffer", size, BUFFER, "Bytes kept in memory while the target is away."),
        Option("buffer_samples", integer(1), BUFFER_SAMPLES, "Samples kept in memory, likewise."),
        Option("drop", choice("oldest", "newest"), "oldest", "Which go when there is no room."),
    )

    _backlog: Backlog | None = None
    _away_since: float | None
    _complained: float
    #: Bytes and samples a second that come, by the last round.
    _pace: tuple[float, float] | None

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        buffer: int = BUFFER,
        buffer_samples: int = BUFFER_SAMPLES,
        drop: str = "oldest",
        clock: Clock = SYSTEM,
        jitter: Callable[[], float] = random.random,
        **common: Any,
    ) -> None:
        self.timeout = timeout
        self.limits = Limits(buffer, buffer_samples, drop)
        self._jitter = jitter
        self.resent = 0
        super().__init__(clock=clock, **common)

    # -- to override ---------------------------------------------------------

    def make_backlog(self) -> Backlog:
        """What waits for this target, and how: `History`, `Newest` or `Totals`."""
        return History(self.encode, self.limits)

    def encode(self, samples: Sequence[Sample]) -> Iterable[tuple[bytes, int]]:
        """The payloads of samples, in their order, each with the number of samples in it.

        Called in the worker: at once for `History`, for `Newest` and `Totals` when
        they are about to be sent.
        """
        raise NotImplementedError(f"{type(self).__name__} must override encode()")

    def send(self, payload: bytes) -> None:
        """Send one payload, within `time_limit` seconds.

        Raises OSError if the target is away or did not confirm: the payload is sent
        again later. Raises `RefusedForGood` if it never will take it.
        """
        raise NotImplementedError(f"{type(self).__name__} must override send()")

    def send_all(self, payloads: Sequence[bytes]) -> Iterator[RefusedForGood | None]:
        """Send some payloads; yields once for each, in order, as soon as it was taken
        (None) or refused. Raises OSError as `send` does: that one and all behind it
        are sent again.

        Override it instead of `send` where several may be under way at once.
        """
        for payload in payloads:
            try:
                self.send(payload)
            except RefusedForGood as refused:
                yield refused
            else:
                yield None

    def hang_up(self) -> None:
        """Close the connection, if there is one: the target is away, or this is the
        end, or a forked child, in which it belongs to the parent. Must not block."""

    # -- for subclasses ------------------------------------------------------

    @property
    def time_limit(self) -> float:
        """Seconds that an attempt may take: ``timeout``, and less when the end is near."""
        if self.deadline is None:
            return self.timeout
        return min(self.timeout, max(0.05, self.deadline - time.monotonic()))

    def lost_connection(self) -> None:
        """To be called by ``send`` when it finds that an earlier connection has ended:
        what it carried last may be lost, and is sent again (see `Backlog.repeat`)."""
        self.backlog.repeat()

    @property
    def backlog(self) -> Backlog:
        """What waits. For the worker only, which makes it: options are complete by then."""
        if self._backlog is None:
            self._backlog = self.make_backlog()
        return self._backlog

    # -- what it tells -------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Samples that wait for the target."""
        return self._backlog.waiting if self._backlog else 0

    @property
    def queued(self) -> int:
        """Rounds and events that wait for the worker, and samples that wait for the target."""
        return super().queued + self.waiting

    @property
    def time_left(self) -> float | None:
        """Seconds until the first sample is dropped if the target takes none; None if unknown."""
        if not self._pace or not self._backlog:
            return None
        room = self._backlog.room()
        return max(0.0, min(left / pace for left, pace in zip(room, self._pace)))

    # -- mechanism -----------------------------------------------------------

    def emit(self, samples: Sequence[Sample]) -> int:
        bytes_before, waiting_before = self.backlog.bytes, self.backlog.waiting
        self.backlog.add(samples)
        elapsed = samples[-1].elapsed if samples else 0.0
        if elapsed >= 1 and self.backlog.waiting > waiting_before:
            grown = self.backlog.bytes - bytes_before, self.backlog.waiting - waiting_before
            self._pace = (grown[0] / elapsed, grown[1] / elapsed)
        self._deliver()
        return 0  # those that left were counted one payload at a time

    def idle(self) -> float | None:
        self._deliver()
        now = self.clock.monotonic()
        pause = self.backlog.pause(now)
        return None if pause is None else max(pause, self._pauses.left(now))

    def settled(self) -> bool:
        return not self.waiting

    def close(self) -> None:
        self._pauses.end()
        self._deliver(hurry=True)
        self._leave()
        self.guarded(self.hang_up)

    def _leave(self) -> None:
        """What could not be sent stays on disk, or goes to the successor, or is lost."""
        self._count_lost(self.backlog.hold())
        before = self.backlog.waiting
        legacy = self.backlog.give()
        spooled = self.backlog.waiting
        self.backlog.close()
        if isinstance(self.successor, NetworkHandler) and type(self.successor) is type(self):
            # Also when nothing is left, since it may wait for a file to be free.
            self.successor.take_over(legacy)
        elif before:
            self._count_lost(before - spooled)
            log.warning(
                "%s (%s) has not got all at the end: %s kept on disk, %d lost",
                self.name,
                self.target(),
                count(spooled, "sample"),
                before - spooled,
            )
        # It may be started again.
        self._backlog = None

    def take_over(self, legacy: list[Any]) -> None:
        """Go on with what a replaced handler could not deliver. From any thread."""
        self._inherited.append(legacy)
        successor = self.successor
        if isinstance(successor, NetworkHandler) and type(successor) is type(self):
            # It has been replaced itself, and its worker may have ended.
            for _ in range(len(self._inherited)):
                successor.take_over(self._inherited.popleft())
        else:
            self._worker.wake()

    def _deliver(self, hurry: bool = False) -> None:
        """Send what waits, unless it is too early for another attempt."""
        while self._inherited:
            self.backlog.inherit(self._inherited.popleft())
        if self._away_since is not None:
            # Before an attempt, which may take long, and in which the process may be killed.
            self._count_lost(self.backlog.hold())
        while not self._pauses.left(self.clock.monotonic()):
            before = self.backlog.waiting
            try:
                payloads = self.backlog.ready(self.clock.time(), self.clock.monotonic(), hurry)
            except Exception as error:
                # The samples can't be encoded, and would fail again.
                self._count_lost(before - self.backlog.waiting)
                self.failed(error)
                continue
            finally:
                self._count_lost(self.backlog.expired())
            if not payloads or self._too_late():
                break
            if not (hurry or self.backlog.urgent) and self._worker.queued:
                # A backlog may take long, and what is new goes before it.
                break
            try:
                self._send(payloads)
            except OSError as error:
                self._went_away(error)
        if self.backlog.waiting and (self._away_since is not None or self._too_late()):
            self._count_lost(self.backlog.hold())

    def _too_late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _send(self, payloads: Sequence[Any]) -> None:
        """Send payloads until the first that fails, which is taken too unless it may go again."""
        outcomes = self.send_all([payload.data for payload in payloads])
        for _ in payloads:
            try:
                refused = next(outcomes)
            except OSError:
                raise
            except Exception as error:
                # Trying again would fail again, and hold up all that follows.
                self._count_lost(self.backlog.take(sent=False).samples)
                self.failed(error)
                return
            kept = self.backlog.waiting
            payload = self.backlog.take(sent=refused is None)
            if refused is None:
                self.resent += payload.repeated
                self.count_sent(payload.samples)
                self._came_back(kept)
            else:
                number = payload.samples
                if refused.samples is not None:
                    number = min(number, refused.samples)
                self.count_sent(payload.samples - number)
                self._refused(number, refused)

    def _refused(self, number: int, refused: Exception) -> None:
        self._count_lost(number)
        self.count_failure(describe(refused))
        now = self.clock.monotonic()
        if now - self._complained >= REFUSALS_APART:
            self._complained = now
            log.warning(
                "%s (%s) refuses %s for good: %s (more are only counted, for %s)",
                self.name,
                self.target(),
                count(number, "sample"),
                refused,
                duration(REFUSALS_APART),
            )

    def _count_lost(self, number: int) -> None:
        self.stats.dropped += number
        self._lost += number

    # -- away and back -------------------------------------------------------

    def _went_away(self, error: OSError) -> None:
        now = self.clock.monotonic()
        self._pauses.failed(now, self._away_since is not None)
        self.count_failure(describe(error))
        self.guarded(self.hang_up)
        if self._away_since is None:
            self._away_since = now
            self._lost = 0
            self.backlog.repeat()
            self._count_lost(self.backlog.hold())
            log.warning(
                "%s (%s) %s since %s; %s",
                self.name,
                self.target(),
                what_happened(error),
                time.strftime("%H:%M:%S", time.localtime(self.clock.time())),
                self.keeping(),
            )

    def keeping(self) -> str:
        """What becomes of the samples meanwhile, for a person at night."""
        if not isinstance(self.backlog, History):
            return f"keeping {self.backlog.keeps}"
        return f"keeping {self.how_long()} in memory"

    def how_long(self) -> str:
        """How much can be kept, as time if it is known how fast samples come."""
        left = self.time_left
        return "what fits" if left is None else f"about {roughly(left)}"

    def _came_back(self, kept: int) -> None:
        since, self._away_since = self._away_since, None
        if since is not None:
            log.info(
                "%s (%s) is back after %s; %s kept, %d lost",
                self.name,
                self.target(),
                duration(round(self.clock.monotonic() - since)),
                count(kept, "sample"),
                self._lost,
            )

    def after_fork(self) -> None:
        # What waits and the connection belong to the parent, which still has them.
        super().after_fork()
        if self._backlog is not None:
            self.guarded(self.hang_up)
            self._backlog.abandon()
            self._backlog = None
        self._inherited: deque[list[Any]] = deque()
        self._pace = None
        self._pauses = Pauses(self._jitter)
        self._complained = -math.inf
        self._away_since = None
        self._lost = 0
