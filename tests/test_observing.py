"""Tests of observing.py, and of who observes what: hierarchy.py, handlers/observations.py."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from appmetrics import Handler
from appmetrics.filters import LabelFilter, LabelsFilter, NameFilter
from appmetrics.handlers.observations import Observations
from appmetrics.hierarchy import Hierarchy
from appmetrics.registry import Registry
from appmetrics.sample import Sample, Series
from appmetrics.sharing.cells import SharedBuckets


class Observer(Handler):
    """Keeps all single values with their series."""

    observes = True

    def __init__(self, **common: object) -> None:
        super().__init__(name="observer", **common)  # type: ignore[arg-type]
        self.seen: list[tuple[Series, float]] = []

    def observer(self, series: Series) -> Callable[[float], None]:
        return lambda value: self.seen.append((series, value))

    def emit(self, samples: Sequence[Sample]) -> None:
        pass

    @property
    def values(self) -> list[float]:
        """The values alone."""
        return [value for _, value in self.seen]


@pytest.fixture
def hierarchy() -> Hierarchy:
    """A hierarchy of one's own."""
    return Hierarchy(Registry())


@pytest.fixture
def observer(hierarchy: Hierarchy) -> Observer:
    """An observer at the root."""
    handler = Observer()
    hierarchy.root.add_handler(handler)
    return handler


def test_every_value_is_told_and_counted(hierarchy: Hierarchy, observer: Observer) -> None:
    """An observer sees each value as it was given, and the histogram counts it as ever."""
    sizes = hierarchy.get_meter("shop").histogram("sizes", unit="bytes")
    for value in (3, 0.1, 0, 1e-300, 1e300, 2**53 - 1):
        sizes.observe(value)
    assert observer.values == [3, 0.1, 0, 1e-300, 1e300, 2**53 - 1]
    assert observer.seen[0][0] == sizes.series
    assert sizes.value.count == 6
    assert sizes.value.special == (1, 1, 2)


def test_the_sum_stays_finite(hierarchy: Hierarchy, observer: Observer) -> None:
    """Also while it is observed, a sum ends at the largest number."""
    sizes = hierarchy.root.histogram("sizes")
    for _ in range(3):
        sizes.observe(sys.float_info.max)
    assert sizes.value.sum == sys.float_info.max
    assert observer.values == [sys.float_info.max] * 3


def test_what_was_made_before_is_observed_too(hierarchy: Hierarchy) -> None:
    """Also through a bound method, a child and a decorator that exist already."""
    timer = hierarchy.root.timer("t")
    child = hierarchy.root.timer("l", labels=("a",)).labels("x")
    bound = timer.observe
    called = timer.time()(lambda: None)
    bound(1)
    observer = Observer()
    hierarchy.root.add_handler(observer)
    bound(2)
    child.observe(3)
    called()
    with child.time():
        pass
    assert observer.values[:2] == [2, 3]
    assert len(observer.seen) == 4
    assert timer.value.count == 3
    hierarchy.root.remove_handler(observer)
    bound(4)
    assert len(observer.seen) == 4
    assert timer.value.count == 4


def test_unobserved_instruments_have_ordinary_cells(hierarchy: Hierarchy) -> None:
    """Nobody pays for observers that look elsewhere."""
    elsewhere = hierarchy.root.timer("elsewhere")
    plain = type(elsewhere._cell)
    hierarchy.get_meter("shop").add_handler(Observer())
    assert type(elsewhere._cell) is plain
    assert type(hierarchy.get_meter("shop").timer("t")._cell) is not plain


def test_the_first_value_of_a_new_child_is_told(hierarchy: Hierarchy, observer: Observer) -> None:
    """Children are observed from their first update, under their labels."""
    timer = hierarchy.root.timer("t", labels=("shop",))
    timer.labels("de").observe(0.5)
    ((series, value),) = observer.seen
    assert (series.labels, value) == ((("shop", "de"),), 0.5)


def test_routing_holds_for_observers(hierarchy: Hierarchy) -> None:
    """Levels, common labels and filters, of the meter and of the handler, as for a round."""
    drop = LabelsFilter(drop=["user"])
    observer = Observer(filters=(LabelFilter(label="shop", exclude=["test"]), drop))
    hierarchy.root.add_handler(observer)
    meter = hierarchy.get_meter("shop")
    meter.labels = {"env": "prod"}
    meter.add_filter(NameFilter(exclude=["*.secret"]))
    meter.timer("secret").observe(1)
    meter.timer("debug", level="DEBUG").observe(2)
    timer = meter.timer("t", labels=("shop", "user"))
    timer.labels("test", "me").observe(3)
    timer.labels("de", "you").observe(4)
    ((series, value),) = observer.seen
    assert value == 4
    assert series.labels == (("env", "prod"), ("shop", "de"))


def test_a_level_that_is_off_is_not_observed(hierarchy: Hierarchy, observer: Observer) -> None:
    """Turning levels off and on stops and resumes the telling."""
    timer = hierarchy.get_meter("shop").timer("t")
    hierarchy.get_meter("shop").level = "ERROR"
    timer.observe(1)
    hierarchy.get_meter("shop").level = "INFO"
    timer.observe(2)
    assert observer.values == [2]


def test_resetting_goes_on_telling(hierarchy: Hierarchy, observer: Observer) -> None:
    """After a reset the count begins anew and values are told as before."""
    timer = hierarchy.root.timer("t")
    timer.observe(1)
    hierarchy.reset()
    timer.observe(2)
    assert observer.values == [1, 2]
    assert timer.value.count == 1


def test_rejected_values_are_not_told(hierarchy: Hierarchy, observer: Observer) -> None:
    """What is no number >= 0 reaches nobody."""
    timer = hierarchy.root.timer("t")
    timer.observe(-1)
    timer.observe("x")  # type: ignore[arg-type]
    assert observer.seen == []


def test_a_broken_observer_costs_only_itself(hierarchy: Hierarchy, observer: Observer) -> None:
    """A handler that fails to make a sink is counted, and the application goes on."""

    class Broken(Observer):
        def observer(self, series: Series) -> Callable[[float], None]:
            raise RuntimeError("for the test")

    broken = Broken()
    hierarchy.root.add_handler(broken)
    hierarchy.root.timer("t").observe(1)
    assert observer.values == [1]
    assert broken.stats.last_error == "RuntimeError: for the test"


def test_octaves_that_are_shared_later_are_counted_in(hierarchy: Hierarchy) -> None:
    """While an octave can't be shared it is private; when it can, counts go there."""
    shared: dict[int, Any] = {}
    room: list[bool] = []

    def allocate(octave: int) -> Any:
        if not room:
            return None
        return shared.setdefault(octave, memoryview(bytearray(8 * 16)).cast("d"))

    kept = SharedBuckets(memoryview(bytearray(8 * 4)).cast("d"), allocate)
    timer = hierarchy.root.timer("t")
    observer = Observer()
    hierarchy.root.add_handler(observer)
    timer.move(kept)
    timer.observe(0.3)
    assert not shared
    room.append(True)
    kept.promote()
    timer.observe(0.3)
    timer.observe(100)
    assert [sum(cells) for cells in shared.values()] == [2, 1]
    assert timer.value.count == 3
    assert observer.values == [0.3, 0.3, 100]


@pytest.mark.usefixtures("hectic")
def test_no_value_is_lost_while_routing_changes(hierarchy: Hierarchy) -> None:
    """Threads record while an observer comes and goes; every value is counted."""
    timer = hierarchy.root.timer("t", labels=("n",))
    observer = Observer()
    done = threading.Event()

    def record() -> None:
        for number in range(20_000):
            timer.labels(number % 7).observe(0.1)

    def reroute() -> None:
        while not done.is_set():
            hierarchy.root.add_handler(observer)
            hierarchy.root.remove_handler(observer)

    router = threading.Thread(target=reroute)
    threads = [threading.Thread(target=record) for _ in range(4)]
    router.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    router.join()
    assert sum(child.value.count for child in timer.own_points()) == 80_000


# -- the queue -----------------------------------------------------------------


def test_the_queue_is_bounded_and_counts() -> None:
    """What comes when it is full is dropped and counted; half full, it wakes its taker."""
    handler = Observer()
    woken: list[int] = []
    handler._worker.wake = lambda: woken.append(len(queue))  # type: ignore[method-assign]
    queue = Observations(handler, limit=10)
    sink = queue.sink("a")
    for value in range(25):
        sink(value)
    assert queue.take() == [("a", value) for value in range(10)]
    assert queue.dropped == 15
    assert woken == [6]
    sink(1)
    assert queue.take() == [("a", 1)]


def test_the_queue_can_take_a_share() -> None:
    """With a rate only the chosen ones come."""
    chances = iter([0.05, 0.1, 0.5, 0.0])
    queue = Observations(Observer(), rate=0.1, chance=lambda: next(chances))
    sink = queue.sink("a")
    for value in range(4):
        sink(value)
    assert queue.take() == [("a", 0), ("a", 3)]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_forgets_what_waits() -> None:
    """What waits belongs to the parent; the sinks stay good."""
    queue = Observations(Observer())
    sink = queue.sink("a")
    sink(1)
    child = os.fork()
    if not child:
        taken = queue.take()
        sink(2)
        os._exit(taken == [] and queue.take() == [("a", 2)])
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert queue.take() == [("a", 1)]
