"""The garbage collector's own numbers."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from appmetrics import collectors
from appmetrics.cells import LOCK_FREE
from appmetrics.testing import World
from servers import PATIENCE


@pytest.fixture
def world() -> Iterator[World]:
    """A world with the collector in it."""
    world = World()
    collectors.install(["garbage"], world.hierarchy)
    yield world
    collectors.uninstall(hierarchy=world.hierarchy)


class Loop:
    """Is set free by the garbage collector only."""

    def __init__(self) -> None:
        self.itself = self


def test_collections_are_counted(world: World) -> None:
    """A collection is one more of its generation, with its duration and what it found."""
    with world.capture() as captured:
        for _ in range(20):
            Loop()
        gc.collect()
    assert captured.value("python.gc.collections", generation=2) >= 1
    pause = captured.distribution("python.gc.pause", generation=2)
    assert pause.count == captured.value("python.gc.collections", generation=2)
    assert 0 < pause.sum < 10
    assert captured.value("python.gc.collected") >= 20
    assert captured.value("python.gc.uncollectable") == 0


def test_taken_out_it_counts_no_more(world: World) -> None:
    """After the collector was taken out, gc.callbacks has nothing of it."""
    before = len(gc.callbacks)
    collectors.uninstall(["garbage"], world.hierarchy)
    assert len(gc.callbacks) == before - 1
    with world.capture() as captured:
        gc.collect()
    assert captured.value("python.gc.collections") == 0


def test_a_collection_may_come_at_any_moment(world: World) -> None:
    """Nothing deadlocks or is lost when collections run in the middle of updates and rounds."""
    counter = world.meter("busy").counter("updates", labels=("key",))
    old = gc.get_threshold()

    def update() -> None:
        for number in range(300):
            counter.labels(number % 50).inc()
            Loop()

    gc.set_threshold(1, 1, 1)
    try:
        with world.capture() as captured:
            threads = [threading.Thread(target=update) for _ in range(3)]
            for thread in threads:
                thread.start()
            world.advance(10)
            for thread in threads:
                thread.join(PATIENCE)
    finally:
        gc.set_threshold(*old)
    assert sum(child.value for child in counter.own_points()) == 900
    if LOCK_FREE:  # others collect when they see fit
        assert captured.value("python.gc.collections") > 0


def test_the_end_of_the_interpreter_is_quiet() -> None:
    """With the collector still in, a process ends without a word."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from appmetrics.collectors import install; install(['garbage']); l = []; l.append(l)",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
