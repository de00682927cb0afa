"""The process collector, with psutil and without."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from appmetrics import collectors
from appmetrics.collectors import process
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.testing import World
from servers import PATIENCE, untraced, wait_for

SOURCES: dict[str, type[process.Source]] = {
    "psutil": process.PsutilSource,
    "proc": process.ProcSource,
}


@pytest.fixture(params=sorted(SOURCES))
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> process.Source:
    """Each source that there is on this machine, as the one that is used."""
    if request.param == "psutil" and process.psutil is None:
        pytest.skip("psutil is not installed")
    if request.param == "proc" and not Path("/proc/self/statm").exists():
        pytest.skip("there is no /proc here")
    made = SOURCES[request.param]()
    monkeypatch.setattr(process, "best_source", lambda: made)
    return made


@pytest.fixture
def memory() -> MemoryHandler:
    """What a world with the collector has sent is here."""
    return MemoryHandler(name="memory")


@pytest.fixture
def world(memory: MemoryHandler) -> World:
    """A world with a handler."""
    world = World()
    world.meter().add_handler(memory)
    return world


def burn(seconds: float) -> None:
    """Use CPU time of this process."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_it_tells_about_this_process(
    source: process.Source, world: World, memory: MemoryHandler
) -> None:
    """Every number is there and of the right size, in base units."""
    collectors.install(["process"], world.hierarchy)
    world.advance(10)
    values = {s.series.name: s.value for s in memory.samples if s.series.name.startswith("process")}
    assert values.keys() == {
        "process.cpu",
        "process.resident_memory",
        "process.open_fds",
        "process.max_fds",
        "process.threads",
        "process.uptime",
    }
    assert 1e6 < values["process.resident_memory"] < 1e11
    assert 3 <= values["process.open_fds"] <= values["process.max_fds"]
    assert 0 < values["process.cpu"] <= time.process_time()
    assert 0 < values["process.uptime"] < 1e6
    assert values["process.threads"] >= threading.active_count() - 1


def test_open_files_are_counted_exactly(source: process.Source) -> None:
    """One more open file is one more descriptor."""

    def exact() -> bool:
        before = source.open_fds()
        with Path(os.devnull).open():
            assert source.open_fds() == before + 1
        return source.open_fds() == before

    # What other tests have left may be closed just then.
    wait_for(exact)


def test_cpu_time_is_a_counter(world: World, memory: MemoryHandler) -> None:
    """What is used between two rounds is what the counter grows by."""
    collectors.install(["process"], world.hierarchy)
    world.advance(10)
    before = time.process_time()
    burn(0.05)
    world.advance(10)
    sample = memory.last("process.cpu")
    assert sample
    assert sample.series.kind == "counter"
    assert sample.series.unit == "seconds"
    assert 0.05 <= sample.delta <= time.process_time() - before + 0.2


def test_a_forked_child_counts_its_own_cpu_time() -> None:
    """The child's counter grows by what the child has used, not by what its parent had."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            """
import os, time
from appmetrics import collectors
from appmetrics.collectors.process import CpuTime
from appmetrics.testing import World

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

counter = World().meter().counter("cpu")
cpu = CpuTime(counter)
burn(0.3)
cpu.count()
if os.fork() == 0:
    counter.reset()
    burn(0.05)
    cpu.count()
    os._exit(0 if 0.05 <= counter.value < 0.25 else 1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
""",
        ],
        env={**untraced(), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


def test_taken_out_it_says_no_more(world: World, memory: MemoryHandler) -> None:
    """After the collector was taken out its gauges are not sent; put in again, they are."""
    collectors.install(["process"], world.hierarchy)
    world.advance(10)
    collectors.uninstall(["process"], world.hierarchy)
    memory.clear()
    world.advance(10)
    assert memory.last("process.threads") is None
    collectors.install(["process"], world.hierarchy)
    world.advance(10)
    assert memory.last("process.threads")


def test_what_is_not_known_has_no_series(
    monkeypatch: pytest.MonkeyPatch, world: World, memory: MemoryHandler
) -> None:
    """On a platform without psutil and /proc there is only what Python knows."""
    monkeypatch.setattr(process, "best_source", process.Source)
    collectors.install(["process"], world.hierarchy)
    world.advance(10)
    assert memory.last("process.threads")
    assert memory.last("process.uptime")
    assert memory.last("process.open_fds") is None
    assert world.hierarchy.registry.instruments.keys().isdisjoint({"process.resident_memory"})
