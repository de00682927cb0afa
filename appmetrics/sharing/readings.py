"""`Readings`: what a handler was handed over last, kept where the next leader finds it.

Written after each hand-over, so that of an abrupt change of leader at most the one
interval in flight is lost or repeated.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..buckets import Distribution
from ..octaves import SHIFT, SPECIAL, TOTAL, distribution
from ..pace import unhurried
from ..sample import COUNTER, HISTOGRAM, TIMER
from ..selection import Point
from .folder import Folder
from .ledger import Ledger
from .records import Key, whole
from .store import Broken, Store, remove

#: Cells of the header: the last round's time, and when it was read (monotonic seconds,
#: which all processes of a machine share until it starts anew).
TIME, MONOTONIC = range(2)


class Readings:
    """The last readings of one handler. Raises OSError."""

    def __init__(self, folder: Folder, handler: str) -> None:
        path = _path(folder, handler)
        try:
            self._store = Store(path, write=True)
        except Broken:
            remove(path)
            self._store = Store(path, write=True)
        self._ledger = Ledger(self._store)
        self._cells: dict[int, tuple[Point, Any]] = {}

    @property
    def time(self) -> float:
        """The time of the last round, 0 if there was none."""
        return float(self._store.header[TIME])

    @property
    def monotonic(self) -> float:
        """When it was read."""
        return float(self._store.header[MONOTONIC])

    def before(self, point: Point) -> Any:
        """The last reading of a point; None if there is none, or none is needed."""
        series = point.series
        if series.kind not in (COUNTER, HISTOGRAM, TIMER):
            return None
        cell = self._ledger.find(Key(series.kind, series.name, series.labels))
        if cell is None:
            return None
        return whole(cell[0]) if series.kind == COUNTER else distribution(cell)

    def keep(
        self, points: Sequence[Point], readings: Sequence[Any], time: float, monotonic: float
    ) -> None:
        """Note what was handed over: the readings of these points."""
        # First: should this be the end, the next leader must not use this time again,
        # since targets keep one number for each.
        header = self._store.header
        header[TIME], header[MONOTONIC] = time, monotonic
        for index in unhurried(range(len(readings)), 500):
            point, reading = points[index], readings[index]
            if isinstance(reading, Distribution):
                self._keep_distribution(self._cell(point), reading)
            elif reading is not None and point.series.kind == COUNTER:
                self._cell(point)[0] = reading

    def _cell(self, point: Point) -> Any:
        known = self._cells.get(id(point))
        if known is None:
            cell = self._ledger.cell(point.series, None, None, stamp=0.0)
            known = self._cells[id(point)] = (point, cell)
        return known[1]

    @staticmethod
    def _keep_distribution(buckets: Any, reading: Distribution) -> None:
        for octave, counts in reading.octaves.items():
            buckets.make_room(octave + SHIFT)
            buckets[octave + SHIFT][:] = array("d", counts)
        buckets[SPECIAL][:] = array("d", reading.special)
        buckets[TOTAL][0] = reading.sum

    def close(self) -> None:
        """Close the files."""
        self._store.close()


class Handlers:
    """The last readings of all handlers of the process that sends; never raises."""

    def __init__(self, folder: Folder, complain: Callable[[Exception], None]) -> None:
        self._folder = folder
        self._complain = complain
        self._readings: dict[str, Readings] = {}

    def before(self, handler: str) -> Callable[[Point], Any]:
        """What a handler that is served from now on had been handed over of each point."""
        readings = self._of(handler)
        return readings.before if readings is not None else lambda point: None

    def last_round(self, handler: str) -> tuple[float, float] | None:
        """Time and monotonic time of its last round, by a former process."""
        readings = self._of(handler)
        return (readings.time, readings.monotonic) if readings and readings.time else None

    def _of(self, handler: str) -> Readings | None:
        if handler not in self._readings:
            try:
                self._readings[handler] = Readings(self._folder, handler)
            except OSError as error:
                self._complain(error)
        return self._readings.get(handler)

    def keep(
        self,
        handler: str,
        points: Sequence[Point],
        readings: Sequence[Any],
        time: float,
        monotonic: float,
    ) -> None:
        """Note a round."""
        kept = self._of(handler)
        if kept is not None:
            try:
                kept.keep(points, readings, time, monotonic)
            except OSError as error:
                self._complain(error)

    def forget(self, handler: str) -> None:
        """A handler is there no more; should it come back, it is a new one."""
        kept = self._readings.pop(handler, None)
        if kept is not None:
            kept.close()
        remove(_path(self._folder, handler))

    def close(self) -> None:
        """Close all files."""
        for kept in self._readings.values():
            kept.close()
        self._readings.clear()


class Unkept:
    """Where no other process goes on: nothing is noted. ``known`` are readings that a
    first delta counts from, by id of the point."""

    def __init__(self, known: Mapping[int, Any]) -> None:
        self._known = known

    def before(self, handler: str) -> Callable[[Point], Any]:
        """See `Handlers.before`."""
        known = self._known
        return lambda point: known.get(id(point))

    def last_round(self, handler: str) -> None:
        """There was none."""

    def keep(self, handler: str, *round: Any) -> None:
        """Nothing to be done."""

    def forget(self, handler: str) -> None:
        """Nothing to be done."""


def _path(folder: Folder, handler: str) -> str:
    return folder.file(f"handler-{quote(handler, safe='')}")
