"""`OpenTsdbHandler`: data points for OpenTSDB and what understands its HTTP interface.

Here are the points: metrics, tags, numbers. The connection is in ``posting``,
keeping and retrying in ``delivery``.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from ..exposition.values import encodable, number
from ..options import Option, integer, text
from ..sample import COUNTER, EVENT, GAUGE, STATE, Sample, Series
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

#: Bytes of a metric, and of a tag's name or value.
MAX_NAME = 200

#: Points in one request. A request must fit into 4 KiB, compressed, unless OpenTSDB is
#: configured to take more.
BATCH = 100

_PATH = "/api/put?details"
_HEADERS = {"Content-Type": "application/json"}
#: These statuses mean that the same request would be refused again.
_FOR_GOOD = (400, 413)

#: OpenTSDB takes letters, digits and these; whatever the script.
_UNFIT = re.compile(r"[^\w./-]")


def plain(value: str) -> str:
    """Text as a metric, or the name or value of a tag: what doesn't fit becomes ``_``."""
    return cut(_UNFIT.sub("_", encodable(value)), MAX_NAME) or "_"


class OpenTsdbHandler(HistoryHandler):
    """Sends to OpenTSDB, as JSON over HTTP.

    ::

        [metrics.handler.tsdb]
        class = opentsdb
        url = http://127.0.0.1:4242
        prefix = apps

    A metric is the dotted name of the series and the statistic: ``shop.orders.count``.
    Labels are tags, the common ones, too. OpenTSDB wants at least one tag: a series
    without a label gets ``host``.

    ========== ============================================== =====================
    kind       statistics                                     default
    ========== ============================================== =====================
    counter    count (this interval's), rate (per second),    all three
               total (since the start)
    gauge      none: the metric ends without a statistic
    timer,     count, rate, total, sum, mean, min, max, p50,  count, rate, mean,
    histogram  p99.9 (as ``p99_9``) ..., of this interval     p50, p95, p99, max
    state      none: 0 ok, 1 warning, 2 critical, 3 unknown
    ========== ============================================== =====================

    Events are not sent.
    """

    OPTIONS = (
        *posting.options("http://127.0.0.1:4242"),
        Option("prefix", text, "", "Stands in front of every metric, with a dot between."),
        Option(
            "host", text, "", "The tag of series without a label; this machine's name if empty."
        ),
        Option("batch", integer(1), BATCH, "Points in one request."),
        Option("statistics", timer_statistics, TIMER_DEFAULT, "Of timers and histograms."),
        Option("counter_statistics", counter_statistics, COUNTER_STATISTICS, "Of counters."),
        *HistoryHandler.OPTIONS,
    )

    def __init__(
        self,
        *,
        url: str = "http://127.0.0.1:4242",
        user: str = "",
        password: str = "",
        ca_file: str | None = None,
        gzip: bool = True,
        prefix: str = "",
        host: str = "",
        batch: int = BATCH,
        statistics: Sequence[str] = TIMER_DEFAULT,
        counter_statistics: Sequence[str] = COUNTER_STATISTICS,
        **common: Any,
    ) -> None:
        self.url = url
        self.prefix = prefix.rstrip(".")
        self.host = host or socket.gethostname()
        self.batch = batch
        self.statistics = tuple(statistics)
        self.counter_statistics = tuple(counter_statistics)
        self._poster = posting.Poster(url, user=user, password=password, ca_file=ca_file, gzip=gzip)
        super().__init__(**common)
        self.names = Names(self.name)

    # -- names ---------------------------------------------------------------

    def prepare(self, series: Series) -> Any:
        if series.kind == EVENT:
            return LEFT_OUT
        heads = self._heads(series)
        if not all(self.names.claim(series, head) for head in heads.values()):
            return LEFT_OUT
        return heads

    def rerouted(self) -> None:
        self.names.clear()

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        """The series that are not sent, and why."""
        return self.names.left_out

    def _heads(self, series: Series) -> dict[str, str]:
        """By statistic, the point in JSON as far as it never changes."""
        name = plain(f"{self.prefix}.{series.name}" if self.prefix else series.name)
        tags = {"worker": self.instance} if self.instance else {}
        for label, value in series.labels:
            tags.setdefault(plain(label), plain(value))
        shown = json.dumps(tags or {"host": plain(self.host)}, sort_keys=True, ensure_ascii=False)
        return {
            word: f'{{"metric":{json.dumps(metric, ensure_ascii=False)},"tags":{shown}'
            for word in self._words(series)
            for metric in (f"{name}.{key(word)}" if word else name,)
        }

    def describe(self, series: Series) -> list[str]:
        if series.kind == EVENT:
            return []
        points = (json.loads(head + "}") for head in self._heads(series).values())
        return [
            " ".join((point["metric"], *(f"{tag}={v}" for tag, v in point["tags"].items())))
            for point in points
        ]

    def _words(self, series: Series) -> tuple[str, ...]:
        if series.kind in (GAUGE, STATE):
            return ("",)
        return self.counter_statistics if series.kind == COUNTER else self.statistics

    # -- delivery ------------------------------------------------------------

    def encode(self, samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        points: list[str] = []
        count = 0
        for sample in samples:
            count += 1
            points.extend(self._points(sample))
            if len(points) >= self.batch:
                yield _body(points), count
                points, count = [], 0
        if points:
            yield _body(points), count

    def _points(self, sample: Sample) -> Iterator[str]:
        heads: dict[str, str] = sample.prepared
        series, value, time = sample.series, sample.value, sample.time
        # Seconds, or milliseconds where there are some.
        when = int(time) if time == int(time) else round(time * 1000)
        if series.kind in (GAUGE, STATE):
            finite = number(value.number if series.kind == STATE else value)
            if finite is not None:
                yield f'{heads[""]},"timestamp":{when},"value":{finite!r}}}'
            return
        for word, each in statistics(sample, self._words(series)):
            yield f'{heads[word]},"timestamp":{when},"value":{each!r}}}'

    def send(self, payload: bytes) -> None:
        self._poster.timeout = self.time_limit
        answer = self._poster.post(_PATH, payload, _HEADERS)
        if answer.status in _FOR_GOOD:
            raise _refusal(answer)
        if not 200 <= answer.status < 300:
            raise OSError(answer.text)

    def hang_up(self) -> None:
        self._poster.close()

    def target(self) -> str:
        return self.url

    def check(self) -> None:
        self._poster.timeout = self.timeout
        self._poster.reach()


def _body(points: Sequence[str]) -> bytes:
    return f"[{','.join(points)}]".encode()


def _refusal(answer: posting.Answer) -> RefusedForGood:
    """What was wrong with the points, by the details that OpenTSDB gives; else with all."""
    try:
        details = json.loads(answer.body)
        failed = int(details["failed"])
        first = details["errors"][0]
        metric = str(first["datapoint"]["metric"])
        return RefusedForGood(f"{metric}: {str(first['error'])[:200]}", failed)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return RefusedForGood(answer.text)
