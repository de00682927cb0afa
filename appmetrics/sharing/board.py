"""The notice board: what the process that sends tells the others of its handlers.

One small file in the shared folder, replaced as a whole. Who writes, and when, is the
matter of ``membership`` and the reporter.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from .folder import Folder

#: A larger file is none of ours.
MAX_BYTES = 1024 * 1024


class Notice(NamedTuple):
    """Rows of the handlers' table, whose they are and from when (seconds since 1970)."""

    pid: int
    time: float
    handlers: list[dict[str, Any]]


def pin(folder: Folder, notice: Notice) -> None:
    """Replace what is there. Raises OSError."""
    path = folder.file("handlers.json")
    new = f"{path}.new"
    # By its mode nobody else may read it: targets and errors are in it.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(notice, file)
    os.replace(new, path)


def seen(folder: Folder) -> Notice | None:
    """What is there; None if that is nothing, or can't be understood."""
    try:
        with Path(folder.file("handlers.json")).open("rb") as file:
            pid, time, handlers = json.loads(file.read(MAX_BYTES))
        rows = [{str(key): value for key, value in row.items()} for row in handlers]
        return Notice(int(pid), float(time), rows)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
