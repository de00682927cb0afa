"""Tests of handlers/influx.py, against a strict reader of its own and real servers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import servers
from appmetrics.buckets import Distribution
from appmetrics.handlers.influx import InfluxHandler
from appmetrics.sample import Event, Sample, Series, StateValue
from appmetrics.selection import LEFT_OUT
from appmetrics.testing import World
from appmetrics.testing.contract import HandlerContract
from appmetrics.testing.rounds import HOSTILE, batch
from http_target import HttpTarget
from servers import wait_for

# -- line protocol, by the letter of its specification -------------------------

_NAME = r"(?:[^,= \n\\]|\\[,= ])+"
_MEASUREMENT = r"(?:[^, \n\\#]|\\[, ])(?:[^, \n\\]|\\[, ])*"
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_TEXT = r'"(?:[^"\\\n]|\\["\\])*"'
_LINE = re.compile(
    rf"({_MEASUREMENT})((?:,{_NAME}={_NAME})*)"
    rf" ({_NAME}=(?:{_NUMBER}|{_TEXT})(?:,{_NAME}=(?:{_NUMBER}|{_TEXT}))*) (-?\d+)"
)
_TAG = re.compile(rf",({_NAME})=({_NAME})")
_FIELD = re.compile(rf"({_NAME})=({_NUMBER}|{_TEXT})(?:,|$)")


def unescaped(text: str) -> str:
    """What an escaped text means."""
    return re.sub(r"\\([,= ])", r"\1", text)


def parsed(line: str) -> tuple[str, dict[str, str], dict[str, Any], int]:
    """Measurement, tags, fields and time of a line; AssertionError if it is none."""
    found = _LINE.fullmatch(line)
    assert found, line
    tags = _TAG.findall(found[2])
    fields: dict[str, Any] = {}
    for name, value in _FIELD.findall(found[3]):
        assert name not in fields, line
        text = value[0] == '"'
        fields[unescaped(name)] = re.sub(r"\\(.)", r"\1", value[1:-1]) if text else float(value)
    assert len({name for name, _ in tags}) == len(tags), line
    named = {unescaped(name): unescaped(value) for name, value in tags}
    return unescaped(found[1]), named, fields, int(found[4])


def lines(handler: InfluxHandler, pairs: Sequence[tuple[Series, Any]]) -> list[Any]:
    """The parsed lines of a round."""
    made = batch(pairs)
    samples = made.selection.samples(made.readings, made.time, made.monotonic, handler._prepare)
    text = b"".join(data for data, _ in handler.encode(samples)).decode()
    assert not text or text[-1] == "\n"
    return [parsed(line) for line in text.split("\n")[:-1]]


def influx(**options: Any) -> InfluxHandler:
    """A handler with a database."""
    return InfluxHandler(
        **{"name": "tested", "timeout": servers.PATIENCE, "database": "test", **options}
    )


# -- the contract --------------------------------------------------------------


class TestInflux(HandlerContract):
    """The contract of all handlers."""

    @pytest.fixture(autouse=True)
    def _listen(self) -> Iterator[None]:
        with HttpTarget() as self.http:
            yield

    def make_handler(self, tmp_path: Path) -> InfluxHandler:
        """A handler that posts to the target."""
        return influx(url=self.http.url)

    def received(self) -> Sequence[str]:
        """The lines that came."""
        return b"".join(self.http.bodies).decode().split("\n")[:-1]


# -- lines ---------------------------------------------------------------------


def test_every_kind_has_its_fields() -> None:
    """Statistics are fields, labels tags; numbers are floats and texts are texts."""
    state = StateValue("critical", 'no "route"', 2, "critical", None)
    pairs = [
        (Series("shop.orders", (("env", "a b"), ("shop", "de")), "counter"), 3),
        (Series("shop.depth"), 7.5),
        (Series("shop.db", kind="state", states=("ok", "warning", "critical")), state),
        (Series("shop.render", kind="timer"), Distribution.of([0.25])),
    ]
    now = 1_600_000_000_000
    mean = Distribution.of([0.25]).mean
    assert lines(influx(prefix="apps", statistics=("count", "mean", "p99.9")), pairs) == [
        (
            "apps.shop.orders",
            {"env": "a b", "shop": "de"},
            {"count": 3, "rate": 0.3, "total": 3},
            now,
        ),
        ("apps.shop.depth", {}, {"value": 7.5}, now),
        ("apps.shop.db", {}, {"value": 2, "state": "critical", "description": 'no "route"'}, now),
        (
            "apps.shop.render",
            {},
            {"count": 1, "mean": mean, "p99_9": pytest.approx(0.25, 0.03)},
            now,
        ),
    ]


def test_events_are_points() -> None:
    """An event is a line of its texts and its number."""
    handler = influx()
    event = Event("1.4.2", "ok", {"by": "ci", "state": "no"}, ("a", "b"), 2.5, None)
    series = Series("shop.deploy", kind="event")
    ((data, _),) = handler.encode([Sample(series, 1.5, event, prepared=handler.prepare(series))])
    assert parsed(data.decode().strip()) == (
        "shop.deploy",
        {},
        {"description": "1.4.2", "state": "ok", "metric": 2.5, "tags": "a,b", "by": "ci"},
        1500,
    )


@pytest.mark.parametrize("value", [2**53 - 1, 0.1, -1e-300, 1e300, -0.0, 5e-324])
def test_numbers_are_exact(value: float) -> None:
    """What a float can hold stands in the line unchanged."""
    ((_, _, fields, _),) = lines(influx(), [(Series("a"), value)])
    assert fields == {"value": value}
    assert math.copysign(1, fields["value"]) == math.copysign(1, value)


def test_names_that_influx_keeps_for_itself_are_changed() -> None:
    """A tag is neither `time` nor begins with an underscore; a measurement is no comment."""
    series = Series("#a", (("_field", "x"), ("empty", ""), ("time", "y")))
    ((name, tags, _, _),) = lines(influx(), [(series, 1)])
    assert name == "_#a"
    assert tags == {"field": "x", "time_": "y"}


def test_two_series_with_one_head_are_not_mixed() -> None:
    """What becomes the same by escaping is left out and listed."""
    handler = influx()
    assert handler.prepare(Series("a\nb")) is not LEFT_OUT
    assert handler.prepare(Series("a_b")) is LEFT_OUT
    assert [series.name for series, _ in handler.left_out] == ["a_b"]


def test_requests_are_not_too_large() -> None:
    """A large round becomes several requests, which count their samples."""
    handler = influx()
    pairs = [(Series(f"{'x' * 500}.{n}"), n) for n in range(1200)]
    made = batch(pairs)
    samples = made.selection.samples(made.readings, made.time, made.monotonic, handler._prepare)
    payloads = list(handler.encode(samples))
    assert max(len(data) for data, _ in payloads) <= 256 * 1024
    assert len(payloads) == 3
    assert sum(count for _, count in payloads) == 1200


texts = st.text(max_size=40) | st.sampled_from(HOSTILE)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=True, allow_infinity=True)


@given(name=texts, labels=st.dictionaries(texts, texts, max_size=4), value=numbers, text=texts)
def test_whatever_comes_the_lines_are_lines(
    name: str, labels: dict[str, str], value: float, text: str
) -> None:
    """Any name, labels, number and text become lines by the specification, or none."""
    own = tuple(sorted(labels.items()))
    state = StateValue(text, text, 0, text, None)
    pairs = [
        (Series(name, own, "gauge"), value),
        (Series(name + "c", own, "counter"), value),
        (Series(name + "s", own, "state", states=(text,)), state),
        (Series(name + "t", own, "timer"), Distribution.of([0.1])),
    ]
    assert len(lines(influx(), pairs)) in (2, 4)
    event = Event(text, text, labels, (text,), value, None)
    handler = influx()
    series = Series(name, own, "event")
    prepared = handler.prepare(series)
    for data, _ in handler.encode([Sample(series, 1.5, event, prepared=prepared)]):
        parsed(data.decode().removesuffix("\n"))


# -- requests ------------------------------------------------------------------


@pytest.fixture
def http() -> Iterator[HttpTarget]:
    """An HTTP server that answers as it is told."""
    with HttpTarget() as target:
        yield target


def deliver(handler: InfluxHandler, *values: float) -> None:
    """Deliver a gauge ``a.N`` for each value."""
    handler.put(batch([(Series(f"a.{n}"), value) for n, value in enumerate(values)]))
    handler.flush(servers.PATIENCE)


def test_version_1_is_told_by_database(http: HttpTarget) -> None:
    """The query names database and retention policy; user and password are a header."""
    handler = influx(
        url=http.url + "/in front/".replace(" ", "%20"),
        database="shop db",
        retention_policy="a week",
        user="me",
        password="secret",
    )
    deliver(handler, 1)
    (request,) = http.requests
    assert request.path == "/in%20front/write?db=shop+db&precision=ms&rp=a+week"
    assert request.headers["Authorization"] == "Basic bWU6c2VjcmV0"
    assert request.headers["Content-Encoding"] == "gzip"
    assert "secret" not in repr(handler)
    handler.stop(servers.PATIENCE)


def test_version_2_is_told_by_bucket(http: HttpTarget) -> None:
    """The query names organization and bucket; the token is a header."""
    handler = influx(url=http.url, database="", bucket="shop", org="me", token="T0", gzip=False)
    deliver(handler, 1)
    (request,) = http.requests
    assert request.path == "/api/v2/write?org=me&bucket=shop&precision=ms"
    assert request.headers["Authorization"] == "Token T0"
    assert "Content-Encoding" not in request.headers
    handler.stop(servers.PATIENCE)


def test_refused_lines_are_counted_and_not_sent_again(
    http: HttpTarget, caplog: pytest.LogCaptureFixture
) -> None:
    """A 400 is for good; how many were dropped is taken from what InfluxDB says."""
    handler = influx(url=http.url)
    http.answers = [(400, b'{"error":"partial write: field type conflict: ... dropped=1"}')]
    deliver(handler, 1, 2, 3)
    deliver(handler, 4)
    assert (handler.stats.sent, handler.stats.dropped) == (3, 1)
    assert len(http.requests) == 2
    assert "field type conflict" in caplog.text
    handler.stop(servers.PATIENCE)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_what_can_change_is_sent_again(http: HttpTarget, status: int) -> None:
    """A database that isn't there, a token that has no right, a busy server: later again."""
    handler = influx(url=http.url)
    http.answers = [(status, b'{"error":"not now"}')]
    deliver(handler, 1)
    assert (handler.stats.sent, handler.stats.dropped, handler.waiting) == (0, 0, 1)
    assert f"HTTP {status}" in handler.stats.last_error
    assert handler.stop(servers.PATIENCE)
    assert handler.stats.sent == 1
    assert http.bodies[0] == http.bodies[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"database": ""}, "needs one of `database`"),
        ({"bucket": "b"}, "needs one of `database`"),
        ({"database": "", "bucket": "b", "retention_policy": "r"}, "retention_policy: a bucket"),
        ({"org": "o"}, "org: a database has none"),
        ({"token": "t", "user": "u"}, "token: either a token or"),
        ({"password": "p"}, "password: there is no user"),
        ({"ca_file": "/x"}, "ca_file: the url is not https"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    """The message names the option and what is wrong with it."""
    with pytest.raises(ValueError, match=message):
        influx(**options)


# -- real servers --------------------------------------------------------------

EXTREMES = {"most": 2**53 - 1, "tenth": 0.1, "tiny": -1e-300, "huge": 1e300}


def shop(world: World, handler: InfluxHandler) -> None:
    """A round of a shop, with numbers at the edges and hostile labels."""
    world.meter("shop").add_handler(handler)
    meter = world.meter("shop")
    meter.counter("orders", labels=("shop",)).labels('d"e,=\\ x').inc(3)
    meter.timer("render").observe(0.25)
    meter.state("db").set("critical", 'no "route"')
    for name, value in EXTREMES.items():
        meter.gauge(name).set(value)
    world.advance(10)
    meter.counter("orders", labels=("shop",)).labels('d"e,=\\ x').inc(0.5)
    world.advance(10)


def test_influxd_takes_it_all(influxd: servers.Influxd) -> None:
    """What InfluxDB 1 gives back is what was recorded, number for number."""
    world = World()
    handler = influx(url=influxd.url, clock=world.clock)
    handler.check()
    shop(world, handler)
    assert handler.stats.errors == 0, handler.stats.last_error
    orders = influxd.points("shop.orders")
    assert [(point["count"], point["total"]) for point in orders] == [(3, 3), (0.5, 3.5)]
    assert orders[0]["shop"] == 'd"e,=/ x'
    assert orders[1]["time"] - orders[0]["time"] == 10_000
    for name, value in EXTREMES.items():
        assert [point["value"] for point in influxd.points(f"shop.{name}")] == [value] * 2
    state = influxd.points("shop.db")[0]
    assert (state["state"], state["value"], state["description"]) == ("critical", 2, 'no "route"')
    assert influxd.points("shop.render")[0]["p50"] == pytest.approx(0.25, 0.03)
    world.stop()


def test_influxd_takes_hostile_names(influxd: servers.Influxd) -> None:
    """Whatever is in names and labels, InfluxDB 1 refuses none of it."""
    handler = influx(url=influxd.url)
    pairs: list[tuple[Series, Any]] = [(Series(f"n.{text}"), n) for n, text in enumerate(HOSTILE)]
    pairs += [(Series("l", (("a", text), ("b", str(n)))), n) for n, text in enumerate(HOSTILE)]
    handler.put(batch(pairs))
    handler.flush(servers.PATIENCE)
    assert handler.stats.errors == 0, handler.stats.last_error
    assert sorted(point["value"] for point in influxd.points("l")) == list(range(len(HOSTILE)))
    assert len(influxd.measurements()) == 1 + len(HOSTILE) - len(handler.left_out)
    handler.stop(servers.PATIENCE)


def test_influxd_that_has_another_type_refuses_for_good(influxd: servers.Influxd) -> None:
    """A field that is an integer already drops its point, and the others arrive."""
    foreign = influx(url=influxd.url)
    foreign._poster.post(foreign._path, b"a.0 value=1i 1600000000000")
    handler = influx(url=influxd.url)
    deliver(handler, 1.5, 2.5)
    assert (handler.stats.sent, handler.stats.dropped) == (1, 1)
    assert "field type conflict" in handler.stats.last_error
    assert [point["value"] for point in influxd.points("a.1")] == [2.5]
    handler.stop(servers.PATIENCE)
    foreign.hang_up()


def test_a_missing_database_keeps_the_samples(influxd: servers.Influxd) -> None:
    """Until somebody creates it, nothing is lost."""
    handler = influx(url=influxd.url, database="later")
    deliver(handler, 1.5)
    assert handler.waiting == 1
    assert "database not found" in handler.stats.last_error
    influxd.ask("CREATE DATABASE later")
    assert handler.stop(servers.PATIENCE)
    assert [point["value"] for point in influxd.points("a.0", "later")] == [1.5]


@pytest.mark.parametrize("version", [1, 2])
def test_victoria_metrics_takes_it_all(
    victoria_metrics: servers.VictoriaMetrics, version: int
) -> None:
    """The same lines by either interface, read by another implementation."""
    where = {"database": "", "bucket": "b", "org": "o"} if version == 2 else {}
    world = World()
    handler = influx(url=victoria_metrics.url, clock=world.clock, **where)
    shop(world, handler)
    assert handler.stats.errors == 0, handler.stats.last_error

    def arrived() -> bool:
        names = {"db": "test"} if version == 1 else {}
        orders = victoria_metrics.values("shop.orders_count", shop='d"e,=/ x', **names)
        extremes = {
            name: victoria_metrics.values(f"shop.{name}_value", **names) for name in EXTREMES
        }
        assert orders == [3, 0.5]
        assert extremes == {name: [value] * 2 for name, value in EXTREMES.items()}
        return True

    wait_for(arrived, "the numbers")
    world.stop()
