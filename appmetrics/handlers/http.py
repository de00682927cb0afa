"""``http``: the built-in page at /metrics, on a listener of its own.

It answers from its own threads (see ``wsgi.listener``), also while all threads of the
application hang.

    [metrics.handler.http]
    class = http
    listen = 127.0.0.1:9464
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..options import Option, boolean, integer, listening, names, numbers, secret
from ..sample import Sample, Series
from ..wsgi import MetricsApp
from ..wsgi.access import is_loopback
from ..wsgi.crowd import MAX_SERIES
from ..wsgi.debug import DebugApp
from ..wsgi.listener import PID, Listener, listen_on
from .base import Handler

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: The longest wait before the port is tried again, in seconds.
MAX_RETRY = 30.0


class HttpHandler(Handler):
    """Serves /metrics. Loopback unless told otherwise; GET only."""

    OPTIONS = (
        Option(
            "listen",
            listening,
            ("127.0.0.1", 9464),
            "Address and port (0: a free one), or a socket.",
        ),
        Option("bounds", numbers, None, "Histogram bounds, moved to exact bucket edges."),
        Option("token", secret, "", "If set, requests need Authorization: Bearer TOKEN."),
        Option("allow", names, (), "Networks that may ask, such as 10.0.0.0/8; all if empty."),
        Option("max_series", integer(1), MAX_SERIES, "Series on a page; those beyond stay out."),
        Option("debug", boolean, False, "Serve the debug pages as well, at /debug."),
    )
    pull = True

    _server: Listener | None = None

    def __init__(
        self,
        *,
        listen: tuple[str, int] | str = ("127.0.0.1", 9464),
        bounds: Iterable[float] | None = None,
        token: str = "",
        allow: Iterable[str] = (),
        max_series: int = MAX_SERIES,
        debug: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.listen = listen
        self.in_each_process = isinstance(listen, str) and PID in listen
        self._protected = bool(token or allow)
        self.app = MetricsApp(self, bounds=bounds, token=token, allow=allow, max_series=max_series)
        self.debug: DebugApp | None = None
        if debug:
            own = isinstance(listen, str) or is_loopback(listen[0])
            self.debug = DebugApp(token=token, allow=allow, own_listener=own)
        self._retry = 1.0

    @property
    def served(self) -> int:
        return self.app.served

    def emit(self, samples: Sequence[Sample]) -> int | None:
        return 0

    def served_by(self, reporter: Any) -> None:
        super().served_by(reporter)
        self.app.reporter = reporter
        if self.debug is not None:
            self.debug.reporter = reporter

    def target(self) -> str:
        if isinstance(self.listen, str):
            return self.listen.replace(PID, str(os.getpid()))
        host, port = self._server.address if self._server else self.listen
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
        listen_on(self.listen, self._serve).close()

    def warnings(self) -> list[str]:
        if self.listen[0] not in ("0.0.0.0", "::") or self._protected:
            return []
        return ["whoever reaches this machine can read the page: set token or allow"]

    def open(self) -> None:
        try:
            self._server = listen_on(self.listen, self._serve)
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
            self._server.close()
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
            self._server.close()
            self._server = None

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Nothing exists here but /, /metrics and the debug pages."""
        path = environ.get("PATH_INFO", "")
        if path.rstrip("/") in ("", "/metrics"):
            return self.app(environ, start_response)
        if self.debug is not None and path in self.debug.paths:
            return self.debug(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"The metrics are at /metrics.\n"]
