"""appmetrics.options: the converters and the option row."""

from __future__ import annotations

import contextlib
import logging.handlers
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmetrics import options
from appmetrics.options import Converter, Option, Refused

CONVERTERS = [found for found in vars(options).values() if isinstance(found, Converter)]
CONVERTERS += [options.integer(), options.integer(1), options.integer(maximum=3)]
CONVERTERS += [options.choice("tcp", "udp")]


@pytest.mark.parametrize(
    ("convert", "given", "value"),
    [
        (options.text, "50% of it", "50% of it"),
        (options.text, 5, "5"),
        (options.duration, "10", 10.0),
        (options.duration, "10s", 10.0),
        (options.duration, " 5 m ", 300.0),
        (options.duration, "500ms", 0.5),
        (options.duration, "1.5h", 5400.0),
        (options.duration, "2d", 172800.0),
        (options.duration, 0, 0.0),
        (options.duration, timedelta(minutes=1), 60.0),
        (options.period, "1s", 1.0),
        (options.size, "10k", 10240),
        (options.size, "5M", 5 << 20),
        (options.size, "1 GiB", 1 << 30),
        (options.size, 17, 17),
        (options.boolean, "Yes", True),
        (options.boolean, "off", False),
        (options.boolean, True, True),
        (options.integer(), "-12", -12),
        (options.integer(1, 3), 3, 3),
        (options.number, "-1.5e3", -1500.0),
        (options.port, "2003", 2003),
        (options.address, "127.0.0.1:9464", ("127.0.0.1", 9464)),
        (options.address, "[::1]:0", ("::1", 0)),
        (options.address, ("localhost", 80), ("localhost", 80)),
        (options.choice("TCP", "udp"), "tcp", "TCP"),
        (options.names, "a, b,\n c,", ("a", "b", "c")),
        (options.names, ["a", "a"], ("a",)),
        (options.names, "", ()),
        (options.globs, "shop.*, job ?", ("shop.*", "job ?")),
        (
            options.mapping,
            "Env=prod, query=a=b,empty=",
            {"Env": "prod", "query": "a=b", "empty": ""},
        ),
        (options.mapping, "\nenv=prod\nteam=web", {"env": "prod", "team": "web"}),
        (options.mapping, {"status": 200}, {"status": "200"}),
        (options.level, "debug", 10),
        (options.level, 35, 35),
        (options.path, Path("var/x.spool"), "var/x.spool"),
        (options.dotted, "logging.handlers.SysLogHandler", logging.handlers.SysLogHandler),
        (
            options.dotted,
            "logging.handlers:SysLogHandler.emit",
            logging.handlers.SysLogHandler.emit,
        ),
        (options.dotted, dict, dict),
    ],
)
def test_converts(convert: Converter[Any], given: object, value: object) -> None:
    """A converter takes the text of an ini file as well as typed values."""
    assert convert(given) == value
    assert type(convert(given)) is type(value)


@pytest.mark.parametrize(
    ("convert", "given"),
    [
        (options.text, None),
        (options.text, ["a"]),
        (options.duration, "10 seconds"),
        (options.duration, "nan"),
        (options.duration, float("inf")),
        (options.duration, True),
        (options.period, "0s"),
        (options.size, "10x"),
        (options.size, "1.5k"),
        (options.size, -1),
        (options.boolean, "maybe"),
        (options.boolean, 2),
        (options.integer(), "1_000"),
        (options.integer(), "2.0"),
        (options.integer(), True),
        (options.integer(), "\u0661"),
        (options.integer(1), 0),
        (options.integer(maximum=1), 2),
        (options.number, "inf"),
        (options.number, "1e999"),
        (options.port, "0"),
        (options.port, "2003 ; the port"),
        (options.address, "9464"),
        (options.address, ":9464"),
        (options.address, "::1:9464"),
        (options.address, "host:99999"),
        (options.address, ("a", 1, 2)),
        (options.choice("tcp", "udp"), "icmp"),
        (options.names, "carbon http"),
        (options.names, {"a": 1}),
        (options.names, 5),
        (options.mapping, "env"),
        (options.mapping, "=prod"),
        (options.mapping, "a=1, a=2"),
        (options.level, "LOUD"),
        (options.path, ""),
        (options.path, 5),
        (options.dotted, "logging"),
        (options.dotted, "os.system('true')"),
    ],
)
def test_refuses(convert: Converter[Any], given: object) -> None:
    """A value that does not fit is refused with what was expected."""
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        convert(given)
    assert str(caught.value) == f"expected {convert.expects}"


@pytest.mark.parametrize(
    ("convert", "given"),
    [(options.duration, "-1"), (options.duration, -1), (options.period, "-5 m")],
)
def test_negative_duration(convert: Converter[float], given: object) -> None:
    """A duration that is negative is refused for that."""
    with pytest.raises(ValueError, match=r"^expected a duration.*; it can't be negative$"):
        convert(given)


def test_own_words() -> None:
    """A converter's own words are kept where they say more, and else replaced."""

    def convert(value: object) -> object:
        if value == "from":
            raise ValueError("position 3") from KeyError("x")
        raise {"refused": Refused("too odd"), "plain": ValueError("inner")}[str(value)]

    odd = Converter("a thing", convert)
    for word, message in (
        ("refused", "expected a thing; too odd"),
        ("from", "expected a thing; position 3"),
        ("plain", "expected a thing"),
    ):
        with pytest.raises(ValueError, match=r"^expected") as caught:
            odd(word)
        assert str(caught.value) == message


def test_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path may begin in the home folder."""
    monkeypatch.setenv("HOME", "/home/someone")
    assert options.path("~/spool") == "/home/someone/spool"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nosuchpackage.handlers.Handler", "can't import nosuchpackage: No module named"),
        ("logging.nosuch.Handler", "logging has no nosuch.Handler"),
        ("logging.handlers.Nosuch", "logging.handlers has no Nosuch"),
        ("broken.Handler", "can't import broken: No module named 'itsdependency'"),
        ("raising.Handler", "can't import raising: ZeroDivisionError"),
    ],
)
def test_import_errors(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dotted path that can't be imported says what is missing, or what the import raised."""
    (tmp_path / "broken.py").write_text("import itsdependency")
    (tmp_path / "raising.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"import|has no") as caught:
        options.dotted(path)
    assert message in str(caught.value)


@given(
    st.sampled_from(CONVERTERS),
    st.none() | st.text() | st.integers() | st.floats() | st.binary() | st.lists(st.text()),
)
def test_nothing_but_value_error(convert: Converter[Any], given: object) -> None:
    """Whatever a converter is given, it converts or raises ValueError."""
    with contextlib.suppress(ValueError):
        convert(given)


def test_option_row() -> None:
    """A row knows whether it must be given and what its converter expects."""
    required = Option("port", options.port)
    assert required.required
    assert required.expects == "a port from 1 to 65535"
    stranger = Option("size", int, 3)
    assert not stranger.required
    assert stranger.expects == ""
