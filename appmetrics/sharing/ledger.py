"""`Ledger`: which series has which cells of a store that this process writes.

A slot is one, and so is what a handler was handed over last. Cells of a former writer
are found again by the series' key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
                    self._octaves.setdefault(start, {})[octave] = region
                else:
                    self._regions[records.read(region.about).key] = region
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
        region = self._regions.get(key)
        if region is None:
            size = STAMP + SIZES[series.kind]
            made = self.store.allocate(size, records.written(series, meter, ttl))
            if made is None:
                return None
            # Two threads, or a signal handler, may have come this way for one series.
            region = self._regions.setdefault(key, made[0])
        self.store.cells(region)[0] = stamp
        return self._cell(series.kind, region)

    def _cell(self, kind: str, region: Region) -> Any:
        cells = self.store.cells(region)[STAMP:]
        if kind not in (HISTOGRAM, TIMER):
            return cells
        octaves = self._octaves.setdefault(region.start, {})

        def allocate(octave: int) -> Cells:
            known = octaves.get(octave)
            if known is None:
                about = records.octave_written(region.start, octave)
                made = self.store.allocate(OCTAVE_SIZE, about)
                if made is None:
                    return None
                known = octaves.setdefault(octave, made[0])
            return self.store.cells(known)

        buckets = SharedBuckets(cells, allocate)
        for octave in list(octaves):
            buckets.setdefault(octave)
        return buckets
