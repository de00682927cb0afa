"""No update is lost: threads, signal handlers, GC callbacks, finalizers.

With a switch interval of a microsecond, while everything is read, reconfigured
and extended.
"""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from appmetrics import rejection
from appmetrics.buckets import Distribution
from appmetrics.cells import LOCK_FREE, locked
from appmetrics.filters import LabelsFilter
from appmetrics.handlers.base import Handler
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.instrument import Declaration
from appmetrics.instruments import Counter, Gauge, Histogram, Timer
from appmetrics.meter import MeterSettings
from appmetrics.sample import Sample
from appmetrics.testing import World
from servers import PATIENCE

THREADS = 8

pytestmark = pytest.mark.usefixtures("hectic")


def in_threads(work: Callable[[int], None], *meanwhile: Callable[[], object]) -> None:
    """Run ``work(number)`` in all threads at once, and the others again and again meanwhile."""
    barrier = threading.Barrier(THREADS)
    errors: list[BaseException] = []
    finished = threading.Event()

    def worker(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    def repeat(what: Callable[[], object]) -> None:
        try:
            while not finished.is_set():
                what()
                # Else these would take as much of the one GIL as the workers.
                finished.wait(0.005)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=worker, args=(number,)) for number in range(THREADS)]
    others = [threading.Thread(target=repeat, args=(what,)) for what in meanwhile]
    for thread in workers + others:
        thread.start()
    for thread in workers:
        thread.join()
    finished.set()
    for thread in others:
        thread.join()
    assert errors == []


class Summing(Handler):
    """Adds up the deltas it gets, over all of its class."""

    threaded = False
    sums: dict[str, Any] = {}  # noqa: RUF012

    def emit(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            if sample.delta is not None:
                change = getattr(sample.delta, "count", sample.delta)
                self.sums[sample.series.name] = self.sums.get(sample.series.name, 0) + change


@pytest.mark.slow
def test_no_update_is_lost_while_scraped_and_reconfigured() -> None:
    """8 x 200,000 increments and timings, exact in every reading of them."""
    updates = 200_000
    world = World()
    shop = world.meter("shop")
    orders, render = shop.counter("orders"), shop.timer("render")
    by_label = shop.counter("by_label", labels=("kind",))
    sums: dict[str, Any] = {}
    Summing.sums = sums
    scraped = MemoryHandler(name="scraped")
    scraped.pull = True  # type: ignore[misc]
    world.meter().add_handler(Summing(name="summing"))
    world.meter().add_handler(scraped)
    totals: list[Any] = []
    reconfigured = []

    def work(number: int) -> None:
        inc, observe, labels = orders.inc, render.observe, by_label.labels
        for step in range(updates):
            inc()
            observe(0.5)
            if step % 20 == 0:
                labels(step // 400).inc()
            if step % 5000 == 0:
                world.meter(f"fresh{step}").counter("counter", labels=("x",)).labels(step).inc()

    def scrape() -> None:
        selection = world.reporter.pull(scraped)
        found = {s.name: v for s, v in zip(selection.series, selection.values())}
        totals.append(found["shop.orders"])

    def report() -> None:
        world.advance(10)

    def reconfigure() -> None:
        # Another handler of the same name, another routing of the rest.
        number = len(reconfigured)
        reconfigured.append(number)
        settings = MeterSettings(
            handlers=(Summing(name="summing"), scraped),
            labels={"run": str(number)},
            filters=(LabelsFilter(drop=["run"] if number % 2 else []),),
        )
        world.hierarchy.configure({"": settings})

    in_threads(work, scrape, report, reconfigure)
    world.stop()

    expected = THREADS * updates
    assert orders.value == expected
    assert render.value.count == expected
    assert render.value.sum == expected * 0.5
    assert sum(child.value for child in by_label.own_points()) == expected // 20
    assert len(by_label.own_points()) == updates // 400
    for step in range(0, updates, 5000):
        fresh = world.meter(f"fresh{step}").counter("counter", labels=("x",))
        assert fresh.labels(step).value == THREADS
    # All deltas of all handlers that succeeded each other, together.
    assert sums["shop.orders"] == expected
    assert sums["shop.render"] == expected
    assert sums["shop.by_label"] == expected // 20
    assert totals == sorted(totals)
    assert len(totals) > 1  # how many, depends on the machine
    assert len(reconfigured) > 1


def test_no_update_of_any_instrument_is_lost() -> None:
    """Gauges, labelled children, histograms over all buckets, decorated functions."""
    updates = 3000
    world = World()
    shop = world.meter("shop")
    depth, inside = shop.gauge("depth"), shop.gauge("inside")
    sizes = shop.histogram("sizes", labels=("x",))
    calls = shop.timer("calls", labels=("outcome",))
    values = [0, 1e-12, 1e12, *(2.0**exponent for exponent in range(-29, 34))]

    blocks, alone = shop.timer("blocks"), shop.timer("alone")

    @alone.time()
    @calls.time()
    @inside.track()
    def call() -> None:
        with blocks.time():
            pass

    def work(number: int) -> None:
        for step in range(updates):
            depth.inc(2)
            depth.dec()
            sizes.labels(x=step % 50).observe(values[step % len(values)])
            call()

    in_threads(work, lambda: world.reporter.pull(MemoryHandler()).values())
    assert depth.value == THREADS * updates
    assert inside.value == 0
    assert calls.labels("ok").value.count == THREADS * updates
    assert alone.value.count == blocks.value.count == THREADS * updates
    expected = [values[step % len(values)] for _ in range(THREADS) for step in range(updates)]
    merged = sum((child.value for child in sizes.own_points()), Distribution())
    assert merged.count == len(expected)
    assert merged.below(values[3:]) == Distribution.of(expected).below(values[3:])


def test_no_first_use_of_a_label_is_lost() -> None:
    """Threads that meet at a new label value count in the same child."""
    world = World()
    orders = world.meter("shop").counter("orders", labels=("x",))
    barrier = threading.Barrier(THREADS)

    def work(number: int) -> None:
        for value in range(500):
            if value % 50 == 0:
                barrier.wait()
            orders.labels(value).inc()

    in_threads(work)
    assert [child.value for child in orders.own_points()] == [THREADS] * 500
    points = [p for p in world.hierarchy.registry.points if p.series.name == "shop.orders"]
    assert len(points) == 500


def test_the_locked_variants_lose_nothing() -> None:
    """Where the interpreter needs locks, they hold."""
    updates = 2000
    counter = locked(Counter, "inc")(Declaration("c", labels=("x",)))
    gauge = locked(Gauge, "inc", "dec", "set")(Declaration("g"))
    timer = locked(Timer, "observe")(Declaration("t"))
    histogram = locked(Histogram, "observe")(Declaration("h"))

    def work(number: int) -> None:
        for step in range(updates):
            counter.labels(step % 10).inc()
            gauge.inc(2)
            gauge.dec()
            timer.observe(0.5)
            histogram.observe(step)

    in_threads(work, timer.read, histogram.read)
    assert [child.read() for child in counter.own_points()] == [THREADS * updates // 10] * 10
    assert gauge.read() == THREADS * updates
    assert (timer.read().count, timer.read().sum) == (THREADS * updates, THREADS * updates / 2)
    assert histogram.read().count == THREADS * updates


def test_no_event_is_lost() -> None:
    """Events of several threads all arrive, also at a handler without a worker."""
    world = World()
    memory = MemoryHandler(size=100_000)
    world.meter().add_handler(memory)

    before = sum(rejection.counts.values())

    def work(number: int) -> None:
        for step in range(2000):
            world.meter("shop").event("deploy", f"{number}.{step}")

    in_threads(work)
    assert sum(rejection.counts.values()) == before
    assert sorted(s.value.description for s in memory.samples) == sorted(
        f"{number}.{step}" for number in range(THREADS) for step in range(2000)
    )


# -- updates in the middle of an update -------------------------------------------------


class Bundle:
    """Instruments, plain or with locks, and how often each was updated."""

    def __init__(self, with_locks: bool) -> None:
        def make(cls: Any, *methods: str, **more: Any) -> Any:
            variant = locked(cls, *methods) if with_locks else cls
            return variant(Declaration(cls.__name__, **more))

        self.counter = make(Counter, "inc")
        self.labelled = make(Counter, "inc", labels=("x",))
        self.gauge = make(Gauge, "inc", "dec", "set")
        self.timer = make(Timer, "observe")
        self.updates = 0
        self.interruptions = 0

    def update(self) -> None:
        self.counter.inc()
        self.labelled.labels(self.updates % 500).inc()
        self.gauge.inc(2)
        self.gauge.dec(1)
        self.timer.observe(0.5)
        # A new octave each time: allocates, which may run the collector.
        self.timer.observe(2.0 ** (self.updates % 60 - 29))
        with self.timer.time():
            pass
        self.updates += 1

    def interrupt(self, *args: object) -> None:
        self.counter.inc()
        self.labelled.labels(self.interruptions % 500).inc()
        self.gauge.inc(1)
        self.timer.observe(0.5)
        self.timer.observe(2.0 ** (self.interruptions % 60 - 29))
        with self.timer.time():
            pass
        self.interruptions += 1

    def check(self) -> None:
        expected = self.updates + self.interruptions
        assert self.interruptions > 20
        assert self.counter.read() == expected
        assert sum(child.read() for child in self.labelled.own_points()) == expected
        assert self.gauge.read() == expected
        assert self.timer.read().count == 3 * expected


@pytest.fixture(params=[False, True], ids=["plain", "locked"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """One of each instrument."""
    return Bundle(request.param)


@contextmanager
def interrupting(interrupt: Callable[[], None], seconds: float) -> Iterator[None]:
    """The main thread is interrupted again and again, so long after the last time.

    Not by a timer that repeats itself: where one interruption takes longer than its
    interval, they would nest without end.
    """
    going_on = [True]

    def handle(*args: object) -> None:
        interrupt()
        if going_on:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        going_on.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_updates_in_a_signal_handler_neither_hang_nor_get_lost(bundle: Bundle) -> None:
    """A signal may arrive in the middle of another update of the same instrument."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are handled in the main thread")
    with interrupting(bundle.interrupt, 0.0005):
        deadline = time.monotonic() + PATIENCE
        while bundle.interruptions < 200 and time.monotonic() < deadline:
            bundle.update()
    bundle.check()


@pytest.mark.skipif(not LOCK_FREE, reason="the collector can't be made to run all the time")
def test_updates_in_a_gc_callback_neither_hang_nor_get_lost(bundle: Bundle) -> None:
    """The collector may run in the middle of an update."""
    threshold = gc.get_threshold()
    gc.callbacks.append(bundle.interrupt)
    gc.set_threshold(5, 1000, 1000)
    try:
        for _ in range(3000):
            bundle.update()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(bundle.interrupt)
    bundle.check()


def test_updates_in_a_finalizer_neither_hang_nor_get_lost(bundle: Bundle) -> None:
    """__del__ of garbage in cycles runs wherever the collector does."""

    class Cyclic:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            bundle.interrupt()

    threshold = getattr(gc, "get_threshold", lambda: None)()  # PyPy has none
    if threshold:
        gc.set_threshold(20, 1000, 1000)
    try:
        for number in range(3000):
            Cyclic()
            bundle.update()
            if not threshold and not number % 100:
                gc.collect()
    finally:
        if threshold:
            gc.set_threshold(*threshold)
        gc.collect()
    bundle.check()


def test_an_event_in_a_signal_handler_does_not_hang() -> None:
    """Also while the main thread records one, with a worker to be woken."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are handled in the main thread")
    seen: list[str] = []

    class Noting(Handler):
        def emit(self, samples: Sequence[Sample]) -> None:
            seen.extend(s.series.name for s in samples)

    world = World()
    handler = Noting(name="noting")
    world.meter().add_handler(handler)
    handler.start()
    shop = world.meter("shop")
    interruptions: list[int] = []

    def interrupt() -> None:
        interruptions.append(1)
        shop.event("interrupt")

    recorded = 0
    try:
        with interrupting(interrupt, 0.001):
            deadline = time.monotonic() + PATIENCE
            while len(interruptions) < 50 and time.monotonic() < deadline:
                shop.event("main")
                recorded += 1
                if recorded % 100 == 0:
                    handler.flush(PATIENCE)
    finally:
        handler.stop(PATIENCE)
    assert len(interruptions) >= 50
    assert seen.count("shop.interrupt") == len(interruptions)
    assert seen.count("shop.main") == recorded
