"""`Ledger`: which series has which cells of a store that this process writes.

A slot is one, and so is what a handler was handed over last. Cells of a former writer
are found again by the series' key. Should there be two regions of one key, the first one
counts, here and for all readers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..buckets import HIGHEST_OCTAVE, LOWEST_OCTAVE
from ..octaves import SHIFT
from ..sample import HISTOGRAM, TIMER, Series
from . import records
from .cells import SharedBuckets
from .records import OCTAVE_SIZE, SIZES, STAMP, Key
from .store import Cells, Region, Store


class Ledger:
    """The regions of a store by key. Methods raise OSError where the disk is full."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._regions: dict[Key, Region] = {}
        #: Of a distribution, by the first cell of its region: its octaves.
        self._octaves: dict[int, dict[int, Region]] = {}
        for region in store.regions:
            try:
                if records.is_octave(region.about):
                    start, octave = region.about
                    self._octaves.setdefault(start, {}).setdefault(octave, region)
                else:
                    self._regions.setdefault(records.read(region.about).key, region)
            except Exception:
                continue  # of a newer version of the same format: left alone

    def known(self) -> Iterator[tuple[Key, Cells]]:
        """All series with their cells, the stamp first."""
        for key, region in list(self._regions.items()):
            yield key, self.store.cells(region)

    def find(self, key: Key) -> Any:
        """A series' cell as an instrument has it; None if it has none here."""
        region = self._regions.get(key)
        return None if region is None else self._cell(key.kind, region)

    def cell(self, series: Series, meter: str | None, ttl: float | None, stamp: float) -> Any:
        """A series' cell, allocated if it is new, with the owner's stamp.

        None if this interrupts the allocation of another one.
        """
        key = Key(series.kind, series.name, series.labels)
        about = records.written(series, meter, ttl)
        region = self._region(self._regions, key, STAMP + SIZES[series.kind], about)
        if region is None:
            return None
        self.store.cells(region)[0] = stamp
        return self._cell(series.kind, region)

    def _region(self, known: dict[Any, Region], key: Any, size: int, about: Any) -> Region | None:
        """The region of a key, allocated if it is new."""
        region = known.get(key)
        if region is None:
            with self.store.lock:
                region = known.get(key)
                if region is None:
                    made = self.store.allocate(size, about)
                    # A signal handler may have been here, too: the first one counts.
                    region = None if made is None else known.setdefault(key, made)
        return region

    def _cell(self, kind: str, region: Region) -> Any:
        cells = self.store.cells(region)[STAMP:]
        if kind not in (HISTOGRAM, TIMER):
            return cells
        octaves = self._octaves.setdefault(region.start, {})

        def allocate(octave: int) -> Cells:
            about = records.octave_written(region.start, octave)
            found = self._region(octaves, octave, OCTAVE_SIZE, about)
            return None if found is None else self.store.cells(found)

        buckets = SharedBuckets(cells, allocate)
        for octave in list(octaves):
            if LOWEST_OCTAVE <= octave <= HIGHEST_OCTAVE:
                buckets.make_room(octave + SHIFT)
        return buckets
