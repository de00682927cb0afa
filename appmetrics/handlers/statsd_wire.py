"""`Wire`: the connection to a statsd daemon, over UDP or TCP; knows bytes only."""

from __future__ import annotations

import socket

#: Seconds until silence means that somebody listens.
PROBE = 0.25


class Wire:
    """Made when something is sent, and kept. Methods raise OSError."""

    def __init__(self, host: str, port: int, protocol: str) -> None:
        self._address = (host, port)
        self._tcp = protocol == "tcp"
        self._socket: socket.socket | None = None

    def send_within(self, payload: bytes, timeout: float) -> None:
        """Send it within so many seconds, over a new connection if there is none."""
        if self._socket is None:
            self._socket = self.connected(timeout)
        self._socket.settimeout(timeout)
        if self._tcp:
            self._socket.sendall(payload)
        else:
            self._socket.send(payload)

    def connected(self, timeout: float) -> socket.socket:
        """A new connection; over UDP this fails only if a host says that nobody listens."""
        if self._tcp:
            return socket.create_connection(self._address, timeout)
        found = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.connect(address)
            # The first packet is lost before the answer that nobody listens is there.
            made.send(b"\n")
            made.settimeout(min(PROBE, timeout))
            made.recv(1)
        except TimeoutError:
            pass
        except OSError:
            made.close()
            raise
        return made

    def has_ended(self) -> bool:
        """Whether the peer has closed the connection, which then is closed here, too."""
        # Sending to a peer that has gone succeeds once; its goodbye can be read before.
        if self._socket is None or not self._tcp:
            return False
        self._socket.settimeout(0)
        try:
            ended = not self._socket.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            ended = True
        if ended:
            self.close()
        return ended

    def close(self) -> None:
        """Close the connection; the next payload makes a new one."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
