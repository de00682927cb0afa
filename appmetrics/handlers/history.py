"""`HistoryHandler`: what handlers of targets share that store by time.

Its backlog keeps every sample with its original time, in memory and, if asked, in a
spool on disk, and sends it behind new data at a limited rate.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..options import Option, integer
from .backlog import Backlog
from .delivery import NetworkHandler
from .replay import History

REPLAY = 10_000


class HistoryHandler(NetworkHandler):
    """Keeps every sample while its target is away, and sends it later with its time.

    ``batches`` is for targets that acknowledge nothing: so many of the last batches
    are sent again when a connection has ended. The target must then overwrite what
    it has.
    """

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        *NetworkHandler.OPTIONS,
        Option("replay", integer(0), REPLAY, "Kept samples sent a second; 0: no limit."),
    )

    batches: ClassVar[int] = 0

    def __init__(self, *, replay: int = REPLAY, **common: Any) -> None:
        self.replay = replay
        super().__init__(**common)

    def make_backlog(self) -> Backlog:
        return History(self.encode, self.limits, self.replay, self.batches)
