"""``http``: the built-in page at /metrics, on a listener of its own.

It answers from its own threads, also while all threads of the application hang.

    [metrics.handler.http]
    class = http
    listen = 127.0.0.1:9464
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from ..options import Option, address, names, numbers, secret
from ..sample import Sample, Series
from ..wsgi import MetricsApp
from .base import Handler

log = logging.getLogger("appmetrics")

#: Requests answered at once; further ones wait in the kernel's backlog.
MAX_REQUESTS = 16
#: Seconds a client may take to send some of its request or to read some of the
#: answer, and for all of it when others wait.
CLIENT_TIMEOUT = 10.0
#: Seconds that a request may go on when the listener ends.
LAST_MOMENT = 0.5
#: The longest wait before the port is tried again, in seconds.
MAX_RETRY = 30.0


class HttpHandler(Handler):
    """Serves /metrics. Loopback unless told otherwise; GET only."""

    OPTIONS = (
        Option("listen", address, ("127.0.0.1", 9464), "Address and port; 0 picks a free port."),
        Option("bounds", numbers, None, "Histogram bounds, moved to exact bucket edges."),
        Option("token", secret, "", "If set, requests need Authorization: Bearer TOKEN."),
        Option("allow", names, (), "Networks that may ask, such as 10.0.0.0/8; all if empty."),
    )
    pull = True

    _server: _Server | None = None

    def __init__(
        self,
        *,
        listen: tuple[str, int] = ("127.0.0.1", 9464),
        bounds: Iterable[float] | None = None,
        token: str = "",
        allow: Iterable[str] = (),
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.listen = listen
        self.app = MetricsApp(self, bounds=bounds, token=token, allow=allow)
        self._retry = 1.0

    def emit(self, samples: Sequence[Sample]) -> int | None:
        return 0

    def served_by(self, reporter: Any) -> None:
        super().served_by(reporter)
        self.app.reporter = reporter

    def target(self) -> str:
        host, port = self._server.server_address[:2] if self._server else self.listen
        name = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{name}:{port}/metrics"

    def describe(self, series: Series) -> list[str]:
        from ..exposition.prometheus import describe

        return describe(series, bounds=self.app.bounds)

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        """The series whose Prometheus name belongs to another one, and why."""
        return self.app.left_out

    def check(self) -> None:
        """Whether the port is free."""
        _Server(self.listen, self.app).server_close()

    def warnings(self) -> list[str]:
        if self.listen[0] not in ("0.0.0.0", "::") or self.app.token or self.app.allow:
            return []
        return ["whoever reaches this machine can read the page: set token or allow"]

    def open(self) -> None:
        try:
            self._server = _Server(self.listen, self.app)
        except OSError as error:
            self.failed(f"can't listen on {self.target()}: {error.strerror or error}")
            return
        self._retry = 1.0
        listener = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.2},
            name=f"appmetrics-{self.name}-listener",
            daemon=True,
        )
        try:
            listener.start()
        except RuntimeError:  # no more threads
            self._server.server_close()
            self._server = None
            raise

    def idle(self) -> float | None:
        if self._server is not None:
            return None
        self.open()
        self._retry = min(MAX_RETRY, self._retry * 2)
        return self._retry

    def close(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None

    def after_fork(self) -> None:
        super().after_fork()
        if self._server is not None:
            # The parent serves it; here it would only keep the port taken.
            self._server.socket.close()
            self._server = None


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, listen: tuple[str, int], app: MetricsApp) -> None:
        if ":" in listen[0]:
            self.address_family = socket.AF_INET6
        self._slots = threading.BoundedSemaphore(MAX_REQUESTS)
        #: The connections being answered, and since when.
        self._open: dict[Any, float] = {}
        self._ending = False
        super().__init__(listen, _Request)
        self.set_app(_paths(app))

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the DNS for our own name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = map(_as_text, self.server_address[:2])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self._slots.acquire(timeout=0.1):
            if self._ending:
                self.shutdown_request(request)
                return
            # Clients that send or read a byte now and then must not shut out all others.
            self._cut_off(CLIENT_TIMEOUT)
        self._open[request] = time.monotonic()
        try:
            # The mix-in's threads have no names.
            threading.Thread(
                target=self.process_request_thread,
                args=(request, client_address),
                name="appmetrics-http-request",
                daemon=True,
            ).start()
        except RuntimeError:  # no more threads
            self._finished(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._finished(request)

    def _finished(self, request: Any) -> None:
        del self._open[request]
        self._slots.release()

    def _cut_off(self, after: float) -> None:
        now = time.monotonic()
        for request, began in list(self._open.items()):
            if now - began >= after:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Stop listening; what is being answered has a moment to finish."""
        self._ending = True
        self.shutdown()
        self.server_close()
        deadline = time.monotonic() + LAST_MOMENT
        for _ in range(MAX_REQUESTS):
            if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
                self._cut_off(0.0)
                break

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request to /metrics failed", exc_info=True)


class _Request(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def address_string(self) -> str:
        return str(self.client_address[0])


def _as_text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _paths(app: MetricsApp) -> Any:
    """Only / and /metrics exist here."""

    def serve(environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").rstrip("/") not in ("", "/metrics"):
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"The metrics are at /metrics.\n"]
        return app(environ, start_response)

    return serve
