"""Tests of handlers/opentsdb.py, against a target that does what it is told and a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import servers
from appmetrics.buckets import Distribution
from appmetrics.handlers.opentsdb import OpenTsdbHandler, _refusal
from appmetrics.handlers.posting import Answer
from appmetrics.sample import Series, StateValue
from appmetrics.selection import LEFT_OUT
from appmetrics.testing import World
from appmetrics.testing.contract import HandlerContract
from appmetrics.testing.rounds import HOSTILE, batch
from http_target import HttpTarget
from servers import wait_for

#: What OpenTSDB takes in metrics and tags.
NAME = re.compile(r"[\w./-]+")


@pytest.fixture
def http() -> Iterator[HttpTarget]:
    """An HTTP server that answers as it is told."""
    with HttpTarget() as target:
        yield target


def opentsdb(**options: Any) -> OpenTsdbHandler:
    """A handler on a host of a known name."""
    return OpenTsdbHandler(
        **{"name": "tested", "timeout": servers.PATIENCE, "host": "web1", **options}
    )


def points(
    handler: OpenTsdbHandler, pairs: Sequence[tuple[Series, Any]], when: float = 1.6e9
) -> Any:
    """The points of a round."""
    made = batch(pairs, when)
    samples = made.selection.samples(made.readings, made.time, made.monotonic, handler._prepare)
    return [point for data, _ in handler.encode(samples) for point in json.loads(data)]


class TestOpenTsdb(HandlerContract):
    """The contract of all handlers."""

    @pytest.fixture(autouse=True)
    def _listen(self, http: HttpTarget) -> None:
        self.http = http

    def make_handler(self, tmp_path: Path) -> OpenTsdbHandler:
        """A handler that posts to the target."""
        return opentsdb(url=self.http.url)

    def received(self) -> Sequence[str]:
        """The points that came."""
        return [
            f"{point['metric']} {point['tags']}"
            for body in self.http.bodies
            for point in json.loads(body)
        ]


def test_every_kind_has_its_points() -> None:
    """A statistic ends the metric, labels are tags, a series without one gets the host."""
    state = StateValue("critical", "", 2, "critical", None)
    labels = (("env", "prod"), ("shop", "d e"))
    pairs = [
        (Series("shop.orders", labels, "counter"), 3),
        (Series("shop.depth"), 7.5),
        (Series("shop.db", kind="state"), state),
        (Series("shop.render", kind="timer"), Distribution.of([0.25])),
    ]
    tags, host = {"env": "prod", "shop": "d_e"}, {"host": "web1"}
    handler = opentsdb(prefix="apps", statistics=("count", "p99.9"))
    found = points(handler, pairs)
    assert {point["timestamp"] for point in found} == {1_600_000_000}
    assert [(point["metric"], point["tags"], point["value"]) for point in found] == [
        ("apps.shop.orders.count", tags, 3),
        ("apps.shop.orders.rate", tags, 0.3),
        ("apps.shop.orders.total", tags, 3),
        ("apps.shop.depth", host, 7.5),
        ("apps.shop.db", host, 2),
        ("apps.shop.render.count", host, 1),
        ("apps.shop.render.p99_9", host, pytest.approx(0.25, 0.03)),
    ]
    assert handler.describe(pairs[0][0])[0] == "apps.shop.orders.count env=prod shop=d_e"


def test_times_between_seconds_are_milliseconds() -> None:
    """A round that is due between two seconds keeps its place."""
    ((point),) = points(opentsdb(), [(Series("a"), 1)], when=1_600_000_000.5)
    assert point["timestamp"] == 1_600_000_000_500


def test_requests_hold_so_many_points() -> None:
    """A batch ends with the sample that fills it, and counts its samples."""
    handler = opentsdb(batch=10)
    made = batch([(Series(f"a.{n}", kind="counter"), n) for n in range(25)])
    samples = made.selection.samples(made.readings, made.time, made.monotonic, handler._prepare)
    payloads = list(handler.encode(samples))
    assert [len(json.loads(data)) for data, _ in payloads] == [12, 12, 12, 12, 12, 12, 3]
    assert sum(count for _, count in payloads) == 25


def test_two_series_with_one_metric_are_not_mixed() -> None:
    """A gauge that is called like another's statistic is left out, as is the same name twice."""
    handler = opentsdb()
    assert handler.prepare(Series("a", kind="counter")) is not LEFT_OUT
    assert handler.prepare(Series("a.count")) is LEFT_OUT
    assert handler.prepare(Series("a b")) is not LEFT_OUT
    assert handler.prepare(Series("a:b")) is LEFT_OUT
    assert [series.name for series, _ in handler.left_out] == ["a.count", "a:b"]


texts = st.text(max_size=40) | st.sampled_from(HOSTILE)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=True, allow_infinity=True)


@given(name=texts, labels=st.dictionaries(texts, texts, max_size=4), value=numbers)
def test_whatever_comes_the_points_are_points(
    name: str, labels: dict[str, str], value: float
) -> None:
    """Any name, labels and number become JSON with names that OpenTSDB takes, or nothing."""
    own = tuple(sorted(labels.items()))
    pairs = [
        (Series(name, own, "gauge"), value),
        (Series(name + "c", own, "counter"), value),
        (Series(name + "t", own, "timer"), Distribution.of([0.1])),
    ]
    for point in points(opentsdb(), pairs):
        assert NAME.fullmatch(point["metric"])
        assert all(NAME.fullmatch(text) for pair in point["tags"].items() for text in pair)
        assert point["tags"]
        assert isinstance(point["value"], (int, float))


def deliver(handler: OpenTsdbHandler, *values: float) -> None:
    """Deliver a gauge ``a.N`` for each value."""
    handler.put(batch([(Series(f"a.{n}"), value) for n, value in enumerate(values)]))
    handler.flush(servers.PATIENCE)


def test_refused_points_are_counted_and_not_sent_again(
    http: HttpTarget, caplog: pytest.LogCaptureFixture
) -> None:
    """A 400 is for good; its details say how many points, and why."""
    handler = opentsdb(url=http.url)
    details = {
        "failed": 1,
        "success": 2,
        "errors": [{"datapoint": {"metric": "a.1"}, "error": "Unable to parse value"}],
    }
    http.answers = [(400, json.dumps(details).encode()), (400, b"no details")]
    deliver(handler, 1, 2, 3)
    assert (handler.stats.sent, handler.stats.dropped) == (2, 1)
    assert "a.1: Unable to parse value" in caplog.text
    deliver(handler, 4)
    assert (handler.stats.sent, handler.stats.dropped) == (2, 2)
    assert "HTTP 400: no details" in handler.stats.last_error
    assert len(http.requests) == 2
    assert http.requests[0].path == "/api/put?details"
    handler.stop(servers.PATIENCE)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["failed", "errors", "error", "datapoint"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_refusal_is_understood_or_told(body: bytes) -> None:
    """Whatever the details of a 400 are, it is a refusal with a text."""
    assert str(_refusal(Answer(400, body)))


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_what_can_change_is_sent_again(http: HttpTarget, status: int) -> None:
    """Anything but a 400 is an outage: the points come later."""
    handler = opentsdb(url=http.url)
    http.answers = [(status, b"not now")]
    deliver(handler, 1)
    assert (handler.stats.sent, handler.stats.dropped, handler.waiting) == (0, 0, 1)
    assert handler.stop(servers.PATIENCE)
    assert handler.stats.sent == 1
    assert http.bodies[0] == http.bodies[1]


# -- a real server -------------------------------------------------------------

EXTREMES = {"most": 2**53 - 1, "tenth": 0.1, "tiny": -1e-300, "huge": 1e300}


def test_victoria_metrics_takes_it_all(victoria_metrics: servers.VictoriaMetrics) -> None:
    """What comes back is what was recorded, number for number, compressed or not."""
    world = World()
    handler = opentsdb(url=victoria_metrics.opentsdb_url, clock=world.clock)
    handler.check()
    meter = world.meter("shop")
    meter.add_handler(handler)
    meter.counter("orders", labels=("shop",)).labels("d e").inc(3)
    for name, value in EXTREMES.items():
        meter.gauge(name).set(value)
    world.advance(10)
    meter.counter("orders", labels=("shop",)).labels("d e").inc(0.5)
    world.advance(10)
    assert handler.stats.errors == 0, handler.stats.last_error

    def arrived() -> bool:
        assert victoria_metrics.values("shop.orders.total", shop="d_e") == [3, 3.5]
        assert {
            name: victoria_metrics.values(f"shop.{name}", host="web1") for name in EXTREMES
        } == {name: [value] * 2 for name, value in EXTREMES.items()}
        return True

    wait_for(arrived, "the numbers")
    world.stop()


def test_hostile_names_arrive(victoria_metrics: servers.VictoriaMetrics) -> None:
    """Whatever is in names and labels, nothing is refused."""
    handler = opentsdb(url=victoria_metrics.opentsdb_url, gzip=False)
    pairs: list[tuple[Series, Any]] = [(Series(f"n.{text}"), n) for n, text in enumerate(HOSTILE)]
    pairs += [(Series("l", (("a", text), ("b", str(n)))), n) for n, text in enumerate(HOSTILE)]
    handler.put(batch(pairs))
    handler.flush(servers.PATIENCE)
    assert handler.stats.errors == 0, handler.stats.last_error
    expected = 2 * len(HOSTILE) - len(handler.left_out)
    wait_for(lambda: len(victoria_metrics.series()) == expected, "all series")
    handler.stop(servers.PATIENCE)


def test_an_outage_leaves_no_gap(victoria_metrics: servers.VictoriaMetrics) -> None:
    """What was recorded while the server was away arrives with its own times."""
    world = World()
    handler = opentsdb(url=victoria_metrics.opentsdb_url, clock=world.clock, jitter=lambda: 1.0)
    world.meter("shop").add_handler(handler)
    gauge = world.meter("shop").gauge("depth")
    for value in range(10):
        if value == 3:
            victoria_metrics.stop()
        if value == 7:
            victoria_metrics.start()
            world.clock.advance(60)
        gauge.set(value)
        world.advance(10)
    assert handler.waiting == 0
    # The leap of the clock is a round more.
    expected = [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9]
    wait_for(lambda: victoria_metrics.values("shop.depth", host="web1") == expected, "all values")
    assert handler.stats.dropped == 0
    world.stop()
