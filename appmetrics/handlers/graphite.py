"""`GraphiteHandler`: lines for carbon over TCP or UDP, through graphyte.

Here are the names: from a series to carbon's paths. Buffering and retrying are in
``delivery``; graphyte only carries finished bytes, since its own building of lines
raises on blanks, and its own thread loses failed batches and dies in a fork.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import graphyte

from ..display import title
from ..exposition.values import encodable, number
from ..options import Option, boolean, choice, port, text
from ..sample import COUNTER, EVENT, GAUGE, STATE, Sample, Series
from ..statistics import (
    COUNTER_STATISTICS,
    counter_statistics,
    key,
    statistics,
    timer_statistics,
)
from .base import LEFT_OUT, log
from .history import HistoryHandler

TEMPLATE = "{prefix}.{name}.{labels}.{statistic}"
TIMER_DEFAULT = ("count", "rate", "mean", "p50", "p95", "p99", "max")

#: A component becomes a file name (at most 255 bytes with whisper's ".wsp"), and a
#: line must fit one datagram and carbon's limit of 16 KiB.
MAX_COMPONENT = 200
MAX_PATH = 1000
#: One TCP connection carries at most so much, so that a slow link meets the timeout.
MAX_MESSAGE = 128 * 1024
#: Fits an Ethernet frame, as statsd and carbon's own clients have it.
MAX_DATAGRAM = 1400

#: Stands where the statistic goes in a prepared path; no path contains it.
_MARK = "\0"

_FIELD = re.compile(r"\{(\w+)\}")
_UNFIT = re.compile(r"[^\w-]")
_UNFIT_IN_TAG = re.compile(r"""[\s;!^="'`\\{}()\[\]<>*?~,|]""")


def component(value: str) -> str:
    """Text as one component of a path: letters, digits, ``_`` and ``-``, all else ``_``.

    Letters and digits of any script stay. Empty becomes ``_``; what is longer
    than 200 bytes is cut and ends in a hash of the whole.
    """
    return _cut(_UNFIT.sub("_", value)) or "_"


def dotted(value: str) -> str:
    """Text as components: cut at its dots, those that are empty left out."""
    return ".".join(component(part) for part in value.split(".") if part)


def tag_value(value: str) -> str:
    """Text as a tag's value, readable and within carbon's rules."""
    printable = "".join(char if char.isprintable() else "_" for char in encodable(value))
    return _cut(_UNFIT_IN_TAG.sub("_", printable)) or "_"


def _cut(value: str) -> str:
    data = value.encode()
    if len(data) <= MAX_COMPONENT:
        return value
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{data[: MAX_COMPONENT - 13].decode('utf-8', 'ignore')}_{digest}"


class GraphiteHandler(HistoryHandler):
    """Sends to carbon, in its plaintext protocol.

    ::

        [metrics.handler.carbon]
        class = graphite
        host = 127.0.0.1
        port = 2003
        prefix = apps.%(hostname)s

    Paths follow ``template``: components separated by dots, among them
    ``{prefix}``, ``{name}`` and ``{statistic}``, which must be a component of its
    own; ``{labels}`` are the values of the instrument's own labels, in the order of
    their names; ``{shop}`` is the value of the label shop (``_`` where there is
    none), which then is not among ``{labels}``. Common labels enter a path only so.
    What is empty leaves no component behind. With ``tags`` all labels that the
    template doesn't name, common ones too, become tags instead.

    ========== ============================================== =====================
    kind       statistics                                     default
    ========== ============================================== =====================
    counter    count (this interval's), rate (per second),    all three
               total (since the start)
    gauge      none: the path ends without a statistic
    timer,     count, rate, total, sum, mean, min, max, p50,  count, rate, mean,
    histogram  p99.9 (as ``p99_9``) ..., of this interval     p50, p95, p99, max
    state      none: 0 ok, 1 warning, 2 critical, 3 unknown
    ========== ============================================== =====================

    An idle interval sends count 0 and rate 0, no means or percentiles; gauges and
    states repeat each round. Events are not sent. Of two series with the same
    path, the first keeps it; the other is listed in ``left_out``.
    """

    OPTIONS = (
        Option("host", text, "127.0.0.1", "Where carbon listens: name or address."),
        Option("port", port, 2003, "Its port for lines (2003) over TCP or UDP."),
        Option("protocol", choice("tcp", "udp"), "tcp", "UDP is lossy, and tells of no outage."),
        Option("prefix", text, "", "The first components of every path."),
        Option("tags", boolean, False, "Labels as tags (carbon 1.1) instead of components."),
        Option("template", text, TEMPLATE, "How a path is made."),
        Option("statistics", timer_statistics, TIMER_DEFAULT, "Of timers and histograms."),
        Option("counter_statistics", counter_statistics, COUNTER_STATISTICS, "Of counters."),
        *HistoryHandler.OPTIONS,
    )

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 2003,
        protocol: str = "tcp",
        prefix: str = "",
        tags: bool = False,
        template: str = TEMPLATE,
        statistics: Sequence[str] = TIMER_DEFAULT,
        counter_statistics: Sequence[str] = COUNTER_STATISTICS,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.host = host
        self.port = port
        self.protocol = protocol
        self.prefix = dotted(prefix)
        self.tags = tags
        self.statistics = tuple(statistics)
        self.counter_statistics = tuple(counter_statistics)
        self._template = _parsed(template)
        self._named = set(_FIELD.findall(template)) - {"prefix", "name", "labels", "statistic"}
        self._owners: dict[str, Series] = {}
        self._left_out: dict[Series, str] = {}
        self._sender = graphyte.Sender(
            host, port, timeout=self.timeout, protocol=protocol, raise_send_errors=True
        )

    # -- names ---------------------------------------------------------------

    def prepare(self, series: Series) -> Any:
        if series.kind == EVENT:
            return LEFT_OUT
        path = self._path(series)
        why = self._refusal(series, path)
        if not why:
            self._owners[path] = series
            return path
        if not self._left_out:
            log.warning(
                "handler %s: %s is left out: %s (more like it are only counted)",
                self.name,
                title(*series.identity),
                why,
            )
        self._left_out[series] = why
        return LEFT_OUT

    def rerouted(self) -> None:
        self._owners.clear()
        self._left_out.clear()

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        """The series that are not sent, and why."""
        return list(self._left_out.items())

    def describe(self, series: Series) -> list[str]:
        if series.kind == EVENT:
            return []
        path = self._path(series)
        return [path.replace(_MARK, key(each)) for each in self._statistics(series) or ("",)]

    def _statistics(self, series: Series) -> tuple[str, ...]:
        if series.kind in (GAUGE, STATE):
            return ()
        return self.counter_statistics if series.kind == COUNTER else self.statistics

    def _path(self, series: Series) -> str:
        """The path; `_MARK` stands where a statistic goes."""
        others = [pair for pair in series.labels if pair[0] not in self._named]
        if not self.tags:
            others = [pair for pair in others if pair[0] not in series.common]
        whole = {
            "{prefix}": self.prefix,
            "{name}": dotted(series.name) or "_",
            "{labels}": "" if self.tags else ".".join(component(value) for _, value in others),
            "{statistic}": _MARK if self._statistics(series) else "",
        }
        known = {**dict(series.labels), "prefix": self.prefix, "name": series.name}

        def filled(part: str) -> str:
            if part in whole:
                return whole[part]
            return component(_FIELD.sub(lambda field: known.get(field[1], ""), part))

        parts = map(filled, self._template)
        path = ".".join(filter(None, parts))
        if self.tags:
            # Carbon keeps the path itself under the tag "name".
            tags = {component(label): value for label, value in others}
            if "name" in tags:
                tags["name_"] = tags.pop("name")
            path += "".join(f";{label}={tag_value(tags[label])}" for label in sorted(tags))
        return path

    def _refusal(self, series: Series, path: str) -> str:
        """Why a series can't have its path; empty if it can."""
        longest = max(map(len, map(key, self._statistics(series))), default=0)
        if len(path.encode()) + longest > MAX_PATH:
            return f"its path is longer than {MAX_PATH} bytes"
        for owner in self._rivals(series, path):
            if owner.identity != series.identity or owner.kind != series.kind:
                shown = path.replace(_MARK, "*")
                return f"its path {shown} belongs to the {owner.kind} {title(*owner.identity)}"
        return ""

    def _rivals(self, series: Series, path: str) -> Iterator[Series]:
        """Who owns this path, or one that it stands for, or one that stands for it."""
        if path in self._owners:
            yield self._owners[path]
        for each in self._statistics(series):
            if (full := path.replace(_MARK, key(each))) in self._owners:
                yield self._owners[full]
        if _MARK not in path:
            head, semicolon, tail = path.partition(";")
            parts = head.split(".")
            for index, part in enumerate(parts):
                general = ".".join([*parts[:index], _MARK, *parts[index + 1 :]])
                owner = self._owners.get(general + semicolon + tail)
                if owner and part in map(key, self._statistics(owner)):
                    yield owner

    # -- delivery ------------------------------------------------------------

    def encode(self, samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        limit = MAX_DATAGRAM if self.protocol == "udp" else MAX_MESSAGE
        lines: list[bytes] = []
        length = count = 0
        for sample in samples:
            count += 1
            for line in self._lines(sample):
                if lines and length + len(line) > limit:
                    yield b"".join(lines), count - 1
                    lines, length, count = [], 0, 1
                lines.append(line)
                length += len(line)
        if lines:
            yield b"".join(lines), count

    def _lines(self, sample: Sample) -> Iterator[bytes]:
        path: str = sample.prepared
        series, value = sample.series, sample.value
        time = int(sample.time)
        if series.kind in (GAUGE, STATE):
            finite = number(value.number if series.kind == STATE else value)
            if finite is not None:
                yield f"{path} {finite!r} {time}\n".encode()
            return
        for word, each in statistics(sample, self._statistics(series)):
            yield f"{path.replace(_MARK, key(word))} {each!r} {time}\n".encode()

    def send(self, payload: bytes) -> None:
        self._sender.send_message(payload)

    def target(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (" (udp)" if self.protocol == "udp" else "")

    def check(self) -> None:
        if self.protocol == "udp":
            # All that can be known: whether there is such a host.
            socket.getaddrinfo(self.host, self.port, socket.AF_INET, socket.SOCK_DGRAM)
        else:
            socket.create_connection((self.host, self.port), self.timeout).close()


def _parsed(template: str) -> list[str]:
    """A template's components; raises ValueError with what is wrong."""
    parts = template.split(".")
    if not all(parts):
        raise ValueError("template: a component is empty")
    if re.search(r"[{}]", _FIELD.sub("", template)):
        raise ValueError("template: braces that hold no field such as {name}")
    for field in ("{prefix}", "{name}", "{labels}", "{statistic}"):
        if template.count(field) > 1:
            raise ValueError(f"template: {field} stands there twice")
    for field in ("{labels}", "{statistic}"):
        if field in template and field not in parts:
            raise ValueError(f"template: {field} must be a component of its own")
    for field in ("{name}", "{statistic}"):
        if field not in template:
            raise ValueError(f"template: {field} is missing")
    return parts
