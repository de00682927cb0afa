"""The hierarchy: the tree of meters over a registry, and who gets which series.

Knows for every series which handlers get it and what it looks like there. It
reads nothing and sends nothing; that is the reporter's.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import rejection
from .clock import SYSTEM, Clock
from .errors import InstrumentError
from .handlers.base import Handler
from .identities import Identities
from .instrument import MAX_CHILDREN, Instrument, nobody
from .instruments import Histogram
from .limits import MAX_LABEL_LENGTH
from .meter import Meter, MeterSettings
from .observing import Sink
from .registry import ReadOnly, Registry
from .sample import COUNTER, MAX_DEPTH, Sample, Series
from .selection import Point, Selection
from .ways import Trace, Way, Ways, untraced

log = logging.getLogger("appmetrics")

#: Events recorded before the first configuration wait for it, the newest this many.
EARLY_EVENTS = 100


class Hierarchy:
    """The tree of meters over one registry; the default one is `hierarchy`.

    ``version`` rises whenever routing or levels change.
    """

    def __init__(self, registry: Registry, clock: Clock = SYSTEM) -> None:
        self.registry = registry
        self.clock = clock
        self.lock = registry.lock
        self.version = 0
        self._identities = Identities()
        #: Called after each change of routing; the reporter's.
        self.on_change: Callable[[], None] = lambda: None
        #: Takes an event, and the name of its meter, to the process that sends, if that
        #: is another one; False if it could not.
        self.hand_on: Callable[[str, Sample], bool] | None = None
        self.started = clock.monotonic()
        self.max_children = MAX_CHILDREN
        self.max_label_length = MAX_LABEL_LENGTH
        #: Seconds after which a labelled child that doesn't change is left out; None: never.
        self.idle_ttl: float | None = None
        self.scales_counters: tuple[str, ...] = ()
        self._observed = False
        self.root = Meter("", None, self)
        self.meters: dict[str, Meter] = {"": self.root}
        self._configured: set[str] = set()
        self._early: deque[tuple[Meter, Sample]] | None = deque(maxlen=EARLY_EVENTS)
        self._ways = Ways()
        self._idle: set[str] = set()
        for name, help, read in (
            ("rejected", "Updates that were left out", _rejected),
            ("overflowed", "Updates whose labels were beyond max_children", self._overflowed),
            ("cut", "Updates whose label values were cut to max_label_length", self._cut),
        ):
            series = Series(f"appmetrics.{name}", kind=COUNTER, help=help)
            registry.points.append(ReadOnly(series, read))

    def _overflowed(self) -> int:
        return sum(each.declaration.overflowed for each in list(self.registry.instruments.values()))

    def _cut(self) -> int:
        return sum(each.declaration.cut for each in list(self.registry.instruments.values()))

    def get_meter(self, name: str = "") -> Meter:
        """The meter of this dotted name, the root meter without one."""
        meter = self.meters.get(name)
        if meter is not None:
            return meter
        if not isinstance(name, str):
            raise InstrumentError(f"the name of a meter must be a string, not {name!r}")
        with self.lock:
            parent = self.get_meter(_parent(name))
            return self.meters.setdefault(name, Meter(name, parent, self))

    def by_name(self, meter: Meter) -> tuple[Any, ...]:
        """How a meter is pickled: as loggers are, by its name."""
        if get_meter(meter.name) is not meter:
            import pickle

            raise pickle.PicklingError(f"{meter!r} is not of the process' own hierarchy")
        return _named, (meter.name,)

    def nearest(self, name: str) -> Meter:
        """The existing meter that a dotted name belongs to."""
        while name not in self.meters:
            name = _parent(name)
        return self.meters[name]

    def meter_of(self, point: Point) -> Meter:
        """The meter that made an instrument, or that a foreign series falls under."""
        if isinstance(point, Instrument):
            return self.meters[point.declaration.meter]
        name = getattr(point, "meter", None)
        return self.nearest(point.series.name) if name is None else self.get_meter(name)

    def configure(
        self, settings: Mapping[str, MeterSettings], scales_counters: tuple[str, ...] = ()
    ) -> None:
        """Swap the settings of all meters that this and the last call name."""
        with self.lock:
            for name in self._configured - settings.keys():
                self.get_meter(name).settings = MeterSettings()
            for name, wanted in settings.items():
                self.get_meter(name).settings = wanted
            self._configured = set(settings)
            self.scales_counters = scales_counters
            self.changed()

    def changed(self) -> None:
        """Apply levels anew and let the reporter choose series anew."""
        with self.lock:
            self.version += 1
            self._identities = Identities()
            # Copies, here and below: a signal handler or a __del__ in this very
            # thread may declare something, whatever the lock.
            was, self._observed = self._observed, any(h.observes for h in self.handlers())
            self.registry.sinks = self.sinks if self._observed else nobody
            for instrument in list(self.registry.instruments.values()):
                declared = instrument.declaration
                declared.max_children = self.max_children
                declared.max_label_length = self.max_label_length
                meter = self.meters[declared.meter]
                instrument.switch(declared.level >= meter.effective_level)
                if (was or self._observed) and isinstance(instrument, Histogram):
                    for point in instrument.own_points():
                        point.aim()
            early = self._early
            if early is not None and self.handlers():
                self._early = None
                for meter, event in early:
                    self._emit_event(meter, event)
        self.on_change()

    def handlers(self) -> list[Handler]:
        """All handlers attached anywhere, each once."""
        with self.lock:
            found = {id(h): h for meter in list(self.meters.values()) for h in meter.handlers}
            return list(found.values())

    def emit_event(self, meter: Meter, event: Sample) -> None:
        """Hand an event to the handlers that get it."""
        early = self._early
        if early is not None:
            early.append((meter, event))
            return
        self.pass_on(meter.name, event, self.hand_on)

    def pass_on(
        self, meter: str, event: Sample, hand_on: Callable[[str, Sample], bool] | None = None
    ) -> None:
        """Give an event to the handlers of this process, unless ``hand_on`` takes it."""
        if hand_on is None or not hand_on(meter, event):
            self._emit_event(self.get_meter(meter), event)
            self.complain()

    def _emit_event(self, meter: Meter, event: Sample) -> None:
        if event.series.level < meter.effective_level:
            return
        for handler in meter.effective_handlers:
            series = self.route(event.series, meter, handler)
            if series is not None:
                handler.put_event(event._replace(series=series))

    def sinks(self, instrument: Instrument) -> list[Sink]:
        """Who is told of each single value of an instrument, by the routing of now."""
        while True:
            version, found = self.version, []
            meter = self.meter_of(instrument)
            for handler in meter.effective_handlers:
                if handler.observes:
                    series = self.route(instrument.series, meter, handler)
                    sink = None if series is None else handler.sink(series)
                    if sink is not None:
                        found.append(sink)
            # A child that is made while the routing changes: in another thread.
            if version == self.version:
                return found

    def selection(
        self, handler: Handler, started: float, before: Callable[[Point], Any]
    ) -> Selection:
        """A new, empty selection of what a handler gets by the routing of now.

        ``before`` gives what the handler was handed over of a point before it was new here.
        """
        ways: dict[Meter, Way | None] = {}

        def choose(point: Point) -> Series | None:
            meter = self.meter_of(point)
            if meter not in ways:
                gets = handler.everywhere or handler in meter.effective_handlers
                ways[meter] = self._ways.of(meter, handler) if gets else None
            way = ways[meter]
            if way is None:
                return None
            series = point.series
            return None if series.level < way.level else self._ways.follow(series, way, meter)

        return Selection(choose, started, before, self._identities)

    def route(
        self,
        series: Series,
        meter: Meter,
        handler: Handler,
        trace: Trace = untraced,
    ) -> Series | None:
        """What a series looks like to a handler; None if it doesn't get it.

        ``trace`` is called after each step with what it was (``level``,
        ``labels``, ``filter``), who did it and the series as it left it.
        """
        if series.level < handler.level:
            trace("level", handler, None)
            return None
        return self._ways.follow(series, self._ways.of(meter, handler), meter, trace)

    def tell_idle(self, names: Iterable[str]) -> None:
        """Log that instruments have idle children, once for each."""
        for name in set(names) - self._idle:
            self._idle.add(name)
            log.info(
                "%s: sets of label values that have not changed for a while (ttl, or idle_ttl of"
                " [metrics]) are left out until they do; appmetrics.idle counts them",
                name,
            )

    def complain(self) -> None:
        """Log what went wrong with filters; not while holding the lock, see `Ways.complain`."""
        self._ways.complain()

    def reset(self) -> None:
        """Zero every instrument, for tests."""
        rejection.counts.clear()
        self.registry.reset()

    def after_fork(self, keep: bool = True) -> None:
        """New locks and new numbers in a forked child, see `Registry.after_fork`."""
        rejection.counts.clear()
        self.registry.after_fork(keep)
        self.lock = self.registry.lock
        self._identities = Identities()


def _parent(name: str) -> str:
    """The dotted name above; of a name of very many parts, its first ones."""
    if name.count(".") > MAX_DEPTH:
        return ".".join(name.split(".", MAX_DEPTH)[:MAX_DEPTH])
    return name.rpartition(".")[0]


def _named(name: str) -> Meter:
    # Not get_meter itself: pickle takes a bound method with its object.
    return get_meter(name)


def _rejected() -> int:
    return sum(list(rejection.counts.values()))


#: The process' own hierarchy, which `get_meter` uses.
hierarchy = Hierarchy(Registry(shared=True))

get_meter = hierarchy.get_meter
