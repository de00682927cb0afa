"""`Listener`: a UDP or TCP socket that keeps the lines that come."""

from __future__ import annotations

import contextlib
import socket
import threading

from servers import HOST, PATIENCE


class Listener:
    """What comes to a UDP socket, or to a TCP one, packet by packet."""

    def __init__(self, protocol: str = "udp") -> None:
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind((HOST, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.port = self.socket.getsockname()[1]
        self.packets: list[bytes] = []
        self._connections: list[socket.socket] = []
        target = self._udp if protocol == "udp" else self._tcp
        if protocol == "tcp":
            self.socket.listen()
        self._thread = threading.Thread(target=target, daemon=True)
        self._thread.start()

    def _udp(self) -> None:
        with contextlib.suppress(OSError):
            while packet := self.socket.recv(65536):
                if packet.strip():  # the handler asks whether anybody is there
                    self.packets.append(packet)

    def _tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self._connections.append(connection)
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                self.packets.append(piece)

    @property
    def lines(self) -> list[str]:
        """All lines so far."""
        joined = b"\n".join(self.packets) if self._is_udp else b"".join(self.packets)
        return [line for line in joined.decode().split("\n") if line]

    @property
    def _is_udp(self) -> bool:
        return self.socket.type == socket.SOCK_DGRAM

    def close(self) -> None:
        """Stop listening, and hang up."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self._thread.join(PATIENCE)
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
