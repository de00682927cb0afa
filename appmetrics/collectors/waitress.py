"""``waitress``: requests that wait for a thread of waitress, and how busy its threads are.

waitress keeps no such numbers. Its dispatcher is found through the threads that
it has started, so that it does not matter what was created first; waitress is
never imported here.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ..hierarchy import Hierarchy
from ..instruments import Gauge
from .gauges import silence


def install(hierarchy: Hierarchy) -> Callable[[], None]:
    """Declare ``waitress.*`` and read it from now on; returns what ends that."""
    meter = hierarchy.get_meter("waitress")
    waited = meter.counter("waited", "Requests that found all threads busy")

    def count(record: logging.LogRecord) -> bool:
        # One such warning for each request; it has to pass the logger's level.
        if str(record.msg).startswith("Task queue depth"):
            waited.inc()
        return True

    def gauge(name: str, help: str, read: Callable[[Any], int]) -> Gauge:
        return meter.gauge(name, help, callback=lambda: sum(map(read, dispatchers())))

    gauges = [
        gauge("queue", "Requests that wait for a thread", _queue),
        gauge("busy", "Threads that work on a request", _busy),
        gauge("threads", "Threads for requests", _threads),
    ]
    # A filter: unlike a handler it leaves the last resort alone, and stays when
    # logging is configured.
    logger = logging.getLogger("waitress.queue")
    logger.addFilter(count)

    def remove() -> None:
        logger.removeFilter(count)
        silence(gauges)

    return remove


def dispatchers() -> Iterator[Any]:
    """The thread pools of all waitress servers in this process."""
    module = sys.modules.get("waitress.task")
    if module is None:
        return
    seen = set()
    for thread in threading.enumerate():
        # A thread's target is gone as soon as it is done.
        dispatcher = getattr(getattr(thread, "_target", None), "__self__", None)
        if isinstance(dispatcher, module.ThreadedTaskDispatcher) and id(dispatcher) not in seen:
            seen.add(id(dispatcher))
            yield dispatcher


def _queue(dispatcher: Any) -> int:
    return len(dispatcher.queue)


def _busy(dispatcher: Any) -> int:
    return int(dispatcher.active_count)


def _threads(dispatcher: Any) -> int:
    return len(dispatcher.threads)
