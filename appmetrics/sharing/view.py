"""`View`: the numbers of all slots of a folder, merged into points that can be read.

Only reads. A point is one series: its counts are the sum over all slots, those of the
dead included; its gauges and states are those of the living.
"""

from __future__ import annotations

import math
from typing import Any

from ..buckets import Distribution, finite
from ..idling import extent
from ..instruments import state_value
from ..pace import unhurried
from ..sample import COUNTER, GAUGE, HISTOGRAM, STATE, TIMER, Series, StateValue
from ..selection import Point
from . import records
from .cells import StateCell
from .events import EventReader
from .folder import Folder
from .records import STAMP, About, Key
from .slot import EPOCH, PID
from .store import Broken, Cells, Store

#: A series that no living process declares, and that doesn't change, is left out after so
#: many seconds.
FORGOTTEN = 3600.0

#: The merge mode and the label of gauges that are shown for each process.
WORKER = "worker"

#: What a slot has of a series: its cells, and the first one's number.
Place = tuple["Reader", Cells, int]


class Reader:
    """One slot as others see it."""

    def __init__(self, folder: Folder, number: int) -> None:
        path = folder.file(f"slot-{number}")
        self.number = number
        self.alive = False
        self.store = Store(path, write=False)
        self.events = EventReader(path)
        self.keys: set[Key] = set()
        #: Of a distribution, by the first cell of its region: its octaves so far.
        self.octaves: dict[int, dict[int, Cells]] = {}
        self.header = self.store.header

    @property
    def pid(self) -> int:
        """The process that claimed it last."""
        return int(self.header[PID])

    def declares(self, cells: Cells) -> bool:
        """Whether a living process has declared this series."""
        return self.alive and bool(cells[0] == self.header[EPOCH])


class Merged:
    """One series of all processes: a `Point`."""

    kind = ""

    def __init__(self, about: About, series: Series) -> None:
        self.series = series
        #: The name of the meter that made it, None for what no meter has.
        self.meter = about.meter
        #: What it was when it was seen to change last, and when that was.
        self.seen: Any = None
        self.seen_when = 0.0
        self.hidden = self.idle = False
        self._ttl = about.ttl
        self._labelled = bool(about.series.labels)
        self._places: tuple[Place, ...] = ()

    def add(self, reader: Reader, cells: Cells, start: int) -> None:
        """Take in what a slot has of it."""
        self._places = (*self._places, (reader, cells, start))

    def drop(self, reader: Reader) -> None:
        """Forget what a slot had of it."""
        self._places = tuple(place for place in self._places if place[0] is not reader)

    def declared(self) -> bool:
        """Whether any living process declares it."""
        return any(reader.declares(cells) for reader, cells, _ in self._places)

    def read(self) -> Any:
        """The merged value of now; None if there is none."""
        value = self.merged()
        if self.hidden:
            if extent(value) == self.seen:
                return None
            self.hidden = self.idle = False
        return value

    def standing(self) -> Any:
        """The merged value, also of what is hidden."""
        return self.merged()

    def patience(self, default: float | None) -> float:
        """For how many seconds it is shown while it doesn't change."""
        if not self.declared():
            return FORGOTTEN
        if self.meter is None or not self._labelled or self.series.kind == STATE:
            return math.inf
        return self._ttl or default or math.inf

    def merged(self) -> Any:
        """The merged value, also of what is hidden."""
        raise NotImplementedError


class MergedCounter(Merged):
    """The sum over all slots."""

    def merged(self) -> float:
        total = 0.0
        for _, cells, _ in self._places:
            total += cells[STAMP]
        return records.whole(finite(total))


class MergedGauge(Merged):
    """The sum, the greatest or the least of the living."""

    def merged(self) -> float | None:
        values = [cells[STAMP] for reader, cells, _ in self._places if reader.alive]
        values = [value for value in values if value == value]
        if not values:
            return None
        merge = self.series.merge
        value = max(values) if merge == "max" else min(values) if merge == "min" else sum(values)
        return records.whole(finite(value))


class MergedDistribution(Merged):
    """Buckets and sums of all slots, added."""

    def merged(self) -> Distribution:
        special = [0, 0, 0]
        total = 0.0
        sums: dict[int, list[int]] = {}
        for reader, cells, start in self._places:
            for index in range(3):
                special[index] += int(cells[STAMP + index])
            total += cells[STAMP + 3]
            for octave, buckets in list(reader.octaves.get(start, {}).items()):
                counts = list(map(int, buckets))
                known = sums.get(octave)
                sums[octave] = counts if known is None else [a + b for a, b in zip(known, counts)]
        return Distribution(sums, tuple(special), finite(total))


class MergedState(Merged):
    """The worst of the living, by its number; the newest of several that are as bad."""

    now = 0.0

    def merged(self) -> StateValue | None:
        found = [StateCell(cells[STAMP:])[0] for reader, cells, _ in self._places if reader.alive]
        values = [
            (value.number, when, value)
            for state in found
            if state is not None
            for value, when in [(state_value(state, self.series.states, self._ttl), state[2])]
            if self._ttl is None or self.now - when <= self._ttl
        ]
        return max(values, key=lambda each: each[:2])[2] if values else None


_MERGED: dict[str, type[Merged]] = {
    COUNTER: MergedCounter,
    GAUGE: MergedGauge,
    HISTOGRAM: MergedDistribution,
    TIMER: MergedDistribution,
    STATE: MergedState,
}


class View:
    """All slots of a folder. ``points`` only grows, as the registry's does."""

    def __init__(self, folder: Folder, own: int | None) -> None:
        self.folder = folder
        self.own = own
        self.points: list[Point] = []
        self.readers: dict[int, Reader] = {}
        self._merged: dict[tuple[Key, int | None], Merged] = {}
        self._states: list[MergedState] = []
        self._departing = False

    def refresh(self, monotonic: float) -> None:
        """Take in slots and series that are new, and who is alive now. Raises OSError."""
        for number in self.folder.slots():
            reader = self.readers.get(number)
            try:
                if reader is not None and reader.store.replaced():
                    # It was set aside by its next owner.
                    self._drop(reader)
                    reader = None
                if reader is None:
                    reader = Reader(self.folder, number)
                    if not len(reader.header):
                        continue  # about to be made
                    self.readers[number] = reader
                    first = 0
                else:
                    first = reader.store.refresh()
            except (FileNotFoundError, Broken):
                continue  # about to be made, or set aside by its next owner
            self._take(reader, first)
        alive = self.folder.alive(self.own)
        if alive is not None:
            for number, reader in self.readers.items():
                reader.alive = number in alive or (self._departing and number == self.own)
        for state in self._states:
            state.now = monotonic

    def keep_own(self) -> None:
        """Count the own slot among the living, though it has been let go of."""
        self._departing = True

    def alive(self) -> list[Reader]:
        """The slots of living processes."""
        return [reader for reader in self.readers.values() if reader.alive]

    def _drop(self, reader: Reader) -> None:
        del self.readers[reader.number]
        for point in self._merged.values():
            point.drop(reader)
        reader.store.close()

    def close(self) -> None:
        """Close all files; what has been mapped can still be read."""
        for reader in self.readers.values():
            reader.store.close()
        self.readers.clear()

    def _take(self, reader: Reader, first: int) -> None:
        for region in reader.store.regions[first:]:
            cells = reader.store.cells(region)
            try:
                if records.is_octave(region.about):
                    start, octave = region.about
                    reader.octaves.setdefault(start, {}).setdefault(octave, cells)
                    continue
                about = records.read(region.about)
            except Exception:
                continue  # of a newer version of the same format
            if about.key not in reader.keys:
                reader.keys.add(about.key)
                self._point(about, reader).add(reader, cells, region.start)

    def _point(self, about: About, reader: Reader) -> Merged:
        worker = reader.number if about.series.merge == WORKER else None
        point = self._merged.get((about.key, worker))
        if point is None:
            series = about.series
            if worker is not None:
                series = series.with_common({WORKER: str(worker)})
            point = self._merged[about.key, worker] = _MERGED[series.kind](about, series)
            if isinstance(point, MergedState):
                self._states.append(point)
            self.points.append(point)
        return point

    def forget(self, monotonic: float, idle_ttl: float | None = None) -> None:
        """Leave out series that nobody declares or changes any more; called now and then.

        Those with labels also if they are idle: for ``idle_ttl`` seconds, unless they have
        a time of their own.
        """
        for point in unhurried(list(self._merged.values()), 100):
            value, patience = extent(point.merged()), point.patience(idle_ttl)
            if value != point.seen or patience == math.inf:
                # Shown before the new number is noted: see ``idling``.
                point.hidden = False
                point.seen, point.seen_when = value, monotonic
            elif monotonic - point.seen_when >= patience:
                point.hidden = True
            point.idle = point.hidden and point.declared()

    def idle(self) -> list[Merged]:
        """The series that are left out though they are declared."""
        return [point for point in list(self._merged.values()) if point.idle]
