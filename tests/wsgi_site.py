"""A site whose pages do all that WSGI allows, for tests on real servers to ask.

Each page is at ``/NAME`` through the middleware and at ``/bare/NAME`` without it;
its view is its name. ``/metrics`` has the numbers, ``/alive`` what the reporter
of the process that answers has done. Servers import ``application``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from appmetrics.reporter import reporter
from appmetrics.wsgi import Middleware

PLAIN = [("Content-Type", "text/plain")]
CHUNK = b"x" * 65536
#: Enough for no server to buffer all of an endless page.
CHUNKS = 600
ticks: Counter[int] = Counter()
state: Counter[str] = Counter()


def tick() -> None:
    """Called about once a second by the reporter's own thread."""
    ticks[os.getpid()] += 1


reporter.jobs.append(tick)


class Pages:
    """One method per page; each is a WSGI application."""

    def one(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """A list of one piece and no Content-Length."""
        start_response("200 OK", PLAIN)
        return [b"hello"]

    def sized(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """A list with its Content-Length."""
        start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
        return [b"hello", b"world"]

    def missing(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """A 404."""
        start_response("404 Not Found", PLAIN)
        return [b"no"]

    def nothing(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """A 304 without a body."""
        start_response("304 Not Modified", [])
        return []

    def slow(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """0.2 s until start_response, and as much again until the end."""
        time.sleep(0.2)
        start_response("200 OK", PLAIN)
        return map(slowly, (b"a", b"b"))

    def late(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        """A generator: start_response comes with the first piece."""
        start_response("200 OK", PLAIN)
        yield b"a"
        yield b"b"

    def twice(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """A second thought, in time."""
        start_response("200 OK", PLAIN)
        try:
            raise ValueError("second thought")
        except ValueError:
            start_response("503 Sorry", PLAIN, sys.exc_info())
        return [b"sorry"]

    def write(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """The body goes through write()."""
        write = start_response("200 OK", PLAIN)
        write(b"hello")
        write(b"world")
        return []

    def endless(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """More than anybody wants."""
        start_response("200 OK", PLAIN)
        return Endless()

    def raising(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """An exception instead of a response."""
        raise ValueError("raised on purpose")

    def breaking(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        """An exception in the middle of the response."""
        start_response("200 OK", PLAIN)
        yield b"a"
        raise ValueError("broken on purpose")

    def file(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Three million bytes through wsgi.file_wrapper."""
        path = Path("file")
        if not path.exists():
            path.write_bytes(b"0123456789" * 300_000)
        start_response("200 OK", [*PLAIN, ("Content-Length", "3000000")])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"))
        return wrapped

    def alive(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Who answers, how often the reporter's thread has run there, what was closed."""
        time.sleep(0.02)  # so that the other workers get their share
        start_response("200 OK", PLAIN)
        pid = os.getpid()
        return [json.dumps({"pid": pid, "ticks": ticks[pid], **state}).encode()]


def slowly(piece: bytes) -> bytes:
    """A piece, after 0.1 s."""
    time.sleep(0.1)
    return piece


class Endless:
    """Pieces without end, nearly, that knows how often it was closed."""

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(CHUNKS):
            state["given"] += 1
            yield CHUNK

    def close(self) -> None:
        """Count."""
        state["closed"] += 1


def pages(environ: Any, start_response: Any) -> Iterable[bytes]:
    """The page of the path; its name is the view."""
    name = environ["PATH_INFO"].strip("/")
    request = environ.get("appmetrics.request")
    if request is not None:
        request.view = name
    page: Callable[..., Iterable[bytes]] = getattr(Pages(), name)
    return page(environ, start_response)


measured = Middleware(pages, metrics="/metrics")

if os.environ.get("REQUEST_BEFORE_FORK"):
    # What a warming up does: gunicorn's master then has a reporter of its own.
    measured({"REQUEST_METHOD": "GET", "PATH_INFO": "/one"}, lambda *arguments: None)
    assert threading.active_count() > 1 or "uwsgi" in sys.modules


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    """The middleware, or around it."""
    path = environ["PATH_INFO"]
    if path.startswith("/bare/"):
        environ["PATH_INFO"] = path.removeprefix("/bare")
        return pages(environ, start_response)
    return measured(environ, start_response)
