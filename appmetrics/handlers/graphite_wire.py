"""`Line`: the way to a carbon, over TCP or UDP.

graphyte carries datagrams. Over TCP it connects anew for each batch, and so would
never learn that a carbon had been restarted between two of them; here the connection
stays, and whoever sends is told when it has ended. Which bytes travel is not known
here.
"""

from __future__ import annotations

import contextlib
import socket
import time

import graphyte

#: With what the other side takes in, the most that can be lost with a connection
#: (see `Recent.IN_FLIGHT`). The kernel doubles it.
SEND_BUFFER = 128 * 1024


class Line:
    """Sends bytes to a carbon at ``host`` and ``port``; ``protocol`` is tcp or udp."""

    def __init__(self, host: str, port: int, protocol: str) -> None:
        self._address = (host, port)
        self._datagrams = None
        if protocol == "udp":
            self._datagrams = graphyte.Sender(host, port, protocol="udp", raise_send_errors=True)
        self._socket: socket.socket | None = None

    def send_within(self, message: bytes, timeout: float) -> None:
        """Send a message; raises OSError, and then all of it or a part may have arrived."""
        if self._datagrams is not None:
            self._datagrams.send_message(message)
            return
        end = time.monotonic() + timeout
        connection = self._socket
        if connection is None:
            connection = self._socket = self._connected(timeout)
        try:
            connection.settimeout(max(0.001, end - time.monotonic()))
            connection.sendall(message)
        except BaseException:
            self.close()
            raise

    def has_ended(self) -> bool:
        """Whether carbon has closed the connection since the last message, which is then gone."""
        connection = self._socket
        if connection is None:
            return False
        try:
            # Carbon says nothing; what something else says must not fill its buffers.
            connection.settimeout(0)
            for _ in range(16):
                if not connection.recv(65536):
                    break
            else:
                return False
        except BlockingIOError:
            return False
        except OSError:
            pass
        self.close()
        return True

    def _connected(self, timeout: float) -> socket.socket:
        connection = socket.create_connection(self._address, timeout)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        # A machine that has vanished answers nothing: without this, the kernel tries
        # for a quarter of an hour, and takes what is sent meanwhile.
        with contextlib.suppress(AttributeError, OSError):
            connection.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(timeout * 1000))
            )
        return connection

    def close(self) -> None:
        """Close the connection; what the kernel has taken is still delivered."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
