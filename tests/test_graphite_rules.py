"""Tests of handlers/graphite_rules.py and its command, up to one roll-up in a real carbon."""

from __future__ import annotations

import configparser
import re
import time
from pathlib import Path

import pytest

from appmetrics.buckets import Distribution
from appmetrics.cli import main
from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.handlers.graphite_layouts import Statsd, roll_up
from appmetrics.handlers.graphite_rules import aggregation, retentions, schemas
from appmetrics.sample import Series
from appmetrics.testing.rounds import batch
from servers import PATIENCE, Carbon, wait_for


def parsed(text: str) -> configparser.RawConfigParser:
    """The file as carbon reads it."""
    parser = configparser.RawConfigParser(strict=True)
    parser.read_string(text)
    return parser


def method(rules: configparser.RawConfigParser, path: str) -> str:
    """What carbon takes for a path: the first section that matches."""
    for section in rules.sections():
        if re.search(rules[section]["pattern"], path):
            return rules[section]["aggregationMethod"]
    return "none"


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (0.1, "1s:1d,60s:30d,600s:2y"),
        (10, "10s:1d,60s:30d,600s:2y"),
        (7, "7s:1d,63s:30d,630s:2y"),
        (60, "60s:1d,600s:2y"),
        (3600, "3600s:1d"),
    ],
)
def test_retentions_fit_into_each_other(interval: float, expected: str) -> None:
    """Each archive's step is a whole multiple of the finer one, as whisper demands."""
    assert retentions(interval) == expected


@pytest.mark.parametrize(
    ("options", "head", "tail"),
    [
        ({"prefix": "apps.web-1"}, "apps.web-1.", ""),
        ({}, "", ""),
        ({"template": "{prefix}.{statistic}.{name}.{labels}", "prefix": "x"}, "x.", ""),
        ({"tags": True}, "", ";shop=de"),
    ],
)
def test_each_statistic_has_its_method(options: dict[str, object], head: str, tail: str) -> None:
    """Counts are added up, extremes stay extremes, totals are the last; all else is averaged."""
    words = ("count", "sum", "total", "min", "max", "mean", "p99.9")
    handler = GraphiteHandler(name="carbon", statistics=words, **options)  # type: ignore[arg-type]
    rules = parsed(aggregation([handler]))
    labels = (("shop", "de"),) if tail else ()
    found = {
        word: method(rules, path)
        for word, path in zip(words, handler.describe(Series("shop.x", labels, "timer")))
    }
    assert found == {
        "count": "sum",
        "sum": "sum",
        "total": "last",
        "min": "min",
        "max": "max",
        "mean": "average",
        "p99.9": "average",
    }
    assert method(rules, f"{head}shop.queue{tail}") != "none"


def test_statsd_names_have_their_methods() -> None:
    """With statsd's layout its own names roll up as statsd's documentation has it."""
    assert {key: roll_up(key) for key in Statsd.TIMER} == {
        **dict.fromkeys(Statsd.TIMER, "average"),
        **dict.fromkeys(("count", "count_90", "sum", "sum_90"), "sum"),
        **dict.fromkeys(("sum_squares", "sum_squares_90"), "sum"),
        **dict.fromkeys(("upper", "upper_90"), "max"),
        "lower": "min",
    }
    rules = parsed(aggregation([GraphiteHandler(layout="statsd")]))
    assert method(rules, "stats.timers.a.sum_90") == "sum"
    assert method(rules, "other.a.count") == "none"


def test_prints_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a section for each graphite handler, with the handler's interval."""
    file = tmp_path / "shop.ini"
    file.write_text(
        "[metrics]\nhandlers = a, b, c\ninterval = 10\n"
        "[metrics.handler.a]\nclass = graphite\nprefix = one\n"
        "[metrics.handler.b]\nclass = graphite\nprefix = two\ninterval = 60\n"
        "[metrics.handler.c]\nclass = null\n"
    )
    assert main(["graphite-rules", str(file)]) == 0
    first, second = capsys.readouterr().out.split("# storage-aggregation.conf")
    found = {name: dict(section) for name, section in parsed(first).items() if section}
    assert found == {
        "appmetrics_a": {"pattern": r"^one\.", "retentions": "10s:1d,60s:30d,600s:2y"},
        "appmetrics_b": {"pattern": r"^two\.", "retentions": "60s:1d,600s:2y"},
    }
    assert "[appmetrics_b_sum]" in second
    assert main(["graphite-rules", str(file), "--only", "schemas"]) == 0
    assert "aggregationMethod" not in capsys.readouterr().out


def test_a_file_without_a_carbon_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to tell a carbon that nothing is sent to."""
    file = tmp_path / "shop.ini"
    file.write_text("[metrics]\nhandlers = a\n[metrics.handler.a]\nclass = null\n")
    assert main(["graphite-rules", str(file)]) == 2
    assert "no handler of class graphite" in capsys.readouterr().err


def test_a_real_roll_up_adds_counts(carbon: Carbon) -> None:
    """With the printed rules, ten seconds of counts are one point with their sum."""
    carbon.stop()
    words = ("count", "sum", "total", "min", "max", "mean")
    handler = GraphiteHandler(port=carbon.port, prefix="roll", statistics=words, timeout=PATIENCE)
    conf = carbon.folder / "conf"
    schema = schemas([(handler, 1)]).replace(retentions(1), "1s:120s,10s:1h")
    (conf / "storage-schemas.conf").write_text(schema)
    (conf / "storage-aggregation.conf").write_text(aggregation([handler]))
    carbon.start()
    orders, render = Series("orders", (), "counter"), Series("render", (), "timer")
    start = (int(time.time()) - 30) // 10 * 10
    total, times = 0, Distribution()
    one = batch([(orders, 0), (render, times), (Series("queue"), 0)], start)
    for second in range(1, 11):
        total += second
        times = times + Distribution.of([float(second)])
        readings = [total, times, second]
        when = start + second - 1
        handler.handle(one._replace(readings=readings, time=when, monotonic=float(when)))
    assert handler.stop(PATIENCE)
    for path, expected in {
        "orders.count": 55,
        "orders.total": 55,
        "orders.rate": pytest.approx(5.5, rel=0.2),
        "render.count": 10,
        "render.sum": 55,
        "render.min": pytest.approx(1, rel=0.03),
        "render.max": pytest.approx(10, rel=0.03),
        "render.mean": 5.5,
        "queue": 5.5,
    }.items():
        full = f"roll.{path}"
        wait_for(
            lambda full=full, expected=expected: carbon.rolled_up(full, start, 10) == expected,
            f"{full} is {expected}",
        )
