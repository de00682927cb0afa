"""The heartbeat of an application instance: a state that says "ok" in every round.

There is one where a middleware is and handlers are. It is a state like any other: a
target that knows of time to live, such as Riemann, notices when it no longer comes.
When a reporter starts is ``starting``'s.
"""

from __future__ import annotations

import logging
import os
import platform
from datetime import datetime, timezone

from ..errors import InstrumentError
from ..instruments import State
from ..reporter import Reporter

log = logging.getLogger("appmetrics")


class Heartbeat:
    """Sets the state, by the name of now, in the process of now; a job of the reporter's.

    As a job it notices what comes later: another name, the first handler, a fork.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._done: tuple[int, str] = (0, "")
        self._state: State | None = None

    def __call__(self) -> None:
        hierarchy, name = self._reporter.hierarchy, self._reporter.heartbeat
        wanted = (os.getpid(), name)
        if wanted == self._done or not hierarchy.handlers():
            return
        self._done = wanted
        if self._state is not None and self._state.name != name:
            self._state.reset()
            self._state = None
        if not name:
            return
        try:
            self._state = hierarchy.get_meter().state(name, "The application instance runs")
        except InstrumentError as error:
            log.error("the heartbeat can't be named %s: %s", name, error)
            return
        # The same text in each round: what changes is an event to some targets.
        since = datetime.fromtimestamp(self._reporter.clock.time(), timezone.utc)
        self._state.set(
            "ok",
            f"pid {os.getpid()}, Python {platform.python_version()},"
            f" since {since:%Y-%m-%d %H:%M:%S} UTC",
        )

    def __repr__(self) -> str:
        return "<Heartbeat>"


def install(reporter: Reporter) -> Heartbeat:
    """The heartbeat of this reporter, which it has from now on."""
    with reporter.hierarchy.lock:
        for job in reporter.jobs:
            if isinstance(job, Heartbeat):
                return job
        heartbeat = Heartbeat(reporter)
        reporter.jobs = [*reporter.jobs, heartbeat]
        return heartbeat
