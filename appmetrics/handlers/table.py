"""How handlers are doing, as rows for the page, ``show`` and other processes: plain JSON data.

What the numbers mean is said where they are counted, in ``base`` and ``delivery``.
"""

from __future__ import annotations

import os
from typing import Any

from ..display import without_passwords
from .base import Handler, shown_target


def row(handler: Handler, interval: float) -> dict[str, Any]:
    """One handler: who it is, what it has sent and keeps, and what went wrong last.

    ``interval`` is that of handlers without one. Counts are in samples, ``queue`` also in
    rounds and events; ``time_left`` (until the first sample would be dropped) and ``lag``
    in seconds; times in seconds since 1970. None is what a handler doesn't have.
    """
    stats, pull = handler.stats, handler.pull
    return {
        "name": handler.name,
        "class": type(handler).__name__,
        "target": without_passwords(shown_target(handler)),
        "pid": os.getpid(),
        "interval": None if pull else handler.interval or interval,
        "sent": stats.sent,
        "served": handler.served,
        "queue": handler.queued,
        "spooled": handler.spooled,
        "dropped": stats.dropped,
        "errors": stats.errors,
        "time_left": handler.time_left,
        "lag": None if pull else stats.lag,
        "last_sent": stats.last_sent,
        "last_error": without_passwords(stats.last_error),
        "last_error_time": stats.last_error_time,
    }
