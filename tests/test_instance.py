"""Several processes that each send their own numbers: nothing is overwritten at any target."""

from __future__ import annotations

import pytest

from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.handlers.influx import InfluxHandler
from appmetrics.handlers.opentsdb import OpenTsdbHandler
from appmetrics.handlers.riemann import RiemannHandler
from appmetrics.handlers.statsd import StatsdHandler
from appmetrics.sample import Series
from appmetrics.testing import World

DEPTH = Series("shop.depth", (("shop", "de"),))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (GraphiteHandler, {}),
        (InfluxHandler, {"database": "shop"}),
        (OpenTsdbHandler, {}),
        (RiemannHandler, {}),
        (StatsdHandler, {}),
    ],
)
def test_the_instance_is_part_of_a_gauges_identity(make: type, options: dict[str, str]) -> None:
    """Two processes' gauges of one name are two, and one that is alone adds nothing."""
    world = World()
    shown = []
    for instance in ("", "w0", "w1"):
        handler = make(name="target", **options)
        handler.instance = instance
        handler.served_by(world.reporter)
        shown.append(handler.describe(DEPTH))
        assert (instance in " ".join(shown[-1])) or not instance
    assert not set(shown[0]) & set(shown[1])
    assert not set(shown[1]) & set(shown[2])


def test_statsd_adds_counts_up_by_itself() -> None:
    """So a counter has one name for all processes."""
    handler = StatsdHandler(name="target")
    handler.instance = "w1"
    assert handler.describe(Series("shop.orders", kind="counter")) == ["shop.orders|c"]
