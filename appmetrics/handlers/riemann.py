"""`RiemannHandler`: the series of this process as events in a Riemann, with their state.

Here is whose an identity is, and what is sent when. How a series looks as events is in
``appmetrics.riemann``, as is the wire; keeping and retrying are ``delivery``'s.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..display import title
from ..options import Option, boolean, choice, mapping, names, path, period, port, text
from ..reporter import INTERVAL
from ..riemann import Client
from ..riemann.client import MAX_MESSAGE
from ..riemann.events import moment
from ..riemann.naming import HOST, SERVICE, Naming
from ..riemann.rendering import LEAVING, Prepared, Rendering
from ..riemann.thresholds import Rule, thresholds
from ..riemann.transport import Tls
from ..sample import EVENT, Sample, Series
from ..statistics import counter_statistics, timer_statistics
from .backlog import Backlog, Newest
from .base import LEFT_OUT
from .delivery import NetworkHandler, RefusedForGood
from .naming import LeftOut

COUNTER_DEFAULT = ("rate", "total")
TIMER_DEFAULT = ("rate", "mean", "p50", "p95", "p99", "max")

#: Rounds that an event outlives, so that one or two that are late expire nothing.
TTL_INTERVALS = 3
#: What a Riemann takes for an event without a TTL, in seconds.
DEFAULT_TTL = 60.0
#: Bytes of host and service. Riemann has no limit, but nobody reads longer ones.
MAX_IDENTITY = 1000


class RiemannHandler(NetworkHandler):
    """Sends each series to a Riemann as events of current state.

    ::

        [metrics.handler.riemann]
        class = riemann
        host = 10.0.0.7

    The identity of an event is its host and service. The service is by default the
    dotted name with blanks, the values of the series' own labels and the statistic:
    ``shop orders de rate``; the host is this machine. All labels are attributes, too.

    ========== ================================================ ===================
    kind       events                                           default
    ========== ================================================ ===================
    counter    one for each statistic: rate (per second),       rate, total
               total (since the start), count (this interval's)
    gauge      one
    timer,     one for each statistic: count, rate, total, sum, rate, mean, p50,
    histogram  mean, min, max, p50, p99.9 ..., of this interval p95, p99, max
    state      one, with its state and description; the metric
               is 0 ok, 1 warning, 2 critical, 3 unknown
    event      one, as it was recorded
    ========== ================================================ ===================

    While Riemann is away, the newest of each series is kept, and left out as soon as
    it has outlived its TTL. Of two series with the same identity, the first keeps it;
    the other is listed in ``left_out``.
    """

    OPTIONS = (
        Option("host", text, "127.0.0.1", "Where Riemann listens: name or address."),
        Option("port", port, None, "Its port; 5555 if not given, 5554 with tls."),
        Option("protocol", choice("tcp", "udp"), "tcp", "UDP is lossy, and tells of no outage."),
        Option("tls", boolean, False, "Encrypt, and check that it is the host it should be."),
        Option("cafile", path, None, "Who signs Riemann's certificate; else the system's."),
        Option("certfile", path, None, "Our own certificate, which Riemann asks for."),
        Option("keyfile", path, None, "Its key, if that is in a file of its own."),
        Option("event_host", text, HOST, "How the host of an event is made."),
        Option("service", text, SERVICE, "How its service is made."),
        Option("ttl", period, None, "Seconds an event is good for; else three intervals."),
        Option("tags", names, (), "Tags of all events."),
        Option("attributes", mapping, {}, "Attributes of all events; labels are there anyway."),
        Option("thresholds", thresholds, (), "Which values are a warning, which critical."),
        Option("statistics", timer_statistics, TIMER_DEFAULT, "Of timers and histograms."),
        Option("counter_statistics", counter_statistics, COUNTER_DEFAULT, "Of counters."),
        Option("leaving", boolean, True, "Say so, in the state, when the process ends."),
        *NetworkHandler.OPTIONS,
    )

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        protocol: str = "tcp",
        tls: bool = False,
        cafile: str | None = None,
        certfile: str | None = None,
        keyfile: str | None = None,
        event_host: str = HOST,
        service: str = SERVICE,
        ttl: float | None = None,
        tags: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
        thresholds: Sequence[Rule] = (),
        statistics: Sequence[str] = TIMER_DEFAULT,
        counter_statistics: Sequence[str] = COUNTER_DEFAULT,
        leaving: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._files = (cafile, certfile, keyfile)
        if not tls:
            for name, file in zip(("cafile", "certfile", "keyfile"), self._files):
                if file:
                    raise ValueError(f"{name}: has no effect without tls = yes")
        if keyfile and not certfile:
            raise ValueError("keyfile: there is no certfile that it belongs to")
        files = Tls(cafile or "", certfile or "", keyfile or "") if tls else None
        self._client = Client(host, port, protocol=protocol, tls=files, timeout=self.timeout)
        self.ttl = ttl
        self.leaving = leaving
        self.statistics = tuple(statistics)
        self.counter_statistics = tuple(counter_statistics)
        self.thresholds = tuple(thresholds)
        self._rendering = Rendering(
            Naming(event_host, service),
            tags=tags,
            attributes=attributes,
            thresholds=thresholds,
            statistics=statistics,
            counter_statistics=counter_statistics,
        )
        self._owners: dict[bytes, Series] = {}
        self._unsent = LeftOut(self.name)
        self._reporter: Any = None

    # -- names ---------------------------------------------------------------

    def prepare(self, series: Series) -> Any:
        prepared = self._rendering.prepared(series, self._time_to_live())
        if series.kind == EVENT:
            return prepared
        prepared = self.share(prepared)
        why = self._refusal(series, prepared)
        if not why:
            self._owners.update(dict.fromkeys(prepared.identities, series))
            return prepared
        self._unsent.leave_out(series, why)
        return LEFT_OUT

    def rerouted(self) -> None:
        self._owners.clear()
        self._unsent.clear()

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        """The series that are not sent, and why."""
        return self._unsent.left_out

    def describe(self, series: Series) -> list[str]:
        return [f"{host}: {service}" for host, service in self._rendering.identities(series)]

    def _refusal(self, series: Series, prepared: Prepared) -> str:
        """Why a series can't have its identities; empty if it can."""
        for index, identity in enumerate(prepared.identities):
            if len(identity) > MAX_IDENTITY:
                return f"its host and service are longer than {MAX_IDENTITY} bytes"
            owner = self._owners.get(identity)
            if owner and (owner.identity != series.identity or owner.kind != series.kind):
                host, service = self._rendering.identities(series)[index]
                whose = f"the {owner.kind} {title(*owner.identity)}"
                return f"its service {service!r} on host {host!r} belongs to {whose}"
        return ""

    # -- delivery ------------------------------------------------------------

    def encode(self, samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        limit = MAX_MESSAGE[self._client.protocol]
        waiting: list[bytes] = []
        length = count = 0
        time, when = None, b""
        for sample in samples:
            if sample.time != time:
                time, when = sample.time, moment(sample.time)
            counts = int(sample.value is not LEAVING)
            count += counts
            for event in self._rendering.events(sample, when):
                if waiting and length + len(event) > limit:
                    yield b"".join(waiting), count - counts
                    waiting, length, count = [], 0, counts
                waiting.append(event)
                length += len(event)
        if waiting:
            yield b"".join(waiting), count

    def make_backlog(self) -> Backlog:
        return Newest(self.encode, self.limits, self._good_for)

    def _good_for(self, sample: Sample) -> float:
        if sample.series.kind == EVENT:
            return DEFAULT_TTL if sample.value.ttl is None else float(sample.value.ttl)
        return self._time_to_live()

    def _time_to_live(self) -> float:
        """Seconds; by the interval of now."""
        general = self._reporter.interval if self._reporter else INTERVAL
        return self.ttl or TTL_INTERVALS * (self.interval or float(general))

    def served_by(self, reporter: Any) -> None:
        super().served_by(reporter)
        self._reporter = reporter
        self._rendering.instance = self.instance

    def send_all(self, payloads: Sequence[bytes]) -> Iterator[RefusedForGood | None]:
        self._client.timeout = self.time_limit
        for refusal in self._client.send_messages(payloads):
            yield RefusedForGood(refusal) if refusal else None

    def hang_up(self) -> None:
        self._client.close()

    def close(self) -> None:
        if self.leaving and not (self.relieved or isinstance(self.successor, RiemannHandler)):
            self.guarded(self._say_goodbye)
        super().close()

    def _say_goodbye(self) -> None:
        """Of each series that has a reading: from now on nobody tells of it any more."""
        selection = self._selection
        if selection is None:
            return
        now = self.clock.time()
        self.backlog.add(
            [
                Sample(series, now, LEAVING, prepared=prepared)
                for series, prepared, value in zip(
                    selection.series, selection.prepared, selection.values()
                )
                if value is not None and isinstance(prepared, Prepared)
            ]
        )

    # -- what it tells -------------------------------------------------------

    def target(self) -> str:
        host = f"[{self._client.host}]" if ":" in self._client.host else self._client.host
        how = "tls" if self._client.tls else self._client.protocol
        return f"{host}:{self._client.port}" + ("" if how == "tcp" else f" ({how})")

    def warnings(self) -> list[str]:
        told = [
            f"there is no file {file}" for file in self._files if file and not Path(file).is_file()
        ]
        if self.ttl and self.interval and self.ttl <= self.interval:
            told.append(f"with a ttl of {self.ttl:g} s, events expire from one round to the next")
        known = {"", *self.statistics, *self.counter_statistics}
        told += (
            f"threshold {rule}: {rule.statistic} is not among the statistics, so it never applies"
            for rule in self.thresholds
            if rule.statistic not in known
        )
        return told

    def check(self) -> None:
        """Whether a Riemann answers, or over UDP whether there is such a host."""
        if self._client.protocol == "udp":
            socket.getaddrinfo(self._client.host, self._client.port, type=socket.SOCK_DGRAM)
            return
        with Client(
            self._client.host, self._client.port, tls=self._client.tls, timeout=self.timeout
        ) as client:
            client.query("false")
