"""Our operations on the hot path, each as a statement; ``peers`` has the others' equivalents."""

from __future__ import annotations

import appmetrics
from appmetrics.cells import locked
from appmetrics.instrument import Declaration
from appmetrics.instruments import Counter, Histogram

from .harness import Statement

#: Awaits a coroutine that never waits.
AWAITED = "try: work().send(None)\nexcept StopIteration: pass"


class Empty:
    """What an operation is compared with."""

    def method(self) -> None:
        """The empty method."""


def nothing() -> None:
    """The function that is decorated."""


async def nothing_async() -> None:
    """The coroutine function that is decorated."""


#: What there is without any metrics.
BARE = {
    "an empty method call": Statement("a.method()", {"a": Empty()}),
    "a bare call": Statement("work()", {"work": nothing}),
    "a bare await": Statement(AWAITED, {"work": nothing_async}),
}


def statements() -> dict[str, Statement]:
    """Every operation under the name that it has in the tables."""
    meter = appmetrics.get_meter("benchmark")
    counter, calls = meter.counter("counter"), meter.counter("calls")
    gauge = meter.gauge("gauge")
    labelled = meter.counter("labelled", labels=("a", "b"))
    histogram, timer = meter.histogram("histogram"), meter.timer("timer")
    by_outcome = meter.timer("by_outcome", labels=("outcome",))
    state = meter.state("state")
    off, timer_off = meter.counter("off", level="DEBUG"), meter.timer("timer_off", level="DEBUG")
    with_lock = locked(Counter, "inc")(Declaration("with_lock"))
    histogram_with_lock = locked(Histogram, "observe")(Declaration("histogram_with_lock"))
    return {
        "counter.inc()": Statement("counter.inc()", {"counter": counter}),
        "counter.inc(2.5)": Statement("counter.inc(2.5)", {"counter": meter.counter("by_amount")}),
        "child.inc()": Statement("child.inc()", {"child": labelled.labels("x", "y")}),
        "labels(a, b).inc()": Statement("counter.labels('x', 'y').inc()", {"counter": labelled}),
        "labels(a=, b=).inc()": Statement(
            "counter.labels(a='x', b='y').inc()", {"counter": labelled}
        ),
        "gauge.set(v)": Statement("gauge.set(1.5)", {"gauge": gauge}),
        "gauge.inc()": Statement("gauge.inc()", {"gauge": gauge}),
        "histogram.observe(v)": Statement("histogram.observe(0.3)", {"histogram": histogram}),
        "with timer.time()": Statement("with timer.time(): pass", {"timer": timer}),
        "with, an outcome label": Statement("with timer.time(): pass", {"timer": by_outcome}),
        "with gauge.track()": Statement("with gauge.track(): pass", {"gauge": gauge}),
        "@timed, the call": Statement("work()", {"work": timer.time()(nothing)}),
        "@timed, an outcome label": Statement("work()", {"work": by_outcome.time()(nothing)}),
        "@timed async, the await": Statement(AWAITED, {"work": timer.time()(nothing_async)}),
        "@counted, the call": Statement("work()", {"work": calls.counted()(nothing)}),
        "@count_exceptions, the call": Statement(
            "work()", {"work": calls.count_exceptions()(nothing)}
        ),
        "state.set(s)": Statement("state.set('ok')", {"state": state}),
        "off: counter.inc()": Statement("counter.inc()", {"counter": off}),
        "off: with timer.time()": Statement("with timer.time(): pass", {"timer": timer_off}),
        "off: @timed, the call": Statement("work()", {"work": timer_off.time()(nothing)}),
        "with a lock: counter.inc()": Statement("counter.inc()", {"counter": with_lock}),
        "with a lock: observe(v)": Statement(
            "histogram.observe(0.3)", {"histogram": histogram_with_lock}
        ),
    }
