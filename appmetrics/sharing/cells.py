"""Cells in a shared file that take the place of an instrument's own.

A counter's or gauge's is a piece of the mapped file itself. A distribution's is a
list as the private one, whose octaves are such pieces. A state is text, so its cell
writes and reads it as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..buckets import SPECIALS, SUBS
from ..octaves import SHIFT, UNUSED, put
from .records import STATE_BYTES, STATE_HEAD


class SharedBuckets(list[Any]):
    """A distribution's cells: an octave is allocated when its first value comes.

    Where that can't be done it is a private list for the time being, and ``failed`` is
    told; `promote` tries again.
    """

    failed: Callable[[SharedBuckets, Exception | None], None] | None = None

    def __init__(self, cells: Any, allocate: Callable[[int], Any]) -> None:
        super().__init__((cells[:SPECIALS], cells[SPECIALS : SPECIALS + 1]))
        self._allocate = allocate

    def make_room(self, place: int) -> None:
        """Have something to count in at a place: shared, or private for now."""
        if place >= len(self) or self[place] is UNUSED:
            put(self, place, self._cells(place, [0] * SUBS))

    def _cells(self, place: int, default: Any) -> Any:
        problem = None
        try:
            cells = self._allocate(place - SHIFT)
            if cells is not None:
                return cells
        except Exception as error:
            problem = error
        if self.failed is not None:
            self.failed(self, problem)
        return default

    def promote(self) -> None:
        """Try again to share the octaves that had to be private."""
        for place, counts in enumerate(list(self)):
            if type(counts) is list:
                cells = self._cells(place, counts)
                if cells is counts:
                    return
                self[place] = cells
                for index in range(len(counts)):
                    amount = counts[index]
                    counts[index] -= amount
                    cells[index] += amount


class StateCell:
    """A state's cell: ``cell[0]`` is (state, description, monotonic time), or None.

    Guarded by a sequence number, odd while somebody writes: a reader that meets that
    tries again, and one that meets a writer's sudden death finds no state.
    """

    def __init__(self, cells: Any) -> None:
        self._cells = cells
        self._bytes = cells[STATE_HEAD:].cast("B")

    def __getitem__(self, index: int) -> tuple[str, str, float] | None:
        cells = self._cells
        for _ in range(20):
            before = cells[0]
            when, size = cells[1], int(cells[2])
            data = bytes(self._bytes[:size])
            if cells[0] == before and before % 2 == 0:
                if not size:
                    return None
                text, _, description = data.decode("utf-8", "replace").partition("\0")
                return text, description, when
        return None

    def __setitem__(self, index: int, value: tuple[str, str, float] | None) -> None:
        cells = self._cells
        data, when = b"", 0.0
        if value is not None:
            text, description, when = value
            # What is cut off in the middle of a character is read as a mark of that.
            data = f"{text}\0{description}".encode("utf-8", "replace")[:STATE_BYTES]
        size = len(data)
        # Without a call from here on: another thread's state comes before or after.
        sequence = cells[0] // 2 * 2
        cells[0] = sequence + 1
        cells[1] = when
        cells[2] = size
        self._bytes[:size] = data
        cells[0] = sequence + 2
