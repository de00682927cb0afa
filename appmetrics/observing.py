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
    """A histogram's cells, with one under ``total`` that tells what is added to it.

    Always empty, so that every key is asked for here.
    """

    def __init__(self, kept: Any, total: int, sinks: Sequence[Sink]) -> None:
        super().__init__()
        self._kept = kept
        self._total = total
        self._sum = _ToldSum(kept[total], tuple(sinks))

    def __missing__(self, key: int) -> Any:
        return self._sum if key == self._total else self._kept[key]

    def setdefault(self, key: int, default: Any = None) -> Any:
        return self._kept.setdefault(key, default)


class _ToldSum:
    """The cell of a sum. Reads as nothing, so that what is stored is what was added."""

    __slots__ = ("_kept", "_sinks")

    def __init__(self, kept: Any, sinks: tuple[Sink, ...]) -> None:
        self._kept = kept
        self._sinks = sinks

    def __getitem__(self, index: int) -> Any:
        return 0

    def __setitem__(self, index: int, value: Any) -> None:
        total = self._kept[index] + value
        self._kept[index] = total if total <= MAX else MAX
        for sink in self._sinks:
            sink(value)
