"""pyformance, as of its registry."""

from __future__ import annotations

from pyformance import MetricsRegistry

from ..harness import Statement


def statements() -> dict[str, Statement]:
    """Its equivalents, by our names."""
    registry = MetricsRegistry()
    counter, gauge = registry.counter("c"), registry.gauge("g")
    histogram, timer = registry.histogram("h"), registry.timer("t")
    return {
        "counter.inc()": Statement("counter.inc()", {"counter": counter}),
        "gauge.set(v)": Statement("gauge.set_value(1.5)", {"gauge": gauge}),
        "histogram.observe(v)": Statement("histogram.add(0.3)", {"histogram": histogram}),
        "with timer.time()": Statement("with timer.time(): pass", {"timer": timer}),
    }
