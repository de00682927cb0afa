"""`StatsdHandler`: lines for a statsd daemon, over UDP or TCP.

Here are the lines and the packets. Counters and gauges come from the rounds; timers
and histograms are observed, each value a line of its own. The connection is in
``statsd_wire``, what waits while the daemon is away in ``told``, the queue of single
values in ``observations``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..buckets import MAX
from ..exposition.values import number as finite
from ..observing import Sink
from ..options import Option, boolean, choice, integer, number, port, text
from ..sample import COUNTER, EVENT, HISTOGRAM, STATE, TIMER, Sample, Series
from .backlog import Backlog
from .base import LEFT_OUT
from .delivery import NetworkHandler
from .naming import Names, cut
from .observations import LIMIT, Observations
from .statsd_wire import Wire
from .told import Told

#: What an Ethernet frame takes beside the headers of IPv4 and UDP, and statsd's own
#: documentation recommends.
MAX_PACKET = 1432
#: Over TCP, so many bytes at a time: what is counted twice if the connection breaks in
#: the middle of them.
MAX_MESSAGE = 8 * 1024

#: A component becomes a file name in most targets behind statsd.
MAX_COMPONENT = 200
MAX_NAME = 1000

_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_UNFIT_IN_TAG = re.compile(r"[^A-Za-z0-9_./-]")

#: statsd's letters; a histogram is one to DogStatsD only, the others know times alone.
_LETTERS = {COUNTER: "c", TIMER: "ms", HISTOGRAM: "ms"}


def component(value: str) -> str:
    """Text as one component: ASCII letters, digits, ``_`` and ``-``, all else ``_``."""
    return cut(_UNFIT.sub("_", value), MAX_COMPONENT) or "_"


class Rendering:
    """The parts of a series' lines that never change, and what its values are times."""

    __slots__ = ("factor", "head", "letter", "tail")

    def __init__(self, head: str, letter: str, tail: str, factor: int) -> None:
        self.head = head
        self.letter = letter
        self.tail = tail
        self.factor = factor


class Observed:
    """A series whose values are observed; its rendering is made by the worker."""

    __slots__ = ("rendering", "series")

    def __init__(self, series: Series) -> None:
        self.series = series
        self.rendering: Any = None


class StatsdHandler(NetworkHandler):
    """Sends to a statsd daemon, over UDP or TCP.

    ::

        [metrics.handler.statsd]
        class = statsd
        host = 127.0.0.1
        port = 8125
        prefix = apps

    ========== ================================================================
    kind       lines
    ========== ================================================================
    counter    ``name:3|c``, what came in this interval, unless that is nothing
    gauge      ``name:7|g`` in every round; below zero with a ``name:0|g`` before
    timer      ``name:320.5|ms`` for every single measurement, in milliseconds
    histogram  ``name:512|ms`` for every single value, as it is
    state      ``name:2|g``: 0 ok, 1 warning, 2 critical, 3 unknown
    ========== ================================================================

    The values of labels follow the name as components, in the order of the labels'
    names, common labels left out; with ``tags`` all labels are DogStatsD's tags
    instead, and histograms are ``|h``. Events are not sent.

    statsd has no notion of time: while it can't be reached, counts are added up and
    come later as one.
    """

    OPTIONS = (
        Option("host", text, "127.0.0.1", "Where statsd listens: name or address."),
        Option("port", port, 8125, "Its port over UDP or TCP."),
        Option("protocol", choice("udp", "tcp"), "udp", "UDP is lossy, and may tell of no outage."),
        Option("prefix", text, "", "The first components of every name."),
        Option("tags", boolean, False, "Labels as DogStatsD's tags instead of components."),
        Option("packet", integer(256, 65507), MAX_PACKET, "Bytes of the largest UDP packet."),
        Option("sample_rate", number, 1.0, "The share of single measurements that is sent."),
        Option("observations", integer(1), LIMIT, "Measurements kept at most until they are sent."),
        *NetworkHandler.OPTIONS,
    )
    observes = True

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 8125,
        protocol: str = "udp",
        prefix: str = "",
        tags: bool = False,
        packet: int = MAX_PACKET,
        sample_rate: float = 1.0,
        observations: int = LIMIT,
        **common: Any,
    ) -> None:
        if not 0 < sample_rate <= 1:
            raise ValueError("sample_rate: expected a number above 0, and 1 at most")
        self.host = host
        self.port = port
        self.protocol = protocol
        self.prefix = ".".join(component(part) for part in prefix.split(".") if part)
        self.tags = tags
        self.sample_rate = sample_rate
        self._limit = packet if protocol == "udp" else MAX_MESSAGE
        self._rate = "" if sample_rate == 1 else f"|@{sample_rate!r}"
        self._wire = Wire(host, port, protocol)
        self._observations = Observations(self, observations, sample_rate)
        super().__init__(**common)
        self.names = Names(self.name)

    # -- names ---------------------------------------------------------------

    def prepare(self, series: Series) -> Any:
        if series.kind == EVENT:
            return LEFT_OUT
        made = self._rendering(series)
        whole = f"{made.head}{made.tail}"
        if len(whole) > min(MAX_NAME, self._limit // 2 - 32):
            self.names.leave_out(series, "its name is too long for a packet")
            return LEFT_OUT
        # Counters, gauges and times of one name are kept apart by statsd.
        if not self.names.claim(series, f"{whole}|{made.letter}"):
            return LEFT_OUT
        return made

    def rerouted(self) -> None:
        self.names.clear()

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        """The series that are not sent, and why."""
        return self.names.left_out

    def describe(self, series: Series) -> list[str]:
        if series.kind == EVENT:
            return []
        made = self._rendering(series)
        return [f"{made.head}|{made.letter}{made.tail}"]

    def _rendering(self, series: Series) -> Rendering:
        letter, tail = _LETTERS.get(series.kind, "g"), ""
        # Counts and times of several processes are added up by statsd, gauges are not.
        instance = self.instance if letter == "g" else ""
        parts = [self.prefix, instance]
        parts += (component(part) for part in series.name.split(".") if part)
        if self.tags:
            letter = "h" if series.kind == HISTOGRAM else letter
            tags = (f"{_tag(label)}:{_tag(value)}" for label, value in series.labels)
            tail = "|#" + ",".join(tags) if series.labels else ""
        else:
            own = (value for label, value in series.labels if label not in series.common)
            parts += map(component, own)
        head = ".".join(filter(None, parts)) or "_"
        return Rendering(head, letter, tail, 1000 if series.kind == TIMER else 1)

    # -- single values -------------------------------------------------------

    def observer(self, series: Series) -> Sink:
        return self._observations.sink(Observed(series))

    def make_backlog(self) -> Backlog:
        return Told(self.encode, self.limits, self._observations, self.encode_values)

    def encode_values(self, values: Iterable[tuple[Any, float]]) -> Iterator[tuple[bytes, int]]:
        """The payloads of single values, each with the number of values in it."""
        return self._packed(self._value_lines(values))

    def _value_lines(self, values: Iterable[tuple[Any, float]]) -> Iterator[str]:
        rate = self._rate
        for key, value in values:
            made = key.rendering
            if made is None:
                made = key.rendering = self._prepare(key.series)
            if made is not LEFT_OUT:
                shown = min(value * made.factor, MAX)
                yield f"{made.head}:{shown!r}|{made.letter}{rate}{made.tail}"

    # -- delivery ------------------------------------------------------------

    def encode(self, samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        return self._packed(map(self._line, samples))

    def _line(self, sample: Sample) -> str:
        """The lines of a sample, which stay together; empty if there is nothing to tell."""
        made: Rendering = sample.prepared
        kind, value = sample.series.kind, sample.value
        if kind in (TIMER, HISTOGRAM):
            return ""  # each value has been told by itself
        if kind == COUNTER:
            change = finite(sample.delta)
            return f"{made.head}:{change!r}|c{made.tail}" if change else ""
        shown = finite(value.number if kind == STATE else value)
        if shown is None:
            return ""
        line = f"{made.head}:{shown!r}|g{made.tail}"
        # A sign would mean a change.
        return f"{made.head}:0|g{made.tail}\n{line}" if repr(shown)[0] == "-" else line

    def _packed(self, texts: Iterable[str]) -> Iterator[tuple[bytes, int]]:
        """Texts joined to packets, each with the number of texts in it.

        The empty ones count for the packet that they come behind, or else before; if
        all are empty there is none.
        """
        limit = self._limit
        packet: list[str] = []
        length = count = 0
        for each in texts:
            if each:
                size = len(each) + 1  # all is ASCII
                if length + size > limit and packet:
                    yield self._packet(packet), count
                    packet, length, count = [], 0, 0
                packet.append(each)
                length += size
            count += 1
        if packet:
            yield self._packet(packet), count

    def _packet(self, lines: Sequence[str]) -> bytes:
        end = "\n" if self.protocol == "tcp" else ""
        return ("\n".join(lines) + end).encode("ascii")

    def send(self, payload: bytes) -> None:
        if self._wire.has_ended():
            self.lost_connection()
        self._wire.send_within(payload, self.time_limit)

    def hang_up(self) -> None:
        self._wire.close()

    def after_fork(self) -> None:
        super().after_fork()
        self._observations.clear()

    def target(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (" (tcp)" if self.protocol == "tcp" else "")

    def check(self) -> None:
        self._wire.connected(self.timeout).close()


def _tag(value: str) -> str:
    return cut(_UNFIT_IN_TAG.sub("_", value), MAX_COMPONENT) or "_"
