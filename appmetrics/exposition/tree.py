"""JSON: the tree by dotted name, as scales shows it, and the flat list for the page.

Both exist as data and as an iterator of text chunks, which is for many series:
one call of ``json.dumps`` for all of them would hold the GIL for its whole time.

In the tree a counter or gauge is a number, a state its text, a timer or histogram
a dict with scales' own keys (without its ``stddev``, which buckets don't tell).
Labelled children sit under ``a=b,c=d`` keys (a comma, equals sign or backslash in
them escaped by a backslash). A name that is also the prefix of others is a dict
that holds its own value under ``value``. A key that is taken gets ``_`` appended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .. import levels
from ..buckets import Distribution
from ..sample import EVENT, HISTOGRAM, MAX_DEPTH, STATE, TIMER, Labels, Series
from .values import number

#: A chunk of text holds about this many readings.
CHUNK_READINGS = 50

# Escapes lone surrogates too. Made once: `json.dumps` with options makes one a call.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class _Branch(dict[str, Any]):
    """A dict of names, as opposed to the dict that a timer's value is."""


def tree_text(pairs: Iterable[tuple[Series, Any]]) -> Iterator[str]:
    """`stats_tree` as JSON text, in chunks."""
    return _chunks(_pieces(stats_tree(pairs)))


def stats_tree(pairs: Iterable[tuple[Series, Any]]) -> _Branch:
    """Readings as nested dicts by dotted name; None where there is no reading."""
    tree = _Branch()
    for series, value in pairs:
        if series.kind == EVENT:
            continue
        *path, key = series.name.split(".", MAX_DEPTH)
        if series.labels:
            path.append(key)
            key = _label_key(series.labels)
        branch = tree
        for part in path:
            branch = _branch(branch, part)
        _put(branch, key, _leaf(series, value))
    return tree


def series_json(
    pairs: Iterable[tuple[Series, Any]],
    *,
    time: float,
    version: str = "",
    host: str = "",
    pid: int = 0,
    handlers: Sequence[dict[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """Every reading with all that is known of its series, as one flat list.

    ``time`` is when the readings were taken (seconds since 1970); the rest says
    who took them, and ``handlers`` how its handlers are doing; ``more`` is added as it
    is. ``value`` is None
    where there is no reading, and the count of a timer or histogram.
    """
    entries = [_entry(series, value) for series, value in pairs if series.kind != EVENT]
    about = {"time": time, "version": version, "host": host, "pid": pid, **more}
    return {**about, "handlers": list(handlers), "series": entries}


def series_text(
    pairs: Iterable[tuple[Series, Any]],
    *,
    time: float,
    version: str = "",
    host: str = "",
    pid: int = 0,
    handlers: Sequence[dict[str, Any]] = (),
    **more: Any,
) -> Iterator[str]:
    """`series_json` as JSON text, in chunks."""

    def pieces() -> Iterator[str]:
        about = series_json(
            (), time=time, version=version, host=host, pid=pid, handlers=handlers, **more
        )
        yield _encode(about).removesuffix("]}")
        comma = ""
        for series, value in pairs:
            if series.kind != EVENT:
                yield f"{comma}\n{_encode(_entry(series, value))}"
                comma = ","
        yield "\n]}\n"

    return _chunks(pieces())


def _label_key(labels: Labels) -> str:
    return ",".join(f"{_escape(name)}={_escape(value)}" for name, value in labels)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _branch(parent: _Branch, key: str) -> _Branch:
    """The branch under a key; a value that is there already moves into it."""
    here = parent.get(key)
    if isinstance(here, _Branch):
        return here
    branch = _Branch() if key not in parent else _Branch(value=here)
    parent[key] = branch
    return branch


def _put(branch: _Branch, key: str, leaf: Any) -> None:
    while isinstance(here := branch.get(key), _Branch):
        branch, key = here, "value"
    while key in branch:
        key += "_"
    branch[key] = leaf


def _leaf(series: Series, value: Any) -> Any:
    if value is None:
        return None
    if series.kind == STATE:
        return value.text
    if series.kind not in (TIMER, HISTOGRAM):
        return number(value)
    return value.summary()


def _entry(series: Series, value: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": series.name,
        "kind": series.kind,
        "unit": series.unit,
        "help": series.help,
        "level": levels.name(series.level),
        "labels": dict(series.labels),
        "value": None,
    }
    if series.kind == STATE:
        entry["states"] = list(series.states)
        if value is not None:
            entry |= {
                "value": value.state,
                "number": value.number,
                "text": value.text,
                "description": value.description,
            }
    elif isinstance(value, Distribution):
        low, p50, p95, p99, high = value.percentiles((0, 50, 95, 99, 100))
        entry |= {
            "value": value.count,
            "sum": number(value.sum),
            "mean": number(value.mean),
            "min": low,
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "max": high,
        }
    else:
        entry["value"] = number(value)
    return entry


def _pieces(branch: _Branch) -> Iterator[str]:
    """A branch as JSON text, one piece for each key. Not recursive: names may be deep."""
    yield "{"
    comma = ""
    stack = [iter(branch.items())]
    while stack:
        for key, value in stack[-1]:
            if isinstance(value, _Branch):
                yield f"{comma}{_encode(key)}:{{"
                comma = ""
                stack.append(iter(value.items()))
                break
            yield f"{comma}{_encode(key)}:{_encode(value)}"
            comma = ","
        else:
            stack.pop()
            yield "}"
            comma = ","


def _chunks(pieces: Iterable[str]) -> Iterator[str]:
    chunk: list[str] = []
    for piece in pieces:
        chunk.append(piece)
        if len(chunk) >= CHUNK_READINGS:
            yield "".join(chunk)
            chunk.clear()
    if chunk:
        yield "".join(chunk)
