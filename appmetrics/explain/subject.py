"""Finding what a name means: its series, or names like it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..display import printable
from ..sample import STATE, STATES, TIMER, Labels, Series, sorted_labels
from ..selection import LEFT_OUT, Point, Selection

NEAREST = 5


class Subject(NamedTuple):
    """A series that is asked for; without a point nobody has registered it."""

    series: Series
    point: Point | None


def hypothetical(name: str, kind: str, level: int, labels: Mapping[str, str]) -> Subject:
    """A series that no process has registered."""
    series = Series(
        name,
        sorted_labels(labels),
        kind,
        unit="seconds" if kind == TIMER else "",
        level=level,
        states=STATES if kind == STATE else (),
    )
    return Subject(series, None)


Key = tuple[str, Labels, str]


class Places:
    """Where the series asked for are in one handler's selection, and what became of them."""

    def __init__(self, selection: Selection | None, subjects: Sequence[Subject]) -> None:
        self._selection = selection
        self._places: dict[Key, int] = {}
        if selection is None:
            return
        # Not by the points: those of several processes that share are merged into others.
        wanted = {_key(subject.series) for subject in subjects if subject.point is not None}
        names = {name for name, *_ in wanted}
        points = {
            n: _key(series)
            for n, series in enumerate(point.series for point in list(selection.points))
            if series.name in names and _key(series) in wanted
        }
        for place in range(len(selection.series)):
            for index in selection.indexes(place):
                if index in points:
                    self._places[points[index]] = place

    def of(self, subject: Subject) -> int | None:
        """The place of what a series became part of, if the handler has it."""
        return self._places.get(_key(subject.series)) if subject.point is not None else None

    def is_left_out(self, subject: Subject) -> bool:
        """Whether the handler has refused it."""
        place = self.of(subject)
        if self._selection is None or place is None:
            return False
        return self._selection.prepared[place] is LEFT_OUT

    def merged(self, subject: Subject) -> int:
        """Of how many points it is one."""
        place = self.of(subject)
        if self._selection is None or place is None:
            return 0
        return len(self._selection.indexes(place))

    def changed(self, subject: Subject) -> float:
        """When a round last found another value (seconds since 1970), 0 if never."""
        place = self.of(subject)
        if self._selection is None or place is None:
            return 0.0
        return self._selection.changed(place)


def nearest_names(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known names that may be meant, the likeliest first.

    That is also a name that occurs in this one as a target has it:
    ``apps.web1.shop.orders.count`` and ``shop_orders_total`` mean ``shop.orders``.
    """
    wanted = f"_{_flat(name)}_"
    flat = [(each, _flat(each)) for each in known]
    inside = sorted((e for e, f in flat if f and f"_{f}_" in wanted), key=len, reverse=True)
    around = sorted((e for e, f in flat if wanted.strip("_") and wanted in f"_{f}_"), key=len)
    # It takes quadratic time, and nobody mistypes a longer name.
    alike = difflib.get_close_matches(name[:200], [each for each, _ in flat], NEAREST, 0.7)
    return tuple(dict.fromkeys([*inside[:2], *alike[:1], *around, *alike]))[:NEAREST]


def no_label(asked: Iterable[str], known: Sequence[str]) -> str:
    """What is wrong with the names of labels; empty if they are all known."""
    for name in asked:
        if name not in known:
            text = f"there is no label {printable(name)}"
            close = difflib.get_close_matches(name[:200], known, 1)
            return f"{text}, did you mean {close[0]}" if close else text
    return ""


def _key(series: Series) -> Key:
    return series.name, series.labels, series.kind


def _flat(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")
