"""How changes and unknown names are told to people, in failures of tests."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..buckets import Distribution
from ..sample import Sample, Series, StateValue

if TYPE_CHECKING:
    from .changes import Change


def tell(changes: Iterable[Change], events: Iterable[Sample]) -> str:
    """One aligned line for each, sorted by series, the events last and in order."""
    rows = sorted((_who(change.series), _change(change)) for change in changes)
    rows += [(_who(event.series), _event(event)) for event in events]
    width = max((len(who) for who, _ in rows), default=0)
    return "\n".join(f"{who:<{width}}  {what}" for who, what in rows) or "nothing"


def explain(name: str, known: Iterable[str], report: str) -> str:
    """Why a name can't be found: near matches, and what did change."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 3)
    last = name.rpartition(".")[2]
    near += [other for other in known if other.rpartition(".")[2] == last and other not in near]
    meant = f"; did you mean {' or '.join(map(repr, near[:3]))}?" if near else ""
    changed = "\n".join(f"  {line}" for line in report.splitlines())
    return f"there is no metric {name!r}{meant}\nchanged so far:\n{changed}"


def _who(series: Series) -> str:
    labels = ", ".join(f"{key}={value!r}" for key, value in series.labels)
    return f"{series.name}{{{labels}}}" if labels else series.name


def _change(change: Change) -> str:
    """``counter +2, now 12``; ``state critical: no route, was ok``."""
    kind, unit, delta = change.series.kind, change.series.unit, change.delta
    if isinstance(delta, Distribution):
        return f"{kind} +{delta.count}, mean {delta.mean:.4g} {unit}".rstrip()
    if delta is not None:
        return f"{kind} +{delta:.12g}, now {change.now:.12g} {unit}".rstrip()
    was = "" if change.before is None else f", was {_reading(change.before)}"
    return f"{kind} {_reading(change.now)}{was}"


def _reading(reading: Any) -> str:
    if isinstance(reading, StateValue):
        return f"{reading.text}: {reading.description}" if reading.description else reading.text
    return f"{reading:.12g}"


def _event(event: Sample) -> str:
    return " ".join(filter(None, ("event", event.value.state, event.value.description)))
