"""The handlers' table of a page: of this process, or of the one that sends for it."""

from __future__ import annotations

from typing import Any

from ..handlers.table import row
from ..reporter import Reporter


def handler_table(reporter: Reporter) -> dict[str, Any]:
    """How the handlers are doing, JSON-ready: ``handlers``, rows of `handlers.table`.

    In a process that shares its numbers also ``sharing``: the ids of the ``processes``,
    which of them is the ``leader`` that sends (0: none), and when that one ``told`` of its
    handlers (seconds since 1970; None where these are the own ones).
    """
    rows = [row(route.handler, reporter.interval) for route in reporter.routes()]
    sharing = reporter.sharing
    if not sharing.joined:
        return {"handlers": rows}
    leader, told = sharing.leader() if sharing.merges else 0, None
    if sharing.merges and not sharing.sends:
        notice = sharing.posted()
        if notice is not None:
            rows += notice.handlers
            told = notice.time
    about = {"processes": sharing.processes_alive(), "leader": leader, "told": told}
    return {"handlers": rows, "sharing": about}
