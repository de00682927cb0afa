"""What a round of reporting takes: 100,000 series, four handlers, each with its own part.

In one thread, so that reading, handing over and turning into samples all count. Four
times as many series should take four times as long, and a handler that selects a
hundredth of them next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from appmetrics.filters import NameFilter
from appmetrics.handlers.base import Handler
from appmetrics.sample import Sample
from appmetrics.testing import World

from . import many
from .harness import Figure, listing, once


class Nowhere(Handler):
    """Takes samples and does nothing with them."""

    threaded = False

    def emit(self, samples: Sequence[Sample]) -> None:
        """Nothing."""


def world_of(series: int, parts: Sequence[str]) -> World:
    """Counters, and handlers that get those whose name matches."""
    world = World()
    for part in parts:
        filters = () if part == "*" else (NameFilter(include=(part,)),)
        world.meter().add_handler(Nowhere(name=f"of {part}", filters=filters))
    many.counters(world, series)
    world.advance(10)
    return world


def a_round(series: int, parts: Sequence[str]) -> float:
    """Seconds of one round, the first left out: it chooses the series."""
    world = world_of(series, parts)
    return once(lambda: world.advance(10), rounds=5)


def figures() -> list[Figure]:
    """Prints and returns the times of rounds."""
    four = ("*", "many.counter?*0000", "many.counter1*", "many.counter42000")
    all_four = a_round(100_000, four)
    small = a_round(25_000, four)
    result = [
        Figure("a round, 100,000 series, 4 handlers", all_four * 1e3, "ms"),
        Figure("a round, 25,000 series, 4 handlers", small * 1e3, "ms"),
        Figure("the one over the other (linear: 4)", all_four / small, "times"),
        Figure("1 handler that gets all", a_round(100_000, ("*",)) * 1e3, "ms"),
        Figure("1 handler that gets 1,000 of 100,000", a_round(100_000, four[3:]) * 1e3, "ms"),
        Figure("4 handlers that get all", a_round(100_000, ("*",) * 4) * 1e3, "ms"),
    ]
    print(listing(result))
    return result
