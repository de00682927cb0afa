"""scales by itself. Its ``+=`` on a stat takes no lock, and loses updates under threads."""

from __future__ import annotations

from appmetrics.scales_tree import _scales

from ..harness import Statement


def statements() -> dict[str, Statement]:
    """Its equivalents, by our names."""
    scales = _scales()  # importing it ourselves would show its SyntaxWarning

    class Stats:
        counter = scales.IntStat("counter")
        times = scales.PmfStat("times")

        def __init__(self) -> None:
            scales.init(self, "/benchmark-of-scales")

    stats = Stats()
    return {
        "counter.inc()": Statement("stats.counter += 1", {"stats": stats}),
        "gauge.set(v)": Statement("stats.counter = 2", {"stats": stats}),
        "histogram.observe(v)": Statement("stats.times.addValue(0.3)", {"stats": stats}),
        "with timer.time()": Statement("with stats.times.time(): pass", {"stats": stats}),
    }
