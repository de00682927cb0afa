"""`Post`: events on their way from whoever records them to the process that sends.

Before this process has a slot they wait; then they are left in it, and the one that sends
collects them from all slots. How they are written is the matter of ``events``.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..sample import EVENT, Event, Sample, Series
from .events import EventLog
from .view import Reader

#: Events recorded before this process has a slot, the newest this many.
EARLY_EVENTS = 100

Letter = tuple[str, Sample]


class Post:
    """This process' events; a letter is the name of a meter and an event of it."""

    def __init__(self) -> None:
        self.log: EventLog | None = None
        self._early: deque[Letter] = deque(maxlen=EARLY_EVENTS)

    def open(self, log: EventLog) -> None:
        """From now on events are left here."""
        self.log = log
        for letter in self.early():
            self.leave(*letter)

    def early(self) -> Iterator[Letter]:
        """What waits, which then waits no more."""
        while self._early:
            yield self._early.popleft()

    def leave(self, meter: str, event: Sample) -> bool:
        """Leave an event for the process that sends; False if that can't be done."""
        if self.log is None:
            self._early.append((meter, event))
            return True
        series = event.series
        return self.log.write([meter, series.name, series.level, event.time, list(event.value)])


def collect(readers: Iterable[Reader], places: str) -> Iterator[Letter]:
    """The events in all slots since the last time, by this process or a former one.

    ``places`` is the path of a file that says how far each slot has been read. Raises
    OSError if that can't be written.
    """
    known = _read(places)
    changed = False
    for reader in readers:
        number, events = str(reader.number), reader.events
        place = known.get(number)
        if place and events.place == (0, 0):
            events.place = (int(place[0]), int(place[1]))
        yield from filter(None, map(_letter, events.read()))
        if list(events.place) != place:
            known[number], changed = list(events.place), True
    if changed:
        Path(f"{places}.new").write_text(json.dumps(known))
        os.replace(f"{places}.new", places)


def _read(path: str) -> dict[str, Any]:
    try:
        data = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _letter(data: Any) -> Letter | None:
    try:
        meter, name, level, time, value = data
        description, state, attributes, tags, metric, ttl = value
        event = Event(description, state, attributes, tuple(tags), metric, ttl)
        return str(meter), Sample(Series(str(name), kind=EVENT, level=int(level)), time, event)
    except (TypeError, ValueError):
        return None  # of a newer version of the same format
