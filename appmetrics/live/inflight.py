"""The requests that are being answered in this process, in one table for all middlewares.

The middleware puts a request in and takes it out, which must cost no more than
that; whoever looks gets a copy. Nothing here refers to an environ.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..wsgi.exchange import Request

#: Further ones are answered, but not shown: more than any server answers at once.
MOST = 10_000

#: By ``id(request)``. Never replaced, so that the middleware can hold it.
TABLE: dict[int, Request] = {}

_pid = 0


def begin() -> None:
    """Before the first request of a process: what a forked child finds is its parent's."""
    global _pid
    if _pid != os.getpid():
        TABLE.clear()
        _pid = os.getpid()


def in_flight() -> list[Request]:
    """The requests of now, longest first."""
    if _pid != os.getpid():
        return []
    return sorted(TABLE.values(), key=lambda request: request.started)
