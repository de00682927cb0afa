"""markus, with a back end that throws everything away: its least."""

from __future__ import annotations

from typing import Any

import markus
from markus.backends import BackendBase

from ..harness import Statement
from ..ours import nothing


class Nowhere(BackendBase):  # type: ignore[misc]
    """A back end that does nothing."""

    def emit(self, record: Any) -> None:
        """Nothing."""


def statements() -> dict[str, Statement]:
    """Its equivalents, by our names."""
    markus.configure([{"class": Nowhere}])
    metrics = markus.get_metrics("benchmark")
    return {
        "counter.inc()": Statement("metrics.incr('c')", {"metrics": metrics}),
        "labels(a, b).inc()": Statement(
            "metrics.incr('c', tags=['a:x', 'b:y'])", {"metrics": metrics}
        ),
        "gauge.set(v)": Statement("metrics.gauge('g', 1.5)", {"metrics": metrics}),
        "histogram.observe(v)": Statement("metrics.histogram('h', 0.3)", {"metrics": metrics}),
        "with timer.time()": Statement("with metrics.timer('t'): pass", {"metrics": metrics}),
        "@timed, the call": Statement("work()", {"work": metrics.timer_decorator("t")(nothing)}),
    }
