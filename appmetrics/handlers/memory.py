"""`MemoryHandler`: keeps the newest samples, for tests and for a look from a debugger."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from ..options import Option, integer
from ..sample import Sample, sorted_labels
from .base import Handler


class MemoryHandler(Handler):
    """Keeps the newest samples in memory.

    ::

        [metrics.handler.recent]
        class = memory
        size = 10000
    """

    OPTIONS = (Option("size", integer(1), 10_000, "Samples kept; the oldest go first."),)
    threaded = False

    def __init__(self, *, size: int = 10_000, **common: Any) -> None:
        super().__init__(**common)
        self._samples: deque[Sample] = deque(maxlen=size)

    @property
    def samples(self) -> list[Sample]:
        """What is kept, the oldest first."""
        while True:
            try:
                return list(self._samples)
            except RuntimeError:  # another thread was adding; only without the GIL
                continue

    def last(self, name: str, **labels: object) -> Sample | None:
        """The newest sample of one series, None if there is none."""
        identity = (name, sorted_labels(labels))
        found = (s for s in reversed(self.samples) if s.series.identity == identity)
        return next(found, None)

    def clear(self) -> None:
        """Forget all samples."""
        self._samples.clear()

    def emit(self, samples: Sequence[Sample]) -> None:
        self._samples.extend(samples)

    def target(self) -> str:
        return "memory"
