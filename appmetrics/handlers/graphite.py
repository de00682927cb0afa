"""`GraphiteHandler`: lines for carbon over TCP or UDP, events for graphite-web.

Puts its parts together and renders lines: paths are made in ``graphite_names``, the
statistics in ``graphite_layouts``, bytes travel in ``graphite_wire``, events in
``graphite_events``. Buffering, retrying and the spool are in ``delivery`` and below.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any

from ..exposition.values import LARGEST, number
from ..options import Option, boolean, choice, port, text
from ..sample import COUNTER, EVENT, GAUGE, STATE, Sample, Series
from ..statistics import COUNTER_STATISTICS, counter_statistics, timer_statistics
from .base import LEFT_OUT
from .graphite_events import EventsApi
from .graphite_layouts import Plain, Statsd
from .graphite_names import MARK, TEMPLATE, Paths
from .graphite_wire import Line
from .history import HistoryHandler
from .naming import LeftOut
from .posting import url

TIMER_DEFAULT = ("count", "rate", "mean", "p50", "p95", "p99", "max")

#: One attempt sends at most so much, so that a slow link meets the timeout.
MAX_MESSAGE = 128 * 1024
#: Fits an Ethernet frame, as statsd and carbon's own clients have it.
MAX_DATAGRAM = 1400

_EXACT = (int, float)
_PLACES = ("count", "rate", "total")


class GraphiteHandler(HistoryHandler):
    """Sends to carbon, in its plaintext protocol.

    ::

        [metrics.handler.carbon]
        class = graphite
        host = 127.0.0.1
        port = 2003
        prefix = apps.%(hostname)s
        spool = %(here)s/var/carbon.spool

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
    event      posted to ``events``, if that is set
    ========== ============================================== =====================

    An idle interval sends count 0 and rate 0, no means or percentiles; gauges and
    states repeat each round. Of two series with the same path, the first keeps it;
    the other is listed in ``left_out``. ``layout = statsd`` has statsd's paths and
    statistics instead (see `Statsd`).
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
        Option("layout", choice("plain", "statsd"), "plain", "Or statsd's paths and statistics."),
        Option("events", url, None, "The events API of graphite-web: http://HOST/events/."),
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
        layout: str = "plain",
        events: str | None = None,
        **common: Any,
    ) -> None:
        self.events: EventsApi | None = None
        super().__init__(**common)
        self.host = host
        self.port = port
        self.protocol = protocol
        # Carbon acknowledges nothing, and keeps one value for each second.
        self.batches = 2 if protocol == "tcp" else 0
        plain = Plain(statistics, counter_statistics)
        self.layout: Plain | Statsd = Statsd() if layout == "statsd" else plain
        group = self.layout.group if isinstance(self.layout, Statsd) else None
        self.paths = Paths(prefix, template, tags, self.layout.keys, group)
        self.events = self._events_api(events) if events else None
        counted = self.layout.keys(Series("", kind=COUNTER))
        #: A counter's statistics, each with the place of its number among (delta, rate, total).
        self._counted = [(key, _PLACES.index(key)) for key in counted]
        self._counts_all = counted == _PLACES
        self._unsent = LeftOut(self.name)
        self._line = Line(host, port, protocol)

    def _events_api(self, url: str) -> EventsApi:
        api = EventsApi(url, name=f"{self.name}.events", timeout=self.timeout, clock=self.clock)
        api.stats = self.stats
        return api

    # -- names ---------------------------------------------------------------

    def prepare(self, series: Series) -> Any:
        if series.kind == EVENT:
            return LEFT_OUT if self.events is None else EVENT
        path = self.share(self.paths.path(series))
        why = self.paths.claim(series, path)
        if not why:
            return path
        self._unsent.leave_out(series, why)
        return LEFT_OUT

    def rerouted(self) -> None:
        self.paths.forget()
        self._unsent.clear()

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        """The series that are not sent, and why."""
        return self._unsent.left_out

    def describe(self, series: Series) -> list[str]:
        if series.kind == EVENT:
            return [self.events.target()] if self.events else []
        return self.paths.full(series)

    # -- lines ---------------------------------------------------------------

    def encode(self, samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        limit = MAX_DATAGRAM if self.protocol == "udp" else MAX_MESSAGE
        texts: list[str] = []
        length = count = 0
        when: float | None = None
        front, end = self.paths.front, ""
        for sample in samples:
            if sample.time != when:
                when = sample.time
                end = f" {int(when)}\n"
            text = self._lines(sample, front, end)
            size = len(text) if text.isascii() else len(text.encode())
            if length + size > limit:
                if texts:
                    yield "".join(texts).encode(), count
                    texts, length, count = [], 0, 0
                if size > limit:
                    *parts, text = _split(text, limit)
                    for part in parts:
                        yield part.encode(), 0
                    size = len(text.encode())
            texts.append(text)
            length += size
            count += 1
        if length:
            yield "".join(texts).encode(), count

    def _lines(self, sample: Sample, front: str, end: str) -> str:
        """All lines of a sample. Written for speed: most of a round is spent here."""
        series, _, value, delta, elapsed, path = sample
        kind = series.kind
        start, _, rest = path.partition(MARK)
        start = front + start
        if kind == COUNTER:
            if (
                type(value) in _EXACT
                and type(delta) in _EXACT
                and -LARGEST <= value <= LARGEST
                and -LARGEST <= delta <= LARGEST
            ):
                numbers = (delta, delta / elapsed if elapsed else 0.0, value)
                if self._counts_all:
                    return (
                        f"{start}count{rest} {delta!r}{end}"
                        f"{start}rate{rest} {numbers[1]!r}{end}"
                        f"{start}total{rest} {value!r}{end}"
                    )
                return "".join(
                    [f"{start}{key}{rest} {numbers[n]!r}{end}" for key, n in self._counted]
                )
        elif kind in (GAUGE, STATE):
            if type(value) not in _EXACT or not -LARGEST <= value <= LARGEST:
                value = number(value.number if kind == STATE else value)
                if value is None:
                    return ""
            key = self.layout.keys(series)
            return f"{start}{key[0] if key else ''}{rest} {value!r}{end}"
        values = self.layout.values(sample)
        return "".join([f"{start}{key}{rest} {each!r}{end}" for key, each in values])

    # -- delivery ------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        if self._line.has_ended():
            self.lost_connection()
        self._line.send_within(payload, self.time_limit)

    def hang_up(self) -> None:
        self._line.close()

    def target(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (" (udp)" if self.protocol == "udp" else "")

    def check(self) -> None:
        if self.protocol == "udp":
            # All that can be known: whether there is such a host.
            socket.getaddrinfo(self.host, self.port, socket.AF_INET, socket.SOCK_DGRAM)
        else:
            socket.create_connection((self.host, self.port), self.timeout).close()
        if self.events is not None:
            self.events.check()

    # -- events --------------------------------------------------------------

    def emit(self, samples: Sequence[Sample]) -> int:
        if samples and samples[0].prepared is EVENT and self.events is not None:
            # They come in batches of their own.
            return self.events.emit(samples)
        return super().emit(samples)

    def idle(self) -> float | None:
        pauses = [super().idle(), self.events.idle() if self.events else None]
        return min((pause for pause in pauses if pause is not None), default=None)

    def settled(self) -> bool:
        return super().settled() and (self.events is None or self.events.settled())

    @property
    def waiting(self) -> int:
        return super().waiting + (self.events.waiting if self.events else 0)

    def served_by(self, reporter: Any) -> None:
        super().served_by(reporter)
        self.paths.instance = self.instance
        if self.events is not None:
            self.events.clock = self.clock

    def close(self) -> None:
        super().close()
        if self.events is not None:
            self.events.deadline = self.deadline
            self.events.successor = getattr(self.successor, "events", None)
            self.events.close()
            self.events.deadline = None

    def after_fork(self) -> None:
        super().after_fork()
        if self.events is not None:
            self.events.after_fork()


def _split(text: str, limit: int) -> Iterator[str]:
    """Lines in pieces of at most ``limit`` bytes; a line is never cut."""
    lines: list[str] = []
    length = 0
    for line in text.splitlines(keepends=True):
        size = len(line.encode())
        if lines and length + size > limit:
            yield "".join(lines)
            lines, length = [], 0
        lines.append(line)
        length += size
    yield "".join(lines)
