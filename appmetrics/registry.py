"""The registry: every instrument by name, and all points that can be read.

With ``shared`` the instruments are in scales' own tree, too, and what an application keeps
there is read: how, is the matter of ``scales_tree``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from .cells import renew_lock
from .errors import InstrumentError
from .instrument import Declaration, Instrument, nobody
from .observing import Sink
from .sample import COUNTER, GAUGE, Series
from .scales_tree import ScalesTree
from .selection import Point


class Registry:
    """All instruments, and the points that can be read.

    ``points`` only grows; `on_point` is called for each instrument among them as it
    is made. With ``shared`` the instruments appear in scales' process-wide tree; a
    registry of one's own keeps to itself.
    """

    def __init__(self, shared: bool = False) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.points: list[Point] = []
        #: May give the instrument other cells; never raises.
        self.on_point: Callable[[Instrument], None] = lambda point: None
        self.tree = ScalesTree() if shared else None
        self.lock = threading.RLock()
        #: Who observes an instrument; the hierarchy's.
        self.sinks: Callable[[Instrument], Sequence[Sink]] = nobody
        self._foreign: dict[str, ForeignStat] = {}

    def declare(
        self, cls: type[Instrument], name: str, make: Callable[[], Declaration]
    ) -> Instrument:
        """The instrument of this name, made if it is new.

        Raises InstrumentError if it exists with another kind or other labels.
        """
        wanted = make()
        known = self.instruments.get(name)
        if known is None:
            with self.lock:
                wanted = make()
                known = self.instruments.get(name) or self._make(cls, name, wanted)
        # Else without the lock: it is held for as long as series are chosen.
        self._compare(known, cls, wanted)
        return known

    def _make(self, cls: type[Instrument], name: str, wanted: Declaration) -> Instrument:
        instrument = cls(wanted)
        wanted.publish = self._publish
        wanted.sinks = lambda each: self.sinks(each)
        if not instrument.label_names:
            self._publish(instrument)
            instrument.aim()
        # Known only when it is complete: another thread may fork here.
        self.instruments[name] = instrument
        if self.tree:
            self.tree.attach(name, instrument)
        return instrument

    def _publish(self, instrument: Instrument) -> None:
        self.points.append(instrument)
        self.on_point(instrument)

    @staticmethod
    def _compare(known: Instrument, cls: type[Instrument], wanted: Declaration) -> None:
        old = known.declaration
        for what, before, now in (
            ("kind", known.kind, cls.kind),
            ("labels", old.labels, wanted.labels),
            ("states", old.states, wanted.states),
        ):
            if before != now:
                raise InstrumentError(
                    f"{old.name} is declared twice with different {what}:"
                    f" {before!r} at {old.where}, {now!r} at {wanted.where}"
                )

    def reset(self) -> None:
        """Zero every instrument, for tests. Nothing is unregistered."""
        with self.lock:
            for instrument in list(self.instruments.values()):
                instrument.reset()

    def after_fork(self, keep: bool = True) -> None:
        """Begin at zero in a forked child: what was counted belongs to the parent.

        Gauges and states go on if they may ``keep``: where the parent, which only
        forks, reports to nobody. A lock that another thread held at the fork is never
        released here, and what it was about to do (see `Instrument._publish`) is never
        done.
        """
        self.lock = threading.RLock()
        self.on_point = lambda point: None
        readable = set(map(id, self.points))
        for instrument in self.instruments.values():
            for point in instrument.own_points():
                renew_lock(point)
                point.renew(keep)
                if id(point) not in readable:
                    self.points.append(point)

    def read_foreign(self, counters: tuple[str, ...] = ()) -> None:
        """Take in the stats an application keeps with scales.

        Numbers are gauges, unless a glob of ``counters`` matches the name; the
        count of a distribution is a counter. Never raises.
        """
        if self.tree is None:
            return
        found: set[str] = set()
        for name, kind, value in self.tree.foreign():
            if name in self.instruments:
                continue
            if kind == GAUGE and any(fnmatchcase(name, glob) for glob in counters):
                kind = COUNTER
            stat = self._foreign.get(name)
            if stat is None:
                stat = self._foreign[name] = ForeignStat(name, kind)
                self.points.append(stat)
            stat.value = value
            found.add(name)
        for name in self._foreign.keys() - found:
            self._foreign[name].value = None


class ForeignStat:
    """A number that an application keeps with scales itself."""

    def __init__(self, name: str, kind: str) -> None:
        self.series = Series(name, kind=kind, help=f"scales stat /{name.replace('.', '/')}")
        self.value: Any = None

    def read(self) -> Any:
        return self.value


class ReadOnly:
    """A point that reads a function, for what appmetrics tells about itself."""

    def __init__(self, series: Series, function: Callable[[], Any]) -> None:
        self.series = series
        self.read = function
