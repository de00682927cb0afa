"""`Uniques`: how many different values there were in the last whole interval.

What statsd calls a set. Intervals are aligned to the wall clock, as rounds are, so
that every handler reads the same number, however often it reads.
"""

from __future__ import annotations

from collections.abc import Callable

from ..clock import Clock
from ..rejection import log

#: Values that are told apart in one interval; beyond, the number stays there.
MAX_VALUES = 100_000


class Uniques:
    """Counts different values by interval; ``interval`` gives its seconds."""

    def __init__(self, clock: Clock, interval: Callable[[], float]) -> None:
        self._clock = clock
        self._interval = interval
        #: By the number of the interval; this one and the one before.
        self._values: dict[int, set[int]] = {}
        self._complained = False

    def add(self, value: object) -> None:
        """Note a value; equal are those whose texts are."""
        try:
            key = hash(str(value))
        except Exception:
            return
        values = self._of(self._now())
        if len(values) < MAX_VALUES:
            values.add(key)
        elif not self._complained:
            self._complained = True
            log.warning("a set has more than %d values, and counts no more of them", MAX_VALUES)

    def count(self) -> int:
        """How many there were in the last whole interval."""
        return len(self._values.get(self._now() - 1, ()))

    def _now(self) -> int:
        return int(self._clock.time() // self._interval())

    def _of(self, interval: int) -> set[int]:
        values = self._values.get(interval)
        if values is None:
            for old in list(self._values):
                if not interval - 1 <= old <= interval:
                    self._values.pop(old, None)
            # setdefault, so that two threads that meet here get the same set.
            values = self._values.setdefault(interval, set())
        return values
