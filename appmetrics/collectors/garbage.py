"""``garbage``: how often Python's garbage collector runs, how long it takes, what it finds.

All threads stand still during a collection, so its duration is a pause of the
whole process. Measured in ``gc.callbacks``, which run wherever an allocation has
set off a collection: nothing there may take a lock, log or look anything up.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ..hierarchy import Hierarchy


def install(hierarchy: Hierarchy) -> Callable[[], None]:
    """Declare ``python.gc.*`` and measure from now on; returns what ends that."""
    watch = Watch(hierarchy)
    gc.callbacks.append(watch)
    return lambda: gc.callbacks.remove(watch)


class Watch:
    """The callback; see `gc.callbacks`. Collections never overlap nor nest."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        meter = hierarchy.get_meter("python.gc")
        labels = ("generation",)
        collections = meter.counter("collections", "Runs of the collector", labels=labels)
        pauses = meter.timer("pause", "How long a run took, while all stood still", labels=labels)
        found = meter.counter("collected", "Objects that were set free", labels=labels)
        kept = meter.counter("uncollectable", "Objects that could not be set free", labels=labels)
        # All children now: making one in the callback would append to what a
        # round may be reading in this very thread.
        self._instruments = {
            generation: (
                collections.labels(generation),
                pauses.labels(generation),
                found.labels(generation),
                kept.labels(generation),
            )
            for generation in range(len(gc.get_count()))
        }
        self._began: float | None = None
        # Held, since the names of a module are gone when an interpreter ends.
        self._now = perf_counter

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        now = self._now()
        if phase == "start":
            self._began = now
            return
        began, self._began = self._began, None
        instruments = self._instruments.get(info["generation"])
        # None began if this was installed in the middle of a collection.
        if instruments is not None and began is not None:
            collections, pauses, found, kept = instruments
            collections.inc()
            pauses.observe(now - began)
            found.inc(info["collected"])
            kept.inc(info["uncollectable"])
