"""`Route`: a handler that is served, and when its rounds are due.

Which time a round has is decided here; who is served is the matter of ``routes``, what is
done in a round that of the ``reporter``.
"""

from __future__ import annotations

import math

from .clock import Clock
from .handlers.base import Handler
from .selection import Point, Selection


class Route:
    """A handler that is served, its selection, and when it is due."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.selection: Selection | None = None
        self.version = -1
        #: The list of points that the selection is made from.
        self.points: list[Point] = []
        self.due: float | None = None
        #: The last or present round: its time, and wall and monotonic time of its reading.
        self.last = (-math.inf, 0.0, 0.0)

    def is_due(self, now: float, interval: float) -> bool:
        """Whether a round is due; ``interval`` is for a handler that has none of its own."""
        if self.handler.pull:
            return False
        interval = self.handler.interval or interval
        # No due time yet, or the wall clock has been set back.
        if self.due is None or self.due - now > interval:
            self.due = _next_due(now, interval)
            if -math.inf < self.last[0] < self.due - interval:
                # Another process sent before, and did not come to this round.
                self.due -= interval
        return now >= self.due

    def begin(self, clock: Clock, interval: float, last: bool) -> int | None:
        """A round is made now, see ``last``; how many before it were missed.

        None if it can't be made, since its time has been given to another one.
        """
        interval = self.handler.interval or interval
        now, monotonic = clock.time(), clock.monotonic()
        due, self.due = self.due, _next_due(now, interval)
        # The last round belongs to the interval it is cut short in.
        time = self.due if last else self.due - interval
        while last and not self._free(time, now, monotonic):
            time += interval
        if not self._free(time, now, monotonic):
            # The interval has been changed, and its grid with it.
            return None
        self.last = (time, now, monotonic)
        return 0 if last or due is None else max(0, round((time - due) / interval))

    def _free(self, time: float, now: float, monotonic: float) -> bool:
        """Whether a round may have this time: it is later than all before.

        Targets keep one number for each time, and a second one overwrites it. The
        times start anew if the wall clock has been set back.
        """
        last, wall, then = self.last
        return time > last or now - wall < monotonic - then - 1.0


def _next_due(now: float, interval: float) -> float:
    """The next moment that is a whole multiple of the interval."""
    due = (math.floor(now / interval) + 1) * interval
    # Of an interval such as 0.1, the multiple may be this very moment by rounding.
    return due if due > now else due + interval
