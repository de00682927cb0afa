"""What sharing costs: an increment, and a scrape of many workers, beside prometheus_client's.

Run as ``python -m benchmarks.sharing [ROUNDS]``. Workers are forked, count once in each of
their counters, and end; then both are scraped in turns, in one process, by their own means.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WORKERS = 8
COUNTERS = 1000
STEPS = 200_000


def main() -> None:
    """Print both comparisons."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder, "prometheus")
        theirs.mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(theirs)
        _increments(Path(folder, "increments"))
        _scrapes(Path(folder, "scrapes"), rounds)


def _least(call: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def _increments(folder: Path) -> None:
    import prometheus_client as peer

    import appmetrics
    from appmetrics.reporter import reporter

    class Empty:
        def method(self) -> None:
            pass

    private = appmetrics.get_meter("benchmark").counter("private")
    shared = appmetrics.get_meter("benchmark").counter("shared")
    calls = {"private": private.inc, "empty call": Empty().method}
    calls["prometheus_client, multi-process"] = peer.Counter("shared", "-").inc
    best = dict.fromkeys([*calls, "shared"], float("inf"))

    def measure(name: str, call: Callable[[], object]) -> None:
        def loop() -> None:
            for _ in range(STEPS):
                call()

        best[name] = min(best[name], _least(loop, 1) / STEPS * 1e9)

    for _ in range(5):
        for name, call in calls.items():
            measure(name, call)
    reporter.sharing.configure(str(folder), "leader", "")
    reporter.sharing.join()
    calls = {"shared": shared.inc, **{name: calls[name] for name in calls if name != "private"}}
    for _ in range(5):
        for name, call in calls.items():
            measure(name, call)
    reporter.stop()
    for name, nanoseconds in best.items():
        print(f"inc, {name:34} {nanoseconds:7.0f} ns  {nanoseconds / best['empty call']:5.1f} A")
    ratio = best["prometheus_client, multi-process"] / best["shared"]
    print(f"a shared increment is {ratio:.1f} times faster than prometheus_client's (budget: 8)")


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


def _scrapes(folder: Path, rounds: int) -> None:
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
        start = time.perf_counter()
        text = ours()
        first = time.perf_counter() - start
        assert f"benchmark_counter_7_total {WORKERS}\n".encode() in text
        assert f"counter_7_total {WORKERS}.0\n".encode() in theirs()
        best = {"ours": float("inf"), "theirs": float("inf")}
        for _ in range(rounds):
            best["ours"] = min(best["ours"], _least(ours, 1))
            best["theirs"] = min(best["theirs"], _least(theirs, 1))
    finally:
        for worker in workers:
            worker.communicate(b"")
    print(f"scrape of {WORKERS} workers x {COUNTERS} counters: {best['ours'] * 1e3:.1f} ms", end="")
    print(
        f" (the first one {first * 1e3:.1f}), prometheus_client {best['theirs'] * 1e3:.1f} ms:",
        end="",
    )
    print(f" {best['ours'] / best['theirs']:.2f} of it (budget: a third)")


if __name__ == "__main__":
    main()
