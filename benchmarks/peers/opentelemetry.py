"""OpenTelemetry's SDK, with a reader that collects on request. It has no timer."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ..harness import Statement


def statements() -> dict[str, Statement]:
    """Its equivalents, by our names."""
    meter = MeterProvider([InMemoryMetricReader()]).get_meter("benchmark")
    counter, gauge = meter.create_counter("c"), meter.create_gauge("g")
    histogram = meter.create_histogram("h")
    return {
        "counter.inc()": Statement("counter.add(1)", {"counter": counter}),
        "counter.inc(2.5)": Statement("counter.add(2.5)", {"counter": counter}),
        "labels(a, b).inc()": Statement(
            "counter.add(1, {'a': 'x', 'b': 'y'})", {"counter": counter}
        ),
        "gauge.set(v)": Statement("gauge.set(1.5)", {"gauge": gauge}),
        "histogram.observe(v)": Statement("histogram.record(0.3)", {"histogram": histogram}),
    }
