"""Events per second into a Riemann, beside bernhard's own: ``python -m benchmarks.riemann``.

Both send the same batches of events, each with host, service, metric, time, TTL and two
attributes, to a sink on the loopback that acknowledges each message: ours through the
handler, from a round's readings to the acknowledgement; bernhard's through its ``send``.
They take turns in one run, and the least time of each counts.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from appmetrics.handlers.base import Batch
from appmetrics.handlers.riemann import RiemannHandler
from appmetrics.riemann import _bernhard
from appmetrics.sample import Series
from appmetrics.testing.rounds import batch

BATCH = 1_000
TARGET = 150_000
TARGET_RATIO = 5


class _Acknowledge(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while len(head := self.rfile.read(4)) == 4:
            self.rfile.read(struct.unpack("!I", head)[0])
            self.wfile.write(b"\0\0\0\2\x10\1")


class Sink(socketserver.ThreadingTCPServer):
    """Takes framed messages and acknowledges each without a look at it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Acknowledge)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])


def gauges(number: int) -> Batch:
    """A round of gauges, one event each; its time is now."""
    pairs = [
        (
            Series("shop.queue.depth", (("queue", f"q{index}"), ("shop", "de"))),
            index if index % 2 else index / 7,
        )
        for index in range(number)
    ]
    return batch(pairs, time.time())


def events(number: int) -> list[dict[str, Any]]:
    """The same as bernhard takes them."""
    return [
        {
            "host": socket.gethostname(),
            "service": f"shop queue depth q{index} de",
            "metric": index if index % 2 else index / 7,
            "time": int(time.time()),
            "ttl": 3600.0,
            "attributes": {"queue": f"q{index}", "shop": "de"},
        }
        for index in range(number)
    ]


def main(rounds: int = 30) -> int:
    """Measure in turns and print a table; 1 if a target is missed."""
    sink = Sink()
    handler = RiemannHandler(port=sink.port, leaving=False, ttl=3600, timeout=30)
    client = _bernhard.Client("127.0.0.1", sink.port)
    many, few = gauges(10 * BATCH), gauges(BATCH)
    theirs = events(BATCH)
    cases: dict[str, tuple[int, Callable[[], object]]] = {
        f"ours, rounds of {10 * BATCH:,}": (10 * BATCH, lambda: handler.handle(many)),
        f"ours, rounds of {BATCH:,}": (BATCH, lambda: handler.handle(few)),
        f"bernhard's send of {BATCH:,}": (BATCH, lambda: client.send(*theirs)),
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, (number, call) in cases.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], (time.perf_counter() - start) / number)
    sent = rounds * 11 * BATCH
    assert handler.stats.sent == sent, f"{handler.stats.sent} of {sent} were taken"
    handler.stop()
    client.disconnect()
    sink.shutdown()
    sink.server_close()
    *ours, peer = best.values()
    for name, seconds in best.items():
        print(f"{name:26}{seconds * 1e6:8.2f} us an event{1 / seconds:12,.0f} events/s")
    rate, ratio = 1 / ours[1], peer / ours[1]
    print(f"events/s of {BATCH:,}: {rate:,.0f} (target {TARGET:,})")
    print(f"bernhard / ours: {ratio:.1f} (target {TARGET_RATIO})")
    return int(rate < TARGET or ratio < TARGET_RATIO)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
