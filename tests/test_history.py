"""Tests of handlers/history.py: a handler with a spool, its end, its restart and its successor."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from appmetrics.config import check_file
from appmetrics.handlers.history import HistoryHandler
from appmetrics.sample import Sample, Series
from appmetrics.testing import ManualClock
from appmetrics.testing.rounds import batch
from servers import PATIENCE, wait_for


class Target(HistoryHandler):
    """A payload for each sample; ``away`` says whether sending fails."""

    def __init__(self, **common: Any) -> None:
        super().__init__(name="tested", jitter=lambda: 1.0, **common)
        self.away = False
        self.arrived: list[str] = []

    def encode(self, samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        for sample in samples:
            yield sample.series.name.encode(), 1

    def send(self, payload: bytes) -> None:
        if self.away:
            raise ConnectionRefusedError
        self.arrived.append(payload.decode())

    def target(self) -> str:
        return "there:1"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the spool is."""
    return str(tmp_path / "spool")


def emit(handler: Target, *names: str) -> None:
    """One round of gauges."""
    handler.handle(batch([(Series(name), 1) for name in names]))


def test_what_waits_outlives_the_handler(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """What a handler could not send is sent by the next one with that spool."""
    first = Target(spool=path, clock=ManualClock())
    first.away = True
    emit(first, "a", "b")
    assert (first.waiting, first.spooled) == (2, 2)
    assert first.stop(PATIENCE)
    assert first.stats.dropped == 0
    assert "2 samples kept on disk, 0 lost" in caplog.messages[-1]
    second = Target(spool=path, clock=ManualClock())
    second._worker.open()  # as its worker does, or nothing closes the spool
    assert second.idle() is None
    assert second.arrived == ["a", "b"]
    assert (second.stats.sent, second.waiting, second.spooled) == (2, 0, 0)
    assert second.stop(PATIENCE)


def test_new_data_interrupts_a_long_backlog(path: str) -> None:
    """While a backlog is sent to a slow target, new rounds go before the rest of it."""
    handler = Target(spool=path, replay=0)
    handler.away = True
    emit(handler, *(f"old{number}" for number in range(200)))
    handler.away = False
    handler._pauses.end()
    send = handler.send

    def slow(payload: bytes) -> None:
        if payload == b"old40":
            handler._worker.rounds.append(batch([(Series("new"), 1)]))
        send(payload)

    handler.send = slow  # type: ignore[method-assign]
    while handler.queued:
        handler.idle()
        handler.flush(0)  # works off rounds, as the worker does
    assert handler.arrived.index("new") < 100
    assert len(handler.arrived) == 201
    assert handler.stop(PATIENCE)


def test_the_end_does_not_wait_for_what_is_safe(path: str) -> None:
    """At the end only new data is sent; the rest of a backlog stays in the spool."""
    clock = ManualClock()
    handler = Target(spool=path, replay=1, clock=clock)
    handler.away = True
    emit(handler, "a", "b", "c", "d")
    handler.away = False
    clock.advance(10)
    handler.idle()
    emit(handler, "new")
    assert handler.stop(PATIENCE)
    assert "new" in handler.arrived
    assert len(handler.arrived) < 5
    assert handler.stats.dropped == 0
    again = Target(spool=path, replay=0)
    again._worker.open()
    again.idle()
    assert sorted(handler.arrived + again.arrived) == ["a", "b", "c", "d", "new"]
    assert again.stop(PATIENCE)


def test_a_successor_waits_for_the_spool_and_has_it_then(path: str) -> None:
    """A handler that takes another's place, with the same spool, goes on with all it had."""
    clock = ManualClock()
    first, second = Target(spool=path, clock=clock), Target(spool=path, clock=clock)
    first.away = second.away = True
    emit(first, "a")
    emit(second, "b")
    assert (first.spooled, second.spooled) == (1, 0)
    first.successor = second
    assert first.stop(PATIENCE)
    clock.advance(100)
    emit(second, "c")
    assert second.spooled == 3
    second.away = False
    clock.advance(100)
    second.idle()
    assert sorted(second.arrived) == ["a", "b", "c"]
    assert second.stop(PATIENCE)


def test_the_log_says_what_a_restart_costs(
    path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a spool the line of an outage names it, without one or with a bad one it warns."""
    caplog.set_level(logging.WARNING, "appmetrics")
    for spool, expected in (
        (path, f" d in {path}"),
        (None, "in memory; no spool, so a restart loses it (set `spool =`)"),
        (str(tmp_path / "no" / "spool"), "in memory, and a restart loses it: the spool"),
    ):
        caplog.clear()
        handler = Target(spool=spool, clock=ManualClock(), spool_size=16 * 2**20)
        handler.away = True
        emit(handler, "a")
        assert expected in caplog.messages[-1], caplog.messages
        handler.stop(PATIENCE)


def test_only_the_worker_touches_the_file(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of the application never wait for the disk."""
    from appmetrics.handlers import spool

    users: set[str] = set()
    connect = spool.connect

    def noting(file: str) -> Any:
        users.add(threading.current_thread().name)
        return connect(file)

    monkeypatch.setattr(spool, "connect", noting)
    handler = Target(spool=path)
    handler.away = True
    handler.start()
    try:
        handler.put(batch([(Series("a"), 1)]))
        assert not handler.flush(0.3)
        wait_for(lambda: handler.waiting == 1, "the round, which can't be sent")
    finally:
        assert handler.stop(PATIENCE)
    assert users == {"appmetrics-tested"}


def test_what_is_surely_not_meant_is_a_warning(tmp_path: Path) -> None:
    """A spool in a folder that isn't there, or of two handlers, is told by check."""
    file = tmp_path / "shop.ini"
    file.write_text(
        "[metrics]\nhandlers = a, b\n"
        f"[metrics.handler.a]\nclass = graphite\nspool = {tmp_path}/no/spool\n"
        f"[metrics.handler.b]\nclass = graphite\nport = 2004\nspool = {tmp_path}/no/spool\n"
    )
    warnings = [str(warning) for warning in check_file(str(file)).warnings]
    assert sum(f"there is no folder {tmp_path}/no" in text for text in warnings) == 2
    assert sum("handler a has the spool" in text for text in warnings) == 1
