"""Rounds: when they are, what is in them, and who is served."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from appmetrics.buckets import Distribution
from appmetrics.filters import NameFilter
from appmetrics.handlers.base import Handler
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.hierarchy import Hierarchy
from appmetrics.meter import MeterSettings
from appmetrics.registry import Registry
from appmetrics.reporter import Reporter
from appmetrics.sample import Sample, Series
from appmetrics.testing import ManualClock, World
from servers import PATIENCE, untraced, wait_for

START = 1000.0
#: An interval whose end no test sees; that of a whole hour it might.
NEVER = 1e9


@pytest.fixture
def world() -> World:
    """A world that begins at a whole multiple of ten seconds."""
    return World(ManualClock(START))


def attached(world: World, handler: MemoryHandler | None = None, **options: Any) -> MemoryHandler:
    """A memory handler at the root."""
    handler = handler or MemoryHandler(**{"name": "memory", **options})
    world.meter().add_handler(handler)
    return handler


def rounds(handler: MemoryHandler, name: str = "shop.orders") -> list[tuple[float, Any]]:
    """(time, delta) of each sample of a series."""
    return [(s.time, s.delta) for s in handler.samples if s.series.name == name]


# -- when -------------------------------------------------------------------------


def test_rounds_are_aligned_to_the_interval(world: World) -> None:
    """A sample's time is its round's due time, whenever the handler came."""
    world.clock.advance(3.5)
    memory = attached(world)
    orders = world.meter("shop").counter("orders")
    for _ in range(2):
        orders.inc()
        world.advance(10)
    assert rounds(memory) == [(START + 10, 1), (START + 20, 1)]


def test_each_handler_has_its_own_interval_and_deltas(world: World) -> None:
    """Any number of handlers at different intervals are all right at once."""
    fast, slow = attached(world, name="fast", interval=5), attached(world, name="slow", interval=20)
    default = attached(world, name="default")
    orders = world.meter("shop").counter("orders")
    for _ in range(4):
        orders.inc()
        world.advance(5)
    assert [d for _, d in rounds(fast)] == [1, 1, 1, 1]
    assert [d for _, d in rounds(default)] == [2, 2]
    assert rounds(slow) == [(START + 20, 4)]


def test_the_interval_can_change(world: World) -> None:
    """From the next due time on."""
    memory = attached(world)
    world.meter("shop").counter("orders")
    world.advance(10)
    world.reporter.interval = 5
    world.advance(10)
    world.advance(10)
    assert [when for when, _ in rounds(memory)][-2:] == [START + 25, START + 30]


def test_missed_rounds_are_skipped_and_counted(world: World) -> None:
    """Never bunched: one round stands for all that were missed, with the right rate."""
    memory = attached(world)
    orders = world.meter("shop").counter("orders")
    world.advance(10)
    world.clock.advance(35)
    orders.inc(7)
    world.reporter.run_due()
    assert rounds(memory) == [(1010, 0), (1040, 7)]
    assert memory.samples[-1].elapsed == pytest.approx(35)
    assert world.reporter.skipped == 2
    world.advance(5)
    assert rounds(memory)[-1] == (1050, 0)
    skipped = memory.last("appmetrics.skipped_rounds")
    assert skipped is not None
    assert skipped.value == 2


def test_a_wall_clock_set_back_does_not_stop_the_rounds(world: World) -> None:
    """They go on by the new time, and rates by the monotonic one."""
    memory = attached(world)
    orders = world.meter("shop").counter("orders")
    world.advance(10)
    world.clock.set_wall_time(500.0)
    orders.inc(5)
    world.advance(10)
    assert rounds(memory)[-1] == (510, 5)
    sample = memory.last("shop.orders")
    assert sample is not None
    assert sample.rate == 0.5


def test_a_wall_clock_set_forward_skips(world: World) -> None:
    """One round at the new time, no wrong rate."""
    memory = attached(world)
    orders = world.meter("shop").counter("orders")
    world.advance(10)
    orders.inc(5)
    world.clock.advance(5)
    world.clock.set_wall_time(START + 3600)
    world.advance(0)
    sample = memory.last("shop.orders")
    assert sample is not None
    assert (sample.time, sample.delta, sample.rate) == (START + 3600, 5, 1)


def test_run_due_tells_when_more_is_due(world: World) -> None:
    """The seconds until the next round of any handler."""
    attached(world, name="a", interval=10)
    attached(world, name="b", interval=4)
    assert world.reporter.run_due() == 4
    world.clock.advance(3)
    assert world.reporter.run_due() == 1


# -- baselines ----------------------------------------------------------------------


def test_the_first_handlers_start_from_zero(world: World) -> None:
    """What was counted before the configuration is in their first delta."""
    orders = world.meter("shop").counter("orders")
    orders.inc(5)
    one, two = MemoryHandler(name="one"), MemoryHandler(name="two", interval=20)
    world.hierarchy.configure({"": MeterSettings(handlers=(one, two))})
    world.advance(10)
    orders.inc()
    world.advance(10)
    assert [d for _, d in rounds(one)] == [5, 1]
    assert [d for _, d in rounds(two)] == [6]


def test_a_handler_added_later_starts_from_the_readings_of_now(world: World) -> None:
    """Its first delta is what came since; what is born later starts at zero."""
    attached(world)
    orders = world.meter("shop").counter("orders")
    render = world.meter("shop").timer("render")
    orders.inc(1000)
    render.observe(1)
    world.advance(10)
    late = attached(world, name="late")
    world.advance(0)
    orders.inc(2)
    render.observe(8)
    world.meter("shop").counter("born").inc(3)
    world.advance(10)
    assert rounds(late) == [(START + 20, 2)]
    assert rounds(late, "shop.render") == [(START + 20, Distribution.of([8]))]
    assert rounds(late, "shop.born") == [(START + 20, 3)]
    sample = late.last("shop.orders")
    assert sample is not None
    assert (sample.value, sample.elapsed) == (1002, 10)


def test_a_handler_replaced_by_one_of_its_name_leaves_it_its_readings(world: World) -> None:
    """The interval under way is neither lost nor counted twice."""
    old = attached(world)
    orders = world.meter("shop").counter("orders")
    orders.inc(10)
    world.advance(10)
    orders.inc(3)
    world.advance(5)
    new = MemoryHandler(name="memory")
    world.hierarchy.root.change(handlers=(new,))
    world.advance(0)
    orders.inc(4)
    world.advance(5)
    assert rounds(old) == [(START + 10, 10)]
    assert rounds(new) == [(START + 20, 7)]


def test_a_handler_that_stays_attached_keeps_its_readings(world: World) -> None:
    """A change of routing loses no count and repeats none."""
    memory = attached(world)
    orders = world.meter("shop").counter("orders")
    orders.inc(10)
    world.advance(10)
    orders.inc(3)
    world.hierarchy.configure({"": MeterSettings(handlers=(memory,), labels={"env": "x"})})
    world.advance(10)
    assert [d for _, d in rounds(memory)] == [10, 3]


def test_a_handler_that_is_removed_gets_a_last_round(world: World) -> None:
    """Under the time of the interval that it cuts short: it overwrites no whole one."""
    memory = attached(world)
    orders = world.meter("shop").counter("orders")
    orders.inc(10)
    world.advance(10)
    orders.inc(3)
    world.advance(5)
    world.meter().remove_handler(memory)
    world.advance(0)
    orders.inc(4)
    world.advance(50)
    assert rounds(memory) == [(START + 10, 10), (START + 20, 3)]


def test_a_series_let_in_later_does_not_bring_its_past(world: World) -> None:
    """A filter removed, or routing to a handler that was there: no spike of old counts."""
    memory = attached(world, filters=[NameFilter(exclude=["shop.*"])])
    orders = world.meter("shop").counter("orders")
    orders.inc(1000)
    world.advance(10)
    memory.filters = ()
    world.hierarchy.changed()
    world.advance(0)
    orders.inc(2)
    world.advance(10)
    assert [d for _, d in rounds(memory)] == [2]


class Summing(MemoryHandler):
    """Adds up the deltas that handlers of this name get, one after the other."""

    def __init__(self, sums: dict[str, Any]) -> None:
        super().__init__(name="summing")
        self.sums = sums

    def emit(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            if sample.delta is not None:
                name = sample.series.name
                self.sums[name] = self.sums.get(name, 0) + sample.delta


class Interruption:
    """Another thread that configures; it goes as far as it gets in a moment."""

    def __init__(self, world: World, sums: dict[str, Any]) -> None:
        settings = {"": MeterSettings(handlers=(Summing(sums),))}
        self.thread = threading.Thread(target=world.hierarchy.configure, args=(settings,))

    def now(self) -> None:
        """Let it run, unless it has to wait for the caller; the first time only."""
        if self.thread.ident is None:
            self.thread.start()
            self.thread.join(0.2)


def test_a_configuration_while_series_are_chosen_loses_no_count(world: World) -> None:
    """However the thread that configures and the one that reports are interleaved."""
    sums: dict[str, Any] = {}
    interruption = Interruption(world, sums)

    def interrupting(series: Series) -> Series:
        interruption.now()
        return series

    first = Summing(sums)
    world.meter().add_handler(first)
    counters = [world.meter(name).counter("orders") for name in "abc"]
    for step in range(4):
        for counter in counters:
            counter.inc(10**step)
        if step == 1:
            world.meter("a").add_filter(interrupting)
        world.advance(10)
    interruption.thread.join()
    world.stop()
    assert [sums[counter.name] for counter in counters] == [1111] * 3


def test_a_configuration_while_a_handler_is_taken_on_loses_no_count(world: World) -> None:
    """A handler that is replaced before its first round leaves its heir everything."""
    sums: dict[str, Any] = {}
    interruption = Interruption(world, sums)

    class Interrupting(Summing):
        taken_on = False

        def __setattr__(self, name: str, value: Any) -> None:
            # Being taken on, a handler is told its clock.
            if self.taken_on and name == "clock":
                interruption.now()
            super().__setattr__(name, value)

    first = Interrupting(sums)
    world.meter().add_handler(first)
    Interrupting.taken_on = True
    orders = world.meter("shop").counter("orders")
    for step in range(3):
        orders.inc(10**step)
        world.advance(10)
    interruption.thread.join()
    world.stop()
    assert sums["shop.orders"] == 111


def test_a_reset_is_not_a_negative_count(world: World) -> None:
    """What is there after it came since."""
    memory = attached(world)
    orders = world.meter("shop").counter("orders")
    orders.inc(10)
    world.advance(10)
    world.hierarchy.reset()
    orders.inc(2)
    world.advance(10)
    assert [d for _, d in rounds(memory)] == [10, 2]


# -- handlers ------------------------------------------------------------------------


class Failing(Handler):
    """Fails while told so."""

    fail = True

    def emit(self, samples: Sequence[Sample]) -> None:
        if self.fail:
            raise ConnectionError("down")


def test_a_failing_handler_is_counted_and_its_siblings_run(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged at its first failure only."""
    failing = Failing(name="failing")
    world.meter().add_handler(failing)
    memory = attached(world)
    world.meter("shop").counter("orders")
    world.advance(30)
    assert len(rounds(memory)) == 3
    assert failing.stats.errors == 3
    assert failing.stats.dropped > 0
    assert failing.stats.last_error == "ConnectionError: down"
    assert len([r for r in caplog.records if "failing" in r.getMessage()]) == 1


def test_one_series_that_cannot_be_rendered_does_not_stop_the_others(world: World) -> None:
    """It is left out, and the failure counted."""

    class Picky(MemoryHandler):
        def prepare(self, series: Series) -> Any:
            if series.name.endswith("bad"):
                raise ValueError(series.name)
            return None

    memory = attached(world, Picky(name="picky"))
    for name in ("bad", "orders"):
        world.meter("shop").counter(name).inc()
    world.advance(20)
    assert [d for _, d in rounds(memory)] == [1, 0]
    assert memory.stats.errors >= 1


def test_a_busy_worker_merges_rounds_and_loses_no_count(world: World) -> None:
    """Also when the routing changes meanwhile."""
    deltas: list[Any] = []

    class Slow(Handler):
        def emit(self, samples: Sequence[Sample]) -> None:
            deltas.extend(s.delta for s in samples if s.series.name == "shop.orders")

    slow = Slow(name="slow")
    world.meter().add_handler(slow)
    orders = world.meter("shop").counter("orders")
    for number in range(30):
        orders.inc()
        world.clock.advance(10)
        world.reporter.run_due()
        if number == 10:
            world.hierarchy.changed()
    assert slow.queued == 8
    world.reporter.flush()
    assert sum(deltas) == 30


def test_handlers_are_opened_before_and_closed_after_their_batches(world: World) -> None:
    """Once each, threaded or not."""
    for threaded in (True, False):
        calls: list[str] = []

        class Noting(Handler):
            def open(self) -> None:
                calls.append("open")  # noqa: B023

            def emit(self, samples: Sequence[Sample]) -> None:
                calls.append("emit")  # noqa: B023

            def close(self) -> None:
                calls.append("close")  # noqa: B023

        Noting.threaded = threaded
        handler = Noting(name=f"noting{threaded}")
        world.meter().add_handler(handler)
        world.advance(20)
        world.meter().remove_handler(handler)
        world.advance(0)
        assert calls == ["open", "emit", "emit", "emit", "close"]


def test_every_handler_reports_on_itself(world: World) -> None:
    """sent, dropped, errors, queue and lag, as metrics like any other."""
    memory = attached(world)
    world.advance(20)
    told = {s.series.name: s.series for s in memory.samples}
    for word in ("sent", "dropped", "errors", "queue", "lag"):
        assert f"appmetrics.handler.memory.{word}" in told
    assert told["appmetrics.handler.memory.sent"].kind == "counter"
    assert told["appmetrics.handler.memory.lag"].unit == "seconds"
    assert memory.stats.sent > 0
    assert memory.stats.last_sent is not None


def test_a_lag_is_one_of_the_worlds_clock(world: World) -> None:
    """Under a manual clock that stands still, nothing lags."""
    memory = attached(world)
    world.advance(20)
    assert memory.stats.lag == 0


def test_a_job_that_fails_stops_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Jobs run about once a second; a failure is logged."""
    calls: list[int] = []

    def broken() -> None:
        raise RuntimeError("job")

    world.reporter.jobs += [broken, lambda: calls.append(1)]
    memory = attached(world)
    world.meter("shop").counter("orders")
    world.advance(10)
    assert len(calls) == 11
    assert len(rounds(memory)) == 1
    assert any("failed" in r.getMessage() for r in caplog.records)


# -- pull ----------------------------------------------------------------------------


class Page(Handler):
    """Reads when it is asked."""

    pull = True


def test_a_pull_handler_reads_when_it_is_asked(world: World) -> None:
    """The values of that moment, callbacks included; it takes no rounds."""
    page = Page(name="page")
    world.meter().add_handler(page)
    orders = world.meter("shop").counter("orders")
    world.meter("shop").gauge("depth", callback=lambda: 42)

    def values() -> dict[str, Any]:
        selection = world.reporter.pull(page)
        return {s.name: v for s, v in zip(selection.series, selection.values())}

    orders.inc()
    assert (values()["shop.orders"], values()["shop.depth"]) == (1, 42)
    orders.inc()
    world.meter("shop").counter("new")
    assert (values()["shop.orders"], values()["shop.new"]) == (2, 0)
    world.meter("shop").add_filter(lambda series: None)
    assert "shop.orders" not in values()


# -- life ----------------------------------------------------------------------------


@pytest.fixture
def real() -> Iterator[Reporter]:
    """A reporter with a thread, by the machine's clock."""
    reporter = Reporter(Hierarchy(Registry()))
    reporter.interval = 0.05
    yield reporter
    reporter.stop(PATIENCE)


def test_a_started_reporter_does_its_rounds_by_itself(real: Reporter) -> None:
    """In one thread of its own, and one for each threaded handler."""
    before = threading.enumerate()
    threads: set[str] = set()

    class Noting(Handler):
        def emit(self, samples: Sequence[Sample]) -> None:
            threads.add(threading.current_thread().name)

    def started() -> list[str]:
        return sorted(thread.name for thread in threading.enumerate() if thread not in before)

    real.hierarchy.root.add_handler(Noting(name="noting"))
    memory = MemoryHandler(name="memory")
    real.hierarchy.root.add_handler(memory)
    real.hierarchy.get_meter("shop").counter("orders").inc()
    real.start()
    real.start()
    wait_for(lambda: threads and len(rounds(memory)) >= 3, "three rounds of both")
    assert threads == {"appmetrics-noting"}
    assert [d for _, d in rounds(memory)][:3] == [1, 0, 0]
    assert started() == ["appmetrics-noting", "appmetrics-reporter"]
    assert real.stop(PATIENCE)
    assert started() == []


def test_stopping_ships_what_is_left(real: Reporter) -> None:
    """The last round belongs to the interval it cuts short."""
    memory = MemoryHandler(name="memory", interval=NEVER)
    real.hierarchy.root.add_handler(memory)
    orders = real.hierarchy.get_meter("shop").counter("orders")
    real.start()
    orders.inc(3)
    assert real.stop(PATIENCE)
    assert [d for _, d in rounds(memory)] == [3]
    assert rounds(memory)[0][0] > time.time() - 1


def test_a_stopped_reporter_can_be_started_again(real: Reporter) -> None:
    """And counts on from where it stopped."""
    memory = MemoryHandler(name="memory")
    real.hierarchy.root.add_handler(memory)
    orders = real.hierarchy.get_meter("shop").counter("orders")
    orders.inc()
    real.start()
    assert real.stop(PATIENCE)
    orders.inc(2)
    real.start()
    wait_for(lambda: sum(d for _, d in rounds(memory)) == 3)


def test_stopping_waits_no_longer_than_it_may(real: Reporter) -> None:
    """A handler that hangs is given up at the deadline."""
    hangs, release = threading.Event(), threading.Event()

    class Hanging(Handler):
        def emit(self, samples: Sequence[Sample]) -> None:
            hangs.set()
            release.wait(PATIENCE)

    real.hierarchy.root.add_handler(Hanging(name="hanging"))
    real.start()
    try:
        assert hangs.wait(PATIENCE)
        began = time.monotonic()
        assert not real.stop(0.2)
        assert time.monotonic() - began < PATIENCE / 2
    finally:
        release.set()


def test_a_hanging_handler_delays_nobody_else(real: Reporter) -> None:
    """Its siblings' rounds go on."""
    release = threading.Event()

    class Hanging(Handler):
        def emit(self, samples: Sequence[Sample]) -> None:
            release.wait(PATIENCE)

    memory = MemoryHandler(name="memory")
    real.hierarchy.root.add_handler(Hanging(name="hanging"))
    real.hierarchy.root.add_handler(memory)
    real.hierarchy.get_meter("shop").counter("orders")
    real.start()
    try:
        wait_for(lambda: len(rounds(memory)) >= 4)
    finally:
        release.set()


def test_flushing_waits_for_what_was_handed_over(real: Reporter) -> None:
    """Events are with the handler when flush() returns True."""
    seen: list[str] = []

    class Noting(Handler):
        def emit(self, samples: Sequence[Sample]) -> None:
            time.sleep(0.01)
            seen.extend(s.series.name for s in samples if s.series.kind == "event")

    real.hierarchy.root.add_handler(Noting(name="noting", interval=NEVER))
    real.start()
    real.hierarchy.get_meter("shop").event("deploy")
    assert real.flush(PATIENCE)
    assert seen == ["shop.deploy"]


def test_a_change_of_routing_is_taken_up_when_woken(real: Reporter) -> None:
    """A handler attached while the thread waits for a far round is served."""
    real.interval = NEVER
    real.hierarchy.get_meter("shop").counter("orders").inc()
    real.start()
    memory = MemoryHandler(name="memory", interval=0.05)
    real.hierarchy.root.add_handler(memory)
    real.wake()
    wait_for(lambda: rounds(memory))


def run(code: str, folder: Path, errors: str = "") -> str:
    """The output of a program of its own; ``errors`` must be in its stderr, or that be empty."""
    environment = {**untraced(), "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment,
        timeout=PATIENCE,
    )
    assert errors in done.stderr if errors else done.stderr == "", done.stderr
    return done.stdout


PROGRAM = """
import appmetrics, sys, threading
from appmetrics.handlers.base import Handler
from appmetrics.reporter import reporter

reporter.flush_timeout = 60

class Printing(Handler):
    def emit(self, samples):
        for sample in samples:
            if sample.series.name == "shop.orders":
                print(sample.series.name, sample.delta, flush=True)

    def close(self):
        print("closed", flush=True)

orders = appmetrics.get_meter("shop").counter("orders")
appmetrics.get_meter().add_handler(Printing(interval=1e9))
"""


def test_the_last_round_is_done_at_exit(tmp_path: Path) -> None:
    """Without a line in the application, also when it ends with an error code."""
    code = PROGRAM + "appmetrics.start()\norders.inc(5)\n"
    assert run(code, tmp_path).splitlines() == ["shop.orders 5", "closed"]


def test_without_a_start_there_are_no_threads(tmp_path: Path) -> None:
    """Importing, recording and attaching start none; the end still ships."""
    code = PROGRAM + "orders.inc(5)\nprint(threading.active_count(), flush=True)\n"
    assert run(code, tmp_path).splitlines() == ["1", "shop.orders 5", "closed"]


def test_a_hanging_handler_does_not_hold_up_the_exit(tmp_path: Path) -> None:
    """The process ends at the deadline, and says so."""
    code = PROGRAM + (
        "import time\n"
        "Printing.emit = lambda self, samples: time.sleep(60)\n"
        "reporter.flush_timeout = 0.3\n"
        "appmetrics.start()\n"
    )
    began = time.monotonic()
    run(code, tmp_path, errors="has not finished in time")
    assert time.monotonic() - began < 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_ships_its_own_counts_only(tmp_path: Path) -> None:
    """What the parent counted is the parent's; a child that reports nothing is silent."""
    code = PROGRAM + (
        "import os\n"
        "appmetrics.start()\n"
        "orders.inc(5)\n"
        "for reports in (False, True):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        if reports:\n"
        "            appmetrics.start()\n"
        "            orders.inc(2)\n"
        "            appmetrics.stop()\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "print('parent', flush=True)\n"
    )
    assert run(code, tmp_path).splitlines() == [
        "shop.orders 2",
        "closed",
        "parent",
        "shop.orders 5",
        "closed",
    ]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 3), (3, 2), (2, 1), (1, 7), (10, 1)])
def test_a_changed_interval_gives_no_time_twice(world: World, before: int, after: int) -> None:
    """Times only rise, for a target that keeps one number for each; no count is lost."""
    memory = attached(world)
    world.reporter.interval = before
    orders = world.meter("shop").counter("orders")
    for step in range(60):
        if step == 25:
            world.reporter.interval = after
        orders.inc()
        world.advance(1)
    times = [time for time, _ in rounds(memory)]
    assert times == sorted(set(times))
    assert sum(delta for _, delta in rounds(memory)) >= 60 - max(before, after)


def test_stopping_and_starting_again_gives_no_time_twice(world: World) -> None:
    """The rounds after a stop within an interval don't overwrite its last one."""
    memory = attached(world)
    orders = world.meter("shop").counter("orders")
    for _ in range(4):
        orders.inc()
        world.advance(4)
        world.reporter.stop()
    times = [time for time, _ in rounds(memory)]
    assert times == sorted(set(times))
    assert sum(delta for _, delta in rounds(memory)) == 4


def test_a_round_that_hangs_does_not_hold_up_the_exit(tmp_path: Path) -> None:
    """The process ends at the deadline, and says so; handlers are closed all the same."""
    # Registered first, this runs last: on a busy machine a worker may be late.
    before = (
        "import atexit, threading\n"
        "def wait():\n"
        "    for thread in threading.enumerate():\n"
        "        if thread.name == 'appmetrics-Printing':\n"
        "            thread.join(60)\n"
        "atexit.register(wait)\n"
    )
    hanging = (
        "reporter.flush_timeout = 0.3\n"
        "hangs = threading.Event()\n"
        "def hanging(series):\n"
        "    hangs.set()\n"
        "    threading.Event().wait()\n"
        "appmetrics.start()\n"
        "appmetrics.get_meter().add_filter(hanging)\n"
        "hangs.wait()\n"
    )
    code = before + PROGRAM + hanging
    assert run(code, tmp_path, errors="a round has not finished in time").splitlines() == ["closed"]


def test_a_start_when_the_interpreter_shuts_down_is_no_error(tmp_path: Path) -> None:
    """There are no threads any more; the last round is done all the same."""
    code = PROGRAM + (
        "import atexit, logging\n"
        "logging.disable()\n"
        "orders.inc(5)\n"
        "atexit.register(appmetrics.start)\n"
    )
    assert run(code, tmp_path).splitlines() == ["shop.orders 5", "closed"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_was_not_started_ends_in_silence(tmp_path: Path) -> None:
    """Also while the parent's worker is busy with what waits there."""
    code = PROGRAM + (
        "import os, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "busy, go = threading.Event(), threading.Event()\n"
        "class Busy(Printing):\n"
        "    def emit(self, samples):\n"
        "        busy.set()\n"
        "        go.wait()\n"
        "        super().emit(samples)\n"
        "handler = Busy(interval=0.5)\n"
        "appmetrics.get_meter().add_handler(handler)\n"
        "appmetrics.start()\n"
        "busy.wait()\n"
        "while not handler.queued: pass\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    assert appmetrics.flush(60)\n"
        "    assert not handler.queued\n"
        "    sys.exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "print('parent', flush=True)\n"
        "appmetrics.get_meter().remove_handler(handler)\n"
        "go.set()\n"
    )
    assert run(code, tmp_path).splitlines()[0] == "parent"


def test_an_emit_that_records_an_event_does_not_go_round_for_ever(world: World) -> None:
    """Neither in the thread of the application nor in a worker."""

    class Chatty(MemoryHandler):
        def emit(self, samples: Sequence[Sample]) -> None:
            super().emit(samples)
            world.meter("shop").event("emitted")

    handler = attached(world, Chatty(name="chatty"))
    world.meter("shop").event("opened")
    assert 1 <= len(handler.samples) < 100
    world.stop()


@pytest.mark.parametrize("answer", ["many", [1], object()])
def test_an_emit_that_returns_anything_hurts_nobody(world: World, answer: Any) -> None:
    """It is a failure of that handler."""

    class Odd(MemoryHandler):
        def emit(self, samples: Sequence[Sample]) -> Any:
            return answer

    odd, memory = attached(world, Odd(name="odd")), attached(world, name="sound")
    world.meter("shop").counter("orders").inc()
    world.advance(10)
    assert odd.stats.errors == 1
    assert rounds(memory) == [(START + 10, 1)]


def test_a_target_that_raises_hurts_nobody(world: World) -> None:
    """Whatever a handler's method for people does."""

    class Nowhere(MemoryHandler):
        def target(self) -> str:
            raise RuntimeError("nowhere")

    old = attached(world, Nowhere(name="old"))
    world.advance(10)
    world.meter().remove_handler(old)
    new = attached(world, Nowhere(name="new"))
    world.meter("shop").counter("orders").inc()
    world.advance(10)
    assert rounds(new) == [(START + 20, 1)]


def test_a_new_instrument_does_not_wait_while_series_are_chosen(world: World) -> None:
    """Which may take seconds."""
    declared: list[bool] = []

    def slow(series: Series) -> Series:
        if not declared:
            thread = threading.Thread(target=world.meter("bank").counter, args=("transfers",))
            thread.start()
            thread.join(PATIENCE)
            declared.append(not thread.is_alive())
        return series

    attached(world, filters=[slow])
    world.meter("shop").counter("orders")
    world.advance(10)
    assert declared == [True]


def test_a_round_at_exactly_its_due_time_is_done_once() -> None:
    """Also where a multiple of the interval is rounded down when it is divided again."""
    world = World(ManualClock(17_000_000_000 * 0.7))
    memory = attached(world, interval=0.7)
    orders = world.meter("shop").counter("orders")
    world.reporter.run_due()
    for step in range(1, 50):
        orders.inc()
        world.clock.set_wall_time((17_000_000_000 + step) * 0.7)
        world.clock.advance(0.0)
        assert world.reporter.run_due() > 0.6
    times = [round(time, 3) for time, _ in rounds(memory)]
    assert times == [round((17_000_000_000 + step) * 0.7, 3) for step in range(1, 50)]
    assert [delta for _, delta in rounds(memory)] == [1] * 49
