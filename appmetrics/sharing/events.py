"""`EventLog` and `EventReader`: events on their way from the process that records them to
the one that sends.

One file a slot, a line of JSON for each event. When it is long enough it becomes the one
before, and that is gone: events that nobody reads take no more room than two files.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from typing import Any

log = logging.getLogger("appmetrics")

#: Bytes after which a new file is begun.
MAX_BYTES = 256 * 1024


class EventLog:
    """The writer's side: `write` never blocks on a reader and never raises.

    A single write to a file opened for appending, so that it may be made in a signal
    handler as well.
    """

    def __init__(self, path: str) -> None:
        self._path = f"{path}.events"
        self._file = -1
        self._complained = False

    def write(self, data: Any) -> bool:
        """Add an event, as plain JSON data; False if it could not be written."""
        try:
            line = json.dumps(data, separators=(",", ":")).encode() + b"\n"
            if self._file < 0:
                self._file = _open(self._path)
            elif os.fstat(self._file).st_size > MAX_BYTES:
                os.replace(self._path, f"{self._path}-before")
                self.close()
                self._file = _open(self._path)
            return os.write(self._file, line) == len(line)
        except Exception as error:
            if not self._complained:
                self._complained = True
                log.error("events can't be handed on through %s: %s", self._path, error)
            return False

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class EventReader:
    """The reader's side; ``place`` is where it goes on: (inode, offset)."""

    def __init__(self, path: str, place: tuple[int, int] = (0, 0)) -> None:
        self._path = f"{path}.events"
        self.place = place

    def read(self) -> Iterator[Any]:
        """What has been written since, the oldest first."""
        inode, offset = self.place
        before = _state(f"{self._path}-before")
        now = _state(self._path)
        if now is None:
            return
        if inode not in (0, now):
            # A new file was begun: what is left of the one before, if it is still there.
            yield from self._lines(f"{self._path}-before", before, offset if before == inode else 0)
        elif inode == 0:
            yield from self._lines(f"{self._path}-before", before, 0)
        yield from self._lines(self._path, now, offset if now == inode else 0)

    def _lines(self, path: str, inode: int | None, offset: int) -> Iterator[Any]:
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_ino != inode:
                    return  # exchanged at this moment: the next time
                file.seek(offset)
                data = file.read()
        except OSError:
            return
        whole, newline, _ = data.rpartition(b"\n")
        self.place = (inode, offset + len(whole) + len(newline))
        for line in whole.splitlines():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue  # torn by a full disk


def _state(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
