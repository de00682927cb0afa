"""`HistoryHandler`: what handlers of targets share that store by time.

Its backlog keeps every sample with its original time, in memory and, if asked, in a
spool on disk, and sends it behind new data at a limited rate. How is `History`'s and
`Spool`'s; here are the options, and what is said of it.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from ..options import Option, integer, path, size
from .backlog import Backlog
from .delivery import NetworkHandler
from .replay import History

REPLAY = 10_000
SPOOL_SIZE = 256 * 1024 * 1024


class HistoryHandler(NetworkHandler):
    """Keeps every sample while its target is away, and sends it later with its time.

    ``batches`` is for targets that acknowledge nothing: so many of the last batches
    are sent again when a connection has ended. The target must then overwrite what
    it has.
    """

    OPTIONS: ClassVar[tuple[Option, ...]] = (
        *NetworkHandler.OPTIONS,
        Option("spool", path, None, "A file that keeps samples over a restart; else memory only."),
        Option("spool_size", size, SPOOL_SIZE, "Bytes of samples kept in the spool."),
        Option("replay", integer(0), REPLAY, "Kept samples sent a second; 0: no limit."),
    )

    batches: int = 0

    def __init__(
        self,
        *,
        spool: str | None = None,
        spool_size: int = SPOOL_SIZE,
        replay: int = REPLAY,
        **common: Any,
    ) -> None:
        self.spool = spool
        self.spool_size = spool_size
        self.replay = replay
        super().__init__(**common)

    def make_backlog(self) -> Backlog:
        spool = None
        if self.spool:
            from .spool import Spool  # and with it SQLite, only for those who asked for it

            spool = Spool(self.spool, self.spool_size)
        return History(self.encode, self.limits, self.replay, self.batches, spool)

    def warnings(self) -> list[str]:
        folder = os.path.dirname(self.spool) if self.spool else ""
        missing = folder and not os.path.isdir(folder)
        return [*super().warnings(), *([f"there is no folder {folder}"] if missing else [])]

    @property
    def spooled(self) -> int | None:
        if not self.spool:
            return None
        spool = getattr(self._backlog, "spool", None)
        return spool.samples if spool else 0

    def keeping(self) -> str:
        spool = getattr(self.backlog, "spool", None)
        how_long = self.how_long()
        if spool is None:
            return f"keeping {how_long} in memory; no spool, so a restart loses it (set `spool =`)"
        if spool.trouble:
            return (
                f"keeping {how_long} in memory, and a restart loses it: "
                f"the spool {spool.path} can't be used ({spool.trouble})"
            )
        return f"keeping {how_long} in {spool.path}"
