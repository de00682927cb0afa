"""What handlers share of the series of one routing, and what each keeps to itself."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from appmetrics.handlers.base import Handler
from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.handlers.null import NullHandler
from appmetrics.handlers.riemann import RiemannHandler
from appmetrics.identities import Identities
from appmetrics.sample import COUNTER, Series
from appmetrics.selection import LEFT_OUT
from appmetrics.testing import World
from appmetrics.wsgi import MetricsApp


class NoCarbon(GraphiteHandler):
    """A carbon of no consequence."""

    threaded = False

    def send(self, payload: bytes) -> None:
        """Nowhere."""


class Carbon(NoCarbon):
    """One that knows what it got in the last round."""

    lines: tuple[str, ...] = ()

    def send(self, payload: bytes) -> None:
        self.lines = tuple(payload.decode().splitlines())

    def sent(self, ending: str) -> dict[str, str]:
        """The values of the paths that end so."""
        found = (line.split() for line in self.lines)
        return {path: value for path, value, _ in found if path.endswith(ending)}


class NoRiemann(RiemannHandler):
    """A Riemann of no consequence."""

    threaded = False

    def send_all(self, payloads: Sequence[bytes]) -> Any:
        yield from [None] * len(payloads)


def names(left_out: Iterable[tuple[Series, str]]) -> list[str]:
    """Which series are left out."""
    return [series.name for series, _ in left_out]


def prepared(handler: Handler, world: World) -> dict[str, Any]:
    """What a handler keeps of each series, by the name of the series."""
    route = next(route for route in world.reporter.routes() if route.handler is handler)
    assert route.selection is not None
    return {s.name: p for s, p in zip(route.selection.series, route.selection.prepared)}


# -- numbers ----------------------------------------------------------------------


def test_a_series_has_one_number_and_is_kept_once() -> None:
    """Also if a handler sees it with another unit: that one is its own."""
    identities = Identities()
    labels = (("shop", "de"),)
    series = Series("orders", labels, COUNTER)
    assert identities.of(series) == (0, series)
    again = Series("orders", (("shop", "de"),), COUNTER)
    assert identities.of(again)[1] is series
    other = series._replace(unit="bytes")
    assert identities.of(other) == (0, other)
    assert [identities.of(Series(n, labels, COUNTER))[0] for n in ("a", "b", "orders")] == [1, 2, 0]
    assert identities.of(series._replace(kind="gauge"))[0] == 3


# -- what handlers share ----------------------------------------------------------


@pytest.mark.parametrize("make", [NoCarbon, NoRiemann])
def test_what_handlers_make_alike_is_one_object(make: Callable[..., Handler]) -> None:
    """Paths, and the bytes of events, as long as their options are the same."""
    world = World()
    handlers = [make(name=name) for name in "ab"]
    for handler in handlers:
        world.meter().add_handler(handler)
    world.meter("shop").counter("orders").inc()
    world.advance(10)
    first, second = (prepared(handler, world)["shop.orders"] for handler in handlers)
    assert first is second


def test_paths_behind_another_prefix_are_shared() -> None:
    """The prefix, and what tells processes apart, is put in front of each line."""
    world = World()
    one, other = Carbon(name="a", prefix="apps.web1"), Carbon(name="b")
    for handler in (one, other):
        world.meter().add_handler(handler)
    world.meter("shop").counter("orders").inc(3)
    world.advance(10)
    assert prepared(one, world)["shop.orders"] is prepared(other, world)["shop.orders"]
    assert one.sent("orders.total") == {"apps.web1.shop.orders.total": "3"}
    assert other.sent("orders.total") == {"shop.orders.total": "3"}


@pytest.mark.parametrize("make", [NoCarbon, NoRiemann])
def test_who_owns_a_name_is_each_handlers_own(make: Callable[..., Any]) -> None:
    """The first that a handler gets keeps the name there, and only there."""
    first, second = ("shop.b_c", "shop.b/c") if make is NoCarbon else ("shop.b c", "shop.b.c")
    world = World()
    both = make(name="both")
    later = make(name="later", filters=[lambda s: None if s.name == first else s])
    for handler in (both, later):
        world.meter().add_handler(handler)
    for name in (first, second):
        world.meter().counter(name).inc()
    world.advance(10)
    assert names(both.left_out) == [second]
    assert prepared(both, world)[second] is LEFT_OUT
    assert names(later.left_out) == []
    assert prepared(later, world)[second] is not LEFT_OUT


def test_a_name_goes_to_another_series_when_the_routing_changes() -> None:
    """Names are given anew, to the first of those that are left; and back again."""
    world = World()
    carbon = Carbon(name="carbon")
    world.meter().add_handler(carbon)
    world.meter("a").counter("b_c").inc(1)
    world.meter("a").counter("b/c").inc(2)
    world.advance(10)
    assert (carbon.sent("b_c.total"), names(carbon.left_out)) == ({"a.b_c.total": "1"}, ["a.b/c"])

    def without_first(series: Series) -> Series | None:
        return None if series.name == "a.b_c" else series

    world.meter().add_filter(without_first)
    world.advance(10)
    assert (carbon.sent("b_c.total"), names(carbon.left_out)) == ({"a.b_c.total": "2"}, [])
    world.meter().remove_filter(without_first)
    world.advance(10)
    assert (carbon.sent("b_c.total"), names(carbon.left_out)) == ({"a.b_c.total": "1"}, ["a.b/c"])


def test_common_labels_are_kept_once() -> None:
    """The pairs and the set of their names are the same objects in all series."""
    first, second = (
        Series("orders", (("shop", shop),)).with_common({"env": "live"}) for shop in ("de", "fr")
    )
    assert first.labels == (("env", "live"), ("shop", "de"))
    assert first.common is second.common == {"env"}
    own = Series("orders", (("env", "test"),)).with_common({"env": "live", "dc": "x"})
    assert own.labels == (("dc", "x"), ("env", "test"))
    assert own.common == {"dc"}


# -- what that takes --------------------------------------------------------------

#: So many that dicts of their names are well filled.
MANY = 2500


def many_counters(world: World, number: int = MANY) -> None:
    """Children of one counter with two labels."""
    world.hierarchy.max_children = number
    counter = world.meter("shop").counter("orders", labels=("a", "b"))
    for each in range(number):
        counter.labels(f"shop{each % 10}", f"customer-{each}").inc()


def bytes_of(make: Callable[..., Handler], handlers: int) -> float:
    """Bytes in use for each of many counters that so many handlers have got."""
    gc.collect()
    tracemalloc.start()
    try:
        world = World()
        for number in range(handlers):
            world.meter().add_handler(make(name=f"handler{number}"))
        many_counters(world)
        for _ in range(2):
            world.advance(10)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / MANY
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts CPython's bytes")
@pytest.mark.parametrize("make", [NullHandler, NoCarbon, NoRiemann])
def test_a_further_handler_takes_few_bytes(make: Callable[..., Handler]) -> None:
    """At most 150 for each counter, names and what may be sent again included."""
    one, three = bytes_of(make, 1), bytes_of(make, 3)
    assert (three - one) / 2 < 150


def calls_of(work: Callable[[], object]) -> int:
    """Python functions called by some work in this thread."""
    calls = 0

    def count(frame: Any, event: str, arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    gc.collect()  # so that no other test's garbage has a say
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_a_first_scrape_asks_little_of_each_series() -> None:
    """What all series of a meter and of a family have in common is asked once."""

    def first_scrape(number: int) -> int:
        world = World()
        world.meter("shop").change(labels={"env": "live"})
        many_counters(world, number)
        app = MetricsApp(reporter=world.reporter)
        environ: Any = {"REQUEST_METHOD": "GET", "QUERY_STRING": "format=prometheus"}
        body: list[bytes] = []
        calls = calls_of(lambda: body.extend(app(environ, lambda *_: None)))  # type: ignore[arg-type]
        assert b"".join(body).count(b"shop_orders_total{") == number
        return calls

    assert (first_scrape(1100) - first_scrape(100)) / 1000 < 32
