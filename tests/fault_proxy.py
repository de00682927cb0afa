"""`FaultProxy`: a TCP proxy that goes wrong in a chosen way, for tests of handlers.

It stands between a handler and its server, and with `FaultProxy.fault` is told what to
do from now on: nothing wrong, or one of `FAULTS`. It knows no protocol.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from servers import HOST, PATIENCE, free_port

#: What can go wrong, each with what a client sees of it.
FAULTS = {
    "refuse": "nobody listens",
    "hang": "the connection is never accepted, and attempts time out",
    "never read": "it is accepted, and nothing is ever read",
    "drip": "what is sent is read and passed on a byte at a time",
    "reset": "the connection is reset in the middle of what is sent",
    "take and die": "it reads all, passes nothing on, and closes",
    "garbage": "it answers what no server says",
    "slow close": "it stops reading, and closes long after",
}
#: Those of which a client learns by its timeout only.
SILENT = ("hang", "never read", "slow close")
_GARBAGE = b"\0\xff what?\n" * 1000


class FaultProxy:
    """Passes connections on to ``target``; listens on `port`. Use it in a ``with`` block.

    ``answers`` says whether the server answers, so that garbage comes in its answer's place.
    """

    def __init__(self, target: int, *, answers: bool = True) -> None:
        self.target = target
        self.answers = answers
        self.port = free_port()
        self.fault = ""
        #: Connections that were accepted.
        self.accepted = 0
        self._listener: socket.socket | None = None
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> FaultProxy:
        """Listen."""
        self._listen()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close all connections and wait for the threads."""
        self._ended.set()
        self._hang_up()
        for thread in self._threads:
            thread.join(PATIENCE)

    def break_(self, fault: str) -> None:
        """From now on do what ``fault`` says, also to connections that are open."""
        assert not fault or fault in FAULTS
        self.fault = fault
        if fault in ("refuse", "hang", "reset", "take and die"):
            # What is open ends, as with a server that is killed.
            self._hang_up()
            if fault != "refuse":
                self._listen()

    def mend(self) -> None:
        """Pass everything on again, over new connections."""
        # First of all, or what was held back till now would be passed on as well.
        self._hang_up()
        self.fault = ""
        self._listen()

    def _listen(self) -> None:
        if self._listener is not None:
            return
        # A backlog of none, for "hang": after the first, the kernel answers no more.
        listener = socket.create_server((HOST, self.port), backlog=0)
        self._listener = listener
        if self.fault == "hang":
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    filler.connect((HOST, self.port))
                self._keep(filler)
            return
        thread = threading.Thread(target=self._accept, args=(listener,))
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._keep(client)
            if self._listener is not listener:
                client.close()  # it came in while all were hung up
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        """One connection, from what it is sent to what it answers."""
        server: socket.socket | None = None
        with contextlib.suppress(OSError):
            server = socket.create_connection((HOST, self.target), timeout=PATIENCE)
            server.settimeout(None)  # a server may have nothing to say for long
            self._keep(server)
            if self.fault == "garbage" and not self.answers:
                client.sendall(_GARBAGE)
            answers = threading.Thread(target=self._answer, args=(server, client))
            self._threads.append(answers)
            answers.start()
            while not self._ended.is_set():
                if self.fault in ("never read", "slow close"):
                    self._ended.wait(0.02)
                    if self.fault == "slow close":
                        self._ended.wait(0.5)
                        break
                    continue
                data = client.recv(1 if self.fault == "drip" else 65536)
                if not data:
                    break
                if self.fault == "reset":
                    server.sendall(data[: len(data) // 2])
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                if self.fault == "take and die":
                    break
                server.sendall(data)
        for each in (client, server):
            if each is not None:
                if self.fault != "reset" or each is not client:
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)  # wakes who waits for it
                each.close()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(_GARBAGE if self.fault == "garbage" else data)
            client.shutdown(socket.SHUT_WR)

    def _keep(self, each: socket.socket) -> None:
        with self._lock:
            self._sockets.append(each)

    def _hang_up(self) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, []
        listener, self._listener = self._listener, None
        for each in (*sockets, *([listener] if listener else [])):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
