"""Tests of formatters.py."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from appmetrics.buckets import Distribution
from appmetrics.formatters import (
    FORMATTERS,
    Formatter,
    JsonFormatter,
    LineFormatter,
    OpenMetricsFormatter,
    PrometheusFormatter,
)
from appmetrics.sample import Event, Sample, Series, StateValue
from appmetrics.testing.rounds import HOSTILE

LABELS = (("shop", "de"),)
TIMES = Distribution.of([0.0125, 0.025])
COUNTER = Sample(Series("shop.orders", LABELS, "counter"), 1.5, 12, 3, 10.0)
GAUGE = Sample(Series("shop.sent", (), "gauge", "bytes"), 1.5, 2500)
TIMER = Sample(Series("shop.render", (), "timer", "seconds"), 1.5, TIMES, TIMES, 10.0)
STATE = Sample(
    Series("shop.database", (), "state", states=("ok", "warning", "critical", "unknown")),
    1.5,
    StateValue("unknown", "no route", 3, "lost", 30.0),
)
EVENT = Sample(
    Series("shop.deploy", (), "event"),
    1.5,
    Event("1.4.2", "ok", {"by": "ci"}, ("release", "blue"), 4.5, None),
)
SAMPLES = (COUNTER, GAUGE, TIMER, STATE, EVENT)


def read(line: str) -> dict[str, Any]:
    """A strictly parsed JSON line."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert line.isascii()
    assert line.endswith("\n")
    result: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return result


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (COUNTER, 'shop.orders{shop="de"} counter 12 (+3, 0.3/s)'),
        (GAUGE, "shop.sent gauge 2.5 kB"),
        (STATE, 'shop.database state lost "no route"'),
        (
            EVENT,
            'shop.deploy event "1.4.2" state="ok" metric=4.5 by="ci" #release #blue',
        ),
        (COUNTER._replace(delta=None), 'shop.orders{shop="de"} counter 12'),
        (TIMER._replace(delta=Distribution()), "shop.render timer 2 (+0, 0/s)"),
    ],
)
def test_lines(sample: Sample, expected: str) -> None:
    """A line has the time, the name with its labels, the kind, and the values with units."""
    assert LineFormatter().format(sample) == f"1970-01-01T00:00:01Z {expected}\n"


def test_line_of_a_timer() -> None:
    """A timer's line has counts without a unit and times with one."""
    line = LineFormatter(statistics=("mean", "max")).format(TIMER)
    start, mean, max_ = line.replace(" max ", " mean ").split(" mean ")
    assert start.endswith("shop.render timer 2 (+2, 0.2/s)")
    assert mean.endswith(" ms")
    assert max_.endswith(" ms\n")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_on_its_line(text: str) -> None:
    """Whatever is in a text, the line stays one line without control characters."""
    event = Event(text, text, {text: text}, (text,), None, None)
    for sample in (
        Sample(Series(text, ((text, text),), "gauge", text), 1.0, 1),
        Sample(Series(text, kind="event"), 1.0, event),
        Sample(Series(text, kind="state"), 1.0, StateValue("ok", text, 0, text, None)),
    ):
        line = LineFormatter().format(sample)
        assert line[:-1].isprintable()
        assert line.endswith("\n")
        fields = read(JsonFormatter().format(sample))
        # U+FFFD takes the place of what no UTF-8 can carry.
        assert fields["metric"] == text.replace("\ud800", "\ufffd")


def test_json_has_logstash_field_names() -> None:
    """Time, version, message and host are where Logstash has them."""
    fields = read(JsonFormatter().format(COUNTER))
    assert fields["@timestamp"] == "1970-01-01T00:00:01.500Z"
    assert fields["@version"] == "1"
    assert fields["message"] == 'shop.orders{shop="de"} counter 12 (+3, 0.3/s)'
    assert fields["host"] == socket.gethostname()
    assert read(JsonFormatter(host="h1").format(COUNTER))["host"] == "h1"


def test_json_of_a_counter() -> None:
    """A counter has its value, what came in the interval, and the rate."""
    fields = JsonFormatter(host="h").fields(COUNTER)
    del fields["message"], fields["@timestamp"], fields["@version"], fields["host"]
    assert fields == {
        "metric": "shop.orders",
        "kind": "counter",
        "level": "INFO",
        "labels": {"shop": "de"},
        "value": 12,
        "delta": 3,
        "rate": 0.3,
        "elapsed": 10.0,
    }


def test_json_of_a_timer() -> None:
    """A timer has its statistics under their names, and its unit."""
    fields = read(JsonFormatter(statistics=("count", "mean", "p99.9")).format(TIMER))
    assert fields["unit"] == "seconds"
    assert fields["count"] == 2
    assert fields["mean"] == pytest.approx(0.01875)
    assert fields["p99_9"] == pytest.approx(0.025, rel=0.025)


def test_json_values_are_always_numbers() -> None:
    """The field value is a number or null for every kind; search engines allow one type only."""
    for sample in SAMPLES:
        assert isinstance(JsonFormatter().fields(sample).get("value", 0), (int, float))
    assert JsonFormatter().fields(GAUGE._replace(value=float("inf")))["value"] is None


def test_json_of_a_state_and_an_event() -> None:
    """A state has its number, an event its attributes and tags."""
    fields = JsonFormatter().fields(STATE)
    assert (fields["state"], fields["text"], fields["value"]) == ("unknown", "lost", 3)
    assert fields["description"] == "no route"
    fields = JsonFormatter().fields(EVENT)
    assert fields["attributes"] == {"by": "ci"}
    assert fields["tags"] == ["release", "blue"]
    assert fields["value"] == 4.5


def test_prometheus_is_a_whole_document() -> None:
    """All series of a batch are in one document that Prometheus' parser takes; no events are."""
    text = PrometheusFormatter().format_batch(SAMPLES)
    names = {family.name for family in parse_text(text)}
    assert {"shop_orders", "shop_sent_bytes", "shop_render_seconds"} <= names
    assert "deploy" not in text


def test_openmetrics_is_a_whole_document() -> None:
    """The OpenMetrics document is one that its parser takes, with its end."""
    text = OpenMetricsFormatter().format_batch(SAMPLES)
    assert text.endswith("# EOF\n")
    assert "shop_orders" in {family.name for family in parse_openmetrics(text)}


def test_bounds_of_histograms() -> None:
    """Histograms get the bounds that the option names, moved to exact edges."""
    text = PrometheusFormatter(bounds=(0.0625, 1.0)).format(TIMER)
    assert [line for line in text.splitlines() if "_bucket" in line] == [
        'shop_render_seconds_bucket{le="0.0625"} 2',
        'shop_render_seconds_bucket{le="1.0"} 2',
        'shop_render_seconds_bucket{le="+Inf"} 2',
    ]
    with pytest.raises(ValueError, match="negative"):
        PrometheusFormatter(bounds=(-1.0,))


@pytest.mark.parametrize("name", sorted(FORMATTERS))
def test_options_are_the_arguments(name: str) -> None:
    """Every formatter is made with its options by name, and describes any series."""
    made: Any = FORMATTERS[name]
    formatter = made(**{option.name: option.default for option in made.OPTIONS})
    assert isinstance(formatter, Formatter)
    assert all(option.help and option.expects for option in made.OPTIONS)
    assert any("orders" in line for line in formatter.describe(COUNTER.series))
    for text in HOSTILE:
        assert isinstance(formatter.describe(Series(text, ((text, text),))), list)


def test_a_formatter_of_ones_own() -> None:
    """A formatter overrides format() only; a batch is its lines one after the other."""

    class Short(Formatter):
        def format(self, sample: Sample) -> str:
            return f"{sample.series.name}\n"

    assert Short().format_batch([COUNTER, GAUGE]) == "shop.orders\nshop.sent\n"
    assert Short().describe(COUNTER.series) == ["shop.orders"]
    with pytest.raises(NotImplementedError, match=r"Formatter must override format"):
        Formatter().format(COUNTER)
