"""A strict peer in Riemann's place: it takes what Riemann takes, and refuses the rest.

There is no Riemann for Debian, so this is one side of its wire, written from how the real
one behaves: framed messages and their answers in order, datagrams and their limit, TLS
that asks for a client's certificate, an index that forgets what outlived its TTL, queries.
`riemann-client` and syslog-ng are tested against it, so that it is not only right by its
own account. Nothing here knows our handler or client; of ours it uses the message classes.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from appmetrics.riemann import messages
from servers import HOST, Certificates, free_port, wait_for

MAX_DATAGRAM = 16384
DEFAULT_TTL = 60.0


class Taken(NamedTuple):
    """An event as Riemann understands it, and how it came: ``tcp``, ``udp`` or ``tls``."""

    host: str | None
    service: str | None
    state: str | None
    metric: float | None
    time: float
    ttl: float | None
    description: str | None
    tags: tuple[str, ...]
    attributes: dict[str, str]
    message: Any
    how: str

    def field(self, name: str) -> Any:
        """A field by its name in queries; None if there is none."""
        if name in ("host", "service", "state", "metric", "time", "ttl", "description"):
            return getattr(self, name)
        return self.attributes.get(name)


class RiemannServer:
    """Listens on ``port`` with TCP and UDP (with ``tls``: TCP only) from `start` to `stop`.

    ``refuse`` may give the text with which an event's message is refused. ``clock`` tells
    seconds since 1970. `events` are all that were taken, in order; `index` the newest each.
    """

    def __init__(
        self, tls: Certificates | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.host = HOST
        self.port = free_port()
        self.tls = tls
        self.clock = clock
        self.refuse: Callable[[Taken], str] = lambda event: ""
        self.events: list[Taken] = []
        self.index: dict[tuple[str | None, str | None], Taken] = {}
        #: Messages that could not be parsed, with the reason; their connection was closed.
        self.unreadable: list[str] = []
        self.connections = 0
        self.messages = 0
        self._lock = threading.Lock()
        self._running: list[Any] = []
        self._open: set[socket.socket] = set()

    # -- life ----------------------------------------------------------------

    def start(self) -> None:
        """Listen, on the same port each time."""
        for kind, handler in ((_Tcp, _Connection), (_Udp, _Datagram)):
            if kind is _Udp and self.tls:
                continue
            server: Any = kind((HOST, self.port), handler)
            server.peer = self
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            self._running.append((server, thread))

    def stop(self) -> None:
        """Close everything, connections too, as a Riemann that is killed does; what is being
        taken has been taken afterwards."""
        for server, thread in self._running:
            server.shutdown()
            thread.join()
            server.server_close()
        self._running.clear()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: not self._open, "the end of all connections")

    def serves(self, server: Any) -> bool:
        """Whether this listener has not been stopped."""
        return any(server is each for each, _ in list(self._running))

    def __enter__(self) -> RiemannServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- what it does with messages --------------------------------------------

    def answered(self, data: bytes, how: str) -> bytes:
        """The answer to one message. Raises DecodeError for what is none."""
        message = messages.Msg.FromString(data)
        answer = messages.Msg(ok=True)
        with self._lock:
            self.messages += 1
            for each in message.events:
                event = understood(each, self.clock(), how)
                error = self.refuse(event)
                if error:
                    return bytes(messages.Msg(ok=False, error=error).SerializeToString())
                self._take(event)
            if message.HasField("query"):
                try:
                    wanted = parsed(message.query.string)
                except ValueError as error:
                    failed = messages.Msg(ok=False, error=f"parse error: {error}")
                    return bytes(failed.SerializeToString())
                self._expire()
                found = (event for event in self.index.values() if wanted(event))
                answer.events.extend(event.message for event in found)
        return bytes(answer.SerializeToString())

    def _take(self, event: Taken) -> None:
        self.events.append(event)
        # What a query gives has a time, also if the sender gave none.
        event.message.time, event.message.time_micros = int(event.time), round(event.time * 1e6)
        key = (event.host, event.service)
        if event.state == "expired":
            self.index.pop(key, None)
        else:
            self.index[key] = event

    def _expire(self) -> None:
        now = self.clock()
        for key, event in list(self.index.items()):
            if now - event.time > (DEFAULT_TTL if event.ttl is None else event.ttl):
                del self.index[key]

    def alive(self) -> dict[tuple[str | None, str | None], Taken]:
        """The index, without what has outlived its TTL."""
        with self._lock:
            self._expire()
            return dict(self.index)

    @property
    def services(self) -> list[str]:
        """The services of all events, in order."""
        return [event.service or "" for event in list(self.events)]

    def event(self, service: str) -> Taken:
        """The newest event of a service. Raises AssertionError if there is none."""
        found = [event for event in list(self.events) if event.service == service]
        assert found, f"no {service!r} among {sorted(set(self.services))}"
        return found[-1]


def understood(message: Any, now: float, how: str) -> Taken:
    """An event by Riemann's rules of decoding."""
    metric = None
    for name in ("metric_sint64", "metric_d", "metric_f"):
        if metric is None and message.HasField(name):
            metric = getattr(message, name)
    moment = now
    if message.HasField("time_micros"):
        moment = message.time_micros / 1e6
    elif message.HasField("time"):
        moment = message.time

    def own(name: str) -> Any:
        return getattr(message, name) if message.HasField(name) else None

    fields = {name: own(name) for name in ("host", "service", "state", "ttl", "description")}
    extra = {each.key: each.value for each in message.attributes}
    for name in ("tags", "time", "ttl", "metric"):
        extra.pop(name, None)
    # An attribute named as a field replaces it: nothing in Riemann keeps them apart.
    for name in ("host", "service", "state", "description"):
        fields[name] = extra.pop(name, fields[name])
    return Taken(
        metric=metric,
        time=moment,
        tags=tuple(message.tags),
        attributes=extra,
        message=message,
        how=how,
        **fields,
    )


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    peer: RiemannServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or speaks no TLS, is its own business."""


class _Udp(socketserver.UDPServer):
    max_packet_size = 65536
    peer: RiemannServer


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        peer: RiemannServer = self.server.peer  # type: ignore[attr-defined]
        connection = self.request
        if peer.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(peer.tls.certfile, peer.tls.keyfile)
            context.load_verify_locations(peer.tls.cafile)
            context.verify_mode = ssl.CERT_REQUIRED
            connection = context.wrap_socket(connection, server_side=True)
        peer._open.add(connection)
        try:
            if not peer.serves(self.server):
                return  # it was stopped meanwhile
            with peer._lock:
                peer.connections += 1
            with connection.makefile("rb") as stream:
                while len(head := stream.read(4)) == 4:
                    data = stream.read(struct.unpack("!I", head)[0])
                    try:
                        answer = peer.answered(data, "tls" if peer.tls else "tcp")
                    except Exception as error:  # the decoder's own error has no stable class
                        peer.unreadable.append(str(error))
                        return
                    connection.sendall(struct.pack("!I", len(answer)) + answer)
        finally:
            peer._open.discard(connection)
            with contextlib.suppress(OSError):
                connection.close()


class _Datagram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        peer: RiemannServer = self.server.peer  # type: ignore[attr-defined]
        data = self.request[0][:MAX_DATAGRAM]
        try:
            peer.answered(data, "udp")
        except Exception as error:
            peer.unreadable.append(str(error))


# -- queries -------------------------------------------------------------------

Wanted = Callable[[Taken], bool]

_TOKEN = re.compile(
    r"""[\s,]*(?:(?P<mark>[()])|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>[^\s,()"]+))""", re.DOTALL
)
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS: dict[str, Any] = {"true": True, "false": False, "nil": None, "null": None}
_OPERATORS = ("=", "!=", "<", ">", "<=", ">=", "=~", "~=")


class _Field(NamedTuple):
    name: str


def parsed(query: str) -> Wanted:
    """A query as a function; raises ValueError. Names swallow operators, as in Riemann:
    ``metric>2`` is a field of that name."""
    tokens = []
    position = 0
    rest = query.rstrip(" \t\r\n,")
    while position < len(rest):
        match = _TOKEN.match(rest, position)
        if match is None:
            raise ValueError(f"unexpected {rest[position:][:20]!r}")
        tokens.append(match["mark"] or match["text"] or match["word"])
        position = match.end()
    parser = _Parser(tokens)
    wanted = parser.alternatives()
    if parser.tokens:
        raise ValueError(f"unexpected {parser.tokens[0]!r}")
    return wanted


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def taken(self, *words: str) -> str:
        """The next token if it is one of these, else nothing."""
        return self.tokens.pop(0) if self.tokens and self.tokens[0] in words else ""

    def next(self) -> str:
        if not self.tokens:
            raise ValueError("it ends too early")
        return self.tokens.pop(0)

    def alternatives(self) -> Wanted:
        parts = [self.conjunction()]
        while self.taken("or"):
            parts.append(self.conjunction())
        return lambda event: any(part(event) for part in parts)

    def conjunction(self) -> Wanted:
        parts = [self.single()]
        while self.taken("and"):
            parts.append(self.single())
        return lambda event: all(part(event) for part in parts)

    def single(self) -> Wanted:
        if self.taken("not"):
            inner = self.single()
            return lambda event: not inner(event)
        if self.taken("("):
            inner = self.alternatives()
            if not self.taken(")"):
                raise ValueError("a parenthesis is open")
            return inner
        if self.taken("tagged"):
            tag = _value(self.next())
            return lambda event: tag in event.tags
        left = _value(self.next())
        operator = self.taken(*_OPERATORS)
        if not operator:
            return lambda event: bool(_of(event, left))
        right = _value(self.next())
        if operator in ("<", ">", "<=", ">=") and not isinstance(right, (int, float)):
            raise ValueError(f"{operator} needs a number")
        if operator in ("=~", "~=") and not isinstance(right, str):
            raise ValueError(f"{operator} needs a string")
        return lambda event: _holds(operator, _of(event, left), _of(event, right))


def _value(token: str) -> Any:
    if token[0] == '"':
        escapes = {"n": "\n", "t": "\t"}
        return re.sub(r"\\(.)", lambda m: escapes.get(m[1], m[1]), token[1:-1], flags=re.DOTALL)
    if token in _WORDS:
        return _WORDS[token]
    if _NUMBER.fullmatch(token):
        return int(token) if re.fullmatch(r"[+-]?[0-9]+", token) else float(token)
    if token in _OPERATORS or token in "()" or re.search(r"[/:#@~%\[\]{}']", token):
        raise ValueError(f"{token!r} is no name")
    return _Field(token)


def _of(event: Taken, value: Any) -> Any:
    return event.field(value.name) if isinstance(value, _Field) else value


def _holds(operator: str, left: Any, right: Any) -> bool:
    if operator in ("=", "!="):
        # An integer is not equal to a float.
        return (type(left) is type(right) and left == right) == (operator == "=")
    if operator in ("=~", "~="):
        if not isinstance(left, str):
            return False
        if operator == "~=":
            return re.search(right, left) is not None
        pattern = ".*".join(map(re.escape, right.split("%")))
        return re.fullmatch(pattern, left, re.DOTALL) is not None
    if not isinstance(left, (int, float)):
        return False
    return {
        "<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right,
    }[operator]  # fmt: skip
