"""Tests of contrib/prometheus.py: prometheus_client as a source and as a target."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import prometheus_client as peer
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from appmetrics import collectors
from appmetrics.contrib import prometheus
from appmetrics.contrib.prometheus import Collector, install
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.testing import World
from servers import PATIENCE


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of prometheus_client of one's own."""
    return CollectorRegistry()


@pytest.fixture
def memory(world: World) -> MemoryHandler:
    """What comes out of the world."""
    handler = MemoryHandler(size=100_000)
    world.meter().add_handler(handler)
    return handler


def readings(memory: MemoryHandler, *names: str) -> dict[Any, Any]:
    """(name, labels) -> value of the last round, of these names."""
    return {
        s.series.identity: s.value for s in memory.samples if not names or s.series.name in names
    }


# -- as a source ---------------------------------------------------------------


def test_their_samples_come_out_through_our_handlers(
    world: World, memory: MemoryHandler, registry: CollectorRegistry
) -> None:
    """Counters count, gauges and all else are gauges, under their own names and labels."""
    hits = peer.Counter("hits", "Hits.", ["path"], registry=registry)
    depth = peer.Gauge("depth", "Depth.", unit="items", registry=registry)
    peer.Info("build", "Build.", registry=registry).info({"version": "1"})
    peer.Enum("state", "State.", states=["up", "down"], registry=registry).state("down")
    install(world.hierarchy, registry)
    hits.labels("/").inc(2)
    depth.set(2**53 - 1)
    world.advance(10)
    hits.labels("/").inc(3)
    hits.labels("/x").inc(0.1)
    memory.clear()
    world.advance(10)
    sample = memory.last("hits_total", path="/")
    assert sample is not None
    assert (sample.value, sample.delta, sample.series.help) == (5, 3, "Hits.")
    assert sample.series.kind == "counter"
    found = readings(memory, "depth_items", "build_info", "state", "hits_total")
    assert found == {
        ("hits_total", (("path", "/"),)): 5,
        ("hits_total", (("path", "/x"),)): 0.1,
        ("depth_items", ()): 2**53 - 1,
        ("build_info", (("version", "1"),)): 1,
        ("state", (("state", "up"),)): 0,
        ("state", (("state", "down"),)): 1,
    }
    assert memory.last("depth_items").series.unit == "items"  # type: ignore[union-attr]
    assert readings(memory, "prometheus.series") == {("prometheus.series", ()): 6}


def test_their_histograms_are_counters_by_bound(
    world: World, memory: MemoryHandler, registry: CollectorRegistry
) -> None:
    """Buckets, count and sum of a histogram only grow; so do those of a summary."""
    histogram = peer.Histogram("h", "H.", buckets=(1, 2), registry=registry)
    summary = peer.Summary("s", "S.", registry=registry)
    install(world.hierarchy, registry)
    world.advance(10)
    for value in (0.5, 1.5, 9):
        histogram.observe(value)
        summary.observe(value)
    memory.clear()
    world.advance(10)
    deltas = {
        (s.series.name, s.series.label("le")): s.delta
        for s in memory.samples
        if s.series.name[:2] in ("h_", "s_")
    }
    assert deltas == {
        ("h_bucket", "1.0"): 1,
        ("h_bucket", "2.0"): 2,
        ("h_bucket", "+Inf"): 3,
        ("h_count", ""): 3,
        ("h_sum", ""): 11,
        ("s_count", ""): 3,
        ("s_sum", ""): 11,
    }


def test_what_has_gone_has_no_reading(
    world: World, memory: MemoryHandler, registry: CollectorRegistry
) -> None:
    """A removed child is sent no more; neither is anything after the collector is out."""
    gauge = peer.Gauge("depth", "D.", ["queue"], registry=registry)
    remove = install(world.hierarchy, registry)
    for queue in "ab":
        gauge.labels(queue).set(1)
    world.advance(10)
    gauge.remove("a")
    memory.clear()
    world.advance(10)
    assert list(readings(memory, "depth")) == [("depth", (("queue", "b"),))]
    remove()
    memory.clear()
    world.advance(10)
    assert readings(memory, "depth", "prometheus.series") == {}


def test_a_broken_collector_of_theirs_stops_nobody(
    world: World, memory: MemoryHandler, registry: CollectorRegistry
) -> None:
    """A callback of theirs that raises is logged; our own series go on."""

    class Broken:
        def collect(self) -> Iterator[Any]:
            raise RuntimeError("for the test")

    registry.register(Broken())
    install(world.hierarchy, registry)
    world.meter("shop").counter("orders").inc()
    world.advance(10)
    assert readings(memory, "shop.orders") == {("shop.orders", ()): 1}


def test_series_are_bounded(
    world: World,
    memory: MemoryHandler,
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A registry that grows for ever is read up to a limit, with one warning."""
    monkeypatch.setattr(prometheus, "MAX_SERIES", 10)
    gauge = peer.Gauge("depth", "D.", ["queue"], registry=registry)
    for queue in range(50):
        gauge.labels(str(queue)).set(1)
    install(world.hierarchy, registry)
    world.advance(30)
    assert len(readings(memory, "depth")) == 10
    assert len([m for m in caplog.messages if "more than 10 series" in m]) == 1


def test_it_is_a_collector_of_the_configuration() -> None:
    """`collectors = prometheus` finds it."""
    assert collectors.find("prometheus") is install


# -- as a target ---------------------------------------------------------------


def families(registry: CollectorRegistry) -> dict[str, Any]:
    """What a registry exposes, by their own writer and parser."""
    return {family.name: family for family in parse(generate_latest(registry).decode())}


def test_our_series_are_exposed_by_their_registry(
    world: World, registry: CollectorRegistry
) -> None:
    """Every kind has the names, labels and numbers of our own page."""
    registry.register(Collector(reporter=world.reporter))
    meter = world.meter("shop")
    meter.counter("orders", "Orders.", labels=("shop",)).labels('d"e').inc(2**53 - 1)
    meter.gauge("depth", unit="items").set(-1e-300)
    timer = meter.timer("render")
    for seconds in (0.001, 0.3, 100):
        timer.observe(seconds)
    meter.state("db").set("critical")
    found = families(registry)
    assert found["shop_orders"].type == "counter"
    assert found["shop_orders"].documentation == "Orders."
    value = registry.get_sample_value
    assert value("shop_orders_total", {"shop": 'd"e'}) == 2**53 - 1
    assert value("shop_depth_items") == -1e-300
    assert found["shop_render_seconds"].type == "histogram"
    assert value("shop_render_seconds_count") == 3
    assert value("shop_render_seconds_bucket", {"le": "0.5"}) == 2
    assert value("shop_render_seconds_bucket", {"le": "+Inf"}) == 3
    assert value("shop_db", {"shop_db": "critical"}) == 1
    assert value("shop_db", {"shop_db": "ok"}) == 0
    openmetrics = generate_openmetrics(registry).decode()
    assert "shop_orders" in {family.name for family in parse_openmetrics(openmetrics)}


def test_what_is_declared_later_is_exposed_too(world: World, registry: CollectorRegistry) -> None:
    """To register reads nothing, and names nothing for good."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(Collector(reporter=world.reporter))
    world.meter("shop").counter("late").inc()
    assert registry.get_sample_value("shop_late_total") == 1


def test_both_ways_at_once_show_nothing_twice(
    world: World, memory: MemoryHandler, registry: CollectorRegistry
) -> None:
    """As a source and as a target of the same registry, neither sees itself."""
    peer.Counter("theirs", "T.", registry=registry).inc(3)
    world.meter().counter("ours").inc(2)
    registry.register(Collector(reporter=world.reporter))
    install(world.hierarchy, registry)
    for _ in range(3):
        text = generate_latest(registry).decode()
        world.advance(10)
    lines = [line for line in text.splitlines() if line.startswith(("theirs_total", "ours_total"))]
    assert sorted(lines) == ["ours_total 2.0", "theirs_total 3.0"]
    names = {name for name, _ in readings(memory)}
    assert {"theirs_total", "ours"} <= names
    assert not any(name.startswith(("ours_", "theirs_total_")) for name in names)


def test_they_are_scraped_while_we_read(world: World, registry: CollectorRegistry) -> None:
    """Scrapes and rounds in threads of their own wait for each other, and never for ever."""
    registry.register(Collector(reporter=world.reporter))
    install(world.hierarchy, registry)
    counter = world.meter().counter("ours")
    threads = [
        threading.Thread(target=lambda: [generate_latest(registry) for _ in range(10)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in range(20):
        counter.inc()
        world.advance(10)
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert registry.get_sample_value("ours_total") == 20
