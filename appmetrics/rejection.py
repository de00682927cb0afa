"""What happens to updates that can't be recorded: counted, logged once, never raised.

Under ``appmetrics.testing`` the switch `STRICT` makes them raise instead.
"""

from __future__ import annotations

import logging

from .errors import RejectedValue

log = logging.getLogger("appmetrics")

#: So many names are told apart, by so many of their characters. They are made of data where
#: an application makes its names of data.
MOST, LONGEST = 10_000, 200
OTHERS = "others"

#: Instrument name -> number of rejected updates.
counts: dict[str, int] = {}

_strict = 0


def strict(on: bool) -> None:
    """Make rejected updates raise `RejectedValue`; calls nest."""
    global _strict
    _strict += 1 if on else -1


def reject(name: str, why: str) -> None:
    """Count a rejected update of an instrument; log the first one of each.

    Raises RejectedValue in strict mode only.
    """
    if _strict > 0:
        raise RejectedValue(f"{name}: {why}")
    name = name[:LONGEST]
    first = name not in counts
    if first and len(counts) >= MOST:
        name = OTHERS
        first = name not in counts
    counts.setdefault(name, 0)
    counts[name] += 1  # without a call in between, see ``cells``
    if first:
        log.warning("%s: %s; this update and any like it are left out", name, why)
