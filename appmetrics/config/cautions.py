"""What handlers that are built warn of: legal, but it may not work, or not be meant.

Whether a file has mistakes is said by ``plan`` and ``lint``; nothing here connects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..errors import Problem, describe
from ..handlers.base import Handler
from .check import Source
from .wording import tidy

_EVERYWHERE = ("0.0.0.0", "::")


def cautions(handlers: Mapping[str, Handler], source: Source) -> Iterator[Problem]:
    """The warnings of each handler, and of those that get in each other's way."""
    for name, handler in handlers.items():
        section = source.section("handlers", name)
        for text in (*_own(handler), *_rivals(name, handlers)):
            yield tidy(Problem(text, source.file, section, line=source.line(section)))


def _own(handler: Handler) -> list[str]:
    try:
        return list(map(str, handler.warnings()))
    except Exception as error:
        return [f"warnings() failed: {describe(error)}"]


def _rivals(name: str, handlers: Mapping[str, Handler]) -> Iterator[str]:
    """A handler above that listens on the same port, or has the same spool."""
    host, port = _listens(handlers[name])
    for other, handler in handlers.items():
        if other == name:
            return
        address = _listens(handler)
        if port and address[1] == port and (host == address[0] or _all_of({host, address[0]})):
            yield f"handler {other} listens on port {port}, too; only one of them can"
        spool = getattr(handlers[name], "spool", None)
        if spool and getattr(handler, "spool", None) == spool:
            yield f"handler {other} has the spool {spool}, too; only one of them gets it"


def _listens(handler: Handler) -> tuple[str, int]:
    """Where a handler that is asked listens, by its attribute ``listen``; port 0 if it doesn't."""
    address = getattr(handler, "listen", None)
    return address if handler.pull and isinstance(address, tuple) else ("", 0)


def _all_of(hosts: set[str]) -> bool:
    return any(host in _EVERYWHERE for host in hosts)
