"""`Client`: sends events to a Riemann and asks its index, over bernhard's client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from . import _bernhard
from .events import Event, decoded, encoded
from .transport import MAX_DATAGRAM, ProtocolError, Refused, Tcp, Tls, Udp

#: What a Riemann answers that took a message: Msg(ok=True).
TAKEN = b"\x10\x01"
#: So many bytes of events go into one message; over UDP, what fits an Ethernet frame.
MAX_MESSAGE = {"tcp": 128 * 1024, "udp": 1400}


class Client:
    """A client of one Riemann; connects with the first call, and anew after an error.

    ``port`` is 5555, or 5554 with ``tls``, unless given. ``protocol`` is ``tcp`` or
    ``udp``; over UDP what is larger than a datagram, and every query, goes over TCP to
    the same port. ``timeout`` in seconds. All methods raise OSError if Riemann can't be
    reached or does not answer in time (`ProtocolError` if something else answers) and
    `Refused` with Riemann's own text. Not for several threads at once.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | None = None,
        *,
        protocol: str = "tcp",
        tls: Tls | None = None,
        timeout: float = 5.0,
    ) -> None:
        if protocol not in ("tcp", "udp"):
            raise ValueError(f"protocol: expected tcp or udp, not {protocol!r}")
        if tls and protocol == "udp":
            raise ValueError("protocol: TLS needs tcp")
        self.host = host
        self.port = port or (5554 if tls else 5555)
        self.protocol = protocol
        self.tls = tls
        self.timeout = timeout
        self._tcp = _bernhard.Client(host, self.port, transport=self._connected)
        self._udp: Udp | None = None

    def _connected(self, host: str, port: int) -> Tcp:
        return Tcp(host, port, timeout=self.timeout, tls=self.tls)

    def send(self, *events: Event | Mapping[str, Any]) -> None:
        """Send events; mappings have the fields of `Event` as keys.

        Returns when Riemann has taken all of them, which over UDP nobody knows.
        """
        given = (each if isinstance(each, Event) else Event(**each) for each in events)
        messages = packed(list(map(encoded, given)), MAX_MESSAGE[self.protocol])
        refusals = list(filter(None, self.send_messages(messages) if messages else ()))
        if refusals:
            raise Refused(refusals[0])

    def query(self, string: str) -> list[Event]:
        """The events of the index that a query finds: ``service =~ "shop %"``."""
        with self._over_tcp():
            answer = self._tcp.transmit(_bernhard.Message(query=string))
            refusal = _refusal(answer)
            found = [decoded(each.event) for each in answer.events]
        if refusal:
            raise Refused(refusal)
        return found

    def send_messages(self, messages: Sequence[bytes]) -> Iterator[str]:
        """Send messages that have been encoded, a number of them before the first answer.

        Gives for each, as soon as it is answered, why Riemann refused it; empty if it was
        taken. Abandoned before the last answer, it closes the connection.
        """
        if self.protocol == "udp":
            yield from map(self._as_datagram, messages)
            return
        with self._over_tcp():
            answers = self._tcp.connection.exchange(messages)
            for answer in islice(answers, len(messages) - 1):
                yield _meaning(answer)
            last = _meaning(next(answers))
        yield last

    def _as_datagram(self, message: bytes) -> str:
        if len(message) > MAX_DATAGRAM:
            with self._over_tcp():
                return _meaning(self._tcp.connection.write(message))
        if self._udp is None:
            self._udp = Udp(self.host, self.port, timeout=self.timeout)
        self._udp.write(message)
        return ""

    def connect(self) -> None:
        """Connect, unless there is a connection that still stands. Raises OSError."""
        if self._tcp.connection is not None and self._tcp.connection.gone:
            self._hang_up()
        if self._tcp.connection is None:
            self._tcp.connect()
        else:
            # Ours may be another one by now, such as what is left until the end.
            self._tcp.connection.timeout = self.timeout

    def close(self) -> None:
        """Close the connections; the next call opens them again. Never raises."""
        self._hang_up()
        if self._udp is not None:
            self._udp.close()
            self._udp = None

    def _hang_up(self) -> None:
        if self._tcp.connection is not None:
            self._tcp.disconnect()

    @contextlib.contextmanager
    def _over_tcp(self) -> Iterator[None]:
        """A connection that stands, and is closed if what is done with it fails."""
        self.connect()
        try:
            yield
        except BaseException as error:
            # Also if it was abandoned: answers may be under way, and would be taken for others.
            self._hang_up()
            if not isinstance(error, Exception) or isinstance(error, OSError):
                raise
            raise ProtocolError(f"an answer that is no message of Riemann's: {error}") from None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _meaning(answer: bytes) -> str:
    return "" if answer == TAKEN else _refusal(_bernhard.Message(raw=answer))


def _refusal(answer: Any) -> str:
    """Why Riemann refused what an answer is for; empty if it didn't."""
    if not answer.message.HasField("ok"):
        raise ProtocolError("an answer without ok: this is no Riemann")
    return "" if answer.ok else answer.error or "Riemann gave no reason"


def packed(parts: Sequence[bytes], limit: int) -> list[bytes]:
    """Encoded events, joined to messages of up to ``limit`` bytes; a larger one stays alone."""
    messages: list[bytes] = []
    waiting: list[bytes] = []
    length = 0
    for part in parts:
        if waiting and length + len(part) > limit:
            messages.append(b"".join(waiting))
            waiting, length = [], 0
        waiting.append(part)
        length += len(part)
    if waiting:
        messages.append(b"".join(waiting))
    return messages
