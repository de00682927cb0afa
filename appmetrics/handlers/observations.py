"""`Observations`: single values on their way from the application to a handler's worker.

The one place that both sides touch: a bounded queue, filled by the threads that
record and emptied by the worker. What the values become is the handler's.
"""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from ..observing import Sink
from .base import Handler

LIMIT = 100_000


class Observations:
    """A queue of at most ``limit`` single values; what comes when it is full is counted.

    ``handler`` is woken when it is half full: its ``idle`` is called. Of all values a
    share of ``rate`` is taken, chosen by ``chance`` (a function giving 0 to 1).
    """

    def __init__(
        self,
        handler: Handler,
        limit: int = LIMIT,
        rate: float = 1.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.limit = limit
        self.rate = rate
        #: Values that came while the queue was full.
        self.dropped = 0
        self._handler = handler
        self._chance = chance
        self._queue: deque[tuple[Any, float]] = deque()
        self._pid = os.getpid()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def half_full(self) -> bool:
        """Whether it is time to take what waits."""
        return len(self._queue) > self.limit // 2

    def sink(self, key: Any) -> Sink:
        """What takes the values of one series; ``key`` comes out with each of them."""
        queue, limit, half, handler = self._queue, self.limit, self.limit // 2, self._handler
        append = queue.append

        def take(value: float) -> None:
            waiting = len(queue)
            if waiting >= limit:
                self.dropped += 1
                return
            append((key, value))
            if waiting == half:
                handler._worker.wake()

        if self.rate >= 1:
            return take
        rate, chance = self.rate, self._chance

        def take_some(value: float) -> None:
            if chance() < rate:
                take(value)

        return take_some

    def take(self) -> list[tuple[Any, float]]:
        """All that waits, the oldest first, as (key, value)."""
        if self._pid != os.getpid():
            self.clear()  # what waited in a parent is the parent's
        queue = self._queue
        # Not until it is empty: others may fill it faster than that.
        return [queue.popleft() for _ in range(len(queue))]

    def clear(self) -> None:
        """Forget what waits; the sinks stay good."""
        self._queue.clear()
        self.dropped = 0
        self._pid = os.getpid()
