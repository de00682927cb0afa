"""Tests of handlers/memory.py."""

from __future__ import annotations

import threading
from pathlib import Path

from appmetrics.handlers.memory import MemoryHandler
from appmetrics.sample import Sample, Series
from appmetrics.testing.contract import HandlerContract
from appmetrics.testing.rounds import batch


class TestContract(HandlerContract):
    """The contract of all handlers."""

    def make_handler(self, tmp_path: Path) -> MemoryHandler:
        return MemoryHandler()

    def received(self) -> list[str]:
        return [repr(sample) for sample in self.handler.samples]


def test_keeps_samples_with_their_deltas() -> None:
    """A round's samples are there at once, in order, with value and delta."""
    handler = MemoryHandler()
    handler.put(batch([(Series("a", kind="counter"), 3), (Series("b"), 1.5)]))
    assert [(s.series.name, s.value, s.delta) for s in handler.samples] == [
        ("a", 3, 3),
        ("b", 1.5, None),
    ]


def test_runs_no_thread() -> None:
    """The reporter's own thread fills it."""
    handler = MemoryHandler()
    before = set(threading.enumerate())
    handler.start()
    assert set(threading.enumerate()) <= before


def test_the_oldest_samples_go_first() -> None:
    """No more than ``size`` samples are kept."""
    handler = MemoryHandler(size=2)
    handler.emit([Sample(Series(name), 1.0, 1) for name in "abc"])
    assert [sample.series.name for sample in handler.samples] == ["b", "c"]


def test_last_finds_the_newest_sample_of_a_series() -> None:
    """A name and labels in any order find the newest sample, or None."""
    handler = MemoryHandler()
    labels = (("shop", "de"), ("status", "200"))
    handler.emit([Sample(Series("a", labels), 1.0, number) for number in (1, 2)])
    newest = handler.last("a", status=200, shop="de")
    assert newest is not None
    assert newest.value == 2
    assert handler.last("a") is None


def test_clear_forgets() -> None:
    """After clear() nothing is kept."""
    handler = MemoryHandler()
    handler.emit([Sample(Series("a"), 1.0, 1)])
    handler.clear()
    assert handler.samples == []
