"""Carbon's own configuration for what the graphite handlers send: how long each point
is kept, and how points become one when they are thinned out.

Without it carbon averages all: a count of ten a second, kept by the minute, would say
ten a minute.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from .graphite import GraphiteHandler
from .graphite_layouts import Plain, roll_up

#: How coarse points may get, in seconds, and how long they are kept.
_AGES = ((60, "30d"), (600, "2y"))
_NEWEST = "1d"


def retentions(interval: float) -> str:
    """Carbon's retentions for points that come every ``interval`` seconds (a second at least)."""
    finest = max(1, math.ceil(interval))
    steps, found = finest, [f"{finest}s:{_NEWEST}"]
    for seconds, age in _AGES:
        # Each archive's step must be a whole multiple of the finer one's.
        coarser = math.ceil(seconds / steps) * steps
        if coarser > steps:
            steps = coarser
            found.append(f"{steps}s:{age}")
    return ",".join(found)


def schemas(handlers: Iterable[tuple[GraphiteHandler, float]]) -> str:
    """``storage-schemas.conf`` for handlers with their intervals in seconds."""
    sections = []
    for handler, interval in handlers:
        sections.append(
            f"[appmetrics_{_section(handler.name)}]\n"
            f"pattern = {_beginning(handler) or '.*'}\n"
            f"retentions = {retentions(interval)}\n"
        )
    return "\n".join(sections)


def aggregation(handlers: Iterable[GraphiteHandler]) -> str:
    """``storage-aggregation.conf``: a section for each way in which points become one."""
    sections = []
    for handler in handlers:
        by_method: dict[str, list[str]] = {}
        for key in _keys(handler):
            by_method.setdefault(roll_up(key), []).append(key)
        for method in ("sum", "min", "max", "last"):
            if method in by_method:
                sections.append(_aggregation(handler, method, _ending(handler, by_method[method])))
        # Rates, means, percentiles, gauges.
        sections.append(_aggregation(handler, "average", _beginning(handler) or ".*"))
    return "\n".join(sections)


def _aggregation(handler: GraphiteHandler, method: str, pattern: str) -> str:
    # A point is made of whatever is there: after a restart some are missing.
    return (
        f"[appmetrics_{_section(handler.name)}_{method}]\n"
        f"pattern = {pattern}\nxFilesFactor = 0\naggregationMethod = {method}\n"
    )


def _section(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name)


def _keys(handler: GraphiteHandler) -> list[str]:
    """All statistics that the handler may send."""
    layout = handler.layout
    if isinstance(layout, Plain):
        words = (*layout.counter_words, *layout.words)
        return list(dict.fromkeys(word.replace(".", "_") for word in words))
    return list(dict.fromkeys((*layout.COUNTER, *layout.TIMER)))


def _beginning(handler: GraphiteHandler) -> str:
    """What all paths of the handler begin with, as an expression; empty if there is no such."""
    if not isinstance(handler.layout, Plain):
        return r"^stats\.(counters|timers|gauges)\."
    first = handler.paths.beginning
    return f"^{re.escape(first)}\\." if first else ""


def _ending(handler: GraphiteHandler, keys: Iterable[str]) -> str:
    """An expression for the paths with one of these statistics."""
    words = f"({'|'.join(map(re.escape, keys))})"
    after = "(;|$)" if handler.paths.statistic_is_last else r"(\.|;|$)"
    return rf"{_beginning(handler) or '^'}(.*\.)?{words}{after}"
