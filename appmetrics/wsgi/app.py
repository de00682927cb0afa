"""`MetricsApp`: the numbers as a WSGI application, for people and for scrapers.

Answers with Prometheus text, OpenMetrics, JSON or an HTML page, as the request
asks. Only reads: nothing it serves changes a setting. The rendering itself is
in ``exposition``; listening on a port of its own is the ``http`` handler's.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ..explain import explain
from ..exposition import tree
from ..exposition.prometheus import Exposition
from ..handlers.base import Handler
from ..pace import unhurried
from ..reporter import Reporter, reporter
from ..sample import KINDS, Sample, Series
from ..selection import Selection
from ..version import __version__
from .access import REFUSALS, Access, challenge
from .crowd import MAX_SERIES, Crowd
from .table import handler_table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FORMATS = ("prometheus", "openmetrics", "json", "series", "html")

_BY_TYPE = {
    "text/plain": "prometheus",
    "application/openmetrics-text": "openmetrics",
    "application/json": "json",
    "text/html": "html",
    "*/*": "prometheus",
}

_JSON = "application/json; charset=utf-8"
_HTML = "text/html; charset=utf-8"

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", _POLICY),
]


class _Reader(Handler):
    """Stands for a `MetricsApp` that no configured handler belongs to: it gets all."""

    pull = True
    everywhere = True

    def emit(self, samples: Sequence[Sample]) -> int | None:
        return 0


class MetricsApp:
    """A WSGI application that shows the metrics of this process.

    ``handler`` (a pull handler) decides which series are shown; without one all
    are. ``bounds`` are the ``le`` bounds of histograms, None for a selection by
    unit. With ``token`` a request needs ``Authorization: Bearer TOKEN``, or the
    token as password, which a browser asks for (any user will do). With ``allow``,
    networks such as ``10.0.0.0/8``, its address must be in one of them, and
    requests that a proxy forwarded are refused. Beyond ``max_series`` the series that
    came last are left out, visibly.
    """

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        bounds: Iterable[float] | None = None,
        token: str = "",
        allow: Iterable[str] = (),
        max_series: int = MAX_SERIES,
        reporter: Reporter = reporter,
    ) -> None:
        self.handler = handler or _Reader(name="metrics-app")
        self.reporter = reporter
        self.bounds = None if bounds is None else tuple(bounds)
        #: Requests that have been answered with numbers.
        self.served = 0
        self._access = Access(token, allow)
        self._crowd = Crowd(self.handler.name, max_series)
        self._documents: dict[str, _Document] = {}
        self._pid = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, content_type, body = self._answer(environ)
        self.served += not isinstance(body, str)
        headers = [("Content-Type", content_type), *_HEADERS, *challenge(status)]
        if isinstance(body, str):
            whole = body.encode("utf-8", "replace")
            headers.append(("Content-Length", str(len(whole))))
            start_response(status, headers)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [whole]
        start_response(status, headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return (chunk.encode("utf-8", "replace") for chunk in body)

    def _answer(self, environ: WSGIEnvironment) -> tuple[str, str, str | Iterator[str]]:
        plain = "text/plain; charset=utf-8"
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", plain, "Only GET and HEAD are served here.\n"
        refused = self._access.refusal(environ)
        if refused:
            return refused, plain, REFUSALS[refused]
        arguments = parse_qs(environ.get("QUERY_STRING", ""), errors="replace")
        asked = arguments.get("explain")
        if asked:
            labels = dict(pair.partition("=")[::2] for pair in arguments.get("label", []))
            kind = arguments.get("kind", [""])[0]
            if kind and kind not in KINDS:
                return "400 Bad Request", plain, f"kind must be one of {', '.join(KINDS)}.\n"
            loaded = self.reporter.loaded
            answer = explain(
                self.reporter, asked[0], labels, kind=kind, loaded=loaded, page=self.handler
            )
            return "200 OK", _JSON, json.dumps(answer.as_dict(), indent=1) + "\n"
        format = arguments.get("format", [""])[0] or _negotiate(environ.get("HTTP_ACCEPT", ""))
        if format not in FORMATS:
            return "400 Bad Request", plain, f"format must be one of {', '.join(FORMATS)}.\n"
        if format == "html":
            return "200 OK", _HTML, _page()
        return self._data(format, _wanted(arguments.get("query", [""])[0]))

    def _data(
        self, format: str, wanted: Callable[[Series], bool] | None
    ) -> tuple[str, str, str | Iterator[str]]:
        selection, crowd = self.reporter.pull(self.handler), self._crowd
        crowd.look(selection.series, self.reporter)
        values = selection.values()
        if self._pid != os.getpid():
            # The first time, or in a forked child, where a lock may be held for ever.
            self._documents = {
                name: _Document(name == "openmetrics", self.bounds, crowd)
                for name in ("prometheus", "openmetrics")
            }
            self._pid = os.getpid()
        document = self._documents.get(format)
        if document is not None:
            return "200 OK", document.content_type, document.render(selection, values, wanted)
        found = (
            (selection.series[place], values[place])
            for place in unhurried(range(len(values)), 100)
            if wanted is None or wanted(selection.series[place])
        )
        pairs = (pair for place, pair in enumerate(found) if crowd.shows(place, pair[0]))
        if format == "json":
            return "200 OK", _JSON, tree.tree_text(pairs)
        text = tree.series_text(
            pairs,
            time=self.reporter.clock.time(),
            version=__version__,
            host=_host(),
            pid=os.getpid(),
            left_out=crowd.remark if crowd.left_out else "",
            **handler_table(self.reporter),
        )
        return "200 OK", _JSON, text

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        """The series that have no name of their own in Prometheus' text, and why."""
        self._data("prometheus", None)
        return self._documents["prometheus"].left_out


class _Document:
    """An exposition that follows a selection as it grows or is replaced."""

    def __init__(self, openmetrics: bool, bounds: Iterable[float] | None, crowd: Crowd) -> None:
        self._openmetrics, self._bounds, self._crowd = openmetrics, bounds, crowd
        self._exposition = self._make()
        self._selection: Selection | None = None
        self._lock = threading.Lock()
        self._known = 0
        self.content_type = self._exposition.content_type

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        return list(self._exposition.left_out)

    def _make(self) -> Exposition:
        return Exposition(openmetrics=self._openmetrics, bounds=self._bounds)

    def render(
        self, selection: Selection, values: list[Any], wanted: Callable[[Series], bool] | None
    ) -> Iterator[str]:
        with self._lock:
            if selection is not self._selection:
                self._exposition, self._known = self._make(), 0
                self._selection = selection
            for series in unhurried(selection.series[self._known : len(values)], 200):
                if self._crowd.shows(self._known, series):
                    self._exposition.add(series)
                else:
                    self._exposition.skip(series, self._crowd.reason)
                self._known += 1
            exposition = self._exposition
        document = exposition.render(values, wanted)
        # OpenMetrics has no comments, and one would cost the whole scrape.
        if self._crowd.left_out and not self._openmetrics:
            return chain([f"# {self._crowd.remark}\n"], document)
        return document


def _negotiate(accept: str) -> str:
    """The format for an Accept header: the best one served, text if none is named."""
    best, quality = "prometheus", 0.0
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        format = _BY_TYPE.get(media.lower())
        q = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    q = float(parameter[2:])
                except ValueError:
                    q = 0.0
        if format and q > quality:
            best, quality = format, q
    return best


def _wanted(query: str) -> Callable[[Series], bool] | None:
    """What ``?query=`` picks: names that match the glob, or contain it as a plain word."""
    if not query:
        return None
    glob = query if any(sign in query for sign in "*?[") else f"*{query}*"
    return lambda series: fnmatchcase(series.name, glob)


@lru_cache(maxsize=1)
def _page() -> str:
    return (Path(__file__).parent.parent / "exposition" / "page.html").read_text("utf-8")


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname()
