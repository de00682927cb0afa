"""Idle children: what hasn't changed for a long time is left out, and comes back if it does.

An update knows nothing of it: now and then `sweep` looks for children whose reading is what
it was, and exchanges the class of each for one that reads as None until the reading differs.
When that is done is the reporter's; what several processes share expires in their ``view``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from .buckets import Distribution
from .instrument import Instrument
from .pace import unhurried
from .sample import STATE

#: Seconds between two looks: a child expires so much later at most, or twice that.
LOOKS_APART = 60.0


def extent(reading: Any) -> Any:
    """What of a reading differs after each update that matters."""
    return reading.count if isinstance(reading, Distribution) else reading


class _Idle:
    """Mixed into an instrument's class: reads as None until its number differs."""

    __slots__ = ()


@functools.cache
def _idle(awake: type[Instrument]) -> type[Instrument]:
    """The class of idle instruments of a class."""

    def read(self: Any) -> Any:
        reading = awake.read(self)
        seen = (self.declaration.seen or {}).get(self._values)
        if seen is not None and seen[0] == extent(reading):
            return None
        self.__class__ = awake
        return reading

    def renew(self: Any, keep: bool = False) -> None:
        awake.renew(self, keep)
        seen = self.declaration.seen or {}
        if self._values in seen:
            seen[self._values] = (extent(awake.read(self)), seen[self._values][1])

    members = {
        "__slots__": (),
        "__doc__": awake.__doc__,
        "__module__": awake.__module__,
        "awake": awake,
        "read": read,
        "renew": renew,
        "standing": awake.read,
        # For the application, which holds on to it, nothing has changed.
        "value": property(awake.read),
    }
    return type(awake.__name__, (_Idle, awake), members)


def wake(child: Instrument) -> None:
    """Let a child read as it is."""
    if isinstance(child, _Idle):
        child.__class__ = type(child).awake  # type: ignore[attr-defined]


def sweep(instruments: Iterable[Instrument], now: float, default: float | None) -> dict[str, int]:
    """Let children go idle whose time has come; returns how many are, by instrument.

    ``now`` is monotonic; ``default`` is the time of instruments that have none of their
    own, in seconds, None for ever.
    """
    idle = {}
    for instrument in instruments:
        declared = instrument.declaration
        patience = declared.idle_ttl or default
        if patience is None or declared.callback is not None or instrument.kind == STATE:
            if declared.seen is not None:
                for child in instrument.own_points():
                    wake(child)
                declared.seen = None
        elif instrument.label_names:
            number = _sweep(instrument, now, patience)
            if number:
                idle[instrument.name] = number
    return idle


def _sweep(instrument: Instrument, now: float, patience: float) -> int:
    declared = instrument.declaration
    if declared.seen is None:
        declared.seen = {}
    seen, idle = declared.seen, 0
    for child in unhurried(instrument.own_points(), 500):
        value = extent(child.standing())
        known = seen.get(child._values)
        if known is None or known[0] != value:
            # In this order: with the new number noted first it would go on to be idle.
            wake(child)
            seen[child._values] = (value, now)
        elif now - known[1] >= patience:
            idle += 1
            if not isinstance(child, _Idle):
                child.__class__ = _idle(type(child))  # type: ignore[arg-type]
    return idle
