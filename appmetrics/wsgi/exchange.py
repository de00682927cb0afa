"""One request and its response, as PEP 3333 lets them be seen between server and application.

Owns `Request`, through which frameworks tell what only they know, and what stands in
for ``start_response``, ``write`` and the body. What is counted is ``middleware``'s.
Everything is handed on as it came; whatever goes wrong in here is kept from both sides.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse

#: The view of what has none: a 404, an application that doesn't tell.
NO_VIEW = "-"


class Request:
    """A request while it runs: ``environ["appmetrics.request"]``.

    A framework sets ``view``, the name of what answers: a route, a class, never the
    path, which has no end of values. The rest is for reading. ``path`` has no query
    string, ``started`` is in seconds of ``time.perf_counter``, ``thread`` the
    thread's identifier, ``status`` the number, None as long as it is unknown.
    """

    __slots__ = ("finished", "method", "path", "started", "status", "thread", "view")

    def __init__(self, method: str = "GET", path: str = "/") -> None:
        self.method = method
        self.path = path
        self.view = NO_VIEW
        self.status: int | None = None
        self.finished = False
        self.thread = threading.get_ident()
        self.started = perf_counter()


class Recorder(Protocol):
    """Who is told of the end of an exchange, and of failures of ours."""

    def record(self, exchange: Exchange) -> None:
        """Take in a finished exchange; never raises."""

    def complain(self) -> None:
        """Log the exception that is being handled."""


class Exchange:
    """What has been seen so far of a request and its response.

    ``size`` is the request's in bytes, None if unknown, and ``sent`` the response's
    so far, -1 for a file of unknown length. ``first_byte`` is in seconds, None before
    ``start_response``.
    ``ended``: the application gave all it had. ``failed``: an exception of its own
    ended the response; ``broken``: one came when the response was over. ``gone``:
    the server said that the client is.
    """

    # The environ refers to the request, not to this, which refers to the server's
    # start_response: that would be a cycle, for the garbage collector, with each request.
    __slots__ = (
        "_forward",
        "_recorder",
        "_write",
        "broken",
        "ended",
        "failed",
        "first_byte",
        "gone",
        "headers",
        "request",
        "sent",
        "size",
        "view",
    )

    def __init__(
        self, recorder: Recorder, request: Request, size: int | None, forward: StartResponse
    ) -> None:
        self._recorder = recorder
        self._forward = forward
        self._write: Callable[[bytes], object] | None = None
        self.request = request
        self.size = size
        self.sent = 0
        self.view = NO_VIEW
        self.first_byte: float | None = None
        self.headers: list[tuple[str, str]] = []
        self.ended = self.failed = self.broken = self.gone = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """The server's ``start_response``; the last call that it takes counts."""
        try:
            # By position: servers name the parameters as they like.
            if exc_info is None:
                self._write = self._forward(status, headers)
            else:
                self._write = self._forward(status, headers, exc_info)
        finally:
            exc_info = None  # its traceback leads to this frame: a cycle
        self._begun(status, headers)
        return self.write

    def _begun(self, status: str, headers: list[tuple[str, str]]) -> None:
        request = self.request
        self.first_byte = perf_counter() - request.started
        self.headers = headers
        # Flask, for one, has forgotten the view when the body is over.
        self.view = request.view
        try:
            request.status = int(status[:3])
        except Exception:
            request.status = None

    def write(self, data: bytes) -> object:
        """The server's ``write``, counting."""
        try:
            result = self._write(data)  # type: ignore[misc]
        except BaseException as error:
            # The one place where a server can tell the application; waitress has a
            # class of its own for that.
            self.gone = isinstance(error, OSError) or type(error).__name__ == "ClientDisconnected"
            raise
        self.count(data)
        return result

    def count(self, data: bytes) -> None:
        """Count what goes to the client."""
        try:
            self.sent += len(data)
        except TypeError:
            pass  # not bytes: that is between the application and the server

    def body(self, iterable: Iterable[bytes], file_wrapper: object) -> Iterable[bytes]:
        """What to hand the server for what the application returned."""
        try:
            if isinstance(file_wrapper, type) and isinstance(iterable, file_wrapper):
                # Servers send these by other means than iterating, if they know them again.
                self.ended = True
                size = content_length(self.headers)
                self.sent = -1 if size is None else size
                self.finish()
                return iterable
            # waitress makes a Content-Length of a body that has a length.
            return (SizedBody if hasattr(iterable, "__len__") else Body)(self, iterable)
        except Exception:
            self._recorder.complain()
            self.finish()
            return iterable

    def finish(self) -> None:
        """The end; counts the first time only."""
        if not self.request.finished:
            self.request.finished = True
            self._recorder.record(self)


class Body:
    """What an application returned, watched until the server closes it."""

    __slots__ = ("_closed", "_exchange", "_iterable", "_next")

    def __init__(self, exchange: Exchange, iterable: Iterable[bytes]) -> None:
        self._exchange = exchange
        self._iterable: Any = iterable
        self._next: Callable[[], bytes] | None = None
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        exchange = self._exchange
        try:
            if self._next is None:
                self._next = iter(self._iterable).__next__
            chunk = self._next()
        except StopIteration:
            exchange.ended = True
            raise
        except BaseException:
            exchange.failed = True
            raise
        exchange.count(chunk)
        return chunk

    def close(self) -> None:
        """Close the application's iterable, the first time; the request ends here."""
        if self._closed:
            return
        self._closed = True
        try:
            if hasattr(self._iterable, "close"):
                self._iterable.close()
        except BaseException:
            self._exchange.broken = True
            raise
        finally:
            self._exchange.finish()

    def __del__(self) -> None:
        # A middleware around this one may forget close(); the request is over anyhow.
        self._exchange.finish()


class SizedBody(Body):
    """A body that knows how many pieces it has, such as a list."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._iterable)


def content_length(headers: Iterable[tuple[str, str]]) -> int | None:
    """The number in a response's Content-Length."""
    return next(
        (length(value) for name, value in headers if name.lower() == "content-length"), None
    )


def length(text: str) -> int | None:
    """A Content-Length as a number of bytes; None if it isn't one."""
    return int(text) if text.isdecimal() and len(text) < 19 else None
