"""Tests of octaves.py: the table of buckets, and room for what is counted."""

from __future__ import annotations

import inspect
import math
import sys
import threading
from typing import Any

import pytest

from appmetrics.buckets import HIGHEST_OCTAVE, LOWEST, LOWEST_OCTAVE, SUBS, upper_edge
from appmetrics.instrument import Declaration
from appmetrics.instruments import Histogram, Timing
from appmetrics.octaves import (
    BUCKETS,
    OFFSET,
    SCALE,
    SHIFT,
    distribution,
    make_room,
    new_cells,
    where,
)

EDGES = [
    upper_edge(octave, sub)
    for octave in range(LOWEST_OCTAVE, HIGHEST_OCTAVE + 1)
    for sub in range(SUBS)
]


def row(value: float) -> tuple[float, int, int]:
    """The row of the table that is looked at for a value."""
    return BUCKETS[math.ceil(math.log2(value) * SCALE + OFFSET)]


def test_every_edge_has_its_own_row() -> None:
    """A value that is exactly an edge is never looked for in the bucket above."""
    for edge in EDGES:
        assert row(edge) == (edge, *where(edge))


def test_just_above_an_edge_the_rare_way_is_taken() -> None:
    """The next float is found in the next row, or is above the edge of its own."""
    for edge in EDGES[:-1]:
        after = math.nextafter(edge, math.inf)
        found = row(after)
        assert after > found[0] or found[1:] == where(after)


@pytest.mark.parametrize("value", [5e-324, 1e-300, 1e-10, math.nextafter(LOWEST, 0), LOWEST])
def test_what_is_too_small_is_above_the_edge_of_its_row(value: float) -> None:
    """So that no value needs a look at whether it is in range."""
    assert value > row(value)[0]


def test_what_is_too_large_has_no_row() -> None:
    """Up to the largest float."""
    for value in (2.0**HIGHEST_OCTAVE * 1.1, sys.float_info.max):
        with pytest.raises(IndexError):
            row(value)


@pytest.mark.parametrize("update", [Histogram.observe, Timing.__exit__])
def test_the_hot_path_has_the_tables_numbers(update: Any) -> None:
    """They stand there as numbers, since names take longer."""
    assert {SCALE, OFFSET} <= set(inspect.unwrap(update).__code__.co_consts)


def test_cells_are_as_long_as_the_highest_octave_needs() -> None:
    """Octaves in which there is nothing take no room of their own."""
    cells = new_cells()
    make_room(cells, 3 + SHIFT)
    assert len(cells) == 3 + SHIFT + 1
    assert [place for place, counts in enumerate(cells) if counts] == [0, 1, 3 + SHIFT]
    with pytest.raises(LookupError):
        cells[2 + SHIFT][0] += 1
    assert distribution(cells).octaves == {3: (0,) * SUBS}


def test_room_that_is_there_stays() -> None:
    """What was counted before somebody asks again is still there."""
    cells = new_cells()
    make_room(cells, SHIFT)
    cells[SHIFT][5] += 1
    make_room(cells, SHIFT)
    make_room(cells, SHIFT - 1)
    assert distribution(cells).octaves == {-1: (0,) * SUBS, 0: (0,) * 5 + (1,) + (0,) * 10}


@pytest.mark.usefixtures("hectic")
def test_threads_that_need_the_same_octaves_at_once_lose_nothing() -> None:
    """All begin with cells in which there is nothing; the first values are the risk."""
    threads, rounds = 6, 150
    histograms = [Histogram(Declaration("h")) for _ in range(rounds)]
    together = threading.Barrier(threads)

    def record() -> None:
        together.wait()
        for histogram in histograms:
            for octave in range(-5, 5):
                histogram.observe(2.0**octave)

    workers = [threading.Thread(target=record) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {histogram.value.count for histogram in histograms} == {threads * 10}
