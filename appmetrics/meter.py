"""Meters: named factories of instruments with settings that are inherited.

What a meter's settings mean for a series is decided in ``hierarchy``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from . import levels, rejection, spans
from .errors import InstrumentError, describe
from .handlers.base import Filter, Handler
from .instrument import Declaration, Instrument, number, shown, valid_labels
from .instruments import Counter, Gauge, Histogram, State, Timer
from .limits import MAX_NAME, check_length, cut
from .sample import EVENT, STATES, Event, Sample, Series

if TYPE_CHECKING:
    from .hierarchy import Hierarchy

I = TypeVar("I", bound=Instrument)  # noqa: E741
_PACKAGE = os.path.join(os.path.dirname(__file__), "")


class MeterSettings(NamedTuple):
    """What a configuration says about one meter; the default says nothing."""

    level: int = levels.NOTSET
    handlers: tuple[Handler, ...] = ()
    filters: tuple[Filter, ...] = ()
    labels: Mapping[str, str] = {}
    propagate: bool = True


class Meter:
    """A named factory of instruments, like a logger in logging's hierarchy.

    Get one with `get_meter`. Level and common labels are inherited, the
    nearest wins; ``propagate`` stops handlers only; a meter's filters apply to
    everything below it.
    """

    def __init__(self, name: str, parent: Meter | None, hierarchy: Hierarchy) -> None:
        self.name = name
        self.parent = parent
        self.hierarchy = hierarchy
        self.settings = MeterSettings()

    def __copy__(self) -> Meter:
        """Itself: there is one meter of a name, also in a copy of what holds it."""
        return self

    def __deepcopy__(self, memo: object) -> Meter:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return self.hierarchy.by_name(self)

    def __repr__(self) -> str:
        return f"<Meter {self.name or 'root'} ({levels.name(self.effective_level)})>"

    # -- routing -------------------------------------------------------------

    def change(self, **changes: Any) -> None:
        """Change settings: level, handlers, filters, labels, propagate."""
        if "level" in changes:
            changes["level"] = levels.number(changes["level"])
        with self.hierarchy.lock:
            self.settings = self.settings._replace(**changes)
            self.hierarchy.changed()

    level = property(
        lambda self: self.settings.level,
        lambda self, level: self.change(level=level),
        doc="Instruments below this level are off; NOTSET (0) inherits.",
    )
    labels = property(
        lambda self: self.settings.labels,
        lambda self, labels: self.change(labels={k: str(v) for k, v in labels.items()}),
        doc="Common labels of everything below; an instrument's own win.",
    )
    propagate = property(
        lambda self: self.settings.propagate,
        lambda self, propagate: self.change(propagate=bool(propagate)),
        doc="Whether the handlers of the meters above get these series, too.",
    )

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The handlers of this meter itself."""
        return self.settings.handlers

    @property
    def filters(self) -> tuple[Filter, ...]:
        """The filters of this meter itself."""
        return self.settings.filters

    def add_handler(self, handler: Handler) -> None:
        """Give a handler the series of this meter and all below it."""
        if not isinstance(handler, Handler):
            raise TypeError(f"a handler must be an appmetrics.Handler, not {shown(handler)}")
        with self.hierarchy.lock:
            if handler not in self.handlers:
                self.change(handlers=(*self.handlers, handler))

    def remove_handler(self, handler: Handler) -> None:
        """The reverse of `add_handler`."""
        with self.hierarchy.lock:
            self.change(handlers=tuple(h for h in self.handlers if h is not handler))

    def add_filter(self, filter: Filter) -> None:
        """Filter the series of this meter and all below it."""
        with self.hierarchy.lock:
            self.change(filters=(*self.filters, filter))

    def remove_filter(self, filter: Filter) -> None:
        """The reverse of `add_filter`."""
        with self.hierarchy.lock:
            self.change(filters=tuple(f for f in self.filters if f is not filter))

    def lineage(self) -> list[Meter]:
        """This meter and those above it, nearest first."""
        return [self] + (self.parent.lineage() if self.parent else [])

    @property
    def effective_level(self) -> int:
        """The nearest level set here or above."""
        return next((m.settings.level for m in self.lineage() if m.settings.level), levels.INFO)

    @property
    def effective_labels(self) -> dict[str, str]:
        """The common labels from here and above, the nearest winning."""
        labels: dict[str, str] = {}
        for meter in reversed(self.lineage()):
            labels.update(meter.settings.labels)
        return labels

    @property
    def effective_handlers(self) -> list[Handler]:
        """The handlers that get this meter's series, each once."""
        found: dict[int, Handler] = {}
        for meter in self.lineage():
            found.update((id(handler), handler) for handler in meter.handlers)
            if not meter.propagate:
                break
        return list(found.values())

    @property
    def effective_filters(self) -> list[Filter]:
        """The filters from here and above, nearest first."""
        return [filter for meter in self.lineage() for filter in meter.filters]

    # -- instruments ---------------------------------------------------------

    def counter(
        self,
        name: str,
        help: str = "",
        *,
        labels: Iterable[str] = (),
        unit: str = "",
        level: int | str = levels.INFO,
        ttl: float | None = None,
    ) -> Counter:
        """A total that only grows. The same name gives the same counter.

        ``ttl``, here and below, in seconds: a set of label values whose number hasn't
        changed for so long is left out until it does; None for ``idle_ttl`` of
        ``[metrics]``, infinity for never.
        """
        return self._declare(Counter, name, help, labels, level, ttl, unit=unit)

    def gauge(
        self,
        name: str,
        help: str = "",
        *,
        labels: Iterable[str] = (),
        unit: str = "",
        level: int | str = levels.INFO,
        callback: Callable[[], Any] | None = None,
        merge: str = "sum",
        ttl: float | None = None,
    ) -> Gauge:
        """A number that goes up and down.

        ``callback`` is asked once per round, on a thread of its own. ``merge``
        (sum, max, min) says how gauges that become one series are combined, such as
        those of the worker processes of a server; ``worker`` keeps these apart by a
        label of that name.
        """
        if merge not in ("sum", "max", "min", "worker"):
            raise InstrumentError(f"merge must be sum, max, min or worker, not {merge!r}")
        gauge = self._declare(Gauge, name, help, labels, level, ttl, unit=unit, merge=merge)
        if callback is not None:
            gauge.declaration.callback = callback
        return gauge

    def histogram(
        self,
        name: str,
        help: str = "",
        *,
        labels: Iterable[str] = (),
        unit: str = "",
        level: int | str = levels.INFO,
        ttl: float | None = None,
    ) -> Histogram:
        """How values are spread; not negative, in base units such as bytes."""
        return self._declare(Histogram, name, help, labels, level, ttl, unit=unit)

    def timer(
        self,
        name: str,
        help: str = "",
        *,
        labels: Iterable[str] = (),
        level: int | str = levels.INFO,
        ttl: float | None = None,
    ) -> Timer:
        """How long something takes, in seconds."""
        return self._declare(Timer, name, help, labels, level, ttl, unit="seconds")

    def state(
        self,
        name: str,
        help: str = "",
        *,
        labels: Iterable[str] = (),
        level: int | str = levels.INFO,
        states: Iterable[str] = STATES,
        ttl: float | None = None,
    ) -> State:
        """What condition something is in.

        ``ttl`` in seconds: a state that isn't set again in time is no longer
        shipped and reads unknown.
        """
        return self._declare(State, name, help, labels, level, None, states=tuple(states), ttl=ttl)

    def _declare(
        self,
        cls: type[I],
        name: str,
        help: str,
        labels: Iterable[str],
        level: int | str,
        idle_ttl: float | None,
        **more: Any,
    ) -> I:
        if not isinstance(name, str) or not name:
            raise InstrumentError(f"a {cls.kind}'s name must be a non-empty string, not {name!r}")
        full = self.full_name(name)
        check_length(f"the full name of a {cls.kind}", full)
        label_names = valid_labels(labels)
        if idle_ttl is not None:
            _check_ttl(full, idle_ttl, label_names)
        where = _caller()

        def make() -> Declaration:
            declaration = Declaration(
                full,
                str(help),
                labels=label_names,
                level=levels.number(level),
                meter=self.name,
                where=where,
                idle_ttl=idle_ttl,
                clock=self.hierarchy.clock,
                **more,
            )
            declaration.enabled = declaration.level >= self.effective_level
            declaration.max_children = self.hierarchy.max_children
            declaration.max_label_length = self.hierarchy.max_label_length
            return declaration

        return cast(I, self.hierarchy.registry.declare(cls, full, make))

    def full_name(self, name: str) -> str:
        """The dotted name of an instrument of this meter."""
        return f"{self.name}.{name}" if self.name else name

    def event(
        self,
        name: str,
        description: str = "",
        *,
        state: str = "",
        attributes: Mapping[str, object] | None = None,
        tags: Iterable[str] = (),
        metric: float | None = None,
        ttl: float | None = None,
        level: int | str = levels.INFO,
    ) -> None:
        """Tell the handlers at once that something happened: a deployment.

        Never raises, never blocks. Before the first configuration the newest
        100 events wait for it.
        """
        try:
            event = Event(
                str(description),
                str(state),
                {str(key): str(value) for key, value in (attributes or {}).items()},
                tuple(map(str, tags)),
                self._number_of_event("metric", metric),
                self._number_of_event("ttl", ttl),
            )
            full = cut(self.full_name(str(name)), MAX_NAME)
            series = Series(full, kind=EVENT, level=levels.number(level))
            self.hierarchy.emit_event(self, Sample(series, self.hierarchy.clock.time(), event))
        except Exception as error:
            rejection.reject(self.name or "root", f"an event can't be used: {describe(error)}")

    def _number_of_event(self, what: str, value: float | None) -> float | None:
        plain = None if value is None else number(value)
        if value is not None and plain is None:
            rejection.reject(
                self.name or "root",
                f"an event's {what} must be a finite number, not {shown(value)}",
            )
        return plain

    # -- decorators ----------------------------------------------------------

    def timed(self, name: str, help: str = "", **options: Any) -> spans.Span:
        """Time a function or a block: ``@meter.timed("search")``.

        Options are those of `timer`.
        """
        return self.timer(name, help, **options).time()

    def counted(self, name: str, help: str = "", **options: Any) -> spans.Counting:
        """Count the calls of a function: ``@meter.counted("searches")``."""
        return self.counter(name, help, **options).counted()

    def count_exceptions(
        self, name: str, *types: type[BaseException], help: str = "", **options: Any
    ) -> spans.CountingExceptions:
        """Count the exceptions that leave a function: ``@meter.count_exceptions("errors")``."""
        return self.counter(name, help, **options).count_exceptions(*types)

    def track(self, name: str, help: str = "", **options: Any) -> spans.Tracking:
        """A gauge of how many are inside a function: ``@meter.track("searching")``."""
        return self.gauge(name, help, **options).track()


def _check_ttl(name: str, ttl: object, labels: tuple[str, ...]) -> None:
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not ttl > 0:
        raise InstrumentError(f"{name}: ttl must be seconds, more than 0, not {shown(ttl)}")
    if not labels:
        raise InstrumentError(f"{name}: ttl is for sets of label values, and it has no labels")


def _caller() -> str:
    """``file:line`` of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_PACKAGE, "<frozen")):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
