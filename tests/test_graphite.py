"""Tests of handlers/graphite.py: names, lines, and what a real carbon makes of them."""

from __future__ import annotations

import http.server
import json
import math
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appmetrics.buckets import Distribution
from appmetrics.handlers.base import LEFT_OUT
from appmetrics.handlers.graphite import MAX_DATAGRAM, MAX_MESSAGE, GraphiteHandler
from appmetrics.handlers.graphite_names import MAX_PATH, component, dotted, tag_value
from appmetrics.sample import Event, Sample, Series, StateValue
from appmetrics.testing import World
from appmetrics.testing.contract import HandlerContract
from appmetrics.testing.rounds import HOSTILE, batch
from servers import PATIENCE, Carbon, GraphiteWeb, free_port, wait_for

NOW = 1_600_000_000
LABELS = (("shop", "de"), ("status", "200"))
ORDERS = Series("shop.orders", LABELS, "counter")
QUEUE = Series("shop.queue", LABELS)
RENDER = Series("shop.render", (), "timer", "seconds")


class Lines:
    """A server that keeps the lines it gets over TCP or the datagrams over UDP."""

    def __init__(self, protocol: str) -> None:
        self.taken: list[bytes] = []
        self.protocol = protocol
        outer = self

        class Take(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if protocol == "udp":
                    outer.taken.append(self.request[0])
                else:
                    for data in iter(lambda: self.request.recv(65536), b""):
                        outer.taken.append(data)

        kind: Any = socketserver.UDPServer if protocol == "udp" else socketserver.ThreadingTCPServer
        self.server = kind(("127.0.0.1", 0), Take)
        self.server.max_packet_size = 65536
        self.server.daemon_threads = True  # a handler that is not stopped stays connected
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def lines(self) -> list[str]:
        """Split as carbon does it: at every kind of line end in datagrams."""
        parts = self.taken if self.protocol == "udp" else [b"".join(self.taken)]
        return [line for part in parts for line in part.decode(errors="replace").splitlines()]


class TestTcp(HandlerContract):
    """The contract of all handlers, over TCP with paths."""

    protocol = "tcp"
    tags = False

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        self.server = Lines(self.protocol)
        yield
        self.server.close()

    def make_handler(self, tmp_path: Path) -> GraphiteHandler:
        return GraphiteHandler(
            port=self.server.port, protocol=self.protocol, tags=self.tags, timeout=PATIENCE
        )

    def received(self) -> list[str]:
        return self.server.lines


class TestUdp(TestTcp):
    """The contract of all handlers, over UDP."""

    protocol = "udp"


class TestTags(TestTcp):
    """The contract of all handlers, with tags."""

    tags = True


def paths(handler: GraphiteHandler, *series: Series) -> list[str]:
    """The paths of some series."""
    return [path for each in series for path in handler.describe(each)]


def lines(handler: GraphiteHandler, *samples: Sample) -> list[str]:
    """The lines of samples, each prepared first."""
    ready = [sample._replace(prepared=handler.prepare(sample.series)) for sample in samples]
    taken = [sample for sample in ready if sample.prepared is not LEFT_OUT]
    return b"".join(data for data, _ in handler.encode(taken)).decode().splitlines()


# -- names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orders", "orders"),
        ("GET /index.html", "GET__index_html"),
        ("größe", "größe"),
        ("a;b", "a_b"),
        ("", "_"),
        ("\n", "_"),
        ("..", "__"),
        ("\ud800", "_"),
        ("200-299", "200-299"),
    ],
)
def test_components(text: str, expected: str) -> None:
    """Letters, digits, _ and - stay; each other character becomes _; empty becomes _."""
    assert component(text) == expected


def test_long_components_are_cut() -> None:
    """A long component ends in a hash of the whole, so that two stay two; it fits a file name."""
    cut = component("ö" * 5000)
    assert len(cut.encode()) <= 200
    assert cut == component("ö" * 5000)
    assert cut != component("ö" * 5001)
    assert component("x" * 200) == "x" * 200


def test_dots_separate() -> None:
    """A name's dots separate components; empty ones vanish."""
    assert dotted("..shop...orders.") == "shop.orders"
    assert dotted("a b.c/d") == "a_b.c_d"
    assert dotted("...") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/index.html", "/index.html"),
        ("a;b", "a_b"),
        ("~a", "_a"),
        ("", "_"),
        ("a b\n", "a_b_"),
        ('say "x"', "say__x_"),
        ("\u2028", "_"),
    ],
)
def test_tag_values(text: str, expected: str) -> None:
    """A tag's value may have dots and slashes, but nothing that ends a tag, a path or a line."""
    assert tag_value(text) == expected


def test_default_paths() -> None:
    """Prefix, name, label values in the order of their names, statistic."""
    handler = GraphiteHandler(prefix="apps.web1")
    assert paths(handler, ORDERS, QUEUE) == [
        "apps.web1.shop.orders.de.200.count",
        "apps.web1.shop.orders.de.200.rate",
        "apps.web1.shop.orders.de.200.total",
        "apps.web1.shop.queue.de.200",
    ]
    assert paths(GraphiteHandler(), RENDER) == [
        f"shop.render.{each}" for each in ("count", "rate", "mean", "p50", "p95", "p99", "max")
    ]
    assert paths(handler, Series("deploy", kind="event")) == []


def test_configured_statistics() -> None:
    """The statistics of timers and of counters are two lists; p99.9 has no dot in a path."""
    handler = GraphiteHandler(statistics=("sum", "p99.9"), counter_statistics=("total",))
    assert paths(handler, RENDER, Series("a", kind="counter")) == [
        "shop.render.sum",
        "shop.render.p99_9",
        "a.total",
    ]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{prefix}.{statistic}.{name}.{labels}", "pre.count.shop.orders.de.200"),
        ("stats.{shop}.{prefix}.{name}.{labels}.{statistic}", "stats.de.pre.shop.orders.200.count"),
        ("{name}.{statistic}", "shop.orders.count"),
        ("{name}.{host}.{statistic}", "shop.orders._.count"),
        ("{shop}-{status}.{name}.{statistic}", "de-200.shop.orders.count"),
        ("x_{name}.{statistic}", "x_shop_orders.count"),
    ],
)
def test_templates(template: str, expected: str) -> None:
    """A template puts the parts in any order and may name labels; those leave {labels}."""
    handler = GraphiteHandler(prefix="pre", template=template)
    assert paths(handler, ORDERS)[0] == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{prefix}.{name}.{statistic}", "pre.w1.a.count"),
        ("in-{prefix}.{name}.{statistic}", "in-pre_w1.a.count"),
        ("{name}.{statistic}", "w1.a.count"),
    ],
)
def test_who_is_not_alone_has_a_component_of_his_own(template: str, expected: str) -> None:
    """Several processes that each send their own numbers don't overwrite each other's."""
    handler = GraphiteHandler(
        prefix="pre", template=template, counter_statistics=("count",), statistics=("count",)
    )
    handler.instance = "w1"
    handler.served_by(World().reporter)
    assert paths(handler, Series("a", kind="counter")) == [expected]


def test_common_labels_enter_a_path_only_by_name() -> None:
    """What every series has would only lengthen the paths; tags have all labels."""
    series = Series("a", (("x", "1"),)).with_common({"env": "prod"})
    assert paths(GraphiteHandler(), series) == ["a.1"]
    assert paths(GraphiteHandler(template="{env}.{name}.{labels}.{statistic}"), series) == [
        "prod.a.1"
    ]
    assert paths(GraphiteHandler(tags=True), series) == ["a;env=prod;x=1"]


def test_labels_named_like_fields() -> None:
    """A label called name or prefix is a label like any other."""
    series = Series("a", (("labels", "1"), ("name", "2"), ("prefix", "3"), ("statistic", "4")))
    assert paths(GraphiteHandler(), series) == ["a.1.2.3.4"]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{name}", "{statistic} is missing"),
        ("{statistic}", "{name} is missing"),
        ("{name}_{statistic}", "{statistic} must be a component of its own"),
        ("{name}.x{labels}.{statistic}", "{labels} must be a component of its own"),
        ("{name}..{statistic}", "a component is empty"),
        ("", "a component is empty"),
        ("{name}.{statistic}.{statistic}", "stands there twice"),
        ("{name}.{a b}.{statistic}", "braces"),
        ("{name}.{.{statistic}", "braces"),
    ],
)
def test_bad_templates(template: str, reason: str) -> None:
    """A template that can't work is refused with the reason."""
    with pytest.raises(ValueError, match=r"^template: ") as caught:
        GraphiteHandler(template=template)
    assert reason in str(caught.value)


def test_tags() -> None:
    """With tags the labels follow the path, sorted; a template may still name some."""
    assert paths(GraphiteHandler(tags=True), ORDERS)[0] == "shop.orders.count;shop=de;status=200"
    handler = GraphiteHandler(tags=True, template="{shop}.{name}.{statistic}")
    assert paths(handler, ORDERS)[0] == "de.shop.orders.count;status=200"
    named = Series("a", (("name", "x"),))
    assert paths(GraphiteHandler(tags=True), named) == ["a;name_=x"]


def test_paths_are_the_same_in_every_process() -> None:
    """Names depend on the series alone."""
    for text in HOSTILE:
        series = Series(text, ((text, text),), "counter")
        assert paths(GraphiteHandler(), series) == paths(GraphiteHandler(), series)


@pytest.mark.parametrize("tags", [False, True])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_lines_are_whole(text: str, tags: bool) -> None:
    """Every line has three words, fits a datagram, and names no component that climbs."""
    handler = GraphiteHandler(tags=tags, prefix=text)
    samples = [
        Sample(Series(text, ((text, "x"), ("label", text)), "counter"), NOW, 1, 1, 10.0),
        Sample(Series("a", (("label", text),), "gauge"), NOW, 1),
    ]
    for line in lines(handler, *samples):
        path, value, when = line.split()
        assert (value, when) in {("1", str(NOW)), ("0.1", str(NOW))}
        assert len(line.encode()) < MAX_DATAGRAM
        head, *pairs = path.split(";")
        assert all(head.split("."))
        assert len(pairs) <= 2 * tags
        assert all("=" in pair and pair.split("=")[1][0] != "~" for pair in pairs)


# -- collisions


def collide(first: Series, second: Series, **options: Any) -> bool:
    """Whether the second of two series is left out; the first never is."""
    handler = GraphiteHandler(**options)
    assert handler.prepare(first) is not LEFT_OUT
    left_out = handler.prepare(second) is LEFT_OUT
    assert [series for series, _ in handler.left_out] == [second] * left_out
    return left_out


def test_the_first_keeps_its_path() -> None:
    """Of two series with the same path the first is sent; other paths don't collide."""
    assert collide(Series("a.b_c"), Series("a.b/c"))
    assert collide(Series("a", (("x", "b"),)), Series("a.b"))
    assert collide(Series("a", (("x", "b/"),)), Series("a", (("x", "b "),)))
    assert not collide(Series("a.b_c"), Series("a_b.c"))
    assert collide(ORDERS, ORDERS._replace(labels=(("shop", "de"),)), template="{name}.{statistic}")
    assert collide(ORDERS, ORDERS._replace(kind="timer"))


def test_statistics_collide_with_names() -> None:
    """A gauge named like a counter's statistic collides with it, whichever is first."""
    gauge, counter = Series("a.count"), Series("a", kind="counter")
    assert collide(counter, gauge)
    assert collide(gauge, counter)
    assert not collide(counter, Series("a.p99"))
    assert not collide(Series("a.p99"), counter)
    assert collide(Series("a", kind="timer"), Series("a.p99"))
    assert collide(counter, gauge, tags=True)
    assert not collide(counter, gauge._replace(labels=LABELS), tags=True)


def test_a_collision_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The first series left out is logged with its reason, further ones are counted."""
    handler = GraphiteHandler(name="carbon")
    for name in ("a b", "a/b", "a;b", "a,b"):
        handler.prepare(Series(name))
    handler.prepare(Series("a/b"))
    assert len(handler.left_out) == 3
    (message,) = caplog.messages
    assert message == (
        "handler carbon: a/b is left out: its path a_b belongs to the gauge a b "
        "(more like it are only counted)"
    )


def test_paths_that_are_too_long_are_left_out() -> None:
    """A path that fits no datagram is not sent."""
    handler = GraphiteHandler()
    assert handler.prepare(Series(".".join("x" * 9 for _ in range(101)))) is LEFT_OUT
    assert f"longer than {MAX_PATH} bytes" in handler.left_out[0][1]


# -- lines


def test_lines_of_each_kind() -> None:
    """A counter has count, rate and total; a gauge and a state their number; an event nothing."""
    state = StateValue("critical", "", 2, "critical", None)
    event = Event("", "", {}, (), None, None)
    assert lines(
        GraphiteHandler(),
        Sample(ORDERS, NOW + 0.7, 12, 3, 10.0),
        Sample(QUEUE, NOW, 1.5),
        Sample(Series("db", kind="state"), NOW, state),
        Sample(Series("deploy", kind="event"), NOW, event),
    ) == [
        f"shop.orders.de.200.count 3 {NOW}",
        f"shop.orders.de.200.rate 0.3 {NOW}",
        f"shop.orders.de.200.total 12 {NOW}",
        f"shop.queue.de.200 1.5 {NOW}",
        f"db 2 {NOW}",
    ]


def test_an_idle_interval_sends_zeros() -> None:
    """An idle counter or timer sends count 0 and rate 0, and no percentile."""
    times = Distribution.of([0.5])
    assert lines(
        GraphiteHandler(),
        Sample(ORDERS._replace(labels=()), NOW, 12, 0, 10.0),
        Sample(RENDER, NOW, times, Distribution(), 10.0),
    ) == [
        f"shop.orders.count 0 {NOW}",
        f"shop.orders.rate 0.0 {NOW}",
        f"shop.orders.total 12 {NOW}",
        f"shop.render.count 0 {NOW}",
        f"shop.render.rate 0.0 {NOW}",
    ]


def test_values_are_exact() -> None:
    """Whole numbers keep every digit, others are the shortest text that reads back the same."""
    numpy = pytest.importorskip("numpy")
    for value, text in (
        (2**60 + 1, "1152921504606846977"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-7, "1e-07"),
        (True, "1"),
        (numpy.float64(0.5), "0.5"),
    ):
        assert lines(GraphiteHandler(), Sample(Series("a"), NOW, value)) == [f"a {text} {NOW}"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "1"])
def test_what_is_no_finite_number_is_not_sent(value: object) -> None:
    """Carbon would store an infinity, so none is sent."""
    assert lines(GraphiteHandler(), Sample(Series("a"), NOW, value)) == []


@pytest.mark.parametrize(("protocol", "limit"), [("udp", MAX_DATAGRAM), ("tcp", MAX_MESSAGE)])
def test_payloads_are_bounded(protocol: str, limit: int) -> None:
    """A batch is split between lines; every sample is counted once."""
    handler = GraphiteHandler(protocol=protocol)
    samples = [
        Sample(series, NOW, 1, 1, 10.0, handler.prepare(series))
        for series in (Series(f"s{number:05}" * 20, kind="counter") for number in range(1000))
    ]
    payloads = list(handler.encode(samples))
    assert len(payloads) > 1
    assert all(len(data) <= limit and data.endswith(b"\n") for data, _ in payloads)
    assert sum(count for _, count in payloads) == 1000
    assert sum(data.count(b"\n") for data, _ in payloads) == 3000


# -- the network


def test_target_and_check() -> None:
    """The target is told as people write it; a check of a port that nobody listens on fails."""
    port = free_port()
    handler = GraphiteHandler(port=port, timeout=2)
    assert handler.target() == f"127.0.0.1:{port}"
    with pytest.raises(OSError, match="refused"):
        handler.check()
    assert GraphiteHandler(host="::1").target() == "[::1]:2003"
    assert GraphiteHandler(protocol="udp").target() == "127.0.0.1:2003 (udp)"
    GraphiteHandler(protocol="udp").check()


def test_a_target_that_takes_nothing_meets_the_timeout() -> None:
    """A server that accepts and never reads costs the timeout, not the interval."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        handler = GraphiteHandler(port=server.getsockname()[1], timeout=0.2)
        started = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            handler.send(b"x" * 10_000_000)
        assert time.monotonic() - started < PATIENCE


def rounds(handler: GraphiteHandler, server: Carbon, start: int) -> None:
    """Three rounds a second apart through a worker, with one counter, timer and gauge."""
    total, times = 0, Distribution()
    points = [(ORDERS, 0), (RENDER, times), (QUEUE, 0)]
    one = batch(points, start)
    handler.start()
    for second in range(3):
        total += second + 1
        times = times + Distribution.of([0.25 * (second + 1)] * 10)
        readings = [total, times, second]
        handler.put(one._replace(readings=readings, time=start + second, monotonic=start + second))
    assert handler.stop(PATIENCE)
    assert handler.stats.sent == 9, handler.stats.last_error
    assert server.port == handler.port


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_carbon_stores_exactly_what_was_counted(carbon: Carbon, protocol: str) -> None:
    """Counts, rates, totals, percentiles and gauges of every interval are in whisper's files."""
    start = int(time.time()) - 60
    handler = GraphiteHandler(
        port=carbon.port, protocol=protocol, prefix="apps.h", timeout=PATIENCE
    )
    rounds(handler, carbon, start)
    rising = {f"render.{word}": (0.25, 0.5, 0.75) for word in ("mean", "p50", "p95", "p99", "max")}
    for name, values in {
        "orders.de.200.count": (1, 2, 3),
        "orders.de.200.total": (1, 3, 6),
        "orders.de.200.rate": (0.1, 2, 3),
        "queue.de.200": (0, 1, 2),
        "render.count": (10, 10, 10),
        "render.rate": (1, 10, 10),
        **rising,
    }.items():
        path = f"apps.h.shop.{name}"
        wait_for(lambda path=path: len(carbon.points(path)) == 3, path)
        exact = 0.025 if name in rising else 0
        assert carbon.points(path) == {
            start + index: pytest.approx(value, rel=exact) for index, value in enumerate(values)
        }
    assert carbon.refused() == []


def test_carbon_takes_tags(carbon: Carbon) -> None:
    """Tagged series are stored under the path that carbon itself would make of them."""
    start = int(time.time()) - 60
    rounds(GraphiteHandler(port=carbon.port, tags=True, timeout=PATIENCE), carbon, start)
    path = "shop.orders.count;shop=de;status=200"
    wait_for(lambda: len(carbon.points(path)) == 3, "three points in whisper")
    assert list(carbon.points(path).values()) == [1, 2, 3]
    assert carbon.refused() == []


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("tags", [False, True])
def test_hostile_names_reach_carbon_as_themselves(
    carbon: Carbon, protocol: str, tags: bool
) -> None:
    """Carbon refuses no line, and stores the described paths and not one more."""
    handler = GraphiteHandler(port=carbon.port, protocol=protocol, tags=tags, timeout=PATIENCE)
    series = [
        *(Series(text, (("label", "v"),)) for text in HOSTILE),
        *(Series("contract.hostile", (("label", text),)) for text in HOSTILE),
        *(Series("contract.label", ((text, "v"),)) for text in HOSTILE),
    ]
    last = Series("contract.end")
    now = int(time.time()) - 30
    handler.start()
    handler.put(batch([(each, 1) for each in (*series, last)], now))
    assert handler.stop(PATIENCE)
    left_out = {each for each, _ in handler.left_out}
    expected = {path for each in series if each not in left_out for path in handler.describe(each)}
    assert len(expected) == len(series) - len(left_out)
    wait_for(lambda: carbon.points("contract.end"), "the last series")
    for path in expected:
        wait_for(lambda path=path: carbon.points(path) == {now: 1}, path)
    files = {str(file) for file in carbon.whisper.rglob("*.wsp")}
    assert files == {str(carbon.file(path)) for path in (*expected, "contract.end")}
    assert carbon.refused() == []


def test_carbon_that_comes_late_gets_everything(carbon: Carbon) -> None:
    """What was sent while carbon was away arrives with its original times."""
    carbon.stop()
    start = int(time.time()) - 60
    # Without jitter no two attempts are more than half a minute apart.
    handler = GraphiteHandler(port=carbon.port, timeout=PATIENCE, jitter=lambda: 0.0)
    one = batch([(QUEUE, 0)], start)
    handler.start()
    try:
        for second in range(3):
            handler.put(one._replace(readings=[second], time=start + second))
        wait_for(lambda: handler.waiting == 3, "three samples that wait")
        carbon.start()
        wait_for(lambda: handler.waiting == 0, "an attempt after carbon is back")
    finally:
        assert handler.stop(PATIENCE)
    wait_for(lambda: len(carbon.points("shop.queue.de.200")) == 3)
    assert list(carbon.points("shop.queue.de.200").values()) == [0, 1, 2]
    assert handler.stats.dropped == 0


# -- statsd's layout


def test_the_layout_of_statsd() -> None:
    """Counters, timers and gauges have the paths and statistics of statsd."""
    handler = GraphiteHandler(layout="statsd")
    assert paths(handler, Series("shop.orders", (), "counter"), Series("shop.queue")) == [
        "stats.counters.shop.orders.count",
        "stats.counters.shop.orders.rate",
        "stats.gauges.shop.queue",
    ]
    words = "count count_ps sum sum_squares mean median upper lower std "
    words += "count_90 mean_90 upper_90 sum_90 sum_squares_90"
    assert paths(handler, RENDER) == [f"stats.timers.shop.render.{each}" for each in words.split()]


@pytest.mark.parametrize("values", [[0.25], [0.1, 0.2], [0.01 * n for n in range(1, 101)]])
def test_statsd_statistics_are_those_of_statsd(values: list[float]) -> None:
    """Counts, sums and means are exact, the others within the buckets' 2.2 %, in milliseconds."""
    handler = GraphiteHandler(layout="statsd")
    change = Distribution.of(values)
    found = {
        line.split()[0].rpartition(".")[2]: float(line.split()[1])
        for line in lines(handler, Sample(RENDER, NOW, change, change, 10.0))
    }
    ms = [1000 * value for value in sorted(values)]
    count, total = len(ms), sum(ms)
    inside = ms[: count if count == 1 else math.floor(0.9 * count + 0.5)]
    mean = total / count
    middle = ms[(count - 1) // 2], ms[count // 2]
    near = {
        "sum_squares": sum(each * each for each in ms),
        "median": sum(middle) / 2,
        "upper": ms[-1],
        "lower": ms[0],
        "mean_90": sum(inside) / len(inside),
        "upper_90": inside[-1],
        "sum_90": sum(inside),
        "sum_squares_90": sum(each * each for each in inside),
    }
    exact = {"count": count, "count_ps": count / 10, "sum": total, "mean": mean}
    exact["count_90"] = len(inside)
    deviation = math.sqrt(sum((each - mean) ** 2 for each in ms) / count)
    assert found.pop("std") == pytest.approx(deviation, rel=0.05, abs=0.25 * mean)
    assert {key: found.pop(key) for key in near} == pytest.approx(near, rel=0.045)
    assert found == pytest.approx(exact)


def test_an_idle_timer_in_the_layout_of_statsd() -> None:
    """As statsd does for a timer that it knows, count and count_ps are 0."""
    handler = GraphiteHandler(layout="statsd")
    times = Distribution.of([0.5])
    assert lines(handler, Sample(RENDER, NOW, times, Distribution(), 10.0)) == [
        f"stats.timers.shop.render.count 0 {NOW}",
        f"stats.timers.shop.render.count_ps 0.0 {NOW}",
    ]


# -- events


class Web:
    """The events API of a graphite-web, as far as it takes and refuses."""

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[dict[str, Any]] = []
        outer = self

        class Take(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.status == 200:
                    outer.taken.append({"path": self.path, **body})
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/events"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    """A graphite-web that listens."""
    made = Web()
    yield made
    made.close()


@pytest.fixture
def carbon_lines() -> Iterator[Lines]:
    """What a carbon would get over TCP."""
    made = Lines("tcp")
    yield made
    made.close()


DEPLOY = Sample(
    Series("shop.deploy", (("shop", "de"),), "event"),
    NOW + 0.5,
    Event("1.4.2", "ok", {"by": "ci"}, ("big bang",), None, None),
)


def test_events_are_posted(web: Web, carbon_lines: Lines) -> None:
    """An event arrives with name, tags, description, attributes and time, beside the lines."""
    handler = GraphiteHandler(port=carbon_lines.port, events=web.url + "/", timeout=PATIENCE)
    handler.start()
    handler.put_event(DEPLOY)
    handler.put(batch([(QUEUE, 1)]))
    assert handler.stop(PATIENCE)
    assert handler.stats.sent == 2
    assert web.taken == [
        {
            "path": "/events/",
            "what": "shop.deploy",
            "tags": ["big_bang", "shop.deploy", "shop=de"],
            "data": "1.4.2\nstate: ok\nby: ci",
            "when": NOW,
        }
    ]
    assert handler.describe(DEPLOY.series) == [f"{web.url}/"]


def test_a_graphite_web_that_is_away_holds_up_no_line(
    web: Web, carbon_lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Events wait on their own, are told of on their own, and arrive when it is back."""
    web.status = 503
    handler = GraphiteHandler(
        port=carbon_lines.port, events=web.url, name="carbon", timeout=PATIENCE
    )
    handler.start()
    try:
        handler.put_event(DEPLOY)
        handler.put(batch([(QUEUE, 1)]))
        # The line may have come before the handler has noted that it has gone.
        wait_for(lambda: carbon_lines.lines and handler.waiting == 1, "the line, not the event")
        assert caplog.messages[0].startswith(f"carbon.events ({web.url}/) fails (OSError: HTTP 503")
        web.status = 200
        wait_for(lambda: web.taken, "the event")
    finally:
        assert handler.stop(PATIENCE)
    assert handler.stats.dropped == 0


def test_an_event_that_is_refused_is_dropped(web: Web) -> None:
    """What graphite-web calls a bad request is never sent again."""
    web.status = 400
    handler = GraphiteHandler(port=free_port(), events=web.url, timeout=PATIENCE)
    handler.start()
    handler.put_event(DEPLOY)
    assert handler.flush(PATIENCE)
    assert handler.stop(PATIENCE)
    assert (handler.stats.dropped, handler.stats.errors) == (1, 1)


def test_a_real_graphite_web_shows_the_event(graphite_web: GraphiteWeb) -> None:
    """An event can be found by its tags, with its text and its time."""
    handler = GraphiteHandler(
        port=free_port(), events=f"{graphite_web.url}/events/", timeout=PATIENCE
    )
    handler.start()
    now = int(time.time())
    handler.put_event(DEPLOY._replace(time=float(now)))
    try:
        assert handler.flush(PATIENCE), handler.stats.last_error
    finally:
        assert handler.stop(PATIENCE)
    (event,) = graphite_web.events("shop=de")
    assert (event["what"], event["when"]) == ("shop.deploy", now)
    assert event["data"] == "1.4.2\nstate: ok\nby: ci"
    assert set(event["tags"]) == {"big_bang", "shop.deploy", "shop=de"}
