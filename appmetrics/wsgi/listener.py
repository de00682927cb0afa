"""A small HTTP server of one's own: threads, limits, on a port or on a Unix socket.

For a page that must answer while the application's server hangs. Knows nothing of what
it serves; whether it should listen at all, and when to try again, is the handler's.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import socketserver
import stat
import threading
import time
from collections.abc import Iterator
from glob import escape, glob
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger("appmetrics")

#: Stands for the process id in the path of a socket.
PID = "{pid}"

#: Requests answered at once; further ones wait in the kernel's backlog.
MAX_REQUESTS = 16
#: Seconds a client may take to send some of its request or to read some of the
#: answer, and for all of it when others wait.
CLIENT_TIMEOUT = 10.0
#: Seconds that a request may go on when the listener ends.
LAST_MOMENT = 0.5


def listen_on(listen: tuple[str, int] | str, app: WSGIApplication) -> Listener:
    """A listener for an application at ``(host, port)``, or at ``unix:/path``.

    In the path, ``{pid}`` is this process' id. Raises OSError if it can't be.
    """
    if not isinstance(listen, str):
        return Listener(listen, app)
    pattern = listen.removeprefix("unix:")
    path = pattern.replace(PID, str(os.getpid()))
    with _alone_in(os.path.dirname(path) or "."):
        # Also those of processes that have been killed: else they would pile up.
        for each in {path, *glob(escape(pattern).replace(escape(PID), "*"))}:
            _remove_remains(each)
        return UnixListener(path, app)


class Listener(socketserver.ThreadingMixIn, WSGIServer):
    """A listener at host and port, which answers in threads of its own."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, listen: tuple[str, int] | str, app: WSGIApplication) -> None:
        if not isinstance(listen, str) and ":" in listen[0]:
            self.address_family = socket.AF_INET6
        self._slots = threading.BoundedSemaphore(MAX_REQUESTS)
        #: The connections being answered, and since when.
        self._open: dict[Any, float] = {}
        self._ending = False
        super().__init__(listen, _Request)  # type: ignore[arg-type]
        self.set_app(app)

    @property
    def address(self) -> tuple[Any, ...]:
        """Host and port."""
        return tuple(self.server_address[:2])

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

    def close(self) -> None:
        """Give up the port without having served; in a forked child, too, without harm."""
        self.server_close()

    def end(self) -> None:
        """Stop listening; what is being answered has a moment to finish."""
        self._ending = True
        self.shutdown()
        self.close()
        deadline = time.monotonic() + LAST_MOMENT
        for _ in range(MAX_REQUESTS):
            if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
                self._cut_off(0.0)
                break

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request to /metrics failed", exc_info=True)


class UnixListener(Listener):
    """A listener on a Unix socket that only its owner may connect to."""

    address_family = socket.AF_UNIX

    def __init__(self, path: str, app: WSGIApplication) -> None:
        self._path = path
        self._inode: tuple[int, int] | None = None
        self._owner = os.getpid()
        super().__init__(path, app)

    def server_bind(self) -> None:
        self.socket.bind(self._path)
        # Nobody gets in before this: connections are refused as long as it doesn't listen.
        os.chmod(self._path, 0o600)
        self._inode = _inode(self._path)
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        connection, _ = self.socket.accept()
        # What takes this apart expects host and port.
        return connection, ("", 0)

    def close(self) -> None:
        self.server_close()
        # Not in a forked child, nor if somebody else has taken the path.
        if self._owner == os.getpid() and self._inode is not None:
            with contextlib.suppress(OSError):
                if _inode(self._path) == self._inode:
                    os.unlink(self._path)


@contextlib.contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """No other process of ours makes or removes sockets in this folder meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Two that find the same remains would each remove the other's new socket.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_remains(path: str) -> None:
    """Remove a socket on which nobody listens any more."""
    if os.path.lexists(path) and stat.S_ISSOCK(os.lstat(path).st_mode):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            except OSError:
                pass  # busy, or another user's: then it is in use


def _inode(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


class _Request(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def address_string(self) -> str:
        return str(self.client_address[0])


def _as_text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
