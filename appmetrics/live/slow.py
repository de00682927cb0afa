"""The log of slow requests: what has been running for too long, and where it is.

Through the logger ``appmetrics.slow``, with the path and never what else a client
sent: no query string, no form, no cookies, no local variables. Nothing here decides
when it is looked; the reporter's thread does, about once a second.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from ..display import duration, printable
from ..errors import InstrumentError
from ..hierarchy import Hierarchy
from ..instruments import Counter
from .inflight import in_flight
from .stacks import Stack, names, shown, stacks

if TYPE_CHECKING:
    from ..wsgi.exchange import Request

log = logging.getLogger("appmetrics.slow")

#: So many requests are logged with their stacks at a time; of more, the number is.
MOST = 20
#: Seconds between two log lines about the same request.
INTERVAL = 10.0

#: A longer path is cut.
_LONGEST = 200


class _Told(NamedTuple):
    request: Request
    time: float
    stack: Stack | None


class SlowLog:
    """Logs each request that is older than ``timeout`` seconds, once per ``interval``.

    A request is also counted, once, in ``http.slow``. Without a timeout nothing happens.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.timeout: float | None = None
        self.interval = INTERVAL
        self._hierarchy = hierarchy
        self._counter: Counter | None = None
        self._told: dict[int, _Told] = {}

    def set(self, timeout: float | None, interval: float) -> None:
        """Take on other settings, from now on."""
        if timeout is not None and self._counter is None:
            try:
                self._counter = self._hierarchy.get_meter("http").counter(
                    "slow", "Requests older than slow_timeout", labels=("method", "view")
                )
            except InstrumentError as error:
                log.error("slow requests are not counted: %s", error)
        self.timeout, self.interval = timeout, interval

    def look(self) -> None:
        """Log what is slow now and has not been logged in this interval."""
        if self.timeout is None:
            return
        now = perf_counter()
        slow = [request for request in in_flight() if now - request.started >= self.timeout]
        told = {id(request): self._told.get(id(request)) for request in slow}
        due = []
        for request in slow:
            last = told[id(request)]
            if last is None or last.request is not request:
                told[id(request)] = None
                self._count(request)
                due.append(request)
            elif now - last.time >= self.interval:
                due.append(request)
        self._log(due[:MOST], told)
        for request in due[MOST:]:
            last = told[id(request)]
            told[id(request)] = _Told(request, now, last.stack if last else None)
        if len(due) > MOST:
            log.warning("%d more requests take longer than %g s", len(due) - MOST, self.timeout)
        self._told = {key: each for key, each in told.items() if each is not None}

    def _count(self, request: Request) -> None:
        if self._counter is not None:
            self._counter.labels(request.method, request.view).inc()

    def _log(self, due: list[Request], told: dict[int, _Told | None]) -> None:
        if not due:
            return
        found = stacks({request.thread for request in due})
        # Whose request ended meanwhile may be at the next one already.
        there = [request for request in due if not request.finished]
        called = names()
        now = perf_counter()
        for request in there:
            last, stack = told[id(request)], found.get(request.thread)
            told[id(request)] = _Told(request, now, stack)
            log.warning("%s", _sentence(request, now, called, stack, last))


def _sentence(
    request: Request, now: float, called: dict[int, str], stack: Stack | None, last: _Told | None
) -> str:
    name = called.get(request.thread, "")
    thread = f"{request.thread} ({name})" if name else str(request.thread)
    text = (
        f"{title(request)} has been running for {duration(now - request.started)}"
        f" in thread {printable(thread)}"
    )
    if stack is None:
        return f"{text}; where it is can't be seen: it runs in no thread that Python knows"
    if last is not None and last.stack == stack:
        return f"{text}; the same stack as before"
    return f"{text}:\n{shown(stack)}"


def title(request: Request) -> str:
    """Method, path and view, on one line whatever the client wrote."""
    path = printable(request.path)
    path = path if len(path) <= _LONGEST else f"{path[:_LONGEST]}..."
    return f"{request.method} {path} (view {printable(str(request.view))})"
