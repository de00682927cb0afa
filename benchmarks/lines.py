"""Samples a second into statsd, OpenTSDB and influx: ``python -m benchmarks.lines [ROUNDS]``.

Each handler sends rounds of counters to a sink on loopback, a process of its own that
reads and forgets; beside them statsd's own client, one call a packet and in pipelines,
does the same to the same sink. All take turns in one run, and the best turn counts:
times on a shared machine move by a factor of two, ratios hardly do.
"""

from __future__ import annotations

import http.server
import logging
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import statsd

from appmetrics.handlers.base import Handler
from appmetrics.handlers.influx import InfluxHandler
from appmetrics.handlers.opentsdb import OpenTsdbHandler
from appmetrics.handlers.statsd import StatsdHandler
from appmetrics.instruments import Timer
from appmetrics.testing import World

SERIES = 10_000
HOST = "127.0.0.1"


def _swallow(receiver: socket.socket) -> None:
    while receiver.recv(65536):
        pass


class _Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def sinks() -> Iterator[tuple[int, int]]:
    """The ports of a UDP and an HTTP sink."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((HOST, 0))
    web = http.server.ThreadingHTTPServer((HOST, 0), _Sink)
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_swallow, args=(udp,), daemon=True),
        context.Process(target=web.serve_forever, daemon=True),
    ]
    for process in processes:
        process.start()
    try:
        yield udp.getsockname()[1], web.server_address[1]
    finally:
        for process in processes:
            process.terminate()
            process.join()
        udp.close()
        web.server_close()


class Rounds:
    """A handler and a world of counters, each of which moves before every round."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.world = World()
        self.world.meter("shop").add_handler(handler)
        orders = self.world.meter("shop").counter("orders", labels=("shop",))
        orders.declaration.max_children = SERIES
        self.children = [orders.labels(f"shop-{number}") for number in range(SERIES)]
        self.world.advance(10)

    def __call__(self) -> int:
        for child in self.children:
            child.inc()
        self.world.clock.advance(10)
        before = self.handler.stats.sent
        self.world.advance()
        sent = self.handler.stats.sent - before
        assert sent >= SERIES, self.handler.stats.last_error
        return sent


class Observations:
    """A handler that is told of every single value of a timer."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.world = World()
        self.world.meter("shop").add_handler(handler)
        self.timer: Timer = self.world.meter("shop").timer("render")
        self.world.advance(10)

    def __call__(self) -> int:
        observe = self.timer.observe
        for _ in range(SERIES):
            observe(0.32)
        self.world.clock.advance(10)
        before = self.handler.stats.sent
        self.world.advance()
        sent = self.handler.stats.sent - before
        assert sent >= SERIES, self.handler.stats.last_error
        return SERIES


def main(rounds: int = 10) -> None:
    """Measure all in turns and print a table."""
    logging.disable()
    with sinks() as (udp, web):
        client = statsd.StatsClient(HOST, udp)
        url = f"http://{HOST}:{web}"

        def calls() -> int:
            for number in range(SERIES):
                client.incr(f"shop.orders.shop-{number}")
            return SERIES

        def timings() -> int:
            for _ in range(SERIES):
                client.timing("shop.render", 320)
            return SERIES

        def pipelined() -> int:
            with client.pipeline() as pipe:
                for number in range(SERIES):
                    pipe.incr(f"shop.orders.shop-{number}")
            return SERIES

        cases: dict[str, Callable[[], int]] = {
            "statsd's client, incr": calls,
            "statsd's client, timing": timings,
            "statsd's client, pipeline": pipelined,
            "statsd, rounds": Rounds(StatsdHandler(name="s", port=udp)),
            "statsd, observations": Observations(StatsdHandler(name="o", port=udp)),
            "influx, rounds": Rounds(InfluxHandler(name="i", url=url, database="d")),
            "influx, no gzip": Rounds(InfluxHandler(name="j", url=url, database="d", gzip=False)),
            "opentsdb, rounds": Rounds(OpenTsdbHandler(name="t", url=url)),
            "opentsdb, batch = 5000": Rounds(OpenTsdbHandler(name="u", url=url, batch=5000)),
        }
        best = dict.fromkeys(cases, 0.0)
        for _ in range(rounds):
            for name, case in cases.items():
                start = time.perf_counter()
                number = case()
                best[name] = max(best[name], number / (time.perf_counter() - start))
        client.close()
    base = best["statsd's client, incr"]
    print(f"{'':28}{'samples/s':>12}{'x client':>10}")
    for name, speed in best.items():
        print(f"{name:28}{speed:12,.0f}{speed / base:10.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
