"""Tests of handlers/stream.py."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from appmetrics.formatters import JsonFormatter, LineFormatter
from appmetrics.handlers.stream import StreamHandler, stream
from appmetrics.sample import Sample, Series
from appmetrics.testing.contract import HandlerContract

SAMPLE = Sample(Series("shop.orders", (("shop", "größe"),), "counter"), 0.0, 12, 3, 10.0)


class TestContract(HandlerContract):
    """The contract of all handlers."""

    def make_handler(self, tmp_path: Path) -> StreamHandler:
        return StreamHandler(stream=io.StringIO())

    def received(self) -> list[str]:
        # As a terminal or a log reader counts lines: every kind of line end.
        return self.handler.stream.getvalue().splitlines()


def test_writes_readable_lines_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Without options there is a line for people on stderr."""
    StreamHandler().emit([SAMPLE])
    out, err = capsys.readouterr()
    assert out == ""
    assert err == LineFormatter().format(SAMPLE)


def test_stdout_is_looked_up_at_each_write(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that exchanges sys.stdout gets what is written afterwards."""
    handler = StreamHandler(stream="stdout")
    with pytest.MonkeyPatch.context() as patch:
        other = io.StringIO()
        patch.setattr(sys, "stdout", other)
        handler.emit([SAMPLE])
    assert "shop.orders" in other.getvalue()
    handler.emit([SAMPLE])
    assert "shop.orders" in capsys.readouterr().out


def test_a_process_without_stderr_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sys.stderr is None, as under pythonw, the error says so."""
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(OSError, match="no stderr"):
        StreamHandler().check()


def test_what_the_stream_cannot_encode_is_escaped() -> None:
    """An ASCII stream takes any label."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    StreamHandler(stream=out).emit([SAMPLE])
    assert rb'shop="gr\xf6\xdfe"' in raw.getvalue()


def test_takes_a_formatter() -> None:
    """Another formatter's text is written instead."""
    out = io.StringIO()
    formatter = JsonFormatter(host="h")
    StreamHandler(stream=out, formatter=formatter).emit([SAMPLE])
    assert out.getvalue() == formatter.format(SAMPLE)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("stdout", "stdout"),
        ("ext://sys.stderr", "stderr"),
        ("sys.stdout", "stdout"),
        ("ext://sys.__stderr__", sys.__stderr__),
    ],
)
def test_streams_by_name(given: str, expected: object) -> None:
    """A stream is given by its name or by a dotted path, also as logging.config writes it."""
    assert stream(given) == expected


@pytest.mark.parametrize("given", ["stdin2", "sys.path", "ext://no.such.thing", 3])
def test_what_is_no_stream_is_refused(given: object) -> None:
    """What can't be written to is an error that says what is expected."""
    with pytest.raises(ValueError, match="stdout, stderr or"):
        stream(given)
