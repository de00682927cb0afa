"""`Store`: numbers in a file that several processes map, and a file that says whose they are.

``PATH.cells`` holds 8-byte doubles, exact for whole numbers up to 2**53.
``PATH.keys`` holds one line of JSON for each region of them, in the order in which they
were given out: the number of its first cell, how many there are, and whatever the owner
says of it. One process writes; any number read. What the numbers mean is not known here.
"""

from __future__ import annotations

import json
import mmap
import os
import threading
from typing import Any, NamedTuple

#: Bytes that are allocated and mapped at a time; a region lies within one chunk.
CHUNK = 65536
CELL = 8
#: Cells in front of the first region, for the owner.
HEADER = 8
#: The longest line of the key file that is written, in bytes.
MAX_LINE = 16384


#: A memoryview of doubles, to which type checkers would only let whole numbers be assigned.
Cells = Any


class Region(NamedTuple):
    """Some cells in a row, and what the owner says of them: plain JSON data."""

    start: int
    size: int
    about: Any


class Broken(Exception):
    """A store whose files can't be understood."""


class Store:
    """The two files at ``path``, as their writer or as a reader sees them.

    The writer makes them if they aren't there and goes on where a former one ended.
    Raises OSError, and `Broken` for what no writer has left behind.
    """

    def __init__(self, path: str, *, write: bool) -> None:
        self.path = path
        self.regions: list[Region] = []
        self._write = write
        self._chunks: list[Cells] = []
        self._read = 0
        self._end = HEADER
        #: Held while a region is allocated.
        self.lock = threading.RLock()
        self._busy = False
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        self._keys = self._cells = -1
        try:
            self._keys = os.open(f"{path}.keys", flags | (os.O_APPEND if write else 0), 0o600)
            self._cells = os.open(f"{path}.cells", flags, 0o600)
            self.refresh()
            if write:
                # The last line may be torn: its writer was killed, or the disk was full.
                os.ftruncate(self._keys, self._read)
                if not self._chunks:
                    self._grow()
        except BaseException:
            self.close()
            raise

    @property
    def header(self) -> Cells:
        """The first `HEADER` cells; empty if there are none yet."""
        return self._chunks[0][:HEADER] if self._chunks else memoryview(b"").cast("d")

    def cells(self, region: Region) -> Cells:
        """The cells of a region. What they hold changes as others write."""
        chunk, place = divmod(region.start * CELL, CHUNK)
        place //= CELL
        return self._chunks[chunk][place : place + region.size]

    def replaced(self) -> bool:
        """Whether there are other files at this path by now, or none."""
        try:
            return os.stat(f"{self.path}.keys").st_ino != os.fstat(self._keys).st_ino
        except FileNotFoundError:
            return True

    def refresh(self) -> int:
        """Take in regions that are new; returns the index of the first of them."""
        known = len(self.regions)
        size = os.fstat(self._keys).st_size
        if size > self._read:
            data = b""
            while len(data) < size - self._read:
                piece = os.pread(self._keys, size - self._read - len(data), self._read + len(data))
                if not piece:
                    break
                data += piece
            whole, newline, _ = data.rpartition(b"\n")
            for line in whole.splitlines():
                self._take(line)
            self._read += len(whole) + len(newline)
        # After the lines: whoever wrote one had allocated its cells before.
        self._map()
        if self._end > len(self._chunks) * CHUNK // CELL and self.regions:
            raise Broken(f"{self.path}.cells is shorter than {self.path}.keys says")
        return known

    def _take(self, line: bytes) -> None:
        try:
            start, size, about = json.loads(line)
            good = type(start) is type(size) is int and start >= HEADER and size > 0
        except (ValueError, TypeError, RecursionError):
            good = False
        if not good or start * CELL // CHUNK != ((start + size) * CELL - 1) // CHUNK:
            raise Broken(f"{self.path}.keys holds a line that is none of ours")
        self.regions.append(Region(start, size, about))
        self._end = max(self._end, start + size)

    def allocate(self, size: int, about: Any) -> Region | None:
        """A new region, all zero; None if its maker is interrupted in making one.

        Raises OSError if the disk is full or the file may not grow.
        """
        with self.lock:
            if self._busy:  # a signal handler, or a __del__, in the middle of this
                return None
            self._busy = True
            try:
                return self._allocate(size, about)
            finally:
                self._busy = False

    def _allocate(self, size: int, about: Any) -> Region:
        per_chunk = CHUNK // CELL
        start = self._end
        if start // per_chunk != (start + size - 1) // per_chunk:
            start = (start // per_chunk + 1) * per_chunk
        while (start + size) > len(self._chunks) * per_chunk:
            self._grow()
        line = json.dumps([start, size, about], separators=(",", ":")).encode() + b"\n"
        if len(line) > MAX_LINE:
            raise OSError(f"the name and labels of a series are longer than {MAX_LINE} bytes")
        written = 0
        try:
            written = os.write(self._keys, line)
        finally:
            if written != len(line):
                os.ftruncate(self._keys, self._read)
        if written != len(line):
            raise OSError("the disk is full")
        self._read += written
        region = Region(start, size, about)
        self.regions.append(region)
        self._end = start + size
        return region

    def _grow(self) -> None:
        # Allocated before it is mapped: to touch a page of a sparse file on a full disk
        # would end the process by SIGBUS.
        size = os.fstat(self._cells).st_size // CHUNK * CHUNK
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._cells, size, CHUNK)
        elif os.pwrite(self._cells, bytes(CHUNK), size) != CHUNK:
            raise OSError("the disk is full")
        self._map()

    def _map(self) -> None:
        access = mmap.PROT_READ | (mmap.PROT_WRITE if self._write else 0)
        size = os.fstat(self._cells).st_size
        while (len(self._chunks) + 1) * CHUNK <= size:
            place = len(self._chunks) * CHUNK
            chunk = mmap.mmap(self._cells, CHUNK, mmap.MAP_SHARED, access, offset=place)
            self._chunks.append(memoryview(chunk).cast("d"))

    def close(self) -> None:
        """Close the files. Cells that were given out stay mapped as long as they are held."""
        for descriptor in (self._keys, self._cells):
            if descriptor >= 0:
                os.close(descriptor)
        self._keys = self._cells = -1


def remove(path: str) -> None:
    """Take a store's files away; who has them mapped keeps what was in them."""
    for suffix in (".keys", ".cells"):
        try:
            os.unlink(path + suffix)
        except FileNotFoundError:
            pass
