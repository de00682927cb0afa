"""Time as a parameter: one object that gives wall and monotonic time.

``appmetrics.testing.ManualClock`` is its twin for tests. Only the hot path
(spans) calls ``time.perf_counter`` itself.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def time(self) -> float:
        """Seconds since 1970 (wall time, may jump)."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment (never jumps)."""


class SystemClock:
    """The time of this machine."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


SYSTEM = SystemClock()
