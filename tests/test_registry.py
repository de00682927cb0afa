"""The registry, and how it lives in scales' tree with an application's own stats.

scales has one tree for the process; every test here begins and ends with a fresh one.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appmetrics.cells import locked, renew_lock
from appmetrics.errors import InstrumentError
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.instrument import Declaration
from appmetrics.instruments import Counter
from appmetrics.meter import Meter
from appmetrics.testing import World
from servers import PATIENCE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from greplin import scales


def reset_scales() -> None:
    """What scales.reset() does, but for its walk over all objects of the process,
    which trips over lazy ones that other tests' libraries have made."""
    stats = scales._Stats
    stats.stats, stats.parentMap, stats.containerMap = scales.StatContainer(), {}, {}


@pytest.fixture(autouse=True)
def fresh_tree() -> Iterator[None]:
    """scales' own tree, empty, and emptied afterwards."""
    reset_scales()
    yield
    reset_scales()


@pytest.fixture
def world() -> World:
    """A world whose instruments are in scales' tree."""
    return World(shared=True)


@pytest.fixture
def meter(world: World) -> Meter:
    """A meter in it."""
    return world.meter("shop")


def as_json() -> Any:
    """What scales' own encoder makes of the whole tree."""
    return json.loads(json.dumps(scales.getStats(), cls=scales.StatContainerEncoder))


def shipped(world: World) -> dict[str, Any]:
    """name -> value of one round, without what appmetrics tells about itself."""
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    world.advance(10)
    world.meter().remove_handler(memory)
    return {
        sample.series.name: sample.value
        for sample in memory.samples
        if not sample.series.name.startswith("appmetrics.")
    }


# -- declaring -------------------------------------------------------------------


def test_the_same_name_is_the_same_instrument(meter: Meter) -> None:
    """Also from the meter above, under the longer name."""
    orders = meter.counter("orders", labels=("shop",))
    assert meter.counter("orders", "other help", labels=["shop"]) is orders
    assert meter.hierarchy.get_meter().counter("shop.orders", labels=("shop",)) is orders


@pytest.mark.parametrize(
    ("what", "again"),
    [
        ("kind", lambda meter: meter.gauge("orders")),
        ("labels", lambda meter: meter.counter("orders", labels=("shop",))),
    ],
)
def test_a_contradiction_names_both_places(meter: Meter, what: str, again: Any) -> None:
    """Another kind or other labels under one name: an error with file and line of both."""
    meter.counter("orders")
    first = sys._getframe().f_lineno - 1
    with pytest.raises(InstrumentError) as caught:
        again(meter)
    message = str(caught.value)
    assert "shop.orders" in message
    assert what in message
    assert f"{__file__}:{first}" in message
    assert message.count(f"{__file__}:") == 2


def test_other_states_are_a_contradiction(meter: Meter) -> None:
    """As are labels in another order."""
    meter.state("state", states=("a", "b"))
    meter.counter("orders", labels=("x", "y"))
    with pytest.raises(InstrumentError, match="states"):
        meter.state("state")
    with pytest.raises(InstrumentError, match="labels"):
        meter.counter("orders", labels=("y", "x"))


def test_a_decorators_declaration_is_placed_where_it_stands(meter: Meter) -> None:
    """The place is the application's line, however deep in appmetrics the call is."""
    meter.timed("work")
    line = sys._getframe().f_lineno - 1
    assert meter.timer("work").declaration.where == f"{__file__}:{line}"


def test_the_first_declarations_of_many_threads_agree(world: World) -> None:
    """Threads that declare the same instrument at once get one and the same."""
    threads_number, found = 8, []
    barrier = threading.Barrier(threads_number)

    def declare() -> None:
        barrier.wait()
        found.append([world.meter(f"shop{i % 3}").counter(f"orders{i}") for i in range(50)])

    threads = [threading.Thread(target=declare) for _ in range(threads_number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for same in zip(*found):
        assert len({id(counter) for counter in same}) == 1


# -- our instruments in scales' tree ----------------------------------------------


def test_instruments_appear_in_scales_tree_and_json(meter: Meter) -> None:
    """Numbers as numbers, timers as dicts with scales' key names, states as text."""
    meter.counter("orders").inc(3)
    meter.gauge("queue.depth").set(1.5)
    meter.state("database").set("critical")
    for value in (1.0, 2.0, 4.0):
        meter.timer("render").observe(value)
    stats = scales.getStats()
    assert stats["shop"]["orders"]() == 3
    tree = as_json()["shop"]
    assert tree["orders"] == 3
    assert tree["queue"]["depth"] == 1.5
    assert tree["database"] == "critical"
    assert tree["render"]["count"] == 3
    assert set(tree["render"]) == {
        "count",
        "mean",
        "min",
        "max",
        "median",
        "75percentile",
        "95percentile",
        "98percentile",
        "99percentile",
        "999percentile",
    }
    assert tree["render"]["median"] == pytest.approx(2, rel=0.03)


def test_labelled_children_are_one_dict(meter: Meter) -> None:
    """One entry for each label set."""
    orders = meter.counter("orders", labels=("shop", "status"))
    orders.labels("de", 200).inc(2)
    orders.labels("fr", 404).inc()
    assert as_json()["shop"]["orders"] == {"shop=de,status=200": 2, "shop=fr,status=404": 1}


def test_a_name_may_be_an_instrument_and_a_prefix(meter: Meter) -> None:
    """Its own value then sits under ``value``, in either order of declaration."""
    meter.counter("orders").inc()
    meter.counter("orders.failed").inc(2)
    meter.counter("orders.failed.hard").inc(3)
    meter.counter("carts.open").inc(4)
    meter.counter("carts").inc(5)
    tree = as_json()["shop"]
    assert tree["orders"] == {"value": 1, "failed": {"value": 2, "hard": 3}}
    assert tree["carts"] == {"value": 5, "open": 4}


def test_a_leaf_never_raises(meter: Meter) -> None:
    """Whatever is behind it, the application's own stats page goes on."""
    meter.counter("broken")._kept = []
    meter.counter("sound").inc()
    assert as_json()["shop"] == {"broken": None, "sound": 1}


def test_instruments_return_after_scales_was_reset(meter: Meter) -> None:
    """A test of the application that calls scales.reset() loses none for good."""
    orders = meter.counter("orders")
    orders.inc()
    reset_scales()
    assert as_json() == {}
    meter.counter("new")
    assert as_json()["shop"] == {"orders": 1, "new": 0}


def test_reset_zeroes_and_never_unregisters(world: World, meter: Meter) -> None:
    """Modules hold their instruments: they stay in the tree and go on from zero."""
    orders = meter.counter("orders", labels=("shop",)).labels("de")
    orders.inc()
    world.hierarchy.reset()
    orders.inc()
    assert as_json()["shop"]["orders"] == {"shop=de": 1}


def test_a_world_of_its_own_stays_out_of_the_tree() -> None:
    """Only the process' registry, or a shared one, is in scales' tree."""
    World().meter("shop").counter("orders")
    assert as_json() == {}


# -- an application's own scales stats ---------------------------------------------


def test_plain_stats_come_out_as_samples(world: World) -> None:
    """IntStat and DoubleStat as gauges, text and booleans aside."""
    stats = scales.collection(
        "/app/web",
        scales.IntStat("requests"),
        scales.DoubleStat("load"),
        scales.Stat("version"),
    )
    stats.requests += 3
    stats.load = 0.5
    stats.version = "1.4"
    assert shipped(world) == {"app.web.requests": 3, "app.web.load": 0.5}


def test_an_application_without_one_instrument_of_ours_is_routed(world: World) -> None:
    """Plain scales alone is enough; no line of it has to change."""
    stats = scales.collection("/app", scales.IntStat("requests"))
    stats.requests += 1
    assert world.hierarchy.registry.instruments == {}
    assert shipped(world) == {"app.requests": 1}


def test_a_pmf_stats_count_is_a_counter(world: World) -> None:
    """Its percentiles are gauges, and its count has a delta."""
    stats = scales.collection("/app", scales.PmfStat("latency"))
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    for value in (1, 2, 3):
        stats.latency = value
    world.advance(10)
    stats.latency = 4
    world.advance(10)
    count = memory.last("app.latency.count")
    assert count is not None
    assert (count.series.kind, count.value, count.delta) == ("counter", 4, 1)
    maximum = memory.last("app.latency.max")
    assert maximum is not None
    assert (maximum.series.kind, maximum.value) == ("gauge", 2)


def test_dict_stats_come_out_key_by_key(world: World) -> None:
    """IntDictStat and NamedPmfDictStat, keys of any type."""
    stats = scales.collection("/app", scales.IntDictStat("errors"), scales.NamedPmfDictStat("by"))
    stats.errors[404] += 2
    stats.errors["5xx"] += 1
    stats.by["page"] = 3
    found = shipped(world)
    assert found["app.errors.404"] == 2
    assert found["app.errors.5xx"] == 1
    assert found["app.by.page.count"] == 1


def test_aggregated_stats_come_out(world: World) -> None:
    """Sums and histograms over children, next to the children themselves."""

    class Root:
        total = scales.SumAggregationStat("count")
        states = scales.HistogramAggregationStat("state")

        def __init__(self) -> None:
            scales.init(self, "/app")

        def child(self, name: str) -> Child:
            return Child(name)

    class Child:
        count = scales.IntStat("count")
        state = scales.Stat("state")

        def __init__(self, name: str) -> None:
            scales.initChild(self, name)

    root = Root()
    for name, number in (("a", 2), ("b", 3)):
        child = root.child(name)
        child.count = number
        child.state = "up"
    assert shipped(world) == {
        "app.count": 5,
        "app.state.up": 2,
        "app.a.count": 2,
        "app.b.count": 3,
    }


def test_callables_are_asked(world: World) -> None:
    """A function in the tree is a gauge; one that raises, or isn't a number, is left out."""

    def broken() -> int:
        raise RuntimeError

    stats = scales.getStats()
    stats["answer"] = lambda: 42
    stats["broken"] = broken
    stats["text"] = lambda: "x"
    stats["nan"] = math.nan
    stats["inf"] = lambda: math.inf
    stats["none"] = None
    stats["huge"] = 10**400
    stats["flag"] = True
    found = shipped(world)
    assert found["answer"] == 42
    assert {"broken", "text", "nan", "inf", "none", "huge"}.isdisjoint(found)
    assert all(type(value) in (int, float) for value in found.values())


def test_a_stat_that_cannot_be_read_is_missing_until_it_can(world: World) -> None:
    """No old number passes for a new one."""
    stats = scales.getStats()
    stats["depth"] = 1
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    world.advance(10)
    del stats["depth"]
    memory.clear()
    world.advance(10)
    assert memory.last("depth") is None
    stats["depth"] = 2
    world.advance(10)
    assert memory.last("depth") is not None


def test_numbers_of_scales_can_be_declared_counters(world: World) -> None:
    """By globs of names: then they have deltas."""
    stats = scales.collection("/app", scales.IntStat("requests"), scales.IntStat("depth"))
    stats.requests, stats.depth = 5, 5
    world.hierarchy.configure({}, scales_counters=("app.req*",))
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    world.advance(10)
    stats.requests = 7
    world.advance(10)
    requests, depth = memory.last("app.requests"), memory.last("app.depth")
    assert requests is not None
    assert depth is not None
    assert (requests.series.kind, requests.delta) == ("counter", 2)
    assert depth.series.kind == "gauge"


def test_our_own_leaves_are_not_read_twice(world: World, meter: Meter) -> None:
    """An instrument is shipped as itself, not as a stat of scales' as well."""
    meter.counter("orders").inc()
    meter.counter("orders.failed").inc()
    meter.counter("labelled", labels=("x",)).labels("y").inc()
    meter.timer("render").observe(1)
    assert set(shipped(world)) == {
        "shop.orders",
        "shop.orders.failed",
        "shop.labelled",
        "shop.render",
    }


def test_meters_rule_over_scales_stats_by_their_names(world: World) -> None:
    """Levels, labels, filters and handlers of the meter that the path falls under."""
    stats = scales.collection("/app/web", scales.IntStat("requests"))
    stats.requests = 1
    world.meter("app").labels = {"env": "test"}
    memory = MemoryHandler()
    world.meter("app").add_handler(memory)
    scales.getStats()["other"] = 1
    world.advance(10)
    assert [(s.series.name, s.series.labels) for s in memory.samples] == [
        ("app.web.requests", (("env", "test"),))
    ]


def test_an_application_may_own_a_collection_at_our_leafs_path(world: World, meter: Meter) -> None:
    """Its stats work as ever, and our value moves under ``value``."""
    meter.counter("orders").inc(7)
    stats = scales.collection("/shop/orders", scales.IntStat("open"), scales.PmfStat("size"))
    stats.open += 2
    stats.open += 1
    stats.size = 4
    assert stats.open == 3
    tree = as_json()["shop"]["orders"]
    assert (tree["value"], tree["open"], tree["size"]["count"]) == (7, 3, 1)
    found = shipped(world)
    assert (found["shop.orders"], found["shop.orders.open"]) == (7, 3)


def test_an_application_may_own_a_collection_below_our_leafs_path(
    world: World, meter: Meter
) -> None:
    """Also several of them, one after the other."""
    meter.counter("orders").inc(7)
    for number, name in enumerate(("open", "closed", "open"), 1):
        stats = scales.collection(f"/shop/orders/{name}", scales.IntStat("number"))
        stats.number += number
    assert as_json()["shop"]["orders"] == {
        "value": 7,
        "open": {"number": 4},
        "closed": {"number": 2},
    }
    assert shipped(world)["shop.orders.open.number"] == 4


def test_an_instrument_gives_way_to_a_collection_that_was_there(meter: Meter) -> None:
    """Our instrument at the path of an application's collection sits under ``value``."""
    stats = scales.collection("/shop/orders", scales.IntStat("open"))
    stats.open = 2
    meter.counter("orders").inc()
    meter.counter("orders.failed").inc()
    assert as_json()["shop"]["orders"] == {"open": 2, "value": 1, "failed": 1}


def test_a_stat_that_was_there_stays(world: World, meter: Meter) -> None:
    """An application's stat at our path is not overwritten, and ours is still shipped."""
    stats = scales.collection("/shop", scales.IntStat("orders"))
    stats.orders = 5
    meter.counter("orders").inc()
    meter.counter("orders.failed").inc()
    stats.orders += 1
    assert as_json()["shop"]["orders"] == 6
    assert shipped(world) == {"shop.orders": 1, "shop.orders.failed": 1}


def test_an_applications_stat_at_our_leafs_path_works(meter: Meter) -> None:
    """An application that keeps a stat where our leaf already is gets no error."""
    stats = scales.collection("/shop", scales.IntStat("orders"), scales.PmfStat("render"))
    meter.counter("orders").inc(7)
    meter.timer("render").observe(1)
    stats.orders += 2
    stats.orders += 1
    stats.render = 5
    assert stats.orders == 3
    assert stats.render["count"] == 1


def test_stats_are_read_while_they_change(world: World) -> None:
    """Reading the tree never trips over an application that adds to it."""
    stats = scales.collection("/app", scales.IntDictStat("errors"))
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            stats.errors[number % 500] = number

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(50):
            world.hierarchy.registry.read_foreign()
    finally:
        stop.set()
        thread.join()


# -- imports -----------------------------------------------------------------------


def test_scales_is_imported_with_the_first_instrument_only() -> None:
    """A program that imports appmetrics and makes none doesn't pay for scales."""
    code = (
        "import sys, threading, appmetrics\n"
        "print('greplin.scales' in sys.modules)\n"
        "appmetrics.get_meter('x').counter('y').inc()\n"
        "print('greplin.scales' in sys.modules, 'cgi' in sys.modules)\n"
        "print(threading.active_count())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.split() == ["False", "True", "False", "1"]


def test_what_another_thread_was_declaring_at_the_fork_is_read_in_the_child(world: World) -> None:
    """It had got as far as being known, and not yet as far as being read."""
    orders = world.meter("shop").counter("orders", labels=("shop",))
    orders.labels("de").inc()
    world.hierarchy.registry.points.remove(orders.labels("de"))
    world.reporter.after_fork()
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    orders.labels("de").inc()
    world.advance(10)
    assert memory.last("shop.orders", shop="de") is not None


def test_locks_of_instruments_are_new_after_a_fork() -> None:
    """Where updates take one (free-threaded builds), another thread may have held it."""
    counter = locked(Counter, "inc")(Declaration("orders"))
    with counter._lock:
        renew_lock(counter)
        thread = threading.Thread(target=counter.inc)
        thread.start()
        thread.join(PATIENCE)
    assert counter.value == 1


def test_the_filters_of_warnings_are_left_alone(world: World) -> None:
    """They belong to the application: changing them is not for several threads at a time."""
    world.meter("shop").counter("orders")
    with warnings.catch_warnings():
        warnings.filters = Untouchable(warnings.filters)  # type: ignore[attr-defined]
        world.meter("shop").counter("returns")
        world.reporter.pull(MemoryHandler())


class Untouchable(list[Any]):
    """A list that is not to be changed or copied."""

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("copied")

    def insert(self, index: Any, value: Any) -> None:
        raise AssertionError("changed")
