"""Lines a second into the graphite handler, beside graphyte: ``python -m benchmarks.delivery``.

Both send the same series to the same sink on loopback, which only reads, in turns in
one run; each figure is the best of all rounds. Ours is given samples, as graphyte is
given values, and does all from there to the kernel: lines, backlog, socket; a "whole
round" also takes the differences to the last one, of thousands of series. graphyte's
is its interval mode: `send` of each value, and its thread sends them in batches.

Before that: what an outage of carbon, without a spool, costs the application's requests.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import graphyte

import appmetrics
from appmetrics import testing
from appmetrics.buckets import Distribution
from appmetrics.handlers.base import Batch
from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.sample import Series
from appmetrics.testing.rounds import batch

SERIES = 5_000
TARGET = 400_000
TIMES_GRAPHYTE = 4.0

#: Gives the next round, made ready; called, it sends it and returns the lines sent.
Way = Callable[[], Callable[[], int]]


class Result(NamedTuple):
    """One way of sending, and the lines a second that it did in its best round."""

    name: str
    rate: float


def swallow(connection: socket.socket, _: object) -> None:
    """Read until the end."""
    buffer = bytearray(1 << 20)
    with connection:
        while connection.recv_into(buffer):
            pass


@contextmanager
def sink() -> Iterator[int]:
    """The port of a process that reads all it gets and throws it away."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        pid = os.fork()
        if not pid:
            while True:
                threading.Thread(target=swallow, args=server.accept()).start()
        try:
            yield server.getsockname()[1]
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def ours(port: int, kind: str, whole: bool) -> Way:
    """Rounds of the graphite handler: from ready samples, or the ``whole`` way from readings."""
    handler = GraphiteHandler(port=port)
    labels = (("shop", "de"), ("status", "200"))
    value = Distribution.of([0.1, 0.2, 0.3]) if kind == "timer" else 1_000
    series = [Series(f"benchmark.part{number}", labels, kind) for number in range(SERIES)]
    one = batch([(each, value) for each in series])
    readings = one.readings
    lines = sum(len(handler.describe(each)) for each in series)
    number = 0

    def next_round() -> Callable[[], int]:
        nonlocal number, readings
        number += 1
        change = Distribution.of([0.25]) if kind == "timer" else number
        readings = [reading + change for reading in readings]
        start = one.time + 10 * number
        due = Batch(one.selection, readings, start, start)
        samples = () if whole else one.selection.samples(*due[1:], handler.prepare)

        def send() -> int:
            if whole:
                handler.handle(due)
            else:
                handler.emit(samples)
            assert handler.waiting == 0, handler.stats.last_error
            return lines

        return send

    return next_round


def theirs(port: int) -> Way:
    """Rounds of graphyte's interval mode."""
    names = [f"benchmark.part{number}.de.200.count" for number in range(SERIES)]

    def send() -> int:
        sender = graphyte.Sender("127.0.0.1", port, interval=0.01, queue_size=2 * SERIES)
        for number, name in enumerate(names):
            sender.send(name, number, 1_600_000_000)
        sender.stop()  # waits until all is sent
        return len(names)

    return lambda: send


def bare(port: int) -> Way:
    """The least that Python can do: a formatted line, joined and sent."""
    names = [f"benchmark.part{number}.de.200.count" for number in range(SERIES)]

    def send() -> int:
        data = "".join([f"{name} {1000!r} {1_600_000_000}\n" for name in names]).encode()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(data)
        return len(names)

    return lambda: send


def measure(rounds: int = 30) -> Sequence[Result]:
    """All ways in turns; the best round of each."""
    with sink() as port:
        ways = {
            "graphite, counters (3 lines)": ours(port, "counter", whole=False),
            "graphite, gauges (1 line)": ours(port, "gauge", whole=False),
            "graphite, timers (7 lines)": ours(port, "timer", whole=False),
            "whole round, counters": ours(port, "counter", whole=True),
            "whole round, gauges": ours(port, "gauge", whole=True),
            "whole round, timers": ours(port, "timer", whole=True),
            "graphyte, interval mode": theirs(port),
            "a bare formatted write": bare(port),
        }
        best = dict.fromkeys(ways, 0.0)
        for _ in range(rounds):
            for name, way in ways.items():
                send = way()
                start = time.perf_counter()
                lines = send()
                best[name] = max(best[name], lines / (time.perf_counter() - start))
    return [Result(*item) for item in best.items()]


def requests(port: int | None, seconds: float = 5.0) -> list[float]:
    """How long the metrics of one request take, sorted: 20 increments and a timer, while
    1,000 gauges go to a carbon at this port each second (None: to nobody)."""
    testing.reset()
    meter = appmetrics.get_meter("benchmark")
    for number in range(1_000):
        meter.gauge(f"gauge{number}").set(number)
    counter, timer = meter.counter("requests"), meter.timer("time")
    carbon = {"class": "graphite", "port": str(port), "buffer": "100k"}
    handlers = {"carbon": carbon if port else {"class": "null"}}
    appmetrics.dict_config(
        {"metrics": {"interval": "1", "handlers": "carbon"}, "handlers": handlers}
    )
    appmetrics.start()
    found: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        for _ in range(20):
            counter.inc()
        with timer.time():
            pass
        found.append(time.perf_counter() - start)
        time.sleep(0.0005)
    appmetrics.stop()
    return sorted(found)


def main(rounds: int = 30) -> None:
    """Measure and print two tables."""
    logging.disable()
    print(f"{'metrics of one request':32}{'median us':>12}{'99 % us':>10}{'99.9 % us':>12}")
    with sink() as port:
        cases = {"nobody is sent to": None, "carbon takes all": port, "carbon is away": 1}
        for name, where in cases.items():
            times = requests(where)
            shown = [1e6 * times[int(part * len(times))] for part in (0.5, 0.99, 0.999)]
            print(f"{name:32}{shown[0]:12.1f}{shown[1]:10.1f}{shown[2]:12.1f}")
    print()
    results = measure(rounds)
    peer = next(each.rate for each in results if each.name.startswith("graphyte"))
    print(f"{'':32}{'lines/s':>12}{'us/line':>10}{'x graphyte':>12}")
    for name, rate in results:
        print(f"{name:32}{rate:12,.0f}{1e6 / rate:10.2f}{rate / peer:12.1f}")
    print(f"target of the handler: {TARGET:,} lines/s and {TIMES_GRAPHYTE:g} times graphyte")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
