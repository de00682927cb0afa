"""Cells that tell of every single value that is stored in them.

Put in the place of a histogram's cells while somebody observes it, so that one
that nobody observes pays nothing, and a bound ``observe`` that an application or a
decorator holds is observed as well. Who observes what is for ``hierarchy``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .buckets import MAX
from .octaves import TOTAL, make_room

#: Is told one value, in the instrument's unit, in the thread that records it: must
#: not block, lock, log or raise.
Sink = Callable[[float], None]


class Told:
    """A histogram's cells, those ``kept``, but for the one of the sum, which tells what
    is added to it."""

    __slots__ = ("_kept", "_sum")

    def __init__(self, kept: Any, sinks: Sequence[Sink]) -> None:
        self._kept = kept
        self._sum = _ToldSum(kept[TOTAL], tuple(sinks))

    def __getitem__(self, place: int) -> Any:
        return self._sum if place == TOTAL else self._kept[place]

    def make_room(self, place: int) -> None:
        """Have something to count in at a place."""
        make_room(self._kept, place)


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
