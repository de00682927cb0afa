"""What a series takes: bytes of a child and of what handlers add, and making a new one.

Bytes are those that Python's allocators handed out, as tracemalloc counts them; label
values are text that the application made, so they belong to the series.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from appmetrics.handlers.base import Handler
from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.handlers.null import NullHandler
from appmetrics.handlers.riemann import RiemannHandler
from appmetrics.testing import World

from . import many
from .budgets import CHILD, FIRST_HANDLER, PER_HANDLER
from .harness import Figure, listing, once

SERIES = 20_000


def taken(work: Callable[[], object]) -> float:
    """Bytes that some work left in use, per series."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = work()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return (after - before) / SERIES


def filled(kind: str, values: tuple[float, ...] = ()) -> Callable[[], object]:
    """Makes one instrument with very many children, and records so many values in each."""

    def work() -> object:
        world = World()
        meter = world.meter("many")
        world.hierarchy.max_children = SERIES
        instrument = getattr(meter, kind)("of_all", labels=("a", "b"))
        for number in range(SERIES):
            child = instrument.labels(*many.labels(number))
            for value in values:
                child.observe(value)
        return world

    return work


def theirs(kind: type[Counter | Histogram], values: tuple[float, ...] = ()) -> Callable[[], object]:
    """The same with prometheus_client."""

    def work() -> object:
        registry = CollectorRegistry()
        instrument = kind("of_all", "-", ["a", "b"], registry=registry)
        for number in range(SERIES):
            child = instrument.labels(*many.labels(number))
            for value in values:
                child.observe(value)  # type: ignore[union-attr]
        return registry

    return work


def reported(handlers: int, make: Callable[[int], Handler]) -> Callable[[], object]:
    """Very many counters, and so many handlers that have got them for some rounds."""

    def work() -> object:
        world = World()
        for number in range(handlers):
            world.meter().add_handler(make(number))
        world.hierarchy.max_children = SERIES
        counter = world.meter("many").counter("of_all", labels=("a", "b"))
        children = [counter.labels(*many.labels(number)) for number in range(SERIES)]
        for _ in range(3):
            for child in children:
                child.inc()
            world.advance(10)
        return world

    return work


def per_handler(make: Callable[[int], Handler]) -> list[float]:
    """Bytes that the first handler adds to each of very many counters, and each further one."""
    none, one, four = (taken(reported(handlers, make)) for handlers in (0, 1, 4))
    return [one - none, (four - one) / 3]


class NoCarbon(GraphiteHandler):
    """Makes lines, and sends them nowhere."""

    threaded = False

    def send(self, payload: bytes) -> None:
        """Nowhere."""


class NoRiemann(RiemannHandler):
    """Makes events, and sends them nowhere."""

    threaded = False

    def send_all(self, payloads: Sequence[bytes]) -> Iterator[None]:
        """Nowhere."""
        yield from [None] * len(payloads)


def creation() -> list[Figure]:
    """What the first use of a label set takes, and the hundredth of a second one."""
    world = World()
    world.hierarchy.max_children = 10 * SERIES
    counter = world.meter("many").counter("of_all", labels=("a", "b"))
    peer = Counter("of_all", "-", ["a", "b"], registry=CollectorRegistry())
    sets = [many.labels(number) for number in range(SERIES)]

    def make(labels: Callable[..., object]) -> float:
        def work() -> None:
            for values in sets:
                labels(*values)

        return once(work, rounds=1) / SERIES

    ours, their = make(counter.labels), make(peer.labels)
    return [
        Figure("a new label set", ours * 1e6, "µs"),
        Figure("a new label set", their / ours, "x prometheus_client"),
    ]


def figures() -> list[Figure]:
    """Prints and returns bytes and times."""
    first, further = per_handler(lambda number: NullHandler(name=f"null{number}"))
    first_carbon, carbon = per_handler(lambda number: NoCarbon(name=f"carbon{number}"))
    _, other_carbon = per_handler(
        lambda number: NoCarbon(name=f"carbon{number}", prefix=f"site{number}")
    )
    first_riemann, riemann = per_handler(lambda number: NoRiemann(name=f"riemann{number}"))
    full = tuple(2.0**power for power in range(-29, 35))
    result = [
        Figure("a counter's child, 2 labels", taken(filled("counter")), "bytes", CHILD),
        Figure("theirs: a counter's child", taken(theirs(Counter)), "bytes"),
        Figure("a timer's child, idle", taken(filled("timer")), "bytes"),
        Figure("a timer's child, 7 octaves in use", taken(filled("timer", many.VALUES)), "bytes"),
        Figure("a timer's child, all 64 octaves", taken(filled("timer", full)), "bytes"),
        Figure("theirs: a histogram's child", taken(theirs(Histogram)), "bytes"),
        Figure("the first handler adds, per counter", first, "bytes", FIRST_HANDLER),
        Figure("each further handler", further, "bytes", PER_HANDLER),
        Figure("the first handler, graphite", first_carbon, "bytes"),
        Figure("each further one, graphite", carbon, "bytes", PER_HANDLER),
        Figure("... with another prefix", other_carbon, "bytes"),
        Figure("the first handler, riemann", first_riemann, "bytes"),
        Figure("each further one, riemann", riemann, "bytes", PER_HANDLER),
        *creation(),
    ]  # fmt: skip
    print(listing(result))
    return result
