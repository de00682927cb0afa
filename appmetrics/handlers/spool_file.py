"""The files of a spool: the database and its schema, the lock and its owner.

What is in the database, and when it is used, is ``spool``'s.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3

#: The journal grows to a thousand pages before SQLite begins it anew.
JOURNAL = 4 * 1024 * 1024

_SCHEMA = """CREATE TABLE IF NOT EXISTS payload (
    id INTEGER PRIMARY KEY, data BLOB NOT NULL, samples INTEGER NOT NULL,
    repeated INTEGER NOT NULL)"""


def connect(path: str) -> sqlite3.Connection:
    """Open the database, or make it. Raises sqlite3.Error."""
    # The worker's alone, but without a worker another thread may do the last work.
    database = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # Without a sync at each commit: a crash of the process loses nothing, one of
        # the machine the last moments, and neither breaks the file.
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {JOURNAL}")
        database.execute(_SCHEMA)
        database.commit()
    except BaseException:
        database.close()
        raise
    return database


def lock_file(path: str) -> tuple[int, int]:
    """(descriptor of a lock that is held, 0), or (-1, process id of its owner)."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(lock, 20, 0)
        os.close(lock)
        return -1, int(owner) if owner.isdigit() else 0
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock, 0
