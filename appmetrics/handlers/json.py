"""`JsonHandler`: JSON lines for Logstash and its like, through stdlib logging handlers.

What the fields are is in ``formatters.JsonFormatter``; python-json-logger writes
them. `TcpLinesHandler` is the logging handler that the stdlib lacks.
"""

from __future__ import annotations

import inspect
import logging
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pythonjsonlogger.json import JsonFormatter as RecordFormatter

from ..formatters import JsonFormatter
from ..levels import INFO
from ..options import Converter, Option, address, integer, mapping, number, resolve, text
from ..sample import Sample, Series
from .base import Handler


class TcpLinesHandler(logging.Handler):
    """Sends each record as a line of text over one TCP connection.

    ``logging.handlers.SocketHandler`` sends pickles, and hides its failures.
    """

    def __init__(self, host: str, port: int, timeout: float = 5.0) -> None:
        super().__init__()
        self.address = (host, port)
        self.timeout = timeout
        self._socket: socket.socket | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; connects anew if need be."""
        try:
            line = self.format(record) + "\n"
            self._connected().sendall(line.encode("utf-8", "replace"))
        except Exception:
            self._disconnect()
            self.handleError(record)

    def _connected(self) -> socket.socket:
        # Sending to a peer that has gone succeeds once; its goodbye can be read before.
        if self._socket is not None and self._hung_up(self._socket):
            self._disconnect()
        if self._socket is None:
            self._socket = socket.create_connection(self.address, self.timeout)
        return self._socket

    def _hung_up(self, connection: socket.socket) -> bool:
        connection.settimeout(0)
        try:
            return not connection.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            connection.settimeout(self.timeout)

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Close the connection."""
        self.acquire()
        try:
            self._disconnect()
        finally:
            self.release()
        super().close()


#: Short names for ``to``.
DESTINATIONS = {
    "tcp": "appmetrics.handlers.json.TcpLinesHandler",
    "file": "logging.handlers.WatchedFileHandler",
    "syslog": "logging.handlers.SysLogHandler",
}


#: The arguments that say where a logging handler sends.
_WHERE = ("address", "host", "port", "filename")


def _destination(value: object) -> object:
    found = resolve(DESTINATIONS.get(value, value)) if isinstance(value, str) else value
    if not callable(found):
        raise ValueError
    return found


destination = Converter(
    f"{', '.join(DESTINATIONS)}, or the dotted path of a logging.Handler",
    _destination,
    DESTINATIONS,
)


def _argument(key: str, value: Any) -> Any:
    """The value that a text stands for; other values stay."""
    if not isinstance(value, str):
        return value
    if value.startswith("ext://"):
        return resolve(value.removeprefix("ext://"))
    converters: list[Callable[[object], Any]] = [integer(), number]
    if key == "address":
        converters.append(address)
    for convert in converters:
        try:
            return convert(value)
        except ValueError:
            pass
    return value


class JsonHandler(Handler):
    """Makes each sample a log record, one JSON object, for a handler of stdlib logging.

    ::

        [metrics.handler.logstash]
        class = json
        to = tcp
        arguments = host=127.0.0.1, port=5000

        [metrics.handler.syslog]
        class = json
        to = logging.handlers.SysLogHandler
        arguments = address=127.0.0.1:514
        prefix = @cee:

        [metrics.handler.applog]
        class = json
        logger = metrics.json

    ``to`` makes a logging handler of its own: ``tcp`` (lines to Logstash), ``file``,
    ``syslog`` or any by dotted path. ``arguments`` are those of its constructor:
    whole and decimal numbers, ``address`` as host:port, ``ext://`` and a dotted path
    for an object (``socktype=ext://socket.SOCK_STREAM``), else text. Nothing is kept
    for a target that is away: what fails is counted and dropped.

    ``logger`` hands the records to a logger instead, and its handlers and formatters
    decide; their failures are theirs. See ``formatters.JsonFormatter`` for the
    fields; each is also an attribute of the record.
    """

    OPTIONS = (
        Option("to", destination, None, "tcp, file, syslog or a logging.Handler's dotted path."),
        Option("arguments", mapping, {}, "Its arguments: host=127.0.0.1, port=5000."),
        Option("logger", text, "", "Or the name of a logger that takes the records."),
        Option("prefix", text, "", "Text in front of each object, such as @cee: for rsyslog."),
    )

    def __init__(
        self,
        *,
        to: Callable[..., logging.Handler] | None = None,
        arguments: Mapping[str, Any] | None = None,
        logger: str = "",
        prefix: str = "",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if (to is None) == (not logger):
            raise ValueError("needs one of `to` and `logger`")
        self.formatter = self.formatter or JsonFormatter()
        if not isinstance(self.formatter, JsonFormatter):
            raise ValueError("its formatter must be a json formatter")
        self.logger = logger
        self.arguments = {key: _argument(key, value) for key, value in (arguments or {}).items()}
        self.prefix = prefix
        self._make = to
        if to is not None:
            try:
                inspect.signature(to).bind(**self.arguments)
            except TypeError as error:
                raise ValueError(f"arguments: {error}") from error
        self._handler: logging.Handler | None = None
        self._errors: list[Exception] = []

    def emit(self, samples: Sequence[Sample]) -> int:
        take = self._taker()
        sent = 0
        for sample in samples:
            take(self._record(sample))
            if self._errors:
                # The next would fail too, each after a timeout.
                error = self._errors.pop()
                self.stats.dropped += len(samples) - sent
                self.failed(error)
                break
            sent += 1
        return sent

    def _taker(self) -> Callable[[logging.LogRecord], Any]:
        if self._make is None:
            logger = logging.getLogger(self.logger)
            if not logger.hasHandlers():
                raise LookupError(f"the logger {self.logger} has no handlers")

            def take(record: logging.LogRecord) -> None:
                if logger.isEnabledFor(record.levelno):
                    logger.handle(record)

            return take
        if self._handler is None:
            handler = self._make(**self.arguments)
            handler.setFormatter(RecordFormatter(["message"], prefix=self.prefix))
            # logging's own would print to stderr, or nothing at all.
            setattr(handler, "handleError", self._note_error)  # noqa: B010
            self._handler = handler
        return self._handler.handle

    def _note_error(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        unknown = OSError("the logging handler failed")
        self._errors[:] = [error if isinstance(error, Exception) else unknown]

    def _record(self, sample: Sample) -> logging.LogRecord:
        fields = self.formatter.fields(sample)
        record = logging.LogRecord(
            self.logger or "appmetrics",
            sample.series.level or INFO,
            pathname="",
            lineno=0,
            msg=fields.pop("message"),
            args=None,
            exc_info=None,
        )
        record.created = sample.time
        record.msecs = sample.time % 1 * 1000
        record.__dict__.update(fields)
        return record

    def close(self) -> None:
        if self._handler is not None:
            handler, self._handler = self._handler, None
            handler.close()

    def describe(self, series: Series) -> list[str]:
        lines: list[str] = self.formatter.describe(series)
        return lines

    def target(self) -> str:
        if self._make is None:
            return f"logger {self.logger}"
        # Not all arguments, as some may be secrets.
        where = [str(self.arguments[key]) for key in _WHERE if key in self.arguments]
        return f"{getattr(self._make, '__name__', self._make)} {':'.join(where)}".rstrip()

    def check(self) -> None:
        if self._make is None:
            self._taker()
            return
        handler = self._make(**self.arguments)
        try:
            if isinstance(handler, TcpLinesHandler):
                handler._connected()
        finally:
            handler.close()
