"""``logging``: records of Python's logging, counted by logger and level.

Counts in the log record factory, not in a handler. A handler at the root logger
would turn ``logging.basicConfig`` into nothing and silence the last resort,
``dictConfig`` and ``fileConfig`` would throw it out, and what a logger does not
propagate would never reach it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..hierarchy import Hierarchy
from ..instrument import OVERFLOW
from ..instruments import Counter

#: Loggers that are counted by name; others may be made one per connection.
MAX_LOGGERS = 200

_STANDARD = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def install(hierarchy: Hierarchy) -> Callable[[], None]:
    """Count in ``logging.records`` from now on; returns what ends that."""
    counter = hierarchy.get_meter("logging").counter(
        "records", "Records made by Python's logging", labels=("logger", "level")
    )
    factory = CountingFactory(logging.getLogRecordFactory(), counter)
    logging.setLogRecordFactory(factory)
    return factory.remove


class CountingFactory:
    """Makes records as the former factory does, and counts them."""

    def __init__(self, former: Callable[..., logging.LogRecord], counter: Counter) -> None:
        self.former = former
        self._counter = counter
        self._loggers: dict[str, dict[int, Counter]] = {}
        self._removed = False

    def __call__(self, name: Any, level: int, *args: Any, **kwargs: Any) -> logging.LogRecord:
        if not self._removed:
            try:
                self._count(name, level)
            except Exception:
                # An application's logging must not fail on being counted.
                pass
        return self.former(name, level, *args, **kwargs)

    def _count(self, name: Any, level: int) -> None:
        if not isinstance(name, str):
            return  # made by makeLogRecord, of what another process has logged
        levels = self._loggers.get(name)
        if levels is None:
            if len(self._loggers) >= MAX_LOGGERS:
                name = OVERFLOW
            levels = self._loggers.setdefault(name, {})
        counter = levels.get(level)
        if counter is None:
            # Where this logs (beyond max_children), it does so once, and then
            # passes through here again without a further log line.
            counter = self._counter.labels(name, level_name(level))
            levels[level] = counter
        counter.inc()

    def remove(self) -> None:
        """Put the former factory back; pass through if another one was set on top."""
        self._removed = True
        if logging.getLogRecordFactory() is self:
            logging.setLogRecordFactory(self.former)


def level_name(level: int) -> str:
    """The level's name; of a level without one, that of the standard level below it."""
    name = logging.getLevelName(level)
    if name == f"Level {level}":
        return next((logging.getLevelName(each) for each in _STANDARD if level >= each), "NOTSET")
    return str(name)
