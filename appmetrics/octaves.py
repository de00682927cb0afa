"""A histogram's cells: the list of lists in which its values are counted.

The counts of values beyond the range (`SPECIAL`), their sum (`TOTAL`), and from then on
16 counts for each octave, or `UNUSED` until a value comes. It is as long as its highest
octave needs. And it is exactly a list, since the interpreter has a short way into those;
where cells are shared or observed others take its place, with a method ``make_room``.

What a bucket is belongs to ``buckets``, and counting to the instruments.
"""

from __future__ import annotations

from typing import Any

from .buckets import (
    HIGHEST_OCTAVE,
    LOWEST_OCTAVE,
    SPECIALS,
    SUBS,
    Distribution,
    place,
    upper_edge,
)

SPECIAL, TOTAL = 0, 1
#: An octave's place in the list is that much more than its number.
SHIFT = 2 - LOWEST_OCTAVE

#: What stands for an octave in which there is nothing: counting there is a LookupError.
UNUSED: tuple[int, ...] = ()

#: How many buckets too small for us there are between the smallest float and `LOWEST`.
_TOO_SMALL = SUBS * (LOWEST_OCTAVE - 1 + 1074)

#: (upper edge, place, sub-bucket) of all buckets, rising: a float above 0 is in the one at
#: ``ceil(log2(value) * SCALE + OFFSET)`` unless it is above its edge. With the small
#: amount that is taken off, no error of log2 and the sum (2e-12) points to a bucket too
#: high; so one comparison makes it exact at every edge. Whatever is out of range is above
#: the edge of its row, or has none.
BUCKETS = (
    *(((0.0, 0, 0),) * (_TOO_SMALL + 1)),
    *(
        (upper_edge(octave, sub), octave + SHIFT, sub)
        for octave in range(LOWEST_OCTAVE, HIGHEST_OCTAVE + 1)
        for sub in range(SUBS)
    ),
)
SCALE = float(SUBS)
OFFSET = SCALE * 1074 - 1e-9


def new_cells() -> list[Any]:
    """Cells in which nothing was counted."""
    return [[0] * SPECIALS, [0.0]]


def where(value: float) -> tuple[int, int]:
    """The place in the list, and the one there, of any number >= 0."""
    octave, index = place(value)
    return (SPECIAL if octave is None else octave + SHIFT), index


def make_room(cells: Any, place: int) -> None:
    """Have something to count in at a place, in cells of any class."""
    if type(cells) is not list:
        cells.make_room(place)
        return
    put(cells, place, [0] * SUBS)


def put(cells: list[Any], place: int, counts: Any) -> None:
    """Have these to count in at a place, unless others are there."""
    while len(cells) <= place:
        cells.append(UNUSED)
    # Without a call in between, so that threads that meet here count in the same ones.
    if cells[place] is UNUSED:
        cells[place] = counts


def distribution(cells: list[Any]) -> Distribution:
    """What a histogram's cells hold."""
    octaves = {
        octave: tuple(counts)
        for octave, counts in enumerate(cells[TOTAL + 1 :], LOWEST_OCTAVE)
        if counts
    }
    return Distribution(octaves, tuple(cells[SPECIAL]), cells[TOTAL][0])
