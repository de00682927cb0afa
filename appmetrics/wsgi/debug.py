"""`DebugApp`: what this process is doing right now, as a WSGI application.

Pages for people in plain text, and JSON. Only looks: nothing it serves changes a
setting, evaluates anything, or shows the value of a variable, a query string, a form
or a cookie. What it shows is found by ``live``, masked by ``config``.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import socket
import sys
from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ..display import count, duration, printable
from ..live.inflight import in_flight
from ..live.profile import LONGEST, Busy, collapsed, profile
from ..live.slow import title
from ..live.stacks import Stack, names, shown, stacks
from ..reporter import Reporter, reporter
from ..version import __version__
from .access import REFUSALS, Access, challenge, is_loopback
from .table import handler_table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PLAIN = "text/plain; charset=utf-8"
_JSON = "application/json; charset=utf-8"
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
]
_SECONDS = 5.0

Answer = tuple[str, str, str]

#: What is told of the collector, as far as the interpreter knows it.
_COLLECTOR = {
    "enabled": "isenabled",
    "threshold": "get_threshold",
    "count": "get_count",
    "generations": "get_stats",
    "frozen": "get_freeze_count",
}


class DebugApp:
    """A WSGI application that shows requests, threads, a profile and the configuration.

    It stands at ``path``. A request needs the ``token``, as bearer or as password, must
    come from a network of ``allow`` if there are any, and not through a proxy. Raises
    ValueError without a token, unless ``own_listener`` says that only this machine can
    reach it; then a request must name the machine by a loopback address or localhost,
    so that no page in a browser here can ask, whatever name it has for us.
    """

    def __init__(
        self,
        path: str = "/debug",
        *,
        token: str = "",
        allow: Iterable[str] = (),
        own_listener: bool = False,
        reporter: Reporter = reporter,
    ) -> None:
        if not token and not own_listener:
            raise ValueError("token: the debug pages need one where others can reach them")
        self.reporter = reporter
        self._path = "/" + path.strip("/")
        self._access = Access(token, allow, direct=True)
        self._pages = {
            "requests": self._requests,
            "threads": self._threads,
            "profile": self._profile,
            "vars": self._vars,
            "gc": self._gc,
        }
        #: Every path that there is something at.
        self.paths = tuple(
            f"{self._path}{end}" for end in ("", "/", *map("/{}".format, self._pages))
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, content_type, body = self._answer(environ)
        data = body.encode("utf-8", "replace")
        headers = [("Content-Type", content_type), ("Content-Length", str(len(data)))]
        start_response(status, [*headers, *_HEADERS, *challenge(status)])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [data]

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", _PLAIN, "Only GET and HEAD are served here.\n"
        refused = self._access.refusal(environ) or self._stranger(environ)
        if refused:
            return refused, _PLAIN, REFUSALS[refused]
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if path in self.paths[:2]:
            return "200 OK", _PLAIN, self._index()
        page = self._pages.get(path.removeprefix(f"{self._path}/"))
        if page is None or path not in self.paths:
            return "404 Not Found", _PLAIN, self._index()
        return page(parse_qs(environ.get("QUERY_STRING", ""), errors="replace"))

    def _stranger(self, environ: WSGIEnvironment) -> str:
        if self._access.token or environ.get("REMOTE_ADDR") == "":  # a Unix socket
            return ""
        host = environ.get("HTTP_HOST", "localhost")
        bare = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        return "" if is_loopback(bare) else "403 Forbidden"

    def _index(self) -> str:
        return "\n".join(
            (
                f"{self._path}/requests          the requests in flight, longest first",
                f"{self._path}/threads           all threads",
                f"{self._path}/profile?seconds=5 where they are, sampled: collapsed stacks",
                f"{self._path}/vars              the configuration, and how the handlers are doing",
                f"{self._path}/gc                the garbage collector",
                "",
                "requests and threads: ?format=json",
                "",
            )
        )

    def _requests(self, asked: Mapping[str, list[str]]) -> Answer:
        requests = in_flight()
        found = stacks({request.thread for request in requests})
        # What ended meanwhile has a thread that may be elsewhere by now.
        requests = [request for request in requests if not request.finished]
        called, now = names(), perf_counter()
        if asked.get("format") == ["json"]:
            return _as_json(
                [
                    {
                        "age": now - request.started,
                        "method": request.method,
                        "path": request.path,
                        "view": request.view,
                        "thread": request.thread,
                        "thread_name": called.get(request.thread, ""),
                        "stack": _rows(found.get(request.thread, ())),
                    }
                    for request in requests
                ]
            )
        parts = [count(len(requests), "request") + " in flight\n"]
        for request in requests:
            name = printable(called.get(request.thread, ""))
            parts.append(
                f"{duration(now - request.started)}  {title(request)}"
                f"  thread {request.thread} ({name})\n{_text(found.get(request.thread))}\n"
            )
        return "200 OK", _PLAIN, "\n".join(parts)

    def _threads(self, asked: Mapping[str, list[str]]) -> Answer:
        busy = {request.thread: request for request in in_flight()}
        found, called = stacks(), names()
        if asked.get("format") == ["json"]:
            return _as_json(
                [
                    {"thread": ident, "name": called.get(ident, ""), "stack": _rows(stack)}
                    for ident, stack in found.items()
                ]
            )
        parts = [count(len(found), "thread") + "\n"]
        for ident, stack in sorted(found.items(), key=lambda item: called.get(item[0], "")):
            request = busy.get(ident)
            doing = f"  {title(request)}" if request is not None else ""
            parts.append(
                f"thread {ident} ({printable(called.get(ident, ''))}){doing}\n{_text(stack)}\n"
            )
        return "200 OK", _PLAIN, "\n".join(parts)

    def _profile(self, asked: Mapping[str, list[str]]) -> Answer:
        try:
            seconds = float(asked.get("seconds", [str(_SECONDS)])[0])
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= LONGEST:
            text = f"seconds must be a number above 0, {LONGEST:g} at most.\n"
            return "400 Bad Request", _PLAIN, text
        try:
            return "200 OK", _PLAIN, collapsed(profile(seconds))
        except Busy:
            return "409 Conflict", _PLAIN, "A profile is being taken; one at a time.\n"

    def _vars(self, asked: Mapping[str, list[str]]) -> Answer:
        loaded = self.reporter.loaded
        return _as_json(
            {
                "version": __version__,
                "python": sys.version,
                "platform": platform.platform(),
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "configuration": None if loaded is None else loaded.shown(),
                "sharing": str(self.reporter.sharing),
                "handlers": handler_table(self.reporter)["handlers"],
                "reporter": {
                    "started": self.reporter.started,
                    "interval": self.reporter.interval,
                    "skipped_rounds": self.reporter.skipped,
                    "callbacks_failed": self.reporter.callbacks.failed,
                    "callbacks_missed": self.reporter.callbacks.missed,
                },
                "requests_in_flight": len(in_flight()),
            }
        )

    def _gc(self, asked: Mapping[str, list[str]]) -> Answer:
        known = {name: getattr(gc, f)() for name, f in _COLLECTOR.items() if hasattr(gc, f)}
        return _as_json({**known, "uncollectable": len(gc.garbage)})


def _as_json(data: object) -> Answer:
    return "200 OK", _JSON, json.dumps(data, indent=1, default=str) + "\n"


def _rows(stack: Stack) -> list[dict[str, Any]]:
    return [line._asdict() for line in stack]


def _text(stack: Stack | None) -> str:
    return "  (where it is can't be seen)" if not stack else shown(stack)
