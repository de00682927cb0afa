"""Tests of handlers/statsd.py, against sockets and against a real statsd."""

from __future__ import annotations

import contextlib
import math
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import servers
from appmetrics.buckets import Distribution
from appmetrics.handlers.statsd import StatsdHandler
from appmetrics.sample import Series, StateValue
from appmetrics.selection import LEFT_OUT
from appmetrics.testing import ManualClock, World
from appmetrics.testing.contract import HandlerContract
from appmetrics.testing.rounds import batch
from line_listener import Listener
from servers import HOST, wait_for

#: What any daemon takes: a name, a value, a type, a rate, tags.
LINE = re.compile(
    r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
    r":-?\d+(\.\d+)?(e[+-]?\d+)?\|(c|g|ms|h)(\|@0\.\d+)?"
    r"(\|#[A-Za-z0-9_./-]+:[A-Za-z0-9_./-]+(,[A-Za-z0-9_./-]+:[A-Za-z0-9_./-]+)*)?"
)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A UDP socket that keeps what comes."""
    listener = Listener()
    yield listener
    listener.close()


class TestStatsdOverUdp(HandlerContract):
    """The contract of all handlers, over UDP."""

    protocol = "udp"

    @pytest.fixture(autouse=True)
    def _listen(self) -> Iterator[None]:
        self.listener = Listener(self.protocol)
        yield
        self.listener.close()

    def make_handler(self, tmp_path: Path) -> StatsdHandler:
        """A handler that sends to the listener."""
        return to(self.listener, host=HOST, protocol=self.protocol)

    def received(self) -> Sequence[str]:
        """The lines that came."""
        return self.listener.lines


class TestStatsdOverTcp(TestStatsdOverUdp):
    """The contract of all handlers, over TCP."""

    protocol = "tcp"


def sent(handler: StatsdHandler, listener: Listener, pairs: Sequence[Any], count: int) -> list[str]:
    """The lines that a round becomes, of which there are ``count``."""
    handler.put(batch(pairs))
    handler.stop(servers.PATIENCE)
    wait_for(lambda: len(listener.lines) >= count, f"{count} lines")
    assert handler.stats.errors == 0, handler.stats.last_error
    return listener.lines


def to(listener: Listener, **options: Any) -> StatsdHandler:
    """A handler that sends to a listener."""
    return StatsdHandler(name="tested", port=listener.port, timeout=servers.PATIENCE, **options)


def test_every_kind_has_its_line(listener: Listener) -> None:
    """A counter's change, a gauge, a state's number; one below zero is set to 0 before."""
    state = StateValue("critical", "no route", 2, "critical", None)
    pairs = [
        (Series("shop.orders", (("shop", "d.e"),), "counter"), 3),
        (Series("shop.idle", kind="counter"), 0),
        (Series("shop.depth"), 7.5),
        (Series("shop.below"), -2),
        (Series("shop.minus zero"), -0.0),
        (Series("shop.database", kind="state", states=("ok", "warning", "critical")), state),
        (Series("shop.render", kind="timer"), Distribution.of([0.5])),
    ]
    assert sent(to(listener, prefix="apps.web 1"), listener, pairs, 7) == [
        "apps.web_1.shop.orders.d_e:3|c",
        "apps.web_1.shop.depth:7.5|g",
        "apps.web_1.shop.below:0|g",
        "apps.web_1.shop.below:-2|g",
        "apps.web_1.shop.minus_zero:0|g",
        "apps.web_1.shop.minus_zero:-0.0|g",
        "apps.web_1.shop.database:2|g",
    ]


def test_labels_can_be_tags(listener: Listener) -> None:
    """With tags all labels are DogStatsD's, and what breaks them is replaced."""
    series = Series("a.b", (("env", "prod"), ("path", "/x,y|z:1#é")), "counter").with_common({})
    assert sent(to(listener, tags=True), listener, [(series, 1)], 1) == [
        "a.b:1|c|#env:prod,path:/x_y_z_1__"
    ]


def test_common_labels_are_not_in_names(listener: Listener) -> None:
    """Only an instrument's own labels are components."""
    series = Series("a", (("shop", "de"),), "counter").with_common({"env": "prod"})
    assert sent(to(listener), listener, [(series, 1)], 1) == ["a.de:1|c"]


def test_packets_are_full_and_no_larger_than_allowed(listener: Listener) -> None:
    """Many lines share a packet, none of which exceeds its limit."""
    pairs = [(Series(f"some.name.of.a.gauge.{n}"), -n) for n in range(500)]
    sent(to(listener, packet=512), listener, pairs, 999)
    sizes = [len(packet) for packet in listener.packets]
    assert max(sizes) <= 512
    assert sum(sizes) / len(sizes) > 400
    # 0 and the number below it are never apart.
    assert not any(packet.endswith(b":0|g") for packet in listener.packets[1:])


def test_every_single_timing_is_sent(listener: Listener) -> None:
    """Each measurement of a timer is a line in milliseconds, each value of a histogram one."""
    world = World()
    handler = to(listener, clock=world.clock)
    world.meter("shop").add_handler(handler)
    timer = world.meter("shop").timer("render", labels=("page",))
    timer.labels("cart").observe(0.25)
    timer.labels("cart").observe(0.5)
    timer.labels("home").observe(0)
    world.meter("shop").histogram("size", unit="bytes").observe(512)
    world.stop()
    wait_for(lambda: len(listener.lines) == 4, "the lines")
    assert sorted(listener.lines) == [
        "shop.render.cart:250.0|ms",
        "shop.render.cart:500.0|ms",
        "shop.render.home:0|ms",
        "shop.size:512|ms",
    ]
    assert handler.stats.sent == 4


def test_observed_values_leave_without_a_round(listener: Listener) -> None:
    """The worker looks for them by itself."""
    handler = to(listener, tags=True)
    sink = handler.observer(Series("a", (("b", "c"),), "histogram"))
    handler.start()
    try:
        sink(2)
        wait_for(lambda: listener.lines == ["a:2|h|#b:c"], "the line")
    finally:
        assert handler.stop(servers.PATIENCE)


def test_a_share_of_the_measurements_says_so(listener: Listener) -> None:
    """With a sample rate the lines carry it, so that the daemon counts right."""
    handler = to(listener, sample_rate=0.5)
    sink = handler.observer(Series("a", kind="timer"))
    handler.start()
    for _ in range(1000):
        sink(0.001)
    assert handler.stop(servers.PATIENCE)
    wait_for(lambda: listener.lines, "lines")
    assert set(listener.lines) == {"a:1.0|ms|@0.5"}
    assert 300 < handler.stats.sent < 700


def test_more_measurements_than_fit_are_dropped_and_counted(listener: Listener) -> None:
    """The queue of single values is bounded, and what is beyond it is counted."""
    handler = to(listener, observations=10)
    sink = handler.observer(Series("a", kind="timer"))
    for _ in range(25):
        sink(1)
    handler.start()
    assert handler.stop(servers.PATIENCE)
    wait_for(lambda: len(listener.lines) == 10, "what fitted")
    assert (handler.stats.sent, handler.stats.dropped) == (10, 15)


def test_two_series_with_one_name_are_not_mixed(caplog: pytest.LogCaptureFixture) -> None:
    """The first keeps the name; the second of the same kind is left out, and logged once."""
    handler = StatsdHandler(name="tested")
    assert handler.prepare(Series("a.b_c", kind="counter")) is not LEFT_OUT
    assert handler.prepare(Series("a.b c", kind="counter")) is LEFT_OUT
    assert handler.prepare(Series("a.b/c", kind="counter")) is LEFT_OUT
    assert handler.prepare(Series("a.b c", kind="timer")) is not LEFT_OUT
    assert [series.name for series, _ in handler.left_out] == ["a.b c", "a.b/c"]
    assert len(caplog.messages) == 1
    handler.rerouted()
    assert handler.left_out == []


def test_silence_of_a_daemon_is_noticed_on_loopback() -> None:
    """Over UDP the answer that nobody listens is an outage; counts come later as one."""
    clock = ManualClock()
    port = servers.free_port()
    handler = StatsdHandler(name="tested", port=port, clock=clock, jitter=lambda: 1.0)
    series = Series("a", kind="counter")
    handler.put(batch([(series, 2)]))
    handler.flush()
    assert handler.stats.sent == 0
    assert "Connection refused" in handler.stats.last_error
    handler.put(batch([(series, 3)]))
    handler.flush()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind((HOST, port))
        late.settimeout(servers.PATIENCE)
        clock.advance(10)
        handler.stop(servers.PATIENCE)
        received = [packet for packet in (late.recv(999), late.recv(999)) if packet.strip()]
    assert received == [b"a:5|c"]
    assert handler.stats.dropped == 0


def test_a_daemon_that_comes_back_is_connected_again() -> None:
    """Over TCP an ended connection is noticed before anything is written to it."""
    with contextlib.closing(Listener("tcp")) as listener:
        handler = to(listener, protocol="tcp")
        handler.put(batch([(Series("a"), 1)]))
        handler.flush()
        wait_for(lambda: listener.lines == ["a:1|g"], "the first line")
        port = listener.port
        connection = handler._wire._socket
        assert connection is not None
        connection.shutdown(socket.SHUT_WR)
        peek = socket.MSG_PEEK | socket.MSG_DONTWAIT
        wait_for(lambda: connection.recv(1, peek) == b"", "the end")
        handler.put(batch([(Series("b"), 2)]))
        handler.flush()
        wait_for(lambda: listener.lines == ["a:1|g", "b:2|g"], "the second line")
        assert listener.port == port
        handler.stop(servers.PATIENCE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "sample_rate: expected a number above 0"),
        ({"sample_rate": 1.5}, "sample_rate: expected a number above 0"),
    ],
)
def test_options_that_can_not_be_are_refused(options: dict[str, Any], message: str) -> None:
    """A share is more than nothing and not more than all."""
    with pytest.raises(ValueError, match=message):
        StatsdHandler(**options)


texts = st.text(max_size=40) | st.sampled_from(["x" * 5000, "a.b", "\ud800"])
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=True, allow_infinity=True)


@given(
    name=texts,
    labels=st.dictionaries(texts, texts, max_size=4),
    value=numbers,
    kind=st.sampled_from(["counter", "gauge", "timer", "histogram"]),
    tags=st.booleans(),
)
def test_whatever_comes_the_lines_are_lines(
    name: str, labels: dict[str, str], value: float, kind: str, tags: bool
) -> None:
    """Any name, label and number is a line that every daemon takes, or none."""
    handler = StatsdHandler(name="tested", tags=tags)
    series = Series(name, tuple(sorted(labels.items())), kind)
    if kind in ("counter", "gauge"):
        selection = batch([(series, value)]).selection
        samples = selection.samples(selection.read(), 1.0, 1.0, handler._prepare)
        payloads = list(handler.encode(samples))
    else:
        handler.observer(series)(abs(value) if math.isfinite(value) else 0.0)
        payloads = list(handler.encode_values(handler._observations.take()))
    for data, _ in payloads:
        assert len(data) <= 1432
        for line in data.decode("ascii").split("\n"):
            assert LINE.fullmatch(line), line


# -- a real statsd -------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_statsd_takes_it_all(statsd: servers.Statsd, protocol: str) -> None:
    """Counts, gauges, single timings and extreme numbers are what statsd has in the end."""
    world = World()
    handler = StatsdHandler(
        name="tested",
        port=statsd.port,
        protocol=protocol,
        timeout=servers.PATIENCE,
        clock=world.clock,
    )
    handler.check()
    world.meter().add_handler(handler)
    meter = world.meter("shop")
    meter.counter("orders", labels=("shop",)).labels("de").inc(3)
    meter.timer("render").observe(0.32)
    meter.timer("render").observe(1.5)
    extremes = {"most": 2**53 - 1, "tenth": 0.1, "tiny": -1e-300, "huge": 1e300, "low": -5}
    for name, value in extremes.items():
        meter.gauge(name).set(value)
    world.advance(10)
    meter.counter("orders", labels=("shop",)).labels("de").inc(0.1)
    meter.gauge("low").set(-7)
    world.advance(10)
    world.stop()
    assert handler.stats.errors == 0, handler.stats.last_error

    def arrived() -> bool:
        counters, gauges = statsd.kept("counters"), statsd.kept("gauges")
        assert counters.get("shop.orders.de") == 3.1
        found = {name: gauges.get(f"shop.{name}") for name in extremes}
        assert found == {**extremes, "low": -7}
        assert statsd.kept("timers").get("shop.render") == [320, 1500]
        return True

    wait_for(arrived, "all numbers")
    assert statsd.kept("counters")["statsd.bad_lines_seen"] == 0


@pytest.fixture
def numbers_of(statsd: servers.Statsd) -> Callable[[str], dict[str, Any]]:
    """What statsd keeps, without what it tells about itself."""

    def numbers_of(verb: str) -> dict[str, Any]:
        kept = statsd.kept(verb)
        own = ("statsd.", "appmetrics.")
        return {name: value for name, value in kept.items() if not name.startswith(own)}

    return numbers_of


def test_statsd_restarted_gets_the_sum(
    statsd: servers.Statsd, numbers_of: Callable[[str], dict[str, Any]]
) -> None:
    """What was counted during an outage comes as one change when statsd is back."""
    world = World()
    handler = StatsdHandler(
        name="tested",
        port=statsd.port,
        protocol="tcp",
        timeout=servers.PATIENCE,
        clock=world.clock,
        jitter=lambda: 1.0,
    )
    world.meter().add_handler(handler)
    orders = world.meter("shop").counter("orders")
    timer = world.meter("shop").timer("render")
    orders.inc(1)
    world.advance(10)
    wait_for(lambda: numbers_of("counters") == {"shop.orders": 1}, "before the outage")
    statsd.stop()
    for _ in range(5):
        orders.inc(10)
        timer.observe(0.1)
        world.advance(10)
    statsd.start()
    world.clock.advance(120)
    orders.inc(10)
    world.advance(10)
    wait_for(lambda: numbers_of("counters") == {"shop.orders": 60}, "after the outage")
    world.stop()
    wait_for(lambda: numbers_of("timers") == {"shop.render": [100] * 5}, "the timings")
    assert handler.stats.dropped == 0
