"""`Poster`: one HTTP connection that requests are posted over, for handlers of HTTP targets.

Owns the connection, its time limit and the options that such handlers share.
What a status means, and when to try again, is not decided here.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..options import Converter, Option, boolean, path, secret, text

#: So much of an answer is read; what is longer costs the connection.
MAX_ANSWER = 64 * 1024

#: So much is compressed how far; beyond 6 it takes longer and saves little.
_COMPRESSION = 6


def _url(value: object) -> str:
    if not isinstance(value, str) or any(char <= " " or char == "\x7f" for char in value.strip()):
        raise ValueError
    parts = urllib.parse.urlsplit(value.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isascii():
        raise ValueError
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("it has no query, and user and password are options")
    _ = parts.port  # raises for what is no port
    return value.strip().rstrip("/")


#: An http(s) URL without a query, and without a slash at its end.
url = Converter("a URL such as http://127.0.0.1:8086", _url)


def options(default: str) -> tuple[Option, ...]:
    """The rows that handlers of HTTP targets share; ``default`` is the URL's."""
    return (
        Option("url", url, default, "Where it listens; a path is put in front of its own."),
        Option("user", text, "", "The user, where it asks for one (basic authentication)."),
        Option("password", secret, "", "The password that goes with `user`."),
        Option("ca_file", path, None, "Certificates to trust with https; else the system's."),
        Option("gzip", boolean, True, "Whether requests are compressed."),
    )


class Answer(NamedTuple):
    """The status of an answer, and the beginning of its body."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The status and the first line of the body, for people."""
        line = self.body[:500].decode("utf-8", "replace").strip().partition("\n")[0]
        printable = "".join(char if char.isprintable() else " " for char in line)
        return f"HTTP {self.status}: {printable[:200]}" if printable else f"HTTP {self.status}"


class Poster:
    """Posts bodies to one server, over one connection that is kept.

    ``timeout`` is for one whole request, in seconds, whatever the server does.
    Raises ValueError for a user without a password's sense, OSError from `post`.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str = "",
        password: str = "",
        ca_file: str | None = None,
        gzip: bool = True,
        timeout: float = 5.0,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if password and not user:
            raise ValueError("password: there is no user for it")
        if ca_file is not None and parts.scheme != "https":
            raise ValueError("ca_file: the url is not https")
        self.timeout = timeout
        self._host, self._port = str(parts.hostname), parts.port
        self._path = parts.path.rstrip("/")
        self._tls = parts.scheme == "https"
        self._ca_file = ca_file
        self._gzip = gzip
        self._headers = {"User-Agent": "appmetrics"}
        if user:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"
        self._connection: http.client.HTTPConnection | None = None
        self._end = 0.0

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Post a body and read the answer. Raises OSError; then it may have arrived or not."""
        headers = {**self._headers, **(headers or {})}
        if self._gzip:
            body = gzip.compress(body, _COMPRESSION, mtime=0)
            headers["Content-Encoding"] = "gzip"
        self._end = time.monotonic() + self.timeout
        try:
            return self._ask(path, body, headers)
        except ConnectionError:
            # A server closes what was idle for long, and that is noticed only now. If
            # both requests arrive, the second overwrites the same numbers.
            if self._fresh:
                raise
            return self._ask(path, body, headers)

    def _ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = self._connection
        self._fresh = connection is None
        try:
            if connection is None:
                connection = self._connection = self._connected()
            if connection.sock is not None:
                connection.sock.settimeout(self._left())
            connection.request("POST", self._path + path, body, dict(headers))
            # Closed by us: of a connection that ends with it, it alone holds the socket.
            with connection.getresponse() as answer:
                text = answer.read(MAX_ANSWER)
                whole = answer.isclosed()
        except BaseException as error:
            self.close()
            if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
                raise OSError(f"no answer in HTTP: {type(error).__name__}") from error
            raise
        if not whole or connection.sock is None:
            self.close()
        return Answer(answer.status, text)

    def _connected(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self._tls:
            context = ssl.create_default_context(cafile=self._ca_file)
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._left(), context=context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._left())
        connection.response_class = self._response  # type: ignore[assignment]
        connection.connect()
        return connection

    def _response(self, sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        answer = http.client.HTTPResponse(sock, *args, **kwargs)
        answer.fp.close()
        answer.fp = io.BufferedReader(_Timed(sock, self))
        return answer

    def _left(self) -> float:
        return max(0.001, self._end - time.monotonic())

    def reach(self) -> None:
        """Connect, and nothing else. Raises OSError."""
        self._end = time.monotonic() + self.timeout
        self._connected().close()

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Timed(io.RawIOBase):
    """What a socket receives, within the time of the whole request.

    A socket's own timeout begins anew with each byte.
    """

    def __init__(self, sock: Any, poster: Poster) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._poster = poster

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._poster._left())
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
