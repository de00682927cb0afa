"""Tests of handlers/json.py: records through stdlib logging, and to a real syslog-ng."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appmetrics.formatters import JsonFormatter, LineFormatter
from appmetrics.handlers.json import JsonHandler, TcpLinesHandler, destination
from appmetrics.sample import Sample, Series
from appmetrics.testing.contract import HandlerContract
from appmetrics.testing.rounds import HOSTILE, batch, one_of_each_kind
from servers import PATIENCE, SyslogNg, free_port, wait_for

ORDERS = Sample(Series("shop.orders", (("shop", "de"),), "counter"), 1.5, 12, 3, 10.0)


class Records(logging.Handler):
    """Keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextlib.contextmanager
def logger_with(handler: logging.Handler) -> Iterator[logging.Logger]:
    """A logger of one's own, with one handler."""
    logger = logging.getLogger("tests.metrics.json")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
        handler.close()


class TestFile(HandlerContract):
    """The contract of all handlers, through logging's handler for files."""

    def make_handler(self, tmp_path: Path) -> JsonHandler:
        self.path = tmp_path / "metrics.json"
        return JsonHandler(to=destination("file"), arguments={"filename": str(self.path)})

    def received(self) -> list[str]:
        return self.path.read_text("utf-8").splitlines() if self.path.exists() else []


class TestLogger(HandlerContract):
    """The contract of all handlers, through a logger with a plain handler."""

    @pytest.fixture(autouse=True)
    def _logger(self) -> Iterator[None]:
        self.records = Records()
        with logger_with(self.records):
            yield

    def make_handler(self, tmp_path: Path) -> JsonHandler:
        return JsonHandler(logger="tests.metrics.json")

    def received(self) -> list[str]:
        return self.records.lines


class TestSyslogNg(HandlerContract):
    """The contract of all handlers, over TCP to a syslog-ng that parses JSON."""

    @pytest.fixture(autouse=True)
    def _server(self, syslog_ng: SyslogNg) -> None:
        self.server = syslog_ng

    def make_handler(self, tmp_path: Path) -> JsonHandler:
        arguments = {"host": "127.0.0.1", "port": str(self.server.port), "timeout": str(PATIENCE)}
        return JsonHandler(to=TcpLinesHandler, arguments=arguments)

    def received(self) -> list[str]:
        return [*self.server.refused(), *map(json.dumps, self.server.documents())]


def test_fields_are_those_of_the_json_formatter(tmp_path: Path) -> None:
    """python-json-logger writes the same object as the formatter ``json`` does."""
    path = tmp_path / "metrics.json"
    formatter = JsonFormatter(host="h", statistics=("count", "p99.9"))
    handler = JsonHandler(
        to=logging.FileHandler, arguments={"filename": str(path)}, formatter=formatter
    )
    samples = [
        Sample(series, 1.5, value, value if series.kind in ("counter", "timer") else None, 10.0)
        for series, value in one_of_each_kind()
    ]
    assert handler.emit(samples) == len(samples)
    handler.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        formatter.fields(sample) for sample in samples
    ]


def test_a_prefix_for_syslog(tmp_path: Path) -> None:
    """A text can stand in front of each object, such as rsyslog's @cee:."""
    path = tmp_path / "metrics.json"
    handler = JsonHandler(to=logging.FileHandler, arguments={"filename": str(path)}, prefix="@cee:")
    handler.emit([ORDERS])
    handler.close()
    assert path.read_text().startswith('@cee:{"message": ')


def test_records_go_to_a_logger() -> None:
    """A plain formatter on the logger shows the message; the fields are attributes."""
    records = Records()
    records.setFormatter(logging.Formatter("%(name)s %(levelname)s %(metric)s %(message)s"))
    with logger_with(records):
        handler = JsonHandler(logger="tests.metrics.json")
        assert handler.emit([ORDERS]) == 1
    assert records.lines == [
        'tests.metrics.json INFO shop.orders shop.orders{shop="de"} counter 12 (+3, 0.3/s)'
    ]


def test_a_logger_decides_by_level() -> None:
    """What the logger is not enabled for does not reach its handlers."""
    records = Records()
    with logger_with(records) as logger:
        logger.setLevel(logging.WARNING)
        JsonHandler(logger="tests.metrics.json").emit([ORDERS])
    assert records.lines == []


def test_a_logger_without_handlers_is_an_error() -> None:
    """Records that nobody takes are counted as dropped, not as sent."""
    logger = logging.getLogger("tests.nobody")
    logger.propagate = False
    handler = JsonHandler(logger="tests.nobody")
    handler.handle(batch([(Series("a"), 1)]))
    assert handler.stats.sent == 0
    assert handler.stats.dropped == 1
    assert "no handlers" in handler.stats.last_error


def test_hidden_failures_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """What a logging handler would only print to stderr is an error of ours."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise OSError("no such luck")
            except OSError:
                self.handleError(record)

    handler = JsonHandler(to=Broken)
    handler.handle(batch([(Series("a"), 1), (Series("b"), 1)]))
    assert handler.stats.sent == 0
    assert handler.stats.dropped == 2
    assert "no such luck" in handler.stats.last_error
    assert capsys.readouterr().err == ""


def test_a_failure_in_the_middle_of_a_batch() -> None:
    """What was sent before a failure counts as sent, the rest as dropped."""

    class Full(logging.Handler):
        room = 2

        def emit(self, record: logging.LogRecord) -> None:
            self.room -= 1
            if self.room < 0:
                try:
                    raise OSError("full")
                except OSError:
                    self.handleError(record)

    handler = JsonHandler(to=Full)
    handler.handle(batch([(Series(name), 1) for name in "abcd"]))
    assert (handler.stats.sent, handler.stats.dropped, handler.stats.errors) == (2, 2, 1)


def test_a_target_that_is_away_and_comes_back() -> None:
    """A refused connection is an error each round; a later round connects anew."""
    port = free_port()
    handler = JsonHandler(to=TcpLinesHandler, arguments={"host": "127.0.0.1", "port": port})
    with pytest.raises(OSError, match="refused"):
        handler.check()
    handler.handle(batch([(Series("a"), 1)]))
    assert "refused" in handler.stats.last_error
    with socket.create_server(("127.0.0.1", port)) as server:
        handler.check()
        server.accept()[0].close()
        handler.handle(batch([(Series("b"), 1)]))
        with server.accept()[0] as connection:
            assert b'"metric": "b"' in connection.recv(65536)
    handler.close()
    assert (handler.stats.sent, handler.stats.dropped) == (1, 1)


def test_a_closed_connection_is_noticed_before_sending() -> None:
    """When the target was restarted in between, nothing goes into the old connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        handler = TcpLinesHandler("127.0.0.1", server.getsockname()[1])
        handler.handleError = lambda record: pytest.fail("it failed")  # type: ignore[method-assign]
        record = logging.LogRecord("a", logging.INFO, "", 0, "hello", None, None)
        handler.handle(record)
        first = server.accept()[0]
        assert first.recv(100) == b"hello\n"
        first.close()
        assert handler._socket is not None
        wait_for(lambda: handler._hung_up(handler._socket), "the goodbye")  # type: ignore[arg-type]
        handler.handle(record)
        with server.accept()[0] as second:
            assert second.recv(100) == b"hello\n"
        handler.close()


def test_syslog_over_udp() -> None:
    """logging's own SysLogHandler carries the object, with address given as text."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        handler = JsonHandler(
            to=destination("syslog"), arguments={"address": address, "facility": "local0"}
        )
        handler.handle(batch([(Series("shop.queue"), 7)]))
        datagram = server.recv(65536)
        handler.close()
    assert handler.stats.sent == 1, handler.stats.last_error
    assert datagram.startswith(b"<134>{")
    assert json.loads(datagram[5:].rstrip(b"\0"))["metric"] == "shop.queue"


def test_syslog_ng_reads_every_field(syslog_ng: SyslogNg) -> None:
    """A real consumer parses each line, hostile names included, and refuses none."""
    handler = JsonHandler(
        to=TcpLinesHandler, arguments={"host": "127.0.0.1", "port": syslog_ng.port}
    )
    series = [*(Series(text) for text in HOSTILE), ORDERS.series]
    handler.handle(batch([(each, 12) for each in series]))
    handler.close()
    documents = wait_for(
        lambda: len(syslog_ng.documents()) == len(series) and syslog_ng.documents(), "documents"
    )
    assert [each["metric"] for each in documents] == [
        each.name.replace("\ud800", "\ufffd") for each in series
    ]
    assert documents[-1]["labels"] == {"shop": "de"}
    assert documents[-1]["value"] == 12
    assert documents[-1]["@version"] == "1"
    assert syslog_ng.refused() == []


def test_arguments_are_text_in_a_file() -> None:
    """Numbers, ext:// objects and an address are made of text; the rest stays as it is."""
    taken: dict[str, Any] = {}

    def make(**arguments: Any) -> logging.Handler:
        taken.update(arguments)
        return logging.NullHandler()

    arguments = {
        "port": "5000",
        "timeout": "2.5",
        "address": "127.0.0.1:514",
        "socktype": "ext://socket.SOCK_STREAM",
        "host": "localhost",
        "delay": True,
    }
    JsonHandler(to=make, arguments=arguments).check()
    assert taken == {
        "port": 5000,
        "timeout": 2.5,
        "address": ("127.0.0.1", 514),
        "socktype": socket.SOCK_STREAM,
        "host": "localhost",
        "delay": True,
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "one of `to` and `logger`"),
        ({"to": TcpLinesHandler, "logger": "a"}, "one of `to` and `logger`"),
        ({"to": TcpLinesHandler}, "arguments: missing a required argument: 'host'"),
        ({"to": TcpLinesHandler, "arguments": {"hots": "a"}}, "arguments: "),
        ({"logger": "a", "formatter": LineFormatter()}, "json formatter"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], reason: str) -> None:
    """Wrong options are errors when the handler is made, not at the first round."""
    with pytest.raises(ValueError, match=reason):
        JsonHandler(**options)


def test_destinations() -> None:
    """Short names and dotted paths are taken; what can't be called is not."""
    assert destination("tcp") is TcpLinesHandler
    assert destination("file") is logging.handlers.WatchedFileHandler
    assert destination("logging.StreamHandler") is logging.StreamHandler
    for wrong in ("no.such.handler", "logging.INFO", 3):
        with pytest.raises(ValueError, match="tcp, file, syslog"):
            destination(wrong)


def test_targets_are_told() -> None:
    """The target names the logging handler and where it sends, no secrets; or the logger."""
    arguments = {"host": "h", "port": "1", "password": "secret"}
    handler = JsonHandler(to=lambda **_: Records(), arguments=arguments)
    assert handler.target().endswith("h:1")
    assert "secret" not in handler.target()
    assert JsonHandler(to=Records).target() == "Records"
    assert JsonHandler(logger="a.b").target() == "logger a.b"
