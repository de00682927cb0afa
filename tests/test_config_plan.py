"""appmetrics.config.plan: plain data is checked completely before anything is made."""

from __future__ import annotations

import re
from typing import Any

import pytest

from appmetrics.config.check import DictSource
from appmetrics.config.plan import Plan, Planner
from appmetrics.filters import NameFilter
from appmetrics.formatters import JsonFormatter
from appmetrics.handlers.base import Handler
from appmetrics.handlers.null import NullHandler
from appmetrics.options import Option, choice, port, secret, text
from appmetrics.sample import Series

STRANGE = f"{__name__}.Strange"


class Strange(Handler):
    """A stranger's handler."""

    OPTIONS = (
        Option("host", text),
        Option("port", port, 4711),
        Option("protocol", choice("tcp", "udp"), "tcp"),
        Option("token", secret, ""),
        Option("factor", lambda value: 1 // int(value), 1),
    )


def keep_all(series: Series) -> Series | None:
    """A filter that is a plain function."""
    return series


def planned(data: object) -> Plan:
    """The plan of right data."""
    planner = Planner(data, DictSource())
    plan = planner.plan()
    assert planner.problems == []
    assert plan is not None
    return plan


def problems(data: object) -> list[str]:
    """The problems of wrong data, as users see them."""
    planner = Planner(data, DictSource())
    assert planner.plan() is None
    return [str(problem) for problem in planner.problems]


def with_handler(**options: Any) -> dict[str, Any]:
    """Data with one handler, x."""
    return {"metrics": {"handlers": "x"}, "handlers": {"x": options}}


def test_defaults() -> None:
    """Without anything said, [metrics] has its defaults."""
    plan = planned({})
    assert plan.options["interval"] == 10
    assert plan.options["flush_timeout"] == 5
    assert plan.options["max_children"] == 1000
    assert plan.options["watch"] is False
    assert plan.handlers == {}
    assert plan.meters[""].level == 20


def test_conversion() -> None:
    """Every option goes through its converter, common ones and the class' own."""
    data = with_handler(**{"class": STRANGE, "host": "h", "port": "80", "interval": "5m"})
    part = planned(data).handlers["x"]
    assert part.make is Strange
    assert part.options["port"] == 80
    assert part.options["interval"] == 300
    assert part.options["protocol"] == "tcp"


def test_typed_values() -> None:
    """A dict may hold values that are converted already, and None where that is the default."""
    data = with_handler(**{"class": Strange, "host": "h", "port": 80, "interval": None})
    assert planned(data).handlers["x"].options["port"] == 80


def test_short_names() -> None:
    """A handler, a filter and a formatter can be named by their short names."""
    data = {
        "metrics": {"handlers": ["x"]},
        "handlers": {"x": {"class": "null", "filters": "few", "formatter": "lines"}},
        "filters": {"few": {"class": "name", "include": "shop.*"}},
        "formatters": {"lines": {"class": "json"}},
    }
    part = planned(data).handlers["x"]
    assert part.make is NullHandler
    assert part.options["filters"][0].make is NameFilter
    assert part.options["filters"][0].options["include"] == ("shop.*",)
    assert part.options["formatter"].make is JsonFormatter


def test_formatter_without_section() -> None:
    """A formatter that needs no options needs no section."""
    part = planned(with_handler(**{"class": "null", "formatter": "json"})).handlers["x"]
    assert part.options["formatter"].make is JsonFormatter


def test_filter_function() -> None:
    """A filter may be a plain function, by its dotted path."""
    data = {
        "metrics": {"filters": "all"},
        "filters": {"all": {"class": f"{__name__}.keep_all"}},
    }
    assert planned(data).meters[""].filters[0].make is keep_all


def test_handler_object() -> None:
    """A dict may hold a handler that exists already."""
    handler = NullHandler()
    data = {"metrics": {"handlers": "x"}, "handlers": {"x": handler}}
    assert planned(data).handlers["x"].make is handler


def test_meters() -> None:
    """A meter takes level, handlers, propagate, labels and filters."""
    data = {
        "handlers": {"x": {"class": "null"}},
        "meters": {
            "shop.db": {"level": "debug", "handlers": "x", "propagate": "no", "labels": "a=1"}
        },
    }
    meter = planned(data).meters["shop.db"]
    assert (meter.level, meter.handlers, meter.propagate) == (10, ("x",), False)
    assert meter.labels == {"a": "1"}
    assert planned(data).handlers.keys() == {"x"}


def test_unused() -> None:
    """What nothing uses is a warning, and an unused handler is not built."""
    data = {
        "handlers": {"carbon": {"class": "null"}},
        "filters": {"few": {"class": "name"}},
        "formatters": {"lines": {"class": "line"}},
    }
    planner = Planner(data, DictSource())
    plan = planner.plan()
    assert plan is not None
    assert plan.handlers == {}
    assert [str(warning) for warning in planner.warnings] == [
        "<dict> [handlers.carbon]: nothing uses it",
        "<dict> [filters.few]: nothing uses it",
        "<dict> [formatters.lines]: nothing uses it",
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "<dict>: expected a dict with metrics, handlers"),
        ({"handler": {}}, "<dict> handler: unknown, expected one of .*'handlers'"),
        ({"metrics": 5}, r"<dict> \[metrics\]: expected a dict"),
        ({"handlers": {"x": 5}}, r"\[handlers.x\]: expected a dict of options"),
        ({"metrics": {"intervall": 5}}, r"\[metrics\] intervall = 5: unknown .*'interval'"),
        ({"metrics": {"interval": 0}}, r"\[metrics\] interval = 0: expected a duration above"),
        ({"metrics": {"level": "INFOO"}}, r"level = INFOO: expected a level.*'INFO'"),
        ({"metrics": {"xyz": 5}}, r"xyz = 5: unknown option; known are interval, level, labels,"),
        ({"meters": {"a": {"interval": 5}}}, r"unknown option; it belongs to \[metrics\] or \[h"),
        ({"metrics": {"propagate": 0}}, r"unknown option; it belongs to \[meters.NAME\]$"),
        ({"metrics": {"interval": "-1s"}}, r"above zero .*; it can't be negative"),
        ({"filters": {"x": {"class": "rename", "match": "a("}}}, r"a\(: .*; missing \), .* 1$"),
        (
            {"filters": {"x": {"class": "kind", "include": "timer, state, gague"}}},
            "; not gague .*'ga",
        ),
        (with_handler(**{"class": "NULL"}), r"class = NULL: .*did you mean 'null'"),
        (with_handler(**{"class": f"{__name__}.Strang"}), r"has no Strang \(.*'Strange'"),
        ({"metrics": {"handlers": "x"}}, r"handlers = x: there is no \[handlers.x\]"),
        ({"meters": {"a..b": {}}}, r"\[meters.a..b\]: expected a dotted name"),
        ({"meters": {"a": {"handler": "x"}}}, r"handler = x: unknown option .*'handlers'"),
        ({"filters": {"x": {}}}, r"\[filters.x\] class: missing, expected a filter"),
        ({"filters": {"x": {"class": "label"}}}, r"\[filters.x\] label: missing, expected a text"),
        ({"formatters": {"x": {"class": "jsn"}}}, r"class = jsn: expected a formatter.*'json'"),
        ({"formatters": {"x": {"class": keep_all}}}, "expected a formatter"),
        (with_handler(), r"\[handlers.x\] class: missing, expected a handler"),
        (with_handler(**{"class": "nul"}), r"class = nul: expected a handler: .*'null'"),
        (with_handler(**{"class": "nosuch.Handler"}), "can't import nosuch"),
        (with_handler(**{"class": "logging.Handler"}), "class = logging.Handler: expected a handl"),
        (with_handler(**{"class": 5}), "class = 5: expected a handler"),
        (with_handler(**{"class": "null", "formatter": "jsno"}), "expected a formatter.*'json'"),
        (with_handler(**{"class": "null", "filters": "few"}), r"no \[filters.few\]"),
        (with_handler(**{"class": STRANGE}), r"\[handlers.x\] host: missing, expected a text"),
    ],
)
def test_problems(data: object, problem: str) -> None:
    """A problem names place, key, value, what was expected and the nearest known word."""
    (found,) = problems(data)
    assert re.search(problem, found, re.DOTALL), found


def test_all_problems_together() -> None:
    """All problems are found, not only the first."""
    data = with_handler(
        **{"class": STRANGE, "hots": "h", "port": "http", "protocol": "ucp", "factor": "0"}
    )
    data["meters"] = {"shop": {"level": "LOUD", "handlers": "y"}}
    data["metrics"]["handlers"] = "x, z"
    found = "\n".join(problems(data))
    for expected in (
        "[handlers.x] hots = h: unknown option (did you mean 'host'?)",
        "[handlers.x] host: missing",
        "[handlers.x] port = http: expected a port",
        "[handlers.x] protocol = ucp: expected one of tcp, udp",
        "[handlers.x] factor = 0: ZeroDivisionError",
        "[meters.shop] level = LOUD",
        "[meters.shop] handlers = y: there is no [handlers.y]",
        "[metrics] handlers = x, z: there is no [handlers.z]",
    ):
        assert expected in found


def test_secrets() -> None:
    """No problem repeats what may be a secret."""
    data = with_handler(
        **{"class": STRANGE, "host": "h", "token": ["hush"], "tokn": "hush", "passwd": "hush"}
    )
    found = "\n".join(problems(data))
    assert "tokn = ..." in found
    assert "hush" not in found


def test_long_values() -> None:
    """A value stays on one line and is cut."""
    (found,) = problems({"metrics": {"interval": "a\nb" * 1000}})
    assert len(found) < 250
    assert "\n" not in found


def test_equal_parts() -> None:
    """Two plans of the same data are equal, filters and formatters included."""
    data = {
        "metrics": {"handlers": "x"},
        "handlers": {"x": {"class": "null", "filters": "f", "formatter": "json"}},
        "filters": {"f": {"class": "rename", "match": "^a", "replace": "b"}},
    }
    assert planned(data) == planned(data)
    before = planned(data).handlers["x"]
    data["filters"]["f"]["replace"] = "c"
    assert planned(data).handlers["x"] != before


def test_wrong_words_of_a_list() -> None:
    """Of a list, the words that are wrong are named."""
    line = {"class": "line", "statistics": "count, p101, avg"}
    (found,) = problems({"formatters": {"x": line}})
    assert found.endswith("percentiles such as p95; not p101, avg")
