"""Connections to Riemann: framing, deadlines, TLS. Knows bytes, not what is in them.

Takes the place of bernhard's transports, which wait for ever, swallow what went wrong
and ask for a TLS that Python no longer has. Each has bernhard's ``write(message)``.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: A Riemann in its default configuration loses datagrams of more than 16384 bytes.
MAX_DATAGRAM = 16000
#: An answer may have so many bytes: what a query finds is large, all else is not.
MAX_ANSWER = 64 * 1024 * 1024
MAX_ACK = 1024 * 1024
#: So many messages may wait for their answers on one connection.
WINDOW = 16

_LENGTH = struct.Struct("!I")


class ProtocolError(ConnectionError):
    """What answers is not a Riemann, or the connection's state is unknown."""


class Refused(ValueError):
    """Riemann answered that it does not take a message, or can't answer a query: its text.

    Sending the same again would end the same.
    """


class Tls(NamedTuple):
    """The files of a TLS connection; they are read anew for each connection.

    ``cafile`` signs the server's certificate (the system's authorities if empty), whose
    name must be the host's. Riemann itself asks for a client's certificate and key.
    """

    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""

    def context(self) -> ssl.SSLContext:
        """A context with them. Raises OSError."""
        context = ssl.create_default_context(cafile=self.cafile or None)
        if self.certfile:
            context.load_cert_chain(self.certfile, self.keyfile or None)
        return context


@contextlib.contextmanager
def _resolving(host: str) -> Iterator[None]:
    """A name that can't be one (``a..b``) is as unknown as any other."""
    try:
        yield
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is no host: {error}") from None


class Tcp:
    """One connection. After any error it must be closed: answers may be under way.

    ``timeout`` (seconds) is for connecting, and again until each answer as a whole.
    Raises OSError.
    """

    def __init__(
        self, host: str, port: int, *, timeout: float = 5.0, tls: Tls | None = None
    ) -> None:
        context = tls.context() if tls else None
        self.timeout = timeout
        with _resolving(host):
            self._socket = socket.create_connection((host, port), timeout)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it; never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()

    @property
    def gone(self) -> bool:
        """Whether the other side has hung up, or has sent what nobody asked for."""
        try:
            self._socket.settimeout(0)
            self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            pass
        return True

    def write(self, message: bytes) -> bytes:
        """One message and its answer."""
        return next(self.exchange((message,), MAX_ANSWER))

    def exchange(self, messages: Sequence[bytes], limit: int = MAX_ACK) -> Iterator[bytes]:
        """The answers to messages, in order; a number of messages are under way at once."""
        asked = 0
        for answered in range(len(messages)):
            deadline = time.monotonic() + self.timeout
            try:
                while asked < min(len(messages), answered + WINDOW):
                    self._send(_LENGTH.pack(len(messages[asked])) + messages[asked], deadline)
                    asked += 1
                answer = self._answer(deadline, limit)
            except TimeoutError:
                raise TimeoutError(f"no answer within {self.timeout:g} s") from None
            yield answer

    def _send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            self._wait_until(deadline)
            rest = rest[self._socket.send(rest) :]

    def _answer(self, deadline: float, limit: int) -> bytes:
        (length,) = _LENGTH.unpack(self._receive(_LENGTH.size, deadline))
        if length > limit:
            raise ProtocolError(f"an answer of {length} bytes: this is no Riemann")
        return self._receive(length, deadline)

    def _receive(self, length: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            self._wait_until(deadline)
            part = self._socket.recv(min(length - len(parts), 65536))
            if not part:
                raise ConnectionResetError("closed by Riemann before it answered")
            parts += part
        return bytes(parts)

    def _wait_until(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


class Udp:
    """Datagrams, which nobody answers; a refusal by the host shows with the next one."""

    def __init__(self, host: str, port: int, *, timeout: float = 5.0) -> None:
        with _resolving(host):
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(address)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it; never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def write(self, message: bytes) -> bytes:
        """Send one message; there is no answer."""
        self._socket.send(message)
        return b""
