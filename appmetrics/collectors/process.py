"""``process``: CPU time, memory, file descriptors, threads and uptime of this process.

Read with psutil where that is installed, else from Linux' ``/proc``; elsewhere
there is only what Python itself knows. Read once per round, by gauge callbacks.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..hierarchy import Hierarchy
from ..instruments import Counter, Gauge
from .gauges import silence

try:
    import psutil
except ImportError:
    psutil = None


def install(hierarchy: Hierarchy) -> Callable[[], None]:
    """Declare ``process.*`` and read it from now on; returns what ends that."""
    meter = hierarchy.get_meter("process")
    cpu = meter.counter("cpu", "Processor time used, user and system", unit="seconds")
    source = best_source()
    counting = CpuTime(cpu)
    gauges: list[Gauge] = []

    def gauge(
        name: str, help: str, read: Callable[[], float], unit: str = "", merge: str = "sum"
    ) -> None:
        try:
            read()
        except Exception:
            # Not known on this platform: no series, rather than a complaint each round.
            return
        gauges.append(meter.gauge(name, help, unit=unit, merge=merge, callback=read))

    def uptime() -> float:
        # A counter has no callback. This gauge is asked before a round reads
        # anything, and is on whenever the counter is: same meter, same level.
        counting.count()
        return source.age()

    gauge("resident_memory", "Physical memory used", source.resident_memory, "bytes")
    gauge("open_fds", "Open file descriptors", source.open_fds)
    gauge("max_fds", "Most file descriptors that may be open", max_fds, merge="min")
    gauge("threads", "Threads of the operating system", source.threads)
    gauge("uptime", "Time since the process began", uptime, "seconds", merge="max")
    return lambda: silence(gauges)


class CpuTime:
    """Brings a counter of CPU seconds up to date."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._pid = os.getpid()
        self._seen = 0.0

    def count(self) -> None:
        """Add what was used since the last call, at first since the process began."""
        now = time.process_time()
        if self._pid != os.getpid():
            # A forked child begins at zero.
            self._pid, self._seen = os.getpid(), 0.0
        used, self._seen = now - self._seen, now
        self._counter.inc(max(0.0, used))


class Source:
    """What Python itself knows."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def resident_memory(self) -> float:
        """Bytes."""
        raise NotImplementedError

    def open_fds(self) -> float:
        """How many there are."""
        raise NotImplementedError

    def threads(self) -> float:
        """Those that Python has started, if no more can be known."""
        return threading.active_count()

    def age(self) -> float:
        """Seconds since the process began, or at least since the collector did."""
        return time.monotonic() - self._began


class ProcSource(Source):
    """Linux' ``/proc/self``, which is always about the process that asks; see proc(5)."""

    def resident_memory(self) -> float:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_fds(self) -> float:
        # Listing the folder opens one.
        return len(os.listdir("/proc/self/fd")) - 1

    def threads(self) -> float:
        return int(self._stat()[17])

    def age(self) -> float:
        since_boot = int(self._stat()[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)

    @staticmethod
    def _stat() -> list[bytes]:
        # After the name of the program, which may contain blanks and brackets.
        return Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()


class PsutilSource(Source):
    """What psutil knows; on every platform."""

    def resident_memory(self) -> float:
        return float(self._process().memory_info().rss)

    def open_fds(self) -> float:
        return float(self._process().num_fds())

    def threads(self) -> float:
        return float(self._process().num_threads())

    def age(self) -> float:
        return max(0.0, time.time() - float(self._process().create_time()))

    @staticmethod
    def _process() -> psutil.Process:
        # Made anew each time: it is cheap, and a forked child is another process.
        return psutil.Process()


def best_source() -> Source:
    """The one that knows most here."""
    if psutil is not None:
        return PsutilSource()
    return ProcSource() if Path("/proc/self/statm").exists() else Source()


def max_fds() -> float:
    """The soft limit. Raises OverflowError if there is none."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        raise OverflowError("file descriptors are not limited")
    return limit
