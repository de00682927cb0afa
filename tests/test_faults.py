"""Handlers of network targets, and one fault after the other between them and their server.

A handler joins by a class of `TargetUnderTest` in `TARGETS`.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from appmetrics.handlers.base import Handler
from appmetrics.handlers.delivery import NetworkHandler
from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.handlers.influx import InfluxHandler
from appmetrics.handlers.opentsdb import OpenTsdbHandler
from appmetrics.sample import Sample, Series
from appmetrics.testing.rounds import batch
from fault_proxy import FAULTS, SILENT, FaultProxy
from http_target import HttpTarget
from servers import HOST, PATIENCE, wait_for

START = 1_600_000_000
SERIES = 50
#: Rounds before, during and after the fault.
PHASES = (3, 5, 3)


class TargetUnderTest:
    """A handler and a server of its kind, which keeps what it is sent."""

    #: Whether the server answers.
    answers = True

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    @contextmanager
    def server(self) -> Iterator[int]:
        """Run the server; gives its port."""
        raise NotImplementedError
        yield

    def handler(self, port: int, **common: Any) -> NetworkHandler:
        """A handler that sends to that port."""
        raise NotImplementedError

    def points(self) -> list[tuple[str, int, float]]:
        """(name, second, value) of all that has arrived whole, as often as it has arrived."""
        raise NotImplementedError


class Graphite(TargetUnderTest):
    """Lines over TCP, which nobody acknowledges."""

    answers = False

    @contextmanager
    def server(self) -> Iterator[int]:
        taken = self.taken

        class Take(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                # As carbon: a line counts when its end has come.
                for line in self.rfile:
                    if line.endswith(b"\n"):
                        taken.append(line)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """A connection that is reset is what these tests are about."""

        with Server((HOST, 0), Take) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield server.server_address[1]
            finally:
                server.shutdown()
                thread.join()

    def handler(self, port: int, **common: Any) -> NetworkHandler:
        return GraphiteHandler(port=port, **common)

    def points(self) -> list[tuple[str, int, float]]:
        words = [line.split() for line in list(self.taken)]
        return [(name.decode(), int(when), float(value)) for name, value, when in words]


class Http(TargetUnderTest):
    """An HTTP server that confirms each request."""

    @contextmanager
    def server(self) -> Iterator[int]:
        with HttpTarget() as target:
            self.target = target
            yield target.port


class Influx(Http):
    """Line protocol over HTTP."""

    def handler(self, port: int, **common: Any) -> NetworkHandler:
        return InfluxHandler(url=f"http://{HOST}:{port}", database="test", **common)

    def points(self) -> list[tuple[str, int, float]]:
        lines = b"".join(self.target.bodies).decode().splitlines()
        words = [re.split(" value=| ", line) for line in lines]
        return [(name, int(when) // 1000, float(value)) for name, value, when in words]


class OpenTsdb(Http):
    """JSON over HTTP."""

    def handler(self, port: int, **common: Any) -> NetworkHandler:
        return OpenTsdbHandler(url=f"http://{HOST}:{port}", **common)

    def points(self) -> list[tuple[str, int, float]]:
        points = [point for body in self.target.bodies for point in json.loads(body)]
        return [(point["metric"], point["timestamp"], float(point["value"])) for point in points]


TARGETS = {"graphite": Graphite, "influx": Influx, "opentsdb": OpenTsdb}


class Counting(Handler):
    """Another handler, with a worker of its own."""

    def emit(self, samples: Sequence[Sample]) -> None:
        """Nothing can fail here."""


class Sender:
    """Plays the application: puts rounds into a handler and into another one beside it."""

    def __init__(self, tested: Handler) -> None:
        self.tested, self.other = tested, Counting(name="other")
        handlers = self.handlers = (self.tested, self.other)
        names = [Series(f"shop.part{number}") for number in range(SERIES)]
        self.batches = {id(handler): batch([(name, 0) for name in names]) for handler in handlers}
        self.second = 0

    def start(self) -> None:
        """Start both."""
        for handler in self.handlers:
            handler.start()

    def stop(self) -> None:
        """Stop both."""
        assert [handler.stop(PATIENCE) for handler in self.handlers] == [True, True]

    def rounds(self, many: int) -> None:
        """So many rounds, each a second later by its time."""
        for _ in range(many):
            when = START + self.second
            for handler in self.handlers:
                one = self.batches[id(handler)]
                readings = [self.second * SERIES + place for place in range(SERIES)]
                due = one._replace(readings=readings, time=when, monotonic=float(when))
                handler.put(due)
            self.second += 1
            # The other one has it, whatever the tested one is waiting for.
            wait_for(lambda: self.other.stats.sent == self.second * SERIES, "the other handler")
            # An attempt takes up to `timeout`; so many rounds may wait meanwhile.
            wait_for(lambda: len(self.tested._worker.rounds) < 4, "the queue")

    def expected(self) -> set[tuple[str, int, float]]:
        """All points that were made."""
        return {
            (f"shop.part{place}", START + second, float(second * SERIES + place))
            for second in range(self.second)
            for place in range(SERIES)
        }


@pytest.mark.parametrize("target", list(TARGETS))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_nothing(target: str, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, all that was made arrives, at most the last batches twice; no round
    is late for another handler, and the application is never held up."""
    kind = TARGETS[target]()
    with kind.server() as port, FaultProxy(port, answers=kind.answers) as proxy:
        handler = kind.handler(proxy.port, name="tested", timeout=PATIENCE, jitter=lambda: 0.0)
        sender = Sender(handler)
        sender.start()
        try:
            before, during, after = PHASES
            sender.rounds(before)
            wait_for(lambda: len(set(kind.points())) == before * SERIES, "the first rounds")
            if fault in SILENT:
                handler.timeout = 0.3
            proxy.break_(fault)
            sender.rounds(during)
            handler.timeout = PATIENCE
            proxy.mend()
            sender.rounds(after)
            wait_for(lambda: sender.expected() == set(kind.points()), "all points")
            assert handler.flush(PATIENCE)
        finally:
            sender.stop()
    assert handler.stats.dropped == 0
    assert handler.stats.sent == len(sender.expected())
    doubles = len(kind.points()) - len(set(kind.points()))
    # Those that were repeated, and what each attempt had passed on before it failed. Over HTTP,
    # one is no error where a connection was kept that ends: as the fault begins, and as it ends.
    failed = handler.stats.errors + 2
    assert doubles <= handler.resent + failed * during * SERIES
    levels = [record.levelname for record in caplog.records if "tested (" in record.message]
    assert levels.count("WARNING") <= 2, caplog.messages


def test_a_name_that_has_no_address_is_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """What can't be resolved is kept, and one line says why."""
    handler = GraphiteHandler(host="no-such-host.invalid", name="carbon", timeout=0.5)
    handler.handle(batch([(Series("a"), 1)]))
    assert (handler.waiting, handler.stats.dropped) == (1, 0)
    (message,) = caplog.messages
    assert message.startswith("carbon (no-such-host.invalid:2003) has no address since ")
    handler.stop(1)


def test_a_restart_that_nobody_noticed_is_repeated() -> None:
    """A carbon that went between two rounds gets the last two batches again, counted apart."""
    kind = Graphite()
    with kind.server() as port, FaultProxy(port, answers=kind.answers) as proxy:
        handler = kind.handler(proxy.port, name="tested", timeout=PATIENCE)
        sender = Sender(handler)
        sender.start()
        try:
            sender.rounds(3)
            wait_for(lambda: len(kind.points()) == 3 * SERIES, "the first rounds")
            kind.taken.clear()  # the server had it in memory, and was killed
            proxy.mend()
            sender.rounds(1)
            assert handler.flush(PATIENCE)
        finally:
            sender.stop()
        wait_for(lambda: len(kind.points()) == 4 * SERIES, "the last batches again")
    assert (handler.stats.sent, handler.resent) == (4 * SERIES, 3 * SERIES)


def test_a_proxy_passes_on_both_ways() -> None:
    """Without a fault, the proxy changes nothing."""

    class Echo(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.readline())

    with socketserver.TCPServer((HOST, 0), Echo) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        with (
            FaultProxy(server.server_address[1]) as proxy,
            socket.create_connection((HOST, proxy.port), PATIENCE) as connection,
            connection.makefile("rb") as answer,
        ):
            connection.sendall(b"hello\n")
            assert answer.read() == b"hello\n"
        thread.join(PATIENCE)
