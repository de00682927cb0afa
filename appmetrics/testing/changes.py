"""`capture`: what changed while a test ran; `reset`: all back to zero.

Reads instruments directly, so it does not matter which levels, filters and
handlers are configured. How changes are told to people is in ``telling``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import levels, rejection
from ..buckets import EMPTY, Distribution
from ..errors import MetricsError
from ..hierarchy import Hierarchy, hierarchy
from ..instrument import Instrument
from ..instruments import Gauge
from ..meter import Meter
from ..sample import EVENT, GAUGE, HISTOGRAM, STATE, TIMER, UNKNOWN, Sample, Series
from ..selection import Point, difference, merge
from .telling import explain, tell

if TYPE_CHECKING:
    from typing_extensions import Self


class UnknownMetric(MetricsError, LookupError):
    """A test asks for a metric that does not exist, or by a label it does not have."""


class Change(NamedTuple):
    """A series with its readings at the beginning and now."""

    series: Series
    before: Any
    now: Any

    @property
    def delta(self) -> Any:
        """What came since the beginning; None for gauges and states."""
        if self.series.kind in (GAUGE, STATE) or self.now is None:
            return None
        return difference(self.series.kind, self.now, self.before)

    @property
    def happened(self) -> bool:
        """Whether anything changed at all."""
        if self.now is None or self.now == self.before:
            return False
        delta = self.delta
        if delta is None:
            # A gauge that was made meanwhile and still is 0 has not changed.
            return self.before is not None or bool(self.now)
        return bool(getattr(delta, "count", delta))


class Capture:
    """What changed in a hierarchy since the ``with`` block began; see `capture`."""

    def __init__(self, hierarchy: Hierarchy = hierarchy) -> None:
        self.hierarchy = hierarchy
        self._before: dict[int, Any] = {}
        self._after: dict[int, Any] | None = None
        self._began = 0.0
        self._events: list[Sample] = []
        self._levels: list[tuple[Meter, int, int]] = []

    # -- asking --------------------------------------------------------------

    def value(self, name: str, /, **labels: object) -> Any:
        """What a metric amounts to, by its kind.

        Counter: the change. Histogram, timer: how many observations came in.
        Event: how many there were. Gauge: the number now, None if there is none
        (a callback is asked). State: its text now. ``labels`` may name any of
        the labels; of several label sets that fit, the sum, for gauges by their
        merge mode, and the worst state. Raises UnknownMetric for a metric or
        label that does not exist.
        """
        found = self._find(name, labels)
        kind = found[0].series.kind
        if kind == EVENT:
            return len(found)
        if kind in (HISTOGRAM, TIMER):
            return self._distribution(found).count
        if kind in (GAUGE, STATE):
            reading = merge(found[0].series, (change.now for change in found))
            if kind == STATE:
                return reading.text if reading else UNKNOWN
            return reading
        return sum(change.delta or 0 for change in found)

    def distribution(self, name: str, /, **labels: object) -> Distribution:
        """What came into a histogram or timer: ``.count``, ``.sum``, ``.percentile(95)``.

        Labels as in `value`. Raises UnknownMetric for what does not exist or
        is neither.
        """
        found = self._find(name, labels)
        kind = found[0].series.kind
        if kind not in (HISTOGRAM, TIMER):
            raise UnknownMetric(f"{name} is no histogram or timer but a {kind}")
        return self._distribution(found)

    @property
    def samples(self) -> list[Sample]:
        """What changed, as samples: ``delta`` is the change; the events come last."""
        clock = self.hierarchy.clock
        now, elapsed = clock.time(), clock.monotonic() - self._began
        changes = [
            Sample(change.series, now, change.now, change.delta, elapsed)
            for change in self.changes()
        ]
        return changes + self._events

    @property
    def events(self) -> list[Sample]:
        """The events, in order; ``sample.value`` is the `Event`."""
        return list(self._events)

    def names(self) -> list[str]:
        """The dotted names of all that changed or happened, sorted."""
        return sorted({sample.series.name for sample in self.samples})

    def changes(self) -> list[Change]:
        """The series that changed. Without what appmetrics tells about itself,
        which changes by itself while a reporter runs."""
        points = list(self.hierarchy.registry.points)
        now = self._readings() if self._after is None else self._after
        found = self._compare(points, now)
        return [c for c in found if c.happened and not c.series.name.startswith("appmetrics.")]

    def report(self) -> str:
        """What changed, for people: one line for each series and event."""
        return tell(self.changes(), self._events)

    def __repr__(self) -> str:
        return f"<Capture of {', '.join(self.names()) or 'nothing'}>"

    # -- the block -----------------------------------------------------------

    def __enter__(self) -> Self:
        with self.hierarchy.lock:
            # An instrument whose level is off counts into a bit bucket.
            for meter in list(self.hierarchy.meters.values()):
                ours = levels.NOTSET if meter.parent else 1
                self._levels.append((meter, meter.settings.level, ours))
                meter.settings = meter.settings._replace(level=ours)
            self.hierarchy.changed()
            self._listen()
        rejection.strict(True)
        _open.append(self)
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._after = self._readings()
        _open.remove(self)
        rejection.strict(False)
        with self.hierarchy.lock:
            self.hierarchy.emit_event = self._emit_event  # type: ignore[method-assign]
            for meter, level, ours in self._levels:
                # Else the block has set another one, which stays.
                if meter.settings.level == ours:
                    meter.settings = meter.settings._replace(level=level)
            self.hierarchy.changed()

    def _listen(self) -> None:
        # Not by a handler of our own: the first handler gets the events that
        # wait for a configuration, and nobody after it.
        self._emit_event = emit = self.hierarchy.emit_event
        known = list(self.hierarchy._early or ())

        def hear(meter: Meter, event: Sample) -> None:
            # Those that waited come by again when the first handler is there.
            if not any(event is early for _, early in known):
                known.append((meter, event))
                self._events.append(event)
            emit(meter, event)

        self.hierarchy.emit_event = hear  # type: ignore[method-assign]

    def _start(self) -> None:
        self._before = self._readings()
        self._began = self.hierarchy.clock.monotonic()
        self._events.clear()

    # -- mechanism -----------------------------------------------------------

    def _readings(self) -> dict[int, Any]:
        self._read_foreign()
        return {id(point): point.read() for point in list(self.hierarchy.registry.points)}

    def _read_foreign(self) -> None:
        self.hierarchy.registry.read_foreign(self.hierarchy.scales_counters)

    def _compare(self, points: Iterable[Point], now: dict[int, Any]) -> Iterator[Change]:
        for point in points:
            key = id(point)
            yield Change(point.series, self._before.get(key), now.get(key))

    def _find(self, name: str, labels: dict[str, object]) -> list[Change]:
        """The changes of all series that fit, at least one."""
        instrument = self.hierarchy.registry.instruments.get(name)
        if instrument is None:
            return self._find_other(name, labels)
        self._check_labels(name, labels, instrument.declaration.labels)
        if isinstance(instrument, Gauge):
            instrument.refresh()
        wanted = {(key, str(value)) for key, value in labels.items()}
        points = [p for p in instrument.own_points() if wanted <= set(p.series.labels)]
        return list(self._compare(points, self._now(points))) or [_none_of(instrument)]

    def _find_other(self, name: str, labels: dict[str, object]) -> list[Change]:
        """The same for events, and for stats that aren't instruments of ours."""
        self._read_foreign()
        points = [p for p in list(self.hierarchy.registry.points) if p.series.name == name]
        changes = list(self._compare(points, self._now(points)))
        changes = changes or [Change(e.series, None, e) for e in self._events if e[0].name == name]
        if not changes:
            raise UnknownMetric(explain(name, self._known(), self.report()))
        self._check_labels(name, labels, ())
        return changes

    def _now(self, points: Iterable[Any]) -> dict[int, Any]:
        """Readings of the block's end, if it has ended; a callback is asked at any time."""
        ended = self._after
        return {
            id(point): point.read() if ended is None or _asked(point) else ended.get(id(point))
            for point in points
        }

    def _known(self) -> set[str]:
        registry = self.hierarchy.registry
        points = {point.series.name for point in list(registry.points)}
        return points | registry.instruments.keys() | {event.series.name for event in self._events}

    @staticmethod
    def _check_labels(name: str, given: Iterable[str], declared: tuple[str, ...]) -> None:
        for label in given:
            if label not in declared:
                what = f"only ({', '.join(declared)})" if declared else "and none at all"
                raise UnknownMetric(f"{name} has no label {label!r}, {what}")

    @staticmethod
    def _distribution(changes: Iterable[Change]) -> Distribution:
        return sum((change.delta for change in changes if change.now is not None), EMPTY)


def _asked(point: Any) -> bool:
    return isinstance(point, Gauge) and point.declaration.callback is not None


def _none_of(instrument: Instrument) -> Change:
    """What an instrument amounts to for labels that it hasn't met."""
    if isinstance(instrument.read(), Distribution):
        return Change(instrument.series, None, EMPTY)
    return Change(instrument.series, None, None)


def capture() -> Capture:
    """Capture what the code in a ``with`` block measures.

    ::

        with capture() as captured:
            place_order("de")
        assert captured.value("shop.orders", shop="de") == 1

    Everything is recorded in the block, whatever its level, and a rejected
    update raises `RejectedValue`. Afterwards all is as before, and the answers
    stay those of the block's end.
    """
    return Capture()


def reset() -> None:
    """Zero every instrument of the process; captures that are open begin anew."""
    hierarchy.reset()
    for captured in _open:
        if captured.hierarchy is hierarchy:
            captured._start()


#: The captures whose block has not ended.
_open: list[Capture] = []
