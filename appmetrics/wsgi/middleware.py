"""`Middleware`: counts and times the requests that go through a WSGI application.

Owns the ``http`` metrics and what happens at the first request in a process. How a
response is followed through the server is in ``exchange``. Nothing of one framework
lives here; whatever goes wrong in here, the application neither sees nor feels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from os import getpid
from time import perf_counter
from typing import TYPE_CHECKING
from weakref import WeakSet

from ..instruments import Timer
from ..live import inflight
from ..meter import Meter
from ..reporter import Reporter, reporter
from . import heartbeat, starting
from .app import MetricsApp
from .crowd import MAX_SERIES
from .debug import DebugApp
from .exchange import NO_VIEW, Exchange, Request, length

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["KEY", "Middleware", "Request"]

log = logging.getLogger("appmetrics")

#: Where in the environ a framework finds the `Request`.
KEY = "appmetrics.request"

#: Others are labelled OTHER: a client may send any word.
METHODS = frozenset("GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT".split())

#: A request that says it waited longer came with a wrong clock, in seconds.
LONGEST_QUEUE = 60.0

_CLASSES: dict[int | None, str] = {code: f"{code // 100}xx" for code in range(100, 600)}

_UNCONFIGURED = (
    "requests are measured, but no handler is configured, so that nobody sees the numbers: set"
    " APPMETRICS_CONFIG to an ini file and call appmetrics.configure(), or call"
    ' appmetrics.basic_config(), or give the middleware metrics="/metrics"'
)

#: Reporters for which this has been said.
_warned: WeakSet[Reporter] = WeakSet()

#: Looked up here, with each request.
_in_flight, _MOST = inflight.TABLE, inflight.MOST


class Middleware:
    """A WSGI application around another one, counting and timing its requests.

    On the meter named by ``meter``, by ``method``, ``status`` (its class, 2xx) and
    ``view``: ``requests``, ``duration`` (seconds, until the server closes the
    response), ``first_byte`` (seconds, until ``start_response``), ``response.size``
    (bytes; not of HEAD). By ``method`` and ``view``: ``errors`` (5xx and unhandled
    exceptions), ``request.size`` (bytes, of requests with a Content-Length).
    Further ``aborted`` by ``reason`` (client, exception), ``in_flight``, and
    ``queue`` (seconds) if ``queue_header`` names the header in which a trusted proxy
    puts the time of arrival. Inside another `Middleware` it only passes on: a
    request is measured once.

    With ``metrics``, a path such as ``"/metrics"``, a `MetricsApp` answers there,
    unmeasured, protected by ``token`` and ``allow``, with at most ``max_series``; with
    ``debug``, a path such as ``"/debug"``, a `DebugApp`, which needs the token. The first
    request in a process starts the ``reporter``, and where a server is recognised it is
    started before, see `starting`. Raises ValueError for ``debug`` without a ``token``.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        metrics: str | None = None,
        debug: str | None = None,
        token: str = "",
        allow: Iterable[str] = (),
        max_series: int = MAX_SERIES,
        queue_header: str = "",
        meter: str = "http",
        reporter: Reporter = reporter,
    ) -> None:
        self.app = app
        self.reporter = reporter
        #: What answers by itself, by path.
        self._mounted: dict[str, WSGIApplication] = {}
        if metrics:
            path = "/" + metrics.strip("/")
            page = MetricsApp(token=token, allow=allow, max_series=max_series, reporter=reporter)
            self._mounted |= {path: page, path + "/": page}
        self._shows = bool(metrics)
        if debug:
            pages = DebugApp(debug, token=token, allow=allow, reporter=reporter)
            self._mounted |= dict.fromkeys(pages.paths, pages)
        self._queue_key = "HTTP_" + queue_header.upper().replace("-", "_")
        self._measures = _Measures(reporter.hierarchy.get_meter(meter), bool(queue_header))
        self._pid = 0
        self._complained = False
        self._heartbeat = heartbeat.install(reporter)
        starting.expect(reporter)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._pid != getpid():
            self._begin()
        if self._mounted:
            page = self._mounted.get(environ.get("PATH_INFO", ""))
            if page is not None:
                return page(environ, start_response)
        exchange = self._open(environ, start_response)
        if exchange is None:
            return self.app(environ, start_response)
        try:
            body = self.app(environ, exchange.start_response)
        except BaseException:  # gunicorn raises SystemExit in a request that takes too long
            exchange.failed = True
            exchange.finish()
            raise
        return exchange.body(body, environ.get("wsgi.file_wrapper"))

    def _begin(self) -> None:
        """At the first request in this process, also after a fork that nobody told of."""
        pid = getpid()
        # Everybody waits: after a fork, what is counted before the reporter knows is lost.
        with starting.gate():
            if self._pid == pid:
                return
            try:
                inflight.begin()
                self.reporter.serve()
                self._heartbeat()
                if not self._shows and not self.reporter.hierarchy.handlers():
                    self._warn()
            except Exception:
                self.complain()
            self._pid = pid

    def _warn(self) -> None:
        if self.reporter not in _warned:
            _warned.add(self.reporter)
            log.warning(_UNCONFIGURED)

    def _open(self, environ: WSGIEnvironment, start_response: StartResponse) -> Exchange | None:
        """What follows a request; None if it isn't ours to measure."""
        try:
            outer = environ.get(KEY)
            if outer is not None and not outer.finished:
                return None
            method = environ.get("REQUEST_METHOD")
            request = Request(
                method if method in METHODS else "OTHER",
                environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
            )
            queue = self._measures.queue
            if queue is not None:
                waited = queued(environ.get(self._queue_key, ""), self.reporter.clock.time())
                if waited is not None:
                    queue.observe(waited)
            # Chunked requests have none; to count their bytes would be to read them.
            size = environ.get("CONTENT_LENGTH")
            exchange = Exchange(self, request, length(size) if size else None, start_response)
            environ[KEY] = request
            self._measures.in_flight.inc()
            if len(_in_flight) < _MOST:
                _in_flight[id(request)] = request
            return exchange
        except Exception:
            self.complain()
            return None

    def record(self, exchange: Exchange) -> None:
        """Count an exchange that has come to its end; never raises."""
        _in_flight.pop(id(exchange.request), None)
        try:
            # A child that was forked off in a request may come this way, too.
            if self._pid == getpid():
                self._measures.record(exchange)
                self.reporter.after_request()
        except Exception:
            self.complain()

    def complain(self) -> None:
        """Log the exception being handled, a failure of ours; the first one only."""
        if not self._complained:
            self._complained = True
            log.exception("a request could not be measured; it is answered all the same")


class _Measures:
    """The instruments of a middleware, and what of a request goes into which."""

    def __init__(self, meter: Meter, queue: bool) -> None:
        by = ("method", "status", "view")
        less = ("method", "view")
        self.requests = meter.counter("requests", "Requests", labels=by)
        self.errors = meter.counter("errors", "Answered by 5xx, or an exception", labels=less)
        self.duration = meter.timer("duration", "Time until a response is closed", labels=by)
        self.first_byte = meter.timer("first_byte", "Time until a response begins", labels=by)
        self.in_flight = meter.gauge("in_flight", "Requests being answered")
        self.request_size = meter.histogram(
            "request.size", "Length of request bodies", labels=less, unit="bytes"
        )
        self.response_size = meter.histogram(
            "response.size", "Length of response bodies", labels=by, unit="bytes"
        )
        self.aborted = meter.counter("aborted", "Responses cut short", labels=("reason",))
        #: Only where it is asked for: else it would look as if nobody had to wait.
        self.queue: Timer | None = None
        if queue:
            self.queue = meter.timer("queue", "Time between the proxy and the application")

    def record(self, exchange: Exchange) -> None:
        """Put a finished exchange into all that it belongs to."""
        now = perf_counter()
        self.in_flight.dec()
        request, failed = exchange.request, exchange.failed
        method = request.method
        if exchange.gone or not (exchange.ended or failed or method == "HEAD"):
            # Servers don't tell, but stop iterating. HEAD has no need of a body.
            self.aborted.labels("client").inc()
            failed = False
        elif failed and exchange.sent:
            self.aborted.labels("exception").inc()
        elif failed or (exchange.ended and exchange.first_byte is None):
            # Nothing has gone out: the server answers, in the application's place.
            request.status = 500
        view = request.view
        if not view or view == NO_VIEW:
            view = exchange.view
        status = _CLASSES.get(request.status, NO_VIEW)
        self.requests.labels(method, status, view).inc()
        self.duration.labels(method, status, view).observe(now - request.started)
        if exchange.first_byte is not None:
            self.first_byte.labels(method, status, view).observe(exchange.first_byte)
        if exchange.sent >= 0 and method != "HEAD":
            self.response_size.labels(method, status, view).observe(exchange.sent)
        if exchange.size is not None:
            self.request_size.labels(method, view).observe(exchange.size)
        if failed or exchange.broken or status == "5xx":
            self.errors.labels(method, view).inc()


def queued(text: str, now: float) -> float | None:
    """How many seconds ago a proxy saw a request; None if it doesn't say.

    ``text`` is what nginx sends as ``t=1700000000.123`` and Heroku as
    ``1700000000123``: seconds, milli-, micro- or nanoseconds since 1970, told apart
    by their size. What comes of clocks that disagree is clamped to 0 to 60 s.
    """
    # Of several proxies the first one saw the request first.
    try:
        then = float(text.partition(",")[0].strip().removeprefix("t="))
    except ValueError:
        return None
    # Less is a time before 2001, or no time at all.
    if not math.isfinite(then) or then < 1e9:
        return None
    while then >= 1e11:
        then /= 1e3
    return min(max(0.0, now - then), LONGEST_QUEUE)
