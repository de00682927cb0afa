"""An outage of carbon under load, as an operator lives through it: real processes, real files.

The short form takes 15 seconds of outage, the full one (APPMETRICS_PROVE=1) two minutes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.sample import Series
from appmetrics.testing.rounds import batch
from servers import PATIENCE, Carbon, free_port, wait_for

OUTAGE = 120.0 if os.environ.get("APPMETRICS_PROVE", "0") not in ("", "0") else 15.0
SERIES = 1000

#: An application with so many gauges and one round a second; it prints the second of
#: each round as soon as the handlers have been given it.
APPLICATION = """
    import signal, sys, time
    import appmetrics

    class Witness(appmetrics.Handler):
        threaded = False
        def emit(self, samples):
            ours = sum(sample.series.name.startswith("load.") for sample in samples)
            print(int(samples[0].time), ours, flush=True)

    port, spool, series = sys.argv[1:]
    meter = appmetrics.get_meter("load")
    for number in range(int(series)):
        meter.gauge(f"g{number}", callback=lambda: int(time.time()))
    # So long that a carbon that is merely slow is none that is away.
    carbon = {"class": "graphite", "port": port, "spool": spool, "timeout": "60"}
    appmetrics.dict_config({
        "metrics": {"interval": "1", "handlers": "witness, carbon"},
        "handlers": {"carbon": carbon, "witness": {"class": Witness}},
    })
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    appmetrics.start()
    while True:
        time.sleep(0.1)
"""


class Application:
    """The process; `seconds` are those of the rounds that it has made."""

    def __init__(self, port: int, spool: Path, log: Path) -> None:
        self.log = log
        self.output = log.with_suffix(".out")
        code = textwrap.dedent(APPLICATION)
        command = [sys.executable, "-c", code, str(port), str(spool), str(SERIES)]
        with log.open("w") as errors, self.output.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=errors)

    @property
    def seconds(self) -> list[int]:
        lines = [line.split() for line in self.output.read_text().splitlines(keepends=False)]
        return [int(words[0]) for words in lines if len(words) == 2 and int(words[1]) == SERIES]

    def has_made(self, rounds: int) -> None:
        """Wait for so many more rounds."""
        before = len(self.seconds)
        wait_for(lambda: len(self.seconds) >= before + rounds, "rounds", timeout=rounds + PATIENCE)

    def end(self, by: int = signal.SIGTERM) -> None:
        self.process.send_signal(by)
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def application(port: int, folder: Path, name: str) -> Iterator[Application]:
    """The application, which is killed at the end if it still runs."""
    app = Application(port, folder / "carbon.spool", folder / f"{name}.log")
    try:
        yield app
    finally:
        if app.process.poll() is None:
            app.end(signal.SIGKILL)


def newest_on_disk(spool: Path) -> int:
    """The second of the newest round in the spool, 0 if there is none."""
    with contextlib.closing(sqlite3.connect(spool, timeout=PATIENCE)) as database:
        row = database.execute("SELECT data FROM payload ORDER BY id DESC LIMIT 1").fetchone()
    return int(row[0].split()[-1]) if row else 0


def missing(carbon: Carbon, seconds: list[int]) -> set[int]:
    """The seconds that some series lacks in whisper, or has with another second's value."""
    lacking: set[int] = set()
    for number in range(SERIES):
        points = carbon.points(f"load.g{number}")
        # The last round is due in the future; one on a busy machine comes late.
        lacking |= {s for s in seconds if not -1 <= points.get(s, -100) - s <= 5}
        if len(lacking) > 10:
            break  # far from all
    return lacking


def arrives(carbon: Carbon, seconds: list[int]) -> None:
    """Wait until no series lacks any of these seconds: carbon has its own pace."""

    def all_there() -> bool:
        lacking = missing(carbon, seconds)
        assert not lacking, sorted(lacking)
        return True

    # The next attempt is a minute away at most, and a busy carbon writes slowly.
    wait_for(all_there, "every second in whisper", timeout=180)


@pytest.mark.slow
def test_with_a_spool_an_outage_costs_nothing(carbon: Carbon, tmp_path: Path) -> None:
    """After an outage of carbon every sample that was made is in whisper at its own second."""
    with application(carbon.port, tmp_path, "app") as app:
        app.has_made(3)
        carbon.stop()
        app.has_made(round(OUTAGE))
        carbon.start()
        app.has_made(3)
        arrives(carbon, app.seconds)
        arrives(carbon, app.seconds)  # what was made until the connection stood again
        app.end()
        made = app.seconds
        arrives(carbon, made)
    assert len(made) >= OUTAGE + 6
    log = app.log.read_text()
    assert log.count("carbon (127.0.0.1") == 1, log
    assert f"in {tmp_path}/carbon.spool" in log


@pytest.mark.slow
def test_kill_in_the_middle_of_an_outage_costs_one_round(carbon: Carbon, tmp_path: Path) -> None:
    """kill -9 during an outage loses no more than the round that was being handed over."""
    with application(carbon.port, tmp_path, "first") as first:
        first.has_made(3)
        carbon.stop()
        first.has_made(round(OUTAGE / 2))
        spool = tmp_path / "carbon.spool"
        # A slow disk has its own pace: the round before is not being handed over any more.
        wait_for(lambda: newest_on_disk(spool) >= first.seconds[-1], "the newest round on disk")
        first.end(signal.SIGKILL)
    with application(carbon.port, tmp_path, "second") as second:
        second.has_made(round(OUTAGE / 2))
        carbon.start()
        arrives(carbon, [*first.seconds[:-1], *second.seconds])
        arrives(carbon, second.seconds)  # as above: at its end it may leave the rest on disk
        second.end()
    arrives(carbon, second.seconds)
    assert missing(carbon, first.seconds) <= {first.seconds[-1]}


def test_without_a_spool_an_outage_costs_bounded_memory() -> None:
    """The buffer holds what was configured however long it takes; each sample that was made
    is kept or counted as dropped, and handing over a round takes no longer."""
    limit = 1_000_000
    handler = GraphiteHandler(port=free_port(), buffer=limit, timeout=0.5)
    one: Any = batch([(Series(f"load.g{number}"), 0) for number in range(SERIES)])
    handler.handle(one)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for second in range(1, 121):
            when = one.time + second
            readings = [second] * SERIES
            handler.handle(one._replace(readings=readings, time=when, monotonic=when))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert handler.backlog.bytes <= limit
    assert after - before < 2 * limit
    assert handler.stats.dropped > 0
    assert handler.waiting + handler.stats.dropped == 121 * SERIES
    assert handler.stop(PATIENCE)
