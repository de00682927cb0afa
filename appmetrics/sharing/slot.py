"""`Slot`: the numbers of this process, in a file where they outlive it.

Owns one numbered slot: it gives instruments their cells there, and shows what can't have
any. Nothing here looks into other slots.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from ..errors import describe
from ..instrument import Instrument
from ..instruments import Gauge
from ..octaves import distribution
from ..registry import Registry
from ..sample import COUNTER, GAUGE, HISTOGRAM, STATE, TIMER
from ..selection import Point
from .cells import SharedBuckets, StateCell
from .events import EventLog
from .folder import Folder, Lock
from .ledger import Ledger
from .records import STAMP
from .store import Broken, Store, remove

T = TypeVar("T")

log = logging.getLogger("appmetrics")

#: So many seconds a first request may wait for its instruments to get shared cells; very
#: many get theirs a little later.
ADOPTING = 0.1

#: So many later rounds look again into cells that instruments have left, where a thread
#: that was about to store may have stored after that.
DRAINS = 10

#: Cells of a slot's header.
EPOCH, PID, STARTED = range(3)


class Slot:
    """A slot that this process has claimed, until it ends.

    Raises OSError; its methods don't. What can't be shared stays where it is, and is
    logged once.
    """

    def __init__(self, folder: Folder, number: int, lock: Lock) -> None:
        self.number = number
        self._lock = lock
        self._path = folder.file(f"slot-{number}")
        self._store = self._open()
        self._ledger = Ledger(self._store)
        self.events = EventLog(self._path)
        header = self._store.header
        header[EPOCH] += 1
        header[PID], header[STARTED] = os.getpid(), time.time()
        self._epoch = header[EPOCH]
        self._clear_what_only_the_living_have()
        #: What a former owner had counted, by id of the point.
        self.inherited: dict[int, Any] = {}
        self._adopted: dict[int, Point] = {}
        self._published: list[_Published] = []
        self._looked_at = 0
        #: Instruments that still have private cells, and distributions with some of those.
        self._private: deque[Instrument] = deque()
        self._partly: deque[SharedBuckets] = deque()
        self._left: deque[tuple[int, Instrument, Any]] = deque()
        self._complained = False

    def _open(self) -> Store:
        try:
            return Store(self._path, write=True)
        except Broken as error:
            log.error("%s; it is set aside, and its numbers start anew", error)
            remove(f"{self._path}.broken")
            for suffix in (".keys", ".cells"):
                os.replace(self._path + suffix, f"{self._path}.broken{suffix}")
            return Store(self._path, write=True)

    def _clear_what_only_the_living_have(self) -> None:
        for key, cells in self._ledger.known():
            if key.kind == GAUGE:
                cells[STAMP] = math.nan
            elif key.kind == STATE:
                StateCell(cells[STAMP:])[0] = None

    # -- instruments ---------------------------------------------------------

    def adopt_all(self, registry: Registry) -> None:
        """Let all instruments that there are, and come, count in this slot."""
        registry.on_point = self.adopt
        end = time.monotonic() + ADOPTING
        for point in list(registry.points):
            if isinstance(point, Instrument):
                # A request may be waiting for this.
                (self.adopt if time.monotonic() < end else self.adopt_later)(point)

    def adopt(self, instrument: Instrument) -> None:
        """Let an instrument without labels, or a child, count in this slot from now on."""
        try:
            declared = instrument.declaration
            # Of a state its own, of others how long they may be idle.
            ttl = declared.ttl if instrument.kind == STATE else declared.idle_ttl
            if declared.callback is not None:
                ttl = math.inf
            cell = self._ledger.cell(instrument.series, declared.meter, ttl, stamp=self._epoch)
        except Exception as error:
            self._complain(error)
            cell = None
        if cell is None:
            self.adopt_later(instrument)
        # Only now: this may be interrupted by somebody who adopts the same one.
        elif self._adopted.setdefault(id(instrument), instrument) is instrument:
            self._give(instrument, cell)

    def adopt_later(self, instrument: Instrument) -> None:
        """The same, with the next `tidy`."""
        self._private.append(instrument)

    def _give(self, instrument: Instrument, cell: Any) -> None:
        kind = instrument.kind
        if kind in (TIMER, HISTOGRAM):
            cell.failed = self._failed
            self.inherited[id(instrument)] = distribution(cell)
        elif kind == COUNTER:
            self.inherited[id(instrument)] = cell[0]
        elif kind == STATE:
            cell = StateCell(cell)
        before = instrument.move(cell)
        instrument.drain(before)
        self._left.append((DRAINS, instrument, before))

    def _failed(self, buckets: SharedBuckets, error: Exception | None) -> None:
        """Some of a distribution's buckets have to stay private for now."""
        self._partly.append(buckets)
        if error is not None:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            log.error(
                "some numbers can't be shared (%s: %s); they are counted, but only this"
                " process shows them",
                self._path,
                describe(error),
            )

    def tidy(self) -> None:
        """Move what had to stay private, and what stragglers have counted in old cells."""
        for instrument in _taken(self._private):
            self.adopt(instrument)
        for buckets in _taken(self._partly):
            buckets.promote()
        for rounds, instrument, before in _taken(self._left):
            instrument.drain(before)
            if rounds > 1:
                self._left.append((rounds - 1, instrument, before))

    # -- what has no cells ---------------------------------------------------

    def refresh(self, registry: Registry, start: Mapping[int, float]) -> None:
        """Show others what this process reads from callbacks, and from points without cells.

        Of a counter, what it has more than at the ``start``, by id of the point.
        """
        for point in registry.points[self._looked_at :]:
            if not isinstance(point, Instrument):
                self._published.append(_Published(point, start.get(id(point), 0)))
            self._looked_at += 1
        for instrument in list(registry.instruments.values()):
            if isinstance(instrument, Gauge) and instrument.declaration.callback is not None:
                for gauge in instrument.own_points():
                    gauge.show()
        for each in self._published:
            try:
                self._show(each)
            except Exception as error:
                self._complain(error)

    def _show(self, published: _Published) -> None:
        point, value = published.point, published.point.read()
        if published.cell is None and value is not None:
            published.cell = self._ledger.cell(point.series, None, None, stamp=self._epoch)
            if published.cell is not None and point.series.kind == COUNTER:
                published.base += published.cell[0]
        if published.cell is not None:
            if value is not None:
                more = published.base if point.series.kind == COUNTER else 0
                published.cell[0] = value + more
            elif point.series.kind == GAUGE:
                published.cell[0] = math.nan

    # -- the end -------------------------------------------------------------

    def forget(self) -> None:
        """In a forked child: it is the parent's."""
        self._lock.forget()
        self._close()

    def release(self, folder: Folder, registry: Registry) -> bool:
        """At the end of this process' life: another one may have the slot. Whether
        nobody else is alive."""
        # Whoever has it next may have it at once: nothing is to be stored there.
        registry.on_point = lambda point: None
        self.tidy()
        for point in list(registry.points):
            if isinstance(point, Instrument):
                point.renew(keep=True)
        self._close()
        return folder.leave(self._lock)

    def _close(self) -> None:
        self._store.close()
        self.events.close()


def _taken(waiting: deque[T]) -> Iterator[T]:
    """What waits now, taken out; what comes meanwhile waits for the next time."""
    for _ in range(len(waiting)):
        try:
            yield waiting.popleft()
        except IndexError:  # another thread was faster
            return


class _Published:
    """A point that is read, and what others see of it."""

    def __init__(self, point: Point, start: float) -> None:
        self.point = point
        self.cell: Any = None
        self.base = -start
