"""What can be known of ZODB's databases: connections, caches, sizes.

All is read by gauge callbacks, once per round, by the name of the database. What may
have to ask a server is asked once a minute. What goes on in them is in ``activity``.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from ...hierarchy import Hierarchy, hierarchy
from .activity import Activity

log = logging.getLogger("appmetrics")

#: None: there is no answer.
Read = Callable[[Any], float | None]

#: With ZEO and RelStorage size and number of objects are a question to a server.
SECONDS_BETWEEN_QUESTIONS = 60.0


class Databases:
    """The databases that are watched, and the metrics ``zodb.*`` about them."""

    def __init__(self, hierarchy: Hierarchy = hierarchy) -> None:
        self._meter = hierarchy.get_meter("zodb")
        self._roots: WeakSet[Any] = WeakSet()
        self._activities: WeakKeyDictionary[Any, Activity] = WeakKeyDictionary()
        self._complained: set[str] = set()

    def watch(self, database: Any) -> None:
        """Watch a database and all that it knows by name, also those opened later."""
        if not self._roots:
            self._declare()
        self._roots.add(database)
        self._attach()

    def _declare(self) -> None:
        meter, labels = self._meter, ("database",)
        self._counters = (
            meter.counter("loads", "Objects loaded from the storage", labels=labels),
            meter.counter("stores", "Objects stored", labels=labels),
            meter.counter("connections.closed", "Uses of a connection that ended", labels=labels),
        )

        def gauge(name: str, help: str, read: Read, unit: str = "", merge: str = "sum") -> None:
            def ask() -> dict[str, float]:
                return self._ask(name, read)

            meter.gauge(name, help, labels=labels, unit=unit, merge=merge, callback=ask)

        def opened(database: Any) -> int:
            # Once per round: whoever has replaced it is found out, and new databases are, too.
            self._attach()
            return len(database.pool.all) - len(database.pool.available)

        gauge("connections.open", "Connections in use", opened)
        gauge("connections.idle", "Connections in the pool", lambda db: len(db.pool.available))
        gauge("pool.size", "Connections expected at most", lambda db: db.getPoolSize())
        gauge("cache.objects", "Objects in the connections' caches", lambda db: _cached(db)[0])
        gauge("cache.ghosts", "Their objects without content", lambda db: _cached(db)[1])
        gauge("cache.target", "Objects that one cache may keep", lambda db: db.getCacheSize())
        often = SECONDS_BETWEEN_QUESTIONS
        gauge("objects", "Objects, roughly", Seldom(lambda db: db.objectCount(), often), "", "max")
        gauge("size", "Size of the storage", Seldom(lambda db: db.getSize(), often), "bytes", "max")

    def _attach(self) -> None:
        for name, database in self._all().items():
            activity = self._activities.get(database)
            if activity is None:
                counters = (counter.labels(name) for counter in self._counters)
                activity = self._activities.setdefault(database, Activity(*counters))
            activity.attach(database)

    def _all(self) -> dict[str, Any]:
        # One that has been closed has forgotten all, itself included.
        found: dict[str, Any] = {}
        for root in list(self._roots):
            found.update(root.databases)
        return found

    def _ask(self, what: str, read: Read) -> dict[str, float]:
        answers = {}
        for name, database in self._all().items():
            try:
                answer = read(database)
                if answer is not None:
                    answers[name] = answer
            except Exception:
                # Not all storages can tell everything; the others are asked all the same.
                if what not in self._complained:
                    self._complained.add(what)
                    log.info("zodb.%s is not known for %s", what, name, exc_info=True)
        return answers


def _cached(database: Any) -> tuple[int, int]:
    """Objects with content, and those without, in the caches of all connections."""
    details = database.cacheDetailSize()
    full = sum(each["ngsize"] for each in details)
    return full, sum(each["size"] for each in details) - full


class Seldom:
    """Reads a database at most once in ``seconds``, and remembers the answer meanwhile."""

    def __init__(self, read: Read, seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._answers: WeakKeyDictionary[Any, tuple[float, float | None]] = WeakKeyDictionary()

    def __call__(self, database: Any) -> float | None:
        now = time.monotonic()
        when, answer = self._answers.get(database, (-math.inf, None))
        if now - when >= self._seconds:
            # Also a question that fails is not repeated at once.
            self._answers[database] = (now, None)
            answer = self._read(database)
            self._answers[database] = (now, answer)
        return answer


#: Those of this process.
databases = Databases()
