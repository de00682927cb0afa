"""Cells that tell of every single value that is stored in them.

Put in the place of a histogram's cells while somebody observes it, so that one
that nobody observes pays nothing, and a bound ``observe`` that an application or a
decorator holds is observed as well. Who observes what is for ``hierarchy``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .buckets import MAX

#: Is told one value, in the instrument's unit, in the thread that records it: must
#: not block, lock, log or raise.
Sink = Callable[[float], None]


class Told(dict[int, Any]):
    """A histogram's cells, the same as ``kept``, but for one under ``total`` that tells
    what is added to it."""

    def __init__(self, kept: Any, total: int, sinks: Sequence[Sink]) -> None:
        # In cells that are shared a list stands in for an octave until it can be shared.
        self._for_good = type(kept) is dict
        super().__init__((k, cells) for k, cells in list(kept.items()) if self._lasts(cells))
        self._kept = kept
        self[total] = _ToldSum(kept[total], tuple(sinks))

    def _lasts(self, cells: Any) -> bool:
        return self._for_good or type(cells) is not list

    def __missing__(self, key: int) -> Any:
        return self._kept[key]

    def setdefault(self, key: int, default: Any = None) -> Any:
        # setdefault there, so that two threads that meet here get the same cells.
        found = self._kept.setdefault(key, default)
        if self._lasts(found):
            self[key] = found
        return found


class _ToldSum(list[Any]):
    """The cell of a sum. It reads as 0, so that what is stored is what was added."""

    __slots__ = ("_kept", "_sinks")

    def __init__(self, kept: Any, sinks: tuple[Sink, ...]) -> None:
        super().__init__((0,))
        self._kept = kept
        self._sinks = sinks

    def __setitem__(self, index: Any, value: Any) -> None:
        total = self._kept[0] + value
        self._kept[0] = total if total <= MAX else MAX
        for sink in self._sinks:
            sink(value)
