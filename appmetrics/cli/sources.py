"""Readings for ``show``: from a running process, or from a file that a handler wrote.

Whatever the source, the result is a `Reading` of plain rows. How they look is not
known here.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from ..display import ago, count
from ..sample import COUNTER, EVENT, GAUGE, HISTOGRAM, STATE, TIMER, Labels, sorted_labels
from .fetch import get, is_address, url_of
from .terminal import CliError

STATISTICS = ("mean", "p50", "p95", "p99", "max")
#: Numbers that are told of a handler.
FIGURES = ("sent", "queue", "spooled", "dropped", "errors", "time_left", "lag")
COUNTING = (COUNTER, TIMER, HISTOGRAM)

#: So much of a file's end is read: days of a usual log of JSON lines.
TAIL = 64 * 1024 * 1024

Key = tuple[str, str, Labels]


@dataclass(frozen=True)
class Row:
    """One series: ``value`` is a number, a state's word or None; the count of a
    timer or histogram. ``rate`` is None where it isn't known."""

    name: str
    labels: Labels = ()
    kind: str = ""
    unit: str = ""
    value: float | str | None = None
    statistics: Mapping[str, float] = field(default_factory=dict)
    rate: float | None = None
    note: str = ""
    time: float = 0.0

    @property
    def key(self) -> Key:
        """What stays the same from reading to reading."""
        return self.name, self.kind, self.labels


@dataclass(frozen=True)
class Sending:
    """How one handler is doing; None and empty is what isn't known, see `handlers.table`."""

    name: str
    target: str = ""
    pid: str = ""
    served: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    last_error: str = ""
    last_error_time: float | None = None
    failing: bool = False


class Reading(NamedTuple):
    """Rows, where they come from, and when they were true (seconds since 1970).

    ``about`` is a remark; ``span`` says of what time the statistics are. ``handlers`` and
    ``remarks`` (sentences on what is shared, or left out) are known of a process only.
    """

    source: str
    time: float
    rows: list[Row]
    about: str = ""
    span: str = "since the start"
    handlers: Sequence[Sending] = ()
    remarks: Sequence[str] = ()


def read(source: str, query: str = "") -> Reading:
    """What an address or a file says now. Raises CliError if it says nothing.

    ``query`` picks names: a glob, or a part of the name.
    """
    if is_address(source) and ("://" in source or not os.path.exists(source)):
        return _process(source, query)
    if not os.path.exists(source):
        raise CliError(f"{source}: no such file, and not an address such as 127.0.0.1:9464")
    reading = _file(source)
    glob = query if any(sign in query for sign in "*?[") else f"*{query}*"
    return reading._replace(rows=[row for row in reading.rows if fnmatchcase(row.name, glob)])


def with_rates(now: Reading, before: Reading | None) -> Reading:
    """The reading with the rates that two of the same source tell."""
    if before is None:
        return now
    passed = now.time - before.time
    known = {row.key: row for row in before.rows}

    def rated(row: Row) -> Row:
        old = known.get(row.key)
        if row.rate is not None or row.kind not in COUNTING or old is None:
            return row
        if passed <= 0:
            return replace(row, rate=old.rate)
        if not isinstance(row.value, (int, float)) or not isinstance(old.value, (int, float)):
            return row
        # A count that fell began anew, at a moment that nobody knows.
        return (
            replace(row, rate=(row.value - old.value) / passed) if row.value >= old.value else row
        )

    return now._replace(rows=[rated(row) for row in now.rows])


# -- a process -----------------------------------------------------------------


def _process(source: str, query: str) -> Reading:
    text = get(source, ("format", "series"), *([("query", query)] if query else []))
    where = url_of(source).partition("?")[0]
    try:
        data = json.loads(text)
        rows = [_entry(entry) for entry in data["series"]]
        time = float(data["time"])
        datetime.fromtimestamp(time, timezone.utc)
        about = f"{data.get('host', '')} pid {data.get('pid', '')}"
        handlers = [_sending(entry) for entry in data.get("handlers", ())]
        remarks = list(filter(None, [str(data.get("left_out") or ""), _shared(data)]))
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        ArithmeticError,
        OSError,
    ):
        raise CliError(f"{where} answers, but not as appmetrics does") from None
    return Reading(where, time, rows, about, handlers=handlers, remarks=remarks)


def _sending(entry: Mapping[str, Any]) -> Sending:
    sent, failed = _number(entry.get("last_sent")), _number(entry.get("last_error_time"))
    figures = ((name, _number(entry.get(name))) for name in FIGURES)
    return Sending(
        str(entry["name"]),
        str(entry.get("target", "")),
        str(entry.get("pid", "")),
        _number(entry.get("served")),
        {name: value for name, value in figures if value is not None},
        str(entry.get("last_error", "")),
        failed,
        failed is not None and failed > (sent or 0.0),
    )


def _shared(data: Mapping[str, Any]) -> str:
    """Who shares these numbers, as a sentence; empty if nobody does."""
    about = data.get("sharing")
    if not about:
        return ""
    pids = [str(pid) for pid in about["processes"]]
    who = f"shared by {count(len(pids), 'process', 'processes')} ({', '.join(pids)})"
    if not about.get("leader"):
        return who
    told = _number(about.get("told"))
    as_of = f"; its handlers as of {ago(told, float(data['time']))}" if told else ""
    return f"{who}; process {about['leader']} sends for all{as_of}"


def _entry(entry: Mapping[str, Any]) -> Row:
    kind = str(entry["kind"])
    value = entry["value"]
    return Row(
        str(entry["name"]),
        sorted_labels(entry["labels"]),
        kind,
        str(entry.get("unit", "")),
        _number(value) if kind != STATE else _state(entry, value),
        # Those of no values are 0, which none of them was.
        _statistics(entry) if value else {},
        note=str(entry.get("description", "")),
    )


def _state(entry: Mapping[str, Any], value: object) -> str | None:
    return None if value is None else str(entry.get("text", value))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) < 1e300 and math.isfinite(value) else None


def _statistics(entry: Mapping[str, Any]) -> dict[str, float]:
    found = ((name, _number(entry.get(name))) for name in STATISTICS)
    return {name: value for name, value in found if value is not None}


# -- a file --------------------------------------------------------------------


def _file(path: str) -> Reading:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            data = file.read(TAIL)
            changed = os.fstat(file.fileno()).st_mtime
    except OSError as error:
        raise CliError(f"{path} can't be read: {error.strerror or error}") from None
    about = ""
    if size > TAIL:
        data = data.partition(b"\n")[2]
        about = f"the last {TAIL >> 20} MiB of the file"
    lines = data.decode("utf-8", "replace").split("\n")
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("{"):
        rows = _latest(lines)
        if not rows:
            raise CliError(f"{path} holds no JSON lines of appmetrics")
        newest = max(row.time for row in rows)
        return Reading(path, newest, rows, about, "of the last interval")
    rows = list(_exposed(lines))
    if first and not rows:
        raise CliError(f"{path} holds neither JSON lines of appmetrics nor a Prometheus text")
    return Reading(path, changed, rows, about)


def _latest(lines: Sequence[str]) -> list[Row]:
    """The newest line of each series."""
    rows: dict[Key, Row] = {}
    for line in lines:
        try:
            row = _record(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # A line that is being written, or somebody else's.
            continue
        if row.kind != EVENT:
            rows[row.key] = row
    return list(rows.values())


def _record(fields: Mapping[str, Any]) -> Row:
    kind = str(fields["kind"])
    value: float | str | None = _number(fields.get("value"))
    if kind == STATE:
        value = str(fields.get("text") or fields["state"])
    elif kind in (TIMER, HISTOGRAM):
        value = _number(fields.get("total", fields.get("count")))
    return Row(
        str(fields["metric"]),
        sorted_labels(fields["labels"]),
        kind,
        str(fields.get("unit", "")),
        value,
        _statistics(fields),
        _number(fields.get("rate")),
        str(fields.get("description", "")),
        datetime.fromisoformat(fields["@timestamp"].replace("Z", "+00:00")).timestamp(),
    )


_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+\S+)?", re.ASCII)
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', re.ASCII)
_ESCAPE = re.compile(r"\\(.)")
_PARTS = {"histogram": ("_count", "_sum", "_bucket"), "summary": ("_count", "_sum", "")}
_UNITS = ("seconds", "bytes", "ratio")


def _exposed(lines: Sequence[str]) -> Iterator[Row]:
    """The series of a Prometheus text; those of a histogram become one row."""
    types: dict[str, str] = {}
    rows: dict[Key, Row] = {}
    sums: dict[Key, float] = {}
    for line in lines:
        if line.startswith("# TYPE "):
            name, _, kind = line[7:].rpartition(" ")
            types[name] = kind
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        name, inside, text = match.groups()
        try:
            value = float(text)
        except ValueError:
            continue
        labels = {key: _ESCAPE.sub(_unescaped, word) for key, word in _LABEL.findall(inside or "")}
        kind, family, part = _family(name, types)
        if part in ("_bucket", "") and kind == HISTOGRAM:
            continue
        unit = next((unit for unit in _UNITS if family.endswith(f"_{unit}")), "")
        row = Row(family, sorted_labels(labels), kind, unit, _number(value))
        if part == "_sum":
            sums[row.key] = value
        else:
            rows[row.key] = row
    for key, row in rows.items():
        if key in sums and isinstance(row.value, (int, float)) and row.value:
            row = replace(row, statistics={"mean": sums[key] / row.value})
        yield row


def _family(name: str, types: Mapping[str, str]) -> tuple[str, str, str]:
    """Our kind for a line's name, its family's name, and what the line's name has more."""
    for suffix in ("_count", "_sum", "_bucket", ""):
        family = name.removesuffix(suffix)
        if name == family + suffix and suffix in _PARTS.get(types.get(family, ""), ()):
            return HISTOGRAM, family, suffix
    counter = "counter" in (types.get(name), types.get(name.removesuffix("_total")))
    return (COUNTER, name.removesuffix("_total"), "") if counter else (GAUGE, name, "")


def _unescaped(match: re.Match[str]) -> str:
    return {"n": "\n"}.get(match[1], match[1])
