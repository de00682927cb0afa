"""Very many series, ours and prometheus_client's, for the benchmarks that need them."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from appmetrics.handlers.base import Handler
from appmetrics.testing import World
from appmetrics.wsgi import MetricsApp

#: As a big application has them: instruments with up to so many label sets each.
CHILDREN = 1000
VALUES = (0.0004, 0.003, 0.02, 0.02, 0.15, 1.5, 30.0)


def labels(number: int) -> tuple[str, str]:
    """Two label values, together unlike all others."""
    return f"shop{number % 10}", f"customer-group-{number}"


def counters(world: World, number: int) -> None:
    """Counters with two labels, each incremented once."""
    for index in range(0, number, CHILDREN):
        counter = world.meter("many").counter(f"counter{index}", "Many.", labels=("a", "b"))
        for child in range(min(CHILDREN, number - index)):
            counter.labels(*labels(child)).inc()


def histograms(world: World, number: int) -> None:
    """Timers with two labels, each with values in several octaves."""
    for index in range(0, number, CHILDREN):
        timer = world.meter("many").timer(f"timer{index}", "Many.", labels=("a", "b"))
        for child in range(min(CHILDREN, number - index)):
            observe = timer.labels(*labels(child)).observe
            for value in VALUES:
                observe(value)


def their_counters(number: int) -> CollectorRegistry:
    """The same with prometheus_client."""
    registry = CollectorRegistry()
    for index in range(0, number, CHILDREN):
        counter = Counter(f"counter{index}", "Many.", ["a", "b"], registry=registry)
        for child in range(min(CHILDREN, number - index)):
            counter.labels(*labels(child)).inc()
    return registry


def their_histograms(number: int) -> CollectorRegistry:
    """The same with prometheus_client."""
    registry = CollectorRegistry()
    for index in range(0, number, CHILDREN):
        timer = Histogram(f"timer{index}", "Many.", ["a", "b"], registry=registry)
        for child in range(min(CHILDREN, number - index)):
            observe = timer.labels(*labels(child)).observe
            for value in VALUES:
                observe(value)
    return registry


def application(world: World, handler: Handler | None = None) -> MetricsApp:
    """What answers a scrape of them."""
    return MetricsApp(handler, reporter=world.reporter)


def scraped(app: MetricsApp, query: str = "") -> list[bytes]:
    """The chunks of one answer."""
    environ: Any = {"REQUEST_METHOD": "GET", "QUERY_STRING": query}
    return list(app(environ, lambda status, headers: None))  # type: ignore[arg-type]
