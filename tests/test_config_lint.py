"""appmetrics.config.lint: what is legal in a file, but surely not meant."""

from __future__ import annotations

from textwrap import dedent

import pytest

from appmetrics.config.ini import parse
from appmetrics.config.lint import lint
from appmetrics.config.plan import Planner


def warnings(text: str) -> list[str]:
    """The warnings about a file, as users see them."""
    document = parse(dedent(text), "x.ini")
    planner = Planner(document.mapping(), document)
    planner.plan()
    return [str(warning) for warning in lint(document, planner.checker.tables)]


@pytest.mark.parametrize(
    ("section", "meant"),
    [
        ("metric.handler.x", "metrics.handler.x"),
        ("metrics_handler_x", "metrics.handler.x"),
        ("metrics:handler:x", "metrics.handler.x"),
        ("metrics.handlers.x", "metrics.handler.x"),
        ("metrics.hanlder.x", "metrics.handler.x"),
        ("Metrics.Filter.x", "metrics.filter.x"),
        ("metrics.meters.shop.db", "metrics.meter.shop.db"),
        ("metrics.handler", "metrics.handler.NAME"),
        ("metrics.handler.", "metrics.handler.NAME"),
        ("appmetrics.formatter.x", "metrics.formatter.x"),
        ("Metrics", "metrics"),
        ("metric", "metrics"),
        ("appmetrics", "metrics"),
        (" metrics ", "metrics"),
        ("metrcis", "metrics"),
        ("metircs.handler.x", "metrics.handler.x"),
    ],
)
def test_misnamed_section(section: str, meant: str) -> None:
    """A section that looks like ours but isn't is named, with what was probably meant."""
    (warning,) = warnings(f"[metrics]\n[{section}]\n")
    assert warning == f"x.ini:2 [{section}]: the section has no effect (did you mean {meant!r}?)"


@pytest.mark.parametrize(
    "section",
    """filter:appmetrics|app:metrics|metrics_server|handler_metrics|loggers|metricbeat
    metrics.handler.a.b|metrics.meter.a.b|metrics.filter.handlers""".replace("\n    ", "|").split(
        "|"
    ),
)
def test_rightly_named_section(section: str) -> None:
    """Sections of others, and ours with dots in their names, are left alone."""
    assert warnings(f"[{section}]\nclass = null\n") == []


def test_unknown_section_of_ours() -> None:
    """A section under metrics. of no known kind is named even if nothing is near."""
    assert warnings("[metrics.xyz]\n") == ["x.ini:1 [metrics.xyz]: the section has no effect"]


@pytest.mark.parametrize("comment", ["; the port", "# the port", "#", "\t;x"])
def test_inline_comment(comment: str) -> None:
    """A comment behind a value is part of the value."""
    (warning,) = warnings(f"[metrics.handler.x]\nclass = null\nfilters = few {comment}\n")
    assert warning.startswith("x.ini:3 [metrics.handler.x] filters: ")
    assert "is part of the value; a comment needs a line of its own" in warning


@pytest.mark.parametrize("value", ["a;b#c", "#channel", "; not behind a value"])
def test_no_inline_comment(value: str) -> None:
    """A semicolon or hash that can't be a comment is none."""
    assert warnings(f"[metrics.handler.x]\nclass = {value}\n") == []


def test_swallowed_option() -> None:
    """An option that is indented continues the value above."""
    (warning,) = warnings("""\
        [metrics]
        labels = env=prod
          interval = 5
        """)
    assert warning == (
        "x.ini:3 [metrics] labels: 'interval = 5' is indented, and so part of this value"
    )


def test_swallowed_option_below_class() -> None:
    """That is found too where it makes the class unknown."""
    (warning,) = warnings("[metrics.handler.x]\nclass = graphite\n  host = h\n")
    assert "'host = h' is indented" in warning


def test_no_swallowed_option() -> None:
    """Pairs on lines of their own are no options."""
    assert warnings("[metrics]\nlabels =\n  env=prod\n  team = web\n") == []


def test_swallowed_section() -> None:
    """A header of ours that is indented continues the value above, whoever's that is."""
    (warning,) = warnings("[app:main]\nuse = x\n [metrics.handler.x]\n class = null\n")
    assert warning == (
        "x.ini:3: [metrics.handler.x] is indented, and so part of the value above it"
    )


def test_lost_indent() -> None:
    """An unknown option right below an unfinished list of pairs may be one of them."""
    text = "[metrics]\nlabels =\n  env=prod\nteam=web\nshop=de\ninterval = 5\nnosuch = 1\n"
    assert warnings(text) == [
        "x.ini:4 [metrics] team: indent this line if it belongs to the value of 'labels'",
        "x.ini:5 [metrics] shop: indent this line if it belongs to the value of 'labels'",
    ]


def test_nested_variable() -> None:
    """A variable whose text holds another one is not what it seems."""
    text = "[DEFAULT]\nvar = %(here)s/var\n[metrics]\nlabels = a=%(var)s\n"
    assert warnings(text) == [
        "x.ini:4 [metrics] labels: %(here)s in the value of %(var)s is not expanded"
    ]


@pytest.mark.parametrize("value", ['"h"', "'h'", '"a", "b"'])
def test_quoted_value(value: str) -> None:
    """Quotes around a value belong to it."""
    (warning,) = warnings(f"[metrics.handler.x]\nclass = graphite\nhost = {value}\n")
    assert warning == "x.ini:3 [metrics.handler.x] host: the quotes are part of the value"


def test_unfinished_variable() -> None:
    """A variable without its s is plain text."""
    (warning,) = warnings("[metrics]\nlabels = h=%(hostname)\n")
    assert warning == (
        "x.ini:2 [metrics] labels: %(hostname) is plain text (did you mean '%(hostname)s'?)"
    )
