"""An outage in words and in time: what it is called, and when to try again.

Nothing here knows what waits or where it goes.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Callable

from ..errors import describe

#: Seconds until the second attempt, doubled with each further one up to the last.
FIRST_RETRY = 1.0
LAST_RETRY = 60.0


class Pauses:
    """When the next attempt is due, by a monotonic clock.

    ``jitter`` gives 0 to 1, by which a pause is shortened by up to half: processes
    that lost the same target don't come back at the same moment.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._delay = FIRST_RETRY
        self._failed = -math.inf
        self._next = -math.inf

    def left(self, now: float) -> float:
        """Seconds until the next attempt, 0 if it is due."""
        return max(0.0, self._next - now)

    def failed(self, now: float, away: bool) -> None:
        """An attempt has failed; ``away`` says whether the one before it had, too."""
        # A target that comes and goes is tried ever more rarely, too.
        if not away and now - self._failed > 2 * self._delay:
            self._delay = FIRST_RETRY
        self._failed = now
        self._next = now + self._delay * (0.5 + self._jitter() / 2)
        self._delay = min(LAST_RETRY, self._delay * 2)

    def end(self) -> None:
        """The next attempt is due at once."""
        self._next = -math.inf


def roughly(seconds: float) -> str:
    """A length of time in its largest unit: 40 min, 3 h, 12 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"


#: What an outage is called, by the kind of error; the first that fits.
_CALLED: tuple[tuple[type[OSError], str], ...] = (
    (ConnectionRefusedError, "refused"),
    (TimeoutError, "timed out"),
    (socket.gaierror, "has no address"),
    (ConnectionError, "hung up"),
)
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)


def what_happened(error: OSError) -> str:
    """An outage in a word or two, as in "carbon refused since 03:12:04"."""
    for kind, word in _CALLED:
        if isinstance(error, kind):
            return word
    if error.errno in _UNREACHABLE:
        return "is unreachable"
    return f"fails ({describe(error)})"
