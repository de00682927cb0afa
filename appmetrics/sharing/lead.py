"""`Lead`: what the process has that sends for all of its group.

The lock that says so, what handlers were handed over by it and by former ones, and the
events that others have left. Who may lead, and when, is the matter of ``membership``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .folder import LEADER_LOCK, Folder, Lock
from .post import Letter, collect
from .readings import Handlers
from .view import Reader


class Lead:
    """The lead of a group, until it is let go of; `take` makes one."""

    def __init__(self, folder: Folder, lock: Lock, complain: Callable[[Exception], None]) -> None:
        self._folder = folder
        self._lock = lock
        self.handlers = Handlers(folder, complain)
        try:
            lock.sign()
        except OSError as error:  # it leads all the same, and only isn't named
            complain(error)

    @classmethod
    def take(
        cls, folder: Folder, complain: Callable[[Exception], None], patience: float = 0.0
    ) -> Lead | None:
        """The lead; None if another process still has it after so many seconds.

        Raises OSError.
        """
        deadline = time.monotonic() + patience
        while True:
            lock = Lock.take(folder.file(LEADER_LOCK))
            if lock is not None:
                return cls(folder, lock, complain)
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.01)

    def events(self, readers: Iterable[Reader]) -> Iterator[Letter]:
        """The events that processes of the group have left, with their meters. Raises OSError."""
        return collect(readers, self._folder.file("events.places"))

    def release(self) -> None:
        """Let another one have it."""
        self._lock.release()
        self.handlers.close()

    def forget(self) -> None:
        """In a forked child: it is the parent's."""
        self._lock.forget()
        self.handlers.close()


def leader(folder: Folder) -> int:
    """The process id of the one that leads; 0 if there is none yet."""
    try:
        return int(Path(folder.file(LEADER_LOCK)).read_text())
    except (OSError, ValueError):
        return 0
