"""What sharing costs: an increment, and a scrape of many workers, beside prometheus_client's.

Measured in an interpreter of its own, since prometheus_client decides at its import whether
processes share. Workers are started, count once in each of their counters, and wait; then
both are scraped in turns, in one process, each by its own means.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .budgets import SHARED_INC, SHARED_SCRAPE
from .harness import Figure, Statement, fastest, listing, once

WORKERS = 8
COUNTERS = 1000


def figures() -> list[Figure]:
    """Prints and returns what another interpreter has measured."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, folder],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder},
            check=True,
            stdout=subprocess.PIPE,
        )
    found: dict[str, float] = json.loads(done.stdout)
    empty, theirs = found["empty"], found["their inc"]
    result = [
        Figure("counter.inc(), private", found["private"] * 1e9, "ns"),
        Figure("counter.inc(), shared", found["shared"] * 1e9, "ns"),
        Figure("counter.inc(), shared", found["shared"] / empty, "A", SHARED_INC[0]),
        Figure("counter.inc(), shared", theirs / found["shared"], "x prometheus", SHARED_INC[1]),
        Figure(f"{WORKERS} workers x {COUNTERS} counters", found["scrape"] * 1e3, "ms"),
        Figure("the same, for the first time", found["first scrape"] * 1e3, "ms"),
        Figure("prometheus_client, multi-process", found["their scrape"] * 1e3, "ms"),
        Figure("the scrape", found["scrape"] / found["their scrape"], "of its", SHARED_SCRAPE),
    ]
    print(listing(result))
    return result


def measured(folder: Path) -> dict[str, float]:
    """Seconds, by what they were taken for; prometheus_client's files are in ``folder``."""
    return {**_increments(folder / "increments"), **_scrapes(folder / "scrapes")}


def _increments(folder: Path) -> dict[str, float]:
    import prometheus_client as peer

    import appmetrics
    from appmetrics.hierarchy import Hierarchy
    from appmetrics.registry import Registry
    from appmetrics.sharing import Sharing

    class Empty:
        def method(self) -> None:
            pass

    hierarchy = Hierarchy(Registry())
    shared = hierarchy.get_meter("benchmark").counter("shared")
    sharing = Sharing(hierarchy, str(folder))
    sharing.join()
    private = appmetrics.get_meter("benchmark").counter("private")
    best = fastest(
        {
            "empty": Statement("o.method()", {"o": Empty()}),
            "private": Statement("c.inc()", {"c": private}),
            "shared": Statement("c.inc()", {"c": shared}),
            "their inc": Statement("c.inc()", {"c": peer.Counter("shared", "-")}),
        }
    )
    sharing.close()
    return best


_WORKER = """
import os, sys
import appmetrics
from appmetrics.reporter import reporter
import prometheus_client as peer
kind, folder, number = sys.argv[1:4]
ready = os.fdopen(int(sys.argv[4]), "w")
if kind == "ours":
    appmetrics.dict_config({"metrics": {"processes": folder}})
    meter = appmetrics.get_meter("benchmark")
    counters = [meter.counter(f"counter.{n}", "One of many") for n in range(int(number))]
    reporter.sharing.join()
else:
    counters = [peer.Counter(f"counter_{n}", "One of many") for n in range(int(number))]
for counter in counters:
    counter.inc()
ready.write("x")
ready.close()
sys.stdin.read()
"""


def _workers(kind: str, folder: Path) -> list[subprocess.Popen[bytes]]:
    started = []
    for _ in range(WORKERS):
        ready, told = os.pipe()
        command = [sys.executable, "-c", _WORKER, kind, str(folder), str(COUNTERS), str(told)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[told]))
        os.close(told)
        with os.fdopen(ready) as pipe:
            assert pipe.read() == "x"
    return started


def _scrapes(folder: Path) -> dict[str, float]:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    from appmetrics.hierarchy import Hierarchy
    from appmetrics.registry import Registry
    from appmetrics.reporter import Reporter
    from appmetrics.sharing import Sharing
    from appmetrics.wsgi import MetricsApp

    workers = _workers("ours", folder) + _workers("theirs", folder)
    try:
        hierarchy = Hierarchy(Registry())
        sharing = Sharing(hierarchy, str(folder))
        app = MetricsApp(reporter=Reporter(hierarchy, sharing))
        environ = {"REQUEST_METHOD": "GET", "QUERY_STRING": "", "PATH_INFO": "/metrics"}

        def ours() -> bytes:
            return b"".join(app(dict(environ), lambda *arguments: None))  # type: ignore[arg-type]

        def theirs() -> bytes:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)

        sharing.join()
        found = {"first scrape": once(ours, rounds=1)}
        assert f"benchmark_counter_7_total {WORKERS}\n".encode() in ours()
        assert f"counter_7_total {WORKERS}.0\n".encode() in theirs()
        best = fastest(
            {
                "scrape": Statement("f()", {"f": ours}),
                "their scrape": Statement("f()", {"f": theirs}),
            },
            rounds=10,
            steps=1,
        )
        sharing.close()
    finally:
        for worker in workers:
            worker.communicate(b"")
    return {**found, **best}


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1]))))
