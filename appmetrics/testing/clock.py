"""`ManualClock`: time that stands still until a test moves it."""

from __future__ import annotations


class ManualClock:
    """A `Clock` for tests: give it to whatever takes a clock, and move it by hand.

    ``start`` is the wall time it begins with, in seconds since 1970; the default
    is a whole multiple of every usual interval. Monotonic time begins at 0.
    """

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self._wall = start
        self._monotonic = 0.0

    def time(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError(f"time does not run backwards: {seconds!r}; see set_wall_time()")
        self._wall += seconds
        self._monotonic += seconds

    def set_wall_time(self, time: float) -> None:
        """Set the wall time only, as an operator or NTP does."""
        self._wall = time

    def __repr__(self) -> str:
        return f"<ManualClock {self._wall:.3f}>"
