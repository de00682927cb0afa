"""The series one handler gets, and its previous reading of each.

A `Selection` is made by the hierarchy for one handler and one version of the
routing. The reporter thread extends and reads it; the handler's worker turns
readings into samples. Both sides use plain lists that run parallel, and no object
for each series: index i of ``points``, of a round's readings and of ``_previous``
is one point, place n of ``series``, ``prepared`` and ``values`` is one series.
"""

from __future__ import annotations

import functools
import operator
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from .buckets import Distribution, finite
from .identities import Identities, T
from .pace import in_parts, unhurried
from .sample import COUNTER, GAUGE, HISTOGRAM, STATE, TIMER, Sample, Series

#: What a handler's ``prepare`` returns for a series that it can't take.
LEFT_OUT = object()

#: Stands for what a handler has not prepared yet.
UNPREPARED = object()

#: Kinds of which a round tells the change.
_GROWING = frozenset((COUNTER, TIMER, HISTOGRAM))

# A NamedTuple's own constructor is Python code, and dearer than the rest of a sample.
_sample: Callable[[tuple[Any, ...]], Sample] = functools.partial(tuple.__new__, Sample)

#: How many points are done before other threads may run: some hundred microseconds each.
_READ, _SAMPLED, _CHOSEN, _PREPARED = 2000, 500, 200, 50


class Point(Protocol):
    """One thing that can be read: an instrument without labels, a labelled child."""

    @property
    def series(self) -> Series:
        """Who it is, without common labels and filters."""

    def read(self) -> Any:
        """Its cumulative value now, None if there is none. Never raises."""


def merge(series: Series, values: Iterable[Any]) -> Any:
    """One value from those of several points; None if none has any."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return known[0] if known else None
    if series.kind == STATE:
        return max(known, key=operator.attrgetter("number"))
    if series.kind == GAUGE and series.merge in ("max", "min"):
        return max(known) if series.merge == "max" else min(known)
    total = functools.reduce(operator.add, known)
    return total if isinstance(total, Distribution) else finite(total)


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
    get it. ``started`` is the monotonic time that the first rates count from, and
    ``before`` gives the reading of a point that its first delta counts from.
    """

    def __init__(
        self,
        choose: Callable[[Point], Series | None],
        started: float,
        before: Callable[[Point], Any] = lambda point: None,
        identities: Identities | None = None,
    ) -> None:
        self._choose = choose
        self._before = before
        self.points: list[Point] = []
        #: The final series, each once, and what the handler prepared of them.
        self.series: list[Series] = []
        self.prepared: list[Any] = []
        # By place: the index of the first point; of hardly any series there are more.
        self._first = array("I")
        self._more: dict[int, tuple[int, ...]] = {}
        self._identities = identities or Identities()
        # By the number of an identity, one more than its place.
        self._places = array("I")
        self._looked_at = 0
        self._positions = array("I")
        # The reporter's side: what was handed over last.
        self._handed: list[Any] = []
        self._handed_when = started
        self._used = False
        # The worker's side: what was turned into samples last.
        self._previous: list[Any] = []
        self._when = started
        self._changed = array("d")
        #: How many series the handler has prepared.
        self._readied = 0
        self._former: tuple[Selection, list[int | None]] | None = None

    def extend(self, points: Sequence[Point]) -> None:
        """Take in the points that are new since the last call.

        ``points`` is the registry's list of all points, which only grows.
        """
        for point in unhurried(points[self._looked_at :], _CHOSEN):
            series = self._choose(point)
            if series is not None:
                self._add(point, series)
            self._looked_at += 1

    def _add(self, point: Point, series: Series) -> None:
        index = len(self.points)
        self.points.append(point)
        self._positions.append(self._looked_at)
        before = self._before(point)
        self._handed.append(before)
        self._previous.append(before)
        self._changed.append(0.0)
        number, series = self._identities.of(series)
        places = self._places
        if number >= len(places):
            places.extend([0] * (number + 1 - len(places)))
        if places[number]:
            place = places[number] - 1
            self._more[place] = (*self._more.get(place, ()), index)
        else:
            self._first.append(index)
            self.prepared.append(UNPREPARED)
            # Last: who reads meanwhile goes by the number of series.
            self.series.append(series)
            places[number] = len(self.series)

    def indexes(self, place: int) -> tuple[int, ...]:
        """The indexes of the points that became the series at a place."""
        return (self._first[place], *self._more.get(place, ()))

    def share(self, made: T) -> T:
        """One object for what several handlers make alike of the series of this routing."""
        return self._identities.share(made)

    def start_from_now(self, when: float) -> None:
        """For a new handler: what was counted before is not its business."""
        self._previous = [_standing(point) for point in unhurried(self.points, _READ)]
        self._handed = list(self._previous)
        self._when = self._handed_when = when

    def resume(self, when: float) -> None:
        """Count rates from the last round of another process, which it follows."""
        self._when = self._handed_when = when

    def follow(self, former: Selection, same_handler: bool) -> None:
        """Go on where a former selection ends; called before the first round.

        Series that the former one had looked at and not taken start from now.
        Of the same handler, the rest goes on from what the worker has done when
        this selection's turn comes, since waiting rounds may yet be dropped; of
        a replaced handler, from what that one was handed and will deliver.
        """
        places = {id(point): place for place, point in enumerate(former.points)}
        found = [places.get(id(point)) for point in self.points]
        for index, place in enumerate(found):
            if place is not None:
                self._handed[index] = former._handed[place]
            elif self._positions[index] < former._looked_at:
                self._handed[index] = _standing(self.points[index])
        self._previous = list(self._handed)
        self._when = self._handed_when = former._handed_when
        if same_handler:
            if former._former is not None and not former._used:
                # No round was read by it: leave it out, or while a worker hangs
                # each change of routing would add a selection to keep.
                former, places_there = former._former
                known = dict(enumerate(places_there))
                found = [None if place is None else known.get(place) for place in found]
            self._former = (former, found)

    def _catch_up(self) -> None:
        """In the worker: take over what it has done for former selections."""
        chain: list[Selection] = [self]
        while chain[-1]._former:
            chain.append(chain[-1]._former[0])
        while len(chain) > 1:
            done, selection = chain.pop(), chain[-1]
            assert selection._former is not None
            for index, place in enumerate(selection._former[1]):
                if place is not None:
                    selection._previous[index] = done._previous[place]
                    selection._changed[index] = done._changed[place]
            selection._when = done._when
            selection._former = None

    def handed_over(self, readings: list[Any], when: float) -> None:
        """Note what the reporter gave to the handler; its worker may be behind."""
        self._used = True
        former = self._handed
        self._handed = [old if new is None else new for new, old in zip(readings, former)]
        self._handed_when = when

    def read(self) -> list[Any]:
        """All points' cumulative values now."""
        readings: list[Any] = []
        for points in in_parts(self.points, _READ):
            readings += [point.read() for point in points]
        return readings

    def values(self) -> list[Any]:
        """The merged value of every series now, for handlers that are asked."""
        readings = self.read()
        # In this order: a point that became part of a series before the last of them is known.
        number = len(self.series)
        if not self._more:
            return readings[:number]
        values: list[Any] = []
        for places in in_parts(range(number), _READ):
            values += [self._value(place, readings) for place in places]
        return values

    def _value(self, place: int, readings: list[Any]) -> Any:
        known = [readings[i] for i in self.indexes(place) if i < len(readings)]
        return merge(self.series[place], known) if known else None

    def samples(
        self, readings: list[Any], time: float, monotonic: float, prepare: Callable[[Series], Any]
    ) -> list[Sample]:
        """A round's readings as samples; from here on they are the previous ones.

        Deltas are taken for each point and merged afterwards, so that one
        that was reset or has gone never makes the merged series fall.
        """
        self._catch_up()
        elapsed = max(0.0, monotonic - self._when)
        previous, self._when = self._previous, monotonic
        result = []
        every, prepared, merged = self.series, self.prepared, self._more
        read = self._first[: bisect_left(self._first, len(readings))]
        for place in unhurried(range(self._readied, len(read)), _PREPARED):
            prepared[place] = prepare(every[place])
        self._readied = max(self._readied, len(read))
        for place, first in enumerate(unhurried(read, _SAMPLED)):
            made = prepared[place]
            if made is LEFT_OUT:
                continue
            value = self._value(place, readings) if place in merged else readings[first]
            if value is None:
                continue
            series = every[place]
            delta, kind = None, series.kind
            if kind in _GROWING:
                delta = difference(kind, readings[first], previous[first])
                if place in merged:
                    more = [
                        difference(kind, readings[i], previous[i])
                        for i in merged[place]
                        if i < len(readings)
                    ]
                    delta = merge(series, [delta, *more])
            result.append(_sample((series, time, value, delta, elapsed, made)))
        for index, reading in enumerate(unhurried(readings, _READ)):
            if reading is not None and reading is not previous[index]:
                if _number(reading) != _number(previous[index]):
                    self._changed[index] = time
                previous[index] = reading
        return result

    def changed(self, place: int) -> float:
        """When a round last found another value than before (0: never)."""
        return max(self._changed[index] for index in self.indexes(place))


def _standing(point: Point) -> Any:
    """What a point reads, also if it is left out for now: it may come back."""
    return getattr(point, "standing", point.read)()


def _number(reading: Any) -> Any:
    return reading.count if isinstance(reading, Distribution) else reading
