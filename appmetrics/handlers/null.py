"""`NullHandler`: takes everything and drops it, to silence a part of the tree."""

from __future__ import annotations

from collections.abc import Sequence

from ..sample import Sample
from .base import Handler


class NullHandler(Handler):
    """Drops what it gets.

    ::

        [metrics.handler.nothing]
        class = null
    """

    threaded = False

    def emit(self, samples: Sequence[Sample]) -> None:
        pass
