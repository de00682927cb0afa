"""`InfluxHandler`: line protocol over HTTP, for InfluxDB 1 and 2 and what understands them.

Here are the lines: names, escapes, fields and their types. The connection is in
``posting``, keeping and retrying in ``delivery``.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from ..exposition.values import encodable, number
from ..options import Option, secret, text
from ..sample import COUNTER, EVENT, GAUGE, STATE, Event, Sample, Series
from ..statistics import (
    COUNTER_STATISTICS,
    counter_statistics,
    key,
    statistics,
    timer_statistics,
)
from . import posting
from .base import LEFT_OUT
from .delivery import RefusedForGood
from .history import HistoryHandler
from .naming import Names, cut

TIMER_DEFAULT = ("count", "rate", "mean", "p50", "p95", "p99", "max")

#: A measurement or a tag; InfluxDB refuses a series of more than 64 KiB in all.
MAX_NAME = 1000
MAX_SERIES = 32_000
MAX_TEXT = 4000
#: So large may one request become.
MAX_BODY = 256 * 1024

_ESCAPES = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_ESCAPES_IN_MEASUREMENTS = str.maketrans({",": r"\,", " ": r"\ "})
_QUOTED = str.maketrans({"\\": r"\\", '"': r"\""})

#: These statuses mean that the same request would be refused again.
_FOR_GOOD = (400, 413, 422)
_DROPPED = re.compile(rb"dropped=(\d+)")


def _plain(value: str) -> str:
    """Text without what ends a line, or reads differently from one parser to another."""
    value = encodable(value)
    value = "".join(char if char.isprintable() else "_" for char in value)
    return cut(value.replace("\\", "/"), MAX_NAME)


def measurement(name: str) -> str:
    """A name as a measurement; a leading ``#`` would make a comment of the line."""
    plain = _plain(name) or "_"
    return ("_" + plain if plain[0] == "#" else plain).translate(_ESCAPES_IN_MEASUREMENTS)


def name_of(key: str) -> str:
    """The name of a tag or a field: not ``time``, and without a leading ``_``, which
    InfluxDB keeps for itself."""
    plain = _plain(key).lstrip("_") or "x"
    return ("time_" if plain == "time" else plain).translate(_ESCAPES)


def quoted(value: str) -> str:
    """A text as the value of a field."""
    value = encodable(value)[:MAX_TEXT]
    value = "".join(char if char.isprintable() else " " for char in value)
    return f'"{value.translate(_QUOTED)}"'


class InfluxHandler(HistoryHandler):
    """Sends to InfluxDB, in its line protocol over HTTP.

    ::

        [metrics.handler.influx]
        class = influx
        url = http://127.0.0.1:8086
        database = shop

    InfluxDB 1 is told by ``database`` (with ``user`` and ``password`` where it asks for
    them), InfluxDB 2 by ``bucket``, ``org`` and ``token``.

    A series is a measurement of its dotted name with its labels as tags, all of
    them, the common ones, too. Statistics are fields.

    ========== ============================================== =====================
    kind       fields                                         default
    ========== ============================================== =====================
    counter    count (this interval's), rate (per second),    all three
               total (since the start)
    gauge      value
    timer,     count, rate, total, sum, mean, min, max, p50,  count, rate, mean,
    histogram  p99.9 (as ``p99_9``) ..., of this interval     p50, p95, p99, max
    state      value (0 ok, 1 warning, 2 critical, 3
               unknown), state and description as texts
    event      description, state, metric, tags, and its
               attributes, as texts
    ========== ============================================== =====================

    All numbers are floats: the type of a field is fixed by the first value that ever
    came, and a counter that is whole today may be given 0.5 tomorrow.
    """

    OPTIONS = (
        *posting.options("http://127.0.0.1:8086"),
        Option("database", text, "", "The database, of InfluxDB 1."),
        Option("retention_policy", text, "", "Its retention policy; else the database's default."),
        Option("bucket", text, "", "Or the bucket, of InfluxDB 2."),
        Option("org", text, "", "The organization that has the bucket."),
        Option("token", secret, "", "The token that may write."),
        Option("prefix", text, "", "Stands in front of every measurement, with a dot between."),
        Option("statistics", timer_statistics, TIMER_DEFAULT, "Of timers and histograms."),
        Option("counter_statistics", counter_statistics, COUNTER_STATISTICS, "Of counters."),
        *HistoryHandler.OPTIONS,
    )

    def __init__(
        self,
        *,
        url: str = "http://127.0.0.1:8086",
        user: str = "",
        password: str = "",
        ca_file: str | None = None,
        gzip: bool = True,
        database: str = "",
        retention_policy: str = "",
        bucket: str = "",
        org: str = "",
        token: str = "",
        prefix: str = "",
        statistics: Sequence[str] = TIMER_DEFAULT,
        counter_statistics: Sequence[str] = COUNTER_STATISTICS,
        **common: Any,
    ) -> None:
        if bool(database) == bool(bucket):
            raise ValueError("needs one of `database` (InfluxDB 1) and `bucket` (InfluxDB 2)")
        if retention_policy and bucket:
            raise ValueError("retention_policy: a bucket has its own")
        if org and database:
            raise ValueError("org: a database has none")
        if token and user:
            raise ValueError("token: either a token or a user and a password")
        self.url = url
        self.prefix = prefix.rstrip(".")
        self.statistics = tuple(statistics)
        self.counter_statistics = tuple(counter_statistics)
        self._to = f"database {database}" if database else f"bucket {bucket}"
        if bucket:
            query = {"org": org, "bucket": bucket, "precision": "ms"}
            self._path = f"/api/v2/write?{urllib.parse.urlencode(query)}"
        else:
            query = {"db": database, "precision": "ms"}
            if retention_policy:
                query["rp"] = retention_policy
            self._path = f"/write?{urllib.parse.urlencode(query)}"
        self._headers = {"Content-Type": "text/plain; charset=utf-8"}
        if token:
            self._headers["Authorization"] = f"Token {token}"
        self._poster = posting.Poster(url, user=user, password=password, ca_file=ca_file, gzip=gzip)
        super().__init__(**common)
        self.names = Names(self.name)

    # -- names ---------------------------------------------------------------

    def prepare(self, series: Series) -> Any:
        head = self._head(series)
        if len(head) > MAX_SERIES:
            self.names.leave_out(series, f"name and labels are longer than {MAX_SERIES} characters")
            return LEFT_OUT
        # An event shares its measurement with others of its name.
        if series.kind != EVENT and not self.names.claim(series, head):
            return LEFT_OUT
        return head

    def rerouted(self) -> None:
        self.names.clear()

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        """The series that are not sent, and why."""
        return self.names.left_out

    def _head(self, series: Series) -> str:
        """The measurement and the tags, as they stand in the line."""
        name = f"{self.prefix}.{series.name}" if self.prefix else series.name
        tags = {"worker": self.instance} if self.instance else {}
        for label, value in series.labels:
            if value:  # a tag can't be empty, and one that isn't there is
                tags.setdefault(name_of(label), _plain(value).translate(_ESCAPES))
        return measurement(name) + "".join(f",{tag}={tags[tag]}" for tag in sorted(tags))

    def describe(self, series: Series) -> list[str]:
        fields = ["value"]
        if series.kind == EVENT:
            fields = ["description"]
        elif series.kind == STATE:
            fields = ["value", "state", "description"]
        elif series.kind != GAUGE:
            fields = [key(word) for word in self._words(series)]
        return [f"{self._head(series)} {','.join(fields)}"]

    def _words(self, series: Series) -> tuple[str, ...]:
        return self.counter_statistics if series.kind == COUNTER else self.statistics

    # -- delivery ------------------------------------------------------------

    def encode(self, samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        lines: list[bytes] = []
        length = count = 0
        for sample in samples:
            count += 1
            fields = ",".join(self._fields(sample))
            if not fields:
                continue
            line = f"{sample.prepared} {fields} {round(sample.time * 1000)}\n".encode()
            if lines and length + len(line) > MAX_BODY:
                yield b"".join(lines), count - 1
                lines, length, count = [], 0, 1
            lines.append(line)
            length += len(line)
        if lines:
            yield b"".join(lines), count

    def _fields(self, sample: Sample) -> Iterator[str]:
        series, value = sample.series, sample.value
        if series.kind == GAUGE:
            finite = number(value)
            if finite is not None:
                yield f"value={finite!r}"
        elif series.kind == STATE:
            yield f"value={value.number}"
            yield f"state={quoted(value.state)}"
            if value.description:
                yield f"description={quoted(value.description)}"
        elif series.kind == EVENT:
            yield from _event_fields(value)
        else:
            for word, each in statistics(sample, self._words(series)):
                yield f"{key(word)}={each!r}"

    def send(self, payload: bytes) -> None:
        self._poster.timeout = self.time_limit
        answer = self._poster.post(self._path, payload, self._headers)
        if answer.status in _FOR_GOOD:
            dropped = _DROPPED.search(answer.body)
            raise RefusedForGood(answer.text, int(dropped[1]) if dropped else None)
        if not 200 <= answer.status < 300:
            # No such database, no right to write, too busy: that can change.
            raise OSError(answer.text)

    def hang_up(self) -> None:
        self._poster.close()

    def target(self) -> str:
        return f"{self.url}, {self._to}"

    def check(self) -> None:
        self._poster.timeout = self.timeout
        self._poster.reach()


def _event_fields(event: Event) -> Iterator[str]:
    fields = {"description": quoted(event.description)}
    if event.state:
        fields["state"] = quoted(event.state)
    metric = number(event.metric)
    if metric is not None:
        fields["metric"] = repr(metric)
    if event.tags:
        fields["tags"] = quoted(",".join(event.tags))
    for attribute, value in event.attributes.items():
        fields.setdefault(name_of(attribute), quoted(value))
    return (f"{name}={value}" for name, value in fields.items())
