"""`Spool`: payloads on disk, which outlive the process.

An SQLite file in WAL mode, owned by one process (flock) and used by one thread, the
handler's worker. What has been appended survives `kill -9` at any moment; the last
5 % of the volume are never taken; a corrupted file is set aside, and a fresh one goes
on. Nothing here raises on a bad disk: what it can't take stays with the caller.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from ..display import quantity
from .backlog import AT_ONCE, Payload
from .spool_file import connect, lock_file

T = TypeVar("T")

log = logging.getLogger("appmetrics")

#: This part of the volume is left to those who need it to work.
RESERVE = 0.05
#: What a payload takes in the file besides its bytes.
ROW = 64
#: Files of so many processes with one configuration.
MAX_FILES = 64
#: A larger file is shrunk when all of it has been sent.
WORTH_SHRINKING = 1024 * 1024

#: Connections that a forked child got from its parent. Closing one would tidy up the
#: parent's file, so they stay.
_inherited: list[sqlite3.Connection] = []


class _NotYet(OSError):
    """Another handler of this process has the file; no trouble to tell of."""


class Spool:
    """Payloads in a file at ``path``, at most ``limit`` bytes of them, the oldest first.

    If another process has the file, this one takes ``path.1``, ``path.2`` ...; such
    files whose process is gone are taken over by the next that opens the spool.
    ``volume`` gives the state of a folder's volume; it is for tests.
    """

    def __init__(
        self,
        path: str,
        limit: int,
        volume: Callable[[str], os.statvfs_result] = os.statvfs,
    ) -> None:
        self.path = path
        self._volume = volume
        self.limit = limit
        #: Samples and bytes in it.
        self.samples = 0
        self.bytes = 0
        #: Why it can't be used now; empty if it can.
        self.trouble = ""
        self._base = path
        self._dropped = 0
        self._database: sqlite3.Connection | None = None
        self._lock = -1
        self._shown: deque[tuple[int, Payload]] = deque()
        self._taken = self._deleted = 0  # the last id that has left, and that is deleted

    def take_dropped(self) -> int:
        """The samples dropped for newer ones since the last call."""
        number, self._dropped = self._dropped, 0
        return number

    # -- use -----------------------------------------------------------------

    def open(self) -> bool:
        """Open the file unless it is open; False if that can't be done now."""
        if self._database is None:
            self._try(self._open)
        return self._database is not None

    def append(self, payloads: Sequence[Payload], drop: str) -> int:
        """Add payloads; returns how many of them it took, which are in the file then.

        With ``drop`` "oldest" those in it make room; see `take_dropped`.
        """
        if not payloads or not self.open():
            return 0
        taken = self._try(lambda: self._append(payloads, drop))
        if taken is not None and self.trouble:
            self.trouble = ""
            log.info("spool %s can be used", self.path)
        return taken or 0

    def head(self, most: int = AT_ONCE) -> list[Payload]:
        """The oldest payloads, which stay."""
        if not self.open():
            return []
        self._try(self._settle)
        self._try(lambda: self._look(most))
        if not self._shown and not self.trouble:
            self.samples = self.bytes = 0
        return [payload for _, payload in self._shown]

    def take(self) -> Payload:
        """The first payload of the last `head` leaves; after a crash it may be there again."""
        self._taken, payload = self._shown.popleft()
        self.samples -= payload.samples
        self.bytes -= len(payload.data) + ROW
        return payload

    @property
    def room(self) -> int:
        """Bytes that can still be added."""
        return max(0, self.limit - self.bytes)

    def close(self) -> None:
        """Close the file and let another process have it."""
        if self._database is not None:
            self._try(self._settle)
        self._close()
        self._shown.clear()

    def abandon(self) -> None:
        """In a forked child: the file is the parent's."""
        if self._database is not None:
            _inherited.append(self._database)
            self._database = None
        if self._lock >= 0:
            os.close(self._lock)  # unlocking would free it for all
            self._lock = -1

    # -- trouble -------------------------------------------------------------

    def _try(self, action: Callable[[], T]) -> T | None:
        """Do it; a failure is told once, and the file is as it was before."""
        try:
            return action()
        except (OSError, sqlite3.Error) as error:
            if self._database is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._database.rollback()
            # SQLite's own kinds (full, locked, read-only) are OperationalError.
            if type(error) is sqlite3.DatabaseError:
                self._set_aside(error)
            elif str(error) != self.trouble:
                self.trouble = str(error)
                if not isinstance(error, _NotYet):
                    log.warning("spool %s: %s; samples stay in memory", self.path, error)
            return None

    def _set_aside(self, error: sqlite3.Error) -> None:
        """The file is no database, or a broken one: keep it for a look, and begin anew."""
        aside = f"{self.path}.corrupt"
        log.error(
            "spool %s is corrupted (%s): it is set aside as %s, with about %d samples",
            self.path,
            error,
            aside,
            self.samples,
        )
        lock, self._lock = self._lock, -1
        self._close()
        self._lock = lock
        try:
            os.replace(self.path, aside)
        except OSError as problem:
            self.trouble = str(problem)
            log.warning("spool %s: %s; samples stay in memory", self.path, problem)
        for end in ("-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(self.path + end)
        self._shown.clear()
        self.samples = self.bytes = self._taken = self._deleted = 0

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # -- opening -------------------------------------------------------------

    def _open(self) -> None:
        if self._lock < 0:
            self._claim()
        self._database = connect(self.path)
        (check,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if check != "ok":
            raise sqlite3.DatabaseError(check)
        self._count()
        self._adopt()

    def _claim(self) -> None:
        """Take the first file that no other process has. Raises OSError."""
        for number in range(MAX_FILES):
            path = f"{self._base}.{number}" if number else self._base
            lock, owner = lock_file(path)
            if lock >= 0:
                self.path, self._lock = path, lock
                if number:
                    log.warning("spool %s has another process; this one's is %s", self._base, path)
                return
            if owner == os.getpid():
                raise _NotYet("the handler that this one replaces has not let go of it")
        raise OSError(f"{MAX_FILES} processes have spools of this name")

    def _count(self) -> None:
        assert self._database is not None
        self._taken = self._deleted = 0
        self.samples, self.bytes = self._database.execute(
            "SELECT coalesce(sum(samples), 0), coalesce(sum(length(data) + ?), 0) FROM payload",
            (ROW,),
        ).fetchone()

    def _adopt(self) -> None:
        """Take over what processes that are gone have left in files of their own."""
        for number in range(MAX_FILES):
            path = f"{self._base}.{number}" if number else self._base
            if path == self.path or not os.path.exists(path):
                continue
            other = Spool(path, self.limit)
            other._lock, _ = lock_file(path)
            if other._lock < 0:
                continue
            try:
                other._try(partial(self._move_from, other))
            finally:
                other.close()

    def _move_from(self, other: Spool) -> None:
        other._database = connect(other.path)
        other._count()
        while payloads := other.head():
            taken = self._append(payloads, "newest")
            for _ in range(taken):
                other.take()
            if taken < len(payloads):
                return
        os.unlink(other.path)

    # -- the file ------------------------------------------------------------

    def _append(self, payloads: Sequence[Payload], drop: str) -> int:
        assert self._database is not None
        self._settle()
        need = sum(len(payload.data) + ROW for payload in payloads)
        self._spare_the_volume(need)
        if drop == "oldest":
            self._make_room(need)
        room, rows = self.room, []
        for payload in payloads:
            room -= len(payload.data) + ROW
            if room < 0:
                break
            rows.append(payload)
        insert = "INSERT INTO payload (data, samples, repeated) VALUES (?, ?, ?)"
        self._database.executemany(insert, rows)
        self._database.commit()
        self.samples += sum(payload.samples for payload in rows)
        self.bytes += sum(len(payload.data) + ROW for payload in rows)
        return len(rows)

    def _spare_the_volume(self, need: int) -> None:
        volume = self._volume(os.path.dirname(os.path.abspath(self.path)))
        free, whole = volume.f_bavail * volume.f_frsize, volume.f_blocks * volume.f_frsize
        # A page goes to the journal and then to the file.
        if free - 2 * need < RESERVE * whole:
            raise OSError(
                f"the volume of {quantity(whole, 'bytes')} is nearly full, "
                f"and its last {RESERVE:.0%} are left alone"
            )

    def _make_room(self, need: int) -> None:
        """Delete the oldest payloads until there is room."""
        while self.bytes and self.room < need:
            self._look(AT_ONCE)
            while self._shown and self.room < need:
                self._dropped += self.take().samples
            self._settle()

    def _look(self, most: int) -> None:
        assert self._database is not None
        if len(self._shown) < min(most, AT_ONCE):
            last = self._shown[-1][0] if self._shown else self._taken
            rows = self._database.execute(
                "SELECT id, data, samples, repeated FROM payload WHERE id > ? ORDER BY id LIMIT ?",
                (last, most - len(self._shown)),
            )
            self._shown.extend((number, Payload(*rest)) for number, *rest in rows)

    def _settle(self) -> None:
        """Delete what has left; shrink a large file that is empty."""
        assert self._database is not None
        if self._deleted == self._taken:
            return
        self._database.execute("DELETE FROM payload WHERE id <= ?", (self._taken,))
        self._database.commit()
        self._deleted = self._taken
        if not self.bytes:
            self._taken = self._deleted = 0  # ids begin anew
            if os.path.getsize(self.path) > WORTH_SHRINKING:
                self._database.execute("VACUUM")
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
