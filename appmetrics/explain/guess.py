"""What a name may mean that nobody registered: a name as a target has it, or an event's.

Names that are merely similar are found by ``subject``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..display import title
from ..handlers.base import Handler
from ..hierarchy import Hierarchy
from ..instrument import Instrument
from ..levels import INFO
from ..meter import Meter
from ..rounds import Route
from ..sample import EVENT, Series
from .subject import hypothetical

#: So many series are looked at, over all handlers: some tenths of a second.
MOST = 10_000


def sent_as(
    name: str, routes: Sequence[Route], hierarchy: Hierarchy, most: int = MOST
) -> Iterator[tuple[Series, Handler]]:
    """The series that a handler sends, or shows, under this name, path or line."""
    wanted = name.strip()
    points = list(hierarchy.registry.points)
    # What an application measures itself is what people look for.
    points.sort(key=lambda point: not isinstance(point, Instrument))
    for route in routes:
        for point in points[: most // len(routes)]:
            meter = hierarchy.meter_of(point)
            lines = _lines(point.series, meter, route.handler, hierarchy)
            if any(wanted in (line, *_bare(line)) for line in lines):
                yield point.series, route.handler


def _bare(line: str) -> tuple[str, str]:
    """A line without what comes behind its name: Prometheus' labels, Graphite's tags."""
    return line.partition("{")[0], line.partition(";")[0]


def _lines(series: Series, meter: Meter, handler: Handler, hierarchy: Hierarchy) -> Sequence[str]:
    if not (handler.everywhere or handler in meter.effective_handlers):
        return ()
    if series.level < meter.effective_level:
        return ()
    final = hierarchy.route(series, meter, handler)
    try:
        return handler.describe(final) if final is not None else ()
    except Exception:
        # It is told by the step of the handler, where a series is explained.
        return ()


def event_takers(name: str, routes: Sequence[Route], hierarchy: Hierarchy) -> list[str]:
    """The handlers that would ship an event of this name."""
    meter = hierarchy.nearest(name.rpartition(".")[0])
    event = hypothetical(name, EVENT, INFO, {}).series
    handlers = (route.handler for route in routes if not route.handler.pull)
    return [each.name for each in handlers if _lines(event, meter, each, hierarchy)]


def found_as(pairs: Sequence[tuple[Series, Handler]]) -> list[str]:
    """Sentences about the series that `sent_as` found, one for each series."""
    handlers: dict[str, list[str]] = {}
    for series, handler in pairs:
        handlers.setdefault(title(series.name, series.labels), []).append(handler.name)
    return [
        f"this is {who} at handler{'s'[: len(names) - 1]} {', '.join(names)}"
        for who, names in handlers.items()
    ]
