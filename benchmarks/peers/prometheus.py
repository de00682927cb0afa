"""prometheus_client. Its decorator times coroutine functions only until the coroutine is made."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..harness import Statement
from ..ours import nothing


def statements() -> dict[str, Statement]:
    """Its equivalents, by our names."""
    registry = CollectorRegistry()
    counter, gauge = Counter("c", "-", registry=registry), Gauge("g", "-", registry=registry)
    by_amount = Counter("b", "-", registry=registry)
    labelled = Counter("l", "-", ["a", "b"], registry=registry)
    histogram = Histogram("h", "-", registry=registry)
    timer = Histogram("t", "-", registry=registry)
    return {
        "counter.inc()": Statement("counter.inc()", {"counter": counter}),
        "counter.inc(2.5)": Statement("counter.inc(2.5)", {"counter": by_amount}),
        "child.inc()": Statement("child.inc()", {"child": labelled.labels("x", "y")}),
        "labels(a, b).inc()": Statement("counter.labels('x', 'y').inc()", {"counter": labelled}),
        "labels(a=, b=).inc()": Statement(
            "counter.labels(a='x', b='y').inc()", {"counter": labelled}
        ),
        "gauge.set(v)": Statement("gauge.set(1.5)", {"gauge": gauge}),
        "gauge.inc()": Statement("gauge.inc()", {"gauge": gauge}),
        "histogram.observe(v)": Statement("histogram.observe(0.3)", {"histogram": histogram}),
        "with timer.time()": Statement("with timer.time(): pass", {"timer": timer}),
        "with gauge.track()": Statement("with gauge.track_inprogress(): pass", {"gauge": gauge}),
        "@timed, the call": Statement("work()", {"work": timer.time()(nothing)}),
        "@count_exceptions, the call": Statement(
            "work()", {"work": counter.count_exceptions()(nothing)}
        ),
    }
