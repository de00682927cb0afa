"""The series one handler gets, and its previous reading of each.

A `Selection` is made by the hierarchy for one handler and one version of the
routing. The reporter thread extends and reads it; the handler's worker turns
readings into samples. Both sides use plain lists that run parallel: index i of
``points``, of a round's readings and of ``_previous`` is the same thing.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from .buckets import Distribution
from .sample import COUNTER, GAUGE, HISTOGRAM, STATE, TIMER, Labels, Sample, Series

#: What a handler's ``prepare`` returns for a series that it can't take.
LEFT_OUT = object()

_UNPREPARED = object()


class Point(Protocol):
    """One thing that can be read: an instrument without labels, a labelled child."""

    @property
    def series(self) -> Series:
        """Who it is, without common labels and filters."""

    def read(self) -> Any:
        """Its cumulative value now, None if there is none. Never raises."""


class Entry:
    """One series of a selection and the points that are merged into it."""

    __slots__ = ("indexes", "prepared", "series")

    def __init__(self, series: Series, index: int) -> None:
        self.series = series
        self.indexes = [index]
        self.prepared: Any = _UNPREPARED


def merge(series: Series, values: Iterable[Any]) -> Any:
    """One value from those of several points; None if none has any."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return known[0] if known else None
    if series.kind == STATE:
        return max(known, key=operator.attrgetter("number"))
    if series.kind == GAUGE and series.merge != "sum":
        return max(known) if series.merge == "max" else min(known)
    return functools.reduce(operator.add, known)


def difference(kind: str, now: Any, before: Any) -> Any:
    """What came since the previous reading; a smaller value now means a reset."""
    if before is None or now is None:
        return now
    if kind == COUNTER and now < before:
        return now
    return now - before


class Selection:
    """The series of one handler, the points behind them, the readings of both sides.

    ``choose`` gives the final series of a point, or None if the handler doesn't
    get it. ``started`` is the monotonic time that the first rates count from.
    """

    def __init__(self, choose: Callable[[Point], Series | None], started: float) -> None:
        self._choose = choose
        self.points: list[Point] = []
        self.entries: list[Entry] = []
        self._handed: list[Any] = []
        self._handed_when = started
        self._by_identity: dict[tuple[str, Labels], Entry] = {}
        self._looked_at = 0
        self._previous: list[Any] = []
        self._changed: list[float] = []
        self._when = started

    def extend(self, points: Sequence[Point]) -> None:
        """Take in the points that are new since the last call.

        ``points`` is the registry's list of all points, which only grows.
        """
        for point in points[self._looked_at :]:
            self._looked_at += 1
            series = self._choose(point)
            if series is not None:
                self._add(point, series)

    def _add(self, point: Point, series: Series) -> None:
        index = len(self.points)
        self.points.append(point)
        self._previous.append(None)
        self._changed.append(0.0)
        entry = self._by_identity.get(series.identity)
        if entry is None or entry.series.kind != series.kind:
            entry = Entry(series, index)
            self._by_identity.setdefault(series.identity, entry)
            self.entries.append(entry)
        else:
            entry.indexes.append(index)

    def inherit(self, readings: Iterable[tuple[Point, Any]], when: float) -> None:
        """Take over readings made before: deltas then count from there."""
        known = {id(point): value for point, value in readings}
        self._previous = [known.get(id(point)) for point in self.points]
        self._handed = list(self._previous)
        self._when = self._handed_when = when

    def heritage(self) -> tuple[list[tuple[Point, Any]], float]:
        """What a successor inherits: the readings handed over last, and when."""
        return list(zip(self.points, self._handed)), self._handed_when

    def handed_over(self, readings: list[Any], when: float) -> None:
        """Note what the reporter gave to the handler; its worker may be behind."""
        self._handed, self._handed_when = readings, when

    def read(self) -> list[Any]:
        """All points' cumulative values now."""
        return [point.read() for point in self.points]

    def values(self) -> list[Any]:
        """The merged value of every entry now, for handlers that are asked."""
        readings = self.read()
        return [self._value(entry, readings) for entry in self.entries]

    @staticmethod
    def _value(entry: Entry, readings: list[Any]) -> Any:
        if len(entry.indexes) == 1:
            index = entry.indexes[0]
            return readings[index] if index < len(readings) else None
        return merge(entry.series, [readings[i] for i in entry.indexes if i < len(readings)])

    def samples(
        self, readings: list[Any], time: float, monotonic: float, prepare: Callable[[Series], Any]
    ) -> list[Sample]:
        """A round's readings as samples; from here on they are the previous ones.

        Deltas are taken for each point and merged afterwards, so that one
        that was reset or has gone never makes the merged series fall.
        """
        elapsed = max(0.0, monotonic - self._when)
        previous, self._when = self._previous, monotonic
        result = []
        for entry in self.entries:
            if entry.prepared is _UNPREPARED:
                entry.prepared = prepare(entry.series)
            if entry.prepared is LEFT_OUT:
                continue
            value = self._value(entry, readings)
            if value is None:
                continue
            series = entry.series
            delta = None
            if series.kind in (COUNTER, TIMER, HISTOGRAM):
                delta = merge(
                    series,
                    [
                        difference(series.kind, readings[i], previous[i])
                        for i in entry.indexes
                        if i < len(readings)
                    ],
                )
            result.append(Sample(series, time, value, delta, elapsed, entry.prepared))
        for index, reading in enumerate(readings):
            if reading is not None and _number(reading) != _number(previous[index]):
                self._changed[index] = time
        self._previous[: len(readings)] = readings
        return result

    def changed(self, entry: Entry) -> float:
        """When a round last found another value than before (0: never)."""
        return max(self._changed[index] for index in entry.indexes)


def _number(reading: Any) -> Any:
    return reading.count if isinstance(reading, Distribution) else reading
