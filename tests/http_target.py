"""`HttpTarget`: an HTTP server that keeps what is posted and answers as it is told."""

from __future__ import annotations

import gzip
import http.server
import threading
from typing import Any, NamedTuple

from servers import HOST


class Request(NamedTuple):
    """One request; its body is uncompressed."""

    path: str
    headers: dict[str, str]
    body: bytes


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """A connection that is reset is what some tests are about."""


class HttpTarget:
    """Listens on ``url``. ``answers`` are (status, body) for the next requests, then 204."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[tuple[int, bytes]] = []
        self.connections = 0
        #: Whether each connection ends after one answer, without saying so.
        self.rude = False
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                target.connections += 1

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    self.close_connection = True
                    return  # cut off on its way
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                target.requests.append(Request(self.path, dict(self.headers), body))
                status, text = target.answers.pop(0) if target.answers else (204, b"")
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                self.close_connection = target.rude

            def log_message(self, *args: object) -> None:
                pass

        self._server = _Server((HOST, 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{HOST}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def bodies(self) -> list[bytes]:
        """The bodies alone."""
        return [request.body for request in self.requests]

    def __enter__(self) -> HttpTarget:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
