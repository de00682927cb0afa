"""How much longer a request takes while everything is scraped.

The request gives up the interpreter's lock 20 times, as one that asks a database does.
Beside it another thread scrapes 100,000 series over and over, as if they were known or
as a process does it the first time, and sends each chunk into a socket, as a web server
does; 500,000 objects of an application are alive, which is
what the garbage collector would have to look through.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterable

from prometheus_client import generate_latest

from appmetrics.testing import World

from . import many
from .budgets import LATENCY
from .harness import Figure, listing

SERIES, OBJECTS, RELEASES, REQUESTS = 100_000, 500_000, 20, 60


def request() -> float:
    """Seconds that a request takes that waits 20 times."""
    start = time.perf_counter()
    for _ in range(RELEASES):
        time.sleep(0.0001)
    return time.perf_counter() - start


def meanwhile(scrape: Callable[[], Iterable[bytes]] | None) -> tuple[list[float], int]:
    """The requests' times while something is scraped again and again, and how often it was."""
    reading, writing = socket.socketpair()
    done = threading.Event()
    scrapes = 0

    def drain() -> None:
        while reading.recv(1 << 20):
            pass

    def work() -> None:
        nonlocal scrapes
        while scrape is not None and not done.is_set():
            for chunk in scrape():
                writing.sendall(chunk)
            scrapes += 1

    threads = [threading.Thread(target=drain), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    times: list[float] = []
    while len(times) < REQUESTS or (scrape is not None and scrapes < 5):
        times.append(request())
    done.set()
    threads[1].join()
    writing.close()
    threads[0].join()
    reading.close()
    return times, scrapes


def figures() -> list[Figure]:
    """Prints and returns what is added to a request's time."""
    alive = [[index] for index in range(OBJECTS)]
    world = World()
    many.counters(world, SERIES)
    app = many.application(world)
    many.scraped(app)
    registry = many.their_counters(SERIES)
    environ = {"REQUEST_METHOD": "GET", "QUERY_STRING": "format="}

    def ours(format: str) -> Callable[[], Iterable[bytes]]:
        given = {**environ, "QUERY_STRING": f"format={format}"}
        return lambda: app(given, lambda status, headers: None)  # type: ignore[arg-type]

    def first() -> Iterable[bytes]:
        # After a change of routing nothing is known of any series, as in a new process.
        world.hierarchy.changed()
        return many.scraped(many.application(world), "format=prometheus")

    alone, _ = meanwhile(None)
    base = statistics.median(alone)
    result = [Figure("a request alone, median", base * 1e3, "ms")]
    for name, scrape in (
        ("text", ours("prometheus")),
        ("OpenMetrics", ours("openmetrics")),
        ("first text", first),
        ("JSON of the page", ours("series")),
        ("JSON as scales has it", ours("json")),
        ("prometheus_client", lambda: [generate_latest(registry)]),
    ):
        times, _ = meanwhile(scrape)
        added = [seconds - base for seconds in times]
        budget = None if name == "prometheus_client" else LATENCY
        result.append(
            Figure(f"added by {name}, median", statistics.median(added) * 1e3, "ms", budget)
        )
        nearly_all = statistics.quantiles(added, n=20)[-1]
        result.append(Figure(f"added by {name}, 95 of 100", nearly_all * 1e3, "ms"))
    print(listing(result))
    del alive
    return result
