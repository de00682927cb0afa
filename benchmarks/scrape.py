"""What reading everything costs: 100,000 counters and 10,000 histograms in every format.

Each is scraped once before, so that what never changes is rendered, as with all scrapes
but the first of a process. The time is of the answer's body, whole, as bytes.
"""

from __future__ import annotations

import functools

from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.testing import World

from . import many
from .budgets import FIRST_TEXT, TEXT
from .harness import Figure, Statement, fastest, listing, once

COUNTERS, HISTOGRAMS = 100_000, 10_000


def figures() -> list[Figure]:
    """Prints and returns times and ratios."""
    result = []
    for what, number, fill, theirs in (
        ("counters", COUNTERS, many.counters, many.their_counters),
        ("histograms", HISTOGRAMS, many.histograms, many.their_histograms),
    ):
        world = World()
        fill(world, number)
        app, registry = many.application(world), theirs(number)
        first = once(functools.partial(many.scraped, app), rounds=1)
        names = {"scraped": many.scraped, "app": app, "registry": registry}
        names |= {"text": generate_latest, "openmetrics": generate_openmetrics}
        codes = {
            "Prometheus text": "scraped(app, 'format=prometheus')",
            "OpenMetrics": "scraped(app, 'format=openmetrics')",
            "JSON as scales has it": "scraped(app, 'format=json')",
            "JSON of the page": "scraped(app, 'format=series')",
            "Graphite lines": "lines(handler)",
            "theirs: Prometheus text": "text(registry)",
            "theirs: OpenMetrics": "openmetrics(registry)",
        }
        handler = GraphiteHandler(name="carbon")
        handler.everywhere = True  # type: ignore[misc]
        selection = world.hierarchy.selection(handler, 0.0, lambda point: None)
        selection.extend(world.hierarchy.registry.points)

        def lines(handler: GraphiteHandler, selection: object = selection) -> int:
            readings = selection.read()  # type: ignore[attr-defined]
            samples = selection.samples(readings, 0.0, 10.0, handler.prepare)  # type: ignore[attr-defined]
            return sum(len(data) for data, _ in handler.encode(samples))

        lines(handler)
        names |= {"lines": lines, "handler": handler}
        times = fastest(
            {key: Statement(code, names) for key, code in codes.items()}, rounds=5, steps=1
        )
        of = f"of {number:,} {what}"
        result.append(Figure(f"the first text {of}", first * 1e3, "ms"))
        ratio = times["theirs: Prometheus text"] / first
        result.append(Figure(f"the first text {of}", ratio, "x prometheus_client", FIRST_TEXT))
        result += [Figure(f"{name} {of}", t * 1e3, "ms") for name, t in times.items()]
        for name in ("Prometheus text", "OpenMetrics"):
            ratio = times[f"theirs: {name}"] / times[name]
            budget = TEXT if (name, what) == ("Prometheus text", "counters") else None
            result.append(Figure(f"{name} {of}", ratio, "x prometheus_client", budget))
    print(listing(result))
    return result
