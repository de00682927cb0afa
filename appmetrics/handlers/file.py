"""`FileHandler`: lines appended to a file, or a document that is replaced as a whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from typing import Any, BinaryIO

from ..formatters import Formatter, JsonFormatter
from ..options import Option, path
from ..sample import EVENT, Sample, Series
from .base import Handler


class FileHandler(Handler):
    """Writes to a file: JSON lines, or what its formatter makes.

    ::

        [metrics.handler.log]
        class = file
        path = /var/log/shop/metrics.json

        [metrics.handler.textfile]
        class = file
        path = /var/lib/node_exporter/textfile/shop.prom
        formatter = prometheus

    Lines are appended; a file that was moved or deleted (logrotate) is opened
    anew. A document (formatters ``prometheus`` and ``openmetrics``) replaces the
    file, so that a reader sees the old one or the new one and never a part.
    """

    OPTIONS = (Option("path", path, help="The file. Its folder must exist."),)

    def __init__(self, *, path: str, **common: Any) -> None:
        super().__init__(**common)
        # Absolute, since the application may change its current folder.
        self.path = os.path.abspath(path)
        if self.formatter is None:
            self.formatter = JsonFormatter()
        self._file: BinaryIO | None = None
        self._torn = False

    def emit(self, samples: Sequence[Sample]) -> None:
        formatter: Formatter = self.formatter
        if formatter.document:
            # An event comes alone; its batch is not all there is.
            readings = [sample for sample in samples if sample.series.kind != EVENT]
            if readings:
                self._replace(_encoded(formatter.format_batch(readings)))
        else:
            self._append(_encoded(formatter.format_batch(samples)))

    def _append(self, data: bytes) -> None:
        file = self._current()
        if self._torn:
            # The disk was full in the middle of a line: end that one first.
            data = b"\n" + data
        self._torn = True
        written = 0
        while written < len(data):
            written += file.write(data[written:])
        self._torn = False

    def _current(self) -> BinaryIO:
        if self._file is not None:
            mine = os.fstat(self._file.fileno())
            try:
                there = os.stat(self.path)
            except FileNotFoundError:
                there = None
            if there is not None and os.path.samestat(mine, there):
                return self._file
            self.close()
        # Without a buffer: what a failed write leaves behind would be written
        # again, in front of the next batch.
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115
        return self._file

    def _replace(self, data: bytes) -> None:
        folder, name = os.path.split(self.path)
        # In the same folder, since a rename is atomic within a file system only.
        # Not synced to disk: after a power cut the next round writes it anew.
        handle, temporary = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".tmp", dir=folder)
        try:
            with open(handle, "wb") as file:
                file.write(data)
            # mkstemp's 0600 would hide it from node_exporter's user.
            os.chmod(temporary, 0o644)
            os.replace(temporary, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            self._torn = False
            file.close()

    def describe(self, series: Series) -> list[str]:
        formatter: Formatter = self.formatter
        return formatter.describe(series)

    def target(self) -> str:
        return self.path

    def warnings(self) -> list[str]:
        folder = os.path.dirname(self.path)
        return [] if os.path.isdir(folder) else [f"there is no folder {folder}"]

    def check(self) -> None:
        folder = os.path.dirname(self.path)
        place = folder if self.formatter.document or not os.path.exists(self.path) else self.path
        if not os.access(place, os.W_OK) or not os.path.isdir(folder):
            os.stat(place)
            raise PermissionError(f"{place} is not writable")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
