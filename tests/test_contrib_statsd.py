"""Tests of contrib/statsd.py: our StatsClient beside the one of the package statsd."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import time
from datetime import timedelta
from typing import Any

import pytest
import statsd as original

import servers
from appmetrics import rejection
from appmetrics.contrib import statsd as ours
from appmetrics.contrib import statsd_names, uniques
from appmetrics.contrib.statsd import StatsClient
from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.handlers.statsd import StatsdHandler
from appmetrics.testing import ManualClock, World
from servers import wait_for


@pytest.fixture
def memory(world: World) -> MemoryHandler:
    """What comes out of the world."""
    handler = MemoryHandler()
    world.meter().add_handler(handler)
    return handler


@pytest.fixture
def client(world: World) -> StatsClient:
    """A client that records in the world."""
    return StatsClient(prefix="shop", hierarchy=world.hierarchy)


def values(world: World, memory: MemoryHandler) -> dict[str, Any]:
    """The delta or the value of every series after a round."""
    memory.clear()
    world.advance(10)
    return {
        sample.series.name: sample.value if sample.delta is None else sample.delta
        for sample in memory.samples
        if not sample.series.name.startswith("appmetrics.")
    }


# -- the same interface --------------------------------------------------------


@pytest.mark.parametrize("name", ["StatsClient", "TCPStatsClient", "UnixSocketStatsClient"])
def test_everything_is_there_with_the_same_arguments(name: str) -> None:
    """Every public method and argument of the package's clients is one of ours."""
    theirs, mine = getattr(original, name), getattr(ours, name)
    for method, function in inspect.getmembers(theirs, inspect.isfunction):
        if method.startswith("_") and method != "__init__":
            continue
        expected = list(inspect.signature(function).parameters.values())
        found = list(inspect.signature(getattr(mine, method)).parameters.values())
        assert [(p.name, p.default) for p in found[: len(expected)]] == [
            (p.name, p.default) for p in expected
        ], method


def test_pipelines_and_timers_have_the_same_interface() -> None:
    """Also those of what a client gives."""
    mine = StatsClient()
    with contextlib.closing(original.StatsClient()) as theirs:
        for make in (lambda client: client.pipeline(), lambda client: client.timer("a")):
            public = {name for name in dir(make(theirs)) if not name.startswith("_")}
            assert public - set(dir(make(mine))) == set()


def test_arguments_of_the_network_mean_nothing() -> None:
    """A host that doesn't exist is never asked for."""
    client = StatsClient("no.such.host.invalid", 1, "p", 512, True)
    client.close()
    with ours.TCPStatsClient("no.such.host.invalid", 1, "p", timeout=1) as tcp:
        tcp.connect()
        tcp.reconnect()
    ours.UnixSocketStatsClient("/no/such/socket", "p", 1.0).close()


# -- what becomes of the calls -------------------------------------------------


def test_counts(world: World, memory: MemoryHandler, client: StatsClient) -> None:
    """Up is a counter; down is another, as a counter never falls."""
    client.incr("orders")
    client.incr("orders", 3, rate=0.1)
    client.incr("orders", -1)
    client.decr("orders", 2)
    client.decr("orders", -4)
    assert values(world, memory) == {"shop.orders": 8, "shop.orders.decr": 3}


def test_gauges(world: World, memory: MemoryHandler, client: StatsClient) -> None:
    """A gauge is set, below zero too, or changed by a delta."""
    client.gauge("depth", -70)
    client.gauge("depth", 5, delta=True)
    client.gauge("depth", -1, delta=True)
    assert values(world, memory) == {"shop.depth": -66}


def test_timings(world: World, memory: MemoryHandler, client: StatsClient) -> None:
    """Milliseconds and timedeltas are seconds of a timer."""
    client.timing("render", 250)
    client.timing("render", timedelta(seconds=1.5))
    (reading,) = values(world, memory).values()
    assert (reading.count, reading.sum) == (2, 1.75)
    sample = memory.last("shop.render")
    assert sample is not None
    assert sample.series.unit == "seconds"


def test_sets(world: World, memory: MemoryHandler, client: StatsClient) -> None:
    """A set is a gauge of how many different values came in the last whole interval."""
    world.advance(10)
    for user in ("amy", "bob", "amy", 7, "7"):
        client.set("users", user)
    assert values(world, memory) == {"shop.users": 3}
    client.set("users", "zoe")
    assert values(world, memory) == {"shop.users": 1}
    assert values(world, memory) == {"shop.users": 0}


def test_sets_are_bounded(
    client: StatsClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A set stops growing, with one warning."""
    monkeypatch.setattr(uniques, "MAX_VALUES", 5)
    for number in range(20):
        client.set("users", number)
    assert len(caplog.messages) == 1
    assert "more than 5 values" in caplog.text


def test_clients_share_their_instruments(world: World, memory: MemoryHandler) -> None:
    """Two clients of one prefix count in the same counter, and fill the same set."""
    world.advance(10)
    for _ in range(2):
        client = StatsClient(prefix="shop", hierarchy=world.hierarchy)
        client.incr("orders")
        client.set("users", "amy")
        client.set("users", _)
    assert values(world, memory) == {"shop.orders": 2, "shop.users": 3}


def test_a_name_of_two_kinds(world: World, memory: MemoryHandler, client: StatsClient) -> None:
    """statsd keeps kinds apart; here the second kind of a name has it in its name."""
    client.incr("page")
    client.timing("page", 1)
    client.timing("page", 1)
    client.gauge("page", 3)
    found = values(world, memory)
    assert found.keys() == {"shop.page", "shop.page.timer", "shop.page.gauge"}
    assert found["shop.page.timer"].count == 2


def test_names_without_prefix_and_with_many_dots(world: World, memory: MemoryHandler) -> None:
    """Levels of the hierarchy are those of the dotted name."""
    client = StatsClient(hierarchy=world.hierarchy)
    client.incr("a")
    client.incr("web.shop.orders")
    client.incr(".x..y.")
    assert values(world, memory).keys() == {"a", "web.shop.orders", "x..y"}
    world.meter("web.shop").level = "ERROR"
    client.incr("web.shop.orders")
    assert world.meter("web.shop").counter("orders").value == 1


def test_nothing_raises(world: World, memory: MemoryHandler, client: StatsClient) -> None:
    """Whatever is given, the application goes on; it is counted as rejected."""
    before = sum(rejection.counts.values())
    client.incr("a", "many")  # type: ignore[arg-type]
    client.decr("a", None)  # type: ignore[arg-type]
    client.gauge("b", float("nan"))
    client.timing("c", -1)
    client.timing("c", "long")  # type: ignore[arg-type]
    bare = StatsClient(hierarchy=world.hierarchy)
    bare.incr("")
    bare.incr(None)  # type: ignore[arg-type]
    bare.incr(["x"])  # type: ignore[arg-type]
    assert sum(rejection.counts.values()) - before == 8


def test_names_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that makes names of user ids fills no memory, and says so once."""
    monkeypatch.setattr(statsd_names, "MAX_NAMES", 10)
    client = StatsClient(prefix="user", hierarchy=world.hierarchy)
    for number in range(100):
        client.incr(f"u{number}")
    assert len(world.hierarchy.registry.instruments) == 10
    assert len([m for m in caplog.messages if "has used 10 names" in m]) == 1


# -- pipelines and timers ------------------------------------------------------


def test_a_pipeline_waits_for_its_end(
    world: World, memory: MemoryHandler, client: StatsClient
) -> None:
    """Calls are recorded in their order, when the block ends or `send` is called."""
    with client.pipeline() as pipe:
        pipe.incr("orders")
        with pipe.pipeline() as inner:
            inner.gauge("depth", 5)
            inner.gauge("depth", 7)
        assert values(world, memory) == {}
    assert values(world, memory) == {"shop.orders": 1, "shop.depth": 7}
    pipe.incr("orders", 2)
    pipe.send()
    pipe.send()
    assert values(world, memory)["shop.orders"] == 2


def test_timers_time(world: World, memory: MemoryHandler, client: StatsClient) -> None:
    """As a context manager, a decorator of functions and coroutines, and by hand."""
    with client.timer("block") as timer:
        pass
    assert timer.ms is not None
    assert timer.ms >= 0

    @client.timer("call")
    def double(number: int) -> int:
        """Twice."""
        return 2 * number

    @client.timer("fail")
    def fail() -> None:
        raise KeyError

    @client.timer("coroutine")
    async def later() -> str:
        await asyncio.sleep(0.01)
        return "done"

    assert double(21) == 42
    assert double.__doc__ == "Twice."
    with pytest.raises(KeyError):
        fail()
    assert asyncio.run(later()) == "done"
    assert client.timer("partial")(functools.partial(double, 4))() == 8
    by_hand = client.timer("hand").start()
    by_hand.stop(send=False)
    by_hand.send()
    found = values(world, memory)
    assert {name: reading.count for name, reading in found.items()} == {
        f"shop.{name}": 1 for name in ("block", "call", "fail", "coroutine", "partial", "hand")
    } | {"shop.call": 2}
    assert found["shop.coroutine"].sum >= 0.01


@pytest.mark.parametrize("module", [ours, original])
def test_timers_are_misused_alike(module: Any, world: World) -> None:
    """What the package refuses is refused here."""
    more = {"hierarchy": world.hierarchy} if module is ours else {}
    with contextlib.closing(module.StatsClient(**more)) as client:
        with pytest.raises(RuntimeError):
            client.timer("a").stop()
        with pytest.raises(RuntimeError):
            client.timer("a").send()
        timer = client.timer("a").start().stop()
        with pytest.raises(RuntimeError):
            timer.send()


# -- the same calls, both ways -------------------------------------------------


def calls(client: Any) -> None:
    """What a program does with a client."""
    client.incr("orders")
    client.incr("orders", 4)
    client.gauge("depth", 7)
    client.gauge("depth", 2, delta=True)
    client.gauge("below", -3)
    for ms in (10, 20, 30, 250, 1000):
        client.timing("render", ms)
    client.timing("render", timedelta(milliseconds=40))
    with client.pipeline() as pipe:
        pipe.incr("piped", 2)
        pipe.timing("quick", 1)
    for user in ("amy", "bob", "amy"):
        client.set("users", user)
    client.incr("checkout.failed", 3)


def test_the_daemon_gets_the_same_from_both(statsd: servers.Statsd) -> None:
    """The package's client, and ours with the statsd handler: the same numbers in statsd, but
    for sets, which are gauges here."""

    def kept(way: str) -> dict[str, Any]:
        return {
            f"{verb} {name.removeprefix(way)}": value
            for verb in ("counters", "gauges", "timers")
            for name, value in statsd.kept(verb).items()
            if name.startswith(f"{way}.") and not name.endswith(".users")
        }

    with contextlib.closing(
        original.StatsClient("127.0.0.1", statsd.port, prefix="theirs")
    ) as client:
        calls(client)
    # It counts the last call.
    wait_for(lambda: "counters .checkout.failed" in kept("theirs"), "theirs")
    theirs = kept("theirs")
    world = World()
    handler = StatsdHandler(name="tested", port=statsd.port, clock=world.clock)
    world.meter("ours").add_handler(handler)
    calls(StatsClient(prefix="ours", hierarchy=world.hierarchy))
    world.advance(10)
    world.stop()
    wait_for(lambda: kept("ours") == theirs, f"the same as {theirs}")
    assert len(theirs) == 7


def tree(carbon: servers.Carbon, root: str) -> dict[str, float]:
    """The paths below ``stats.*.ROOT`` that hold something, and the largest of each."""
    found = {}
    for path in carbon.paths():
        parts = path.split(".")
        if parts[0] == "stats" and parts[2] == root:
            numbers = list(carbon.points(path).values())
            if numbers:
                found[".".join([parts[1], *parts[3:]])] = max(numbers, key=abs)
    return found


@pytest.mark.slow
def test_the_same_tree_in_carbon(
    carbon: servers.Carbon, statsd_to_carbon: servers.Statsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's client through statsd, and ours through our own handler: the same
    whisper files with the same numbers."""
    monkeypatch.setattr(statsd_names, "_interval", lambda: 1.0)
    wait_for(lambda: carbon.points("stats.statsd.numStats"), "a flush")
    # In one datagram, so that all calls are of one interval.
    with (
        contextlib.closing(
            original.StatsClient(
                "127.0.0.1", statsd_to_carbon.port, prefix="theirs", maxudpsize=8192
            )
        ) as client,
        client.pipeline() as pipe,
    ):
        calls(pipe)
    world = World(ManualClock(time.time()))
    world.reporter.interval = 1.0
    world.meter("ours").add_handler(
        GraphiteHandler(name="tested", port=carbon.port, layout="statsd", clock=world.clock)
    )
    world.clock.advance(1 - world.clock.time() % 1)
    world.hierarchy.started = world.clock.monotonic()
    calls(StatsClient(prefix="ours", hierarchy=world.hierarchy))
    world.advance(1)
    world.stop()
    wait_for(lambda: "timers.render.mean" in tree(carbon, "theirs"), "statsd's numbers")
    wait_for(lambda: "timers.render.mean" in tree(carbon, "ours"), "our numbers")
    wait_for(lambda: tree(carbon, "ours").keys() == tree(carbon, "theirs").keys(), "the same paths")
    ours_, theirs = tree(carbon, "ours"), tree(carbon, "theirs")
    for path, value in theirs.items():
        assert ours_[path] == pytest.approx(value, rel=nearness(path)), path


def nearness(path: str) -> float:
    """How near a number of ours is, relatively: counts, sums and means are exact."""
    last = path.rpartition(".")[2]
    if not path.startswith("timers.") or last in ("count", "count_ps", "count_90", "sum", "mean"):
        return 1e-9
    # The others come from buckets, whose middle is within 2.2 % of any value in it;
    # squares double that, and a spread is a difference of large numbers.
    return {"std": 0.1, "sum_squares": 0.05, "sum_squares_90": 0.05}.get(last, 0.023)
