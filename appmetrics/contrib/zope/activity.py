"""Loads, stores and uses of ZODB's connections, beside whoever else watches them.

A database tells one activity monitor of each connection that is closed, and ZODB's
own then sets the connection's numbers back to zero. So this one reads them only, and
hands the connection on to the monitor that it has found.
"""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

from ZODB.ActivityMonitor import ActivityMonitor

from ...instruments import Counter

log = logging.getLogger("appmetrics")

#: So often it steps in front of a monitor that was set in its place: two that
#: do so for ever would make a chain without end.
MOST = 5


class Activity:
    """Counts what goes on in one database; ``attach`` keeps it in place."""

    def __init__(self, loads: Counter, stores: Counter, closed: Counter) -> None:
        self._loads = loads
        self._stores = stores
        self._closed = closed
        self._stepped = 0
        self._gave_up = False
        self._complained = False
        #: The numbers of a connection that have been counted already.
        self._seen: WeakKeyDictionary[Any, tuple[int, int]] = WeakKeyDictionary()
        #: Those being closed: another of our monitors, further behind, counts no more.
        self._closing: set[int] = set()

    def attach(self, database: Any) -> None:
        """Be the database's monitor, before the one it has; again if it was replaced."""
        present = database.getActivityMonitor()
        if isinstance(present, Monitor) and present.activity is self:
            return
        if present is None or self._stepped < MOST:
            self._stepped += present is not None
            database.setActivityMonitor(Monitor(self, present))
        elif not self._gave_up:
            self._gave_up = True
            log.warning(
                "the activity monitor of %s is replaced again and again, now by %s;"
                " its loads and stores are no longer counted",
                database.database_name,
                type(present).__name__,
            )

    def closed(self, connection: Any, behind: Any) -> None:
        """A connection is being closed: count it and hand it on.

        Raises what the monitor behind raises, which ZODB would have got as well.
        """
        inside = id(connection) in self._closing
        if not inside:
            self._closing.add(id(connection))
            self._count(connection)
        try:
            if behind is not None:
                behind.closedConnection(connection)
        finally:
            if not inside:
                self._closing.discard(id(connection))
                self._settle(connection)

    def _count(self, connection: Any) -> None:
        try:
            loads, stores = connection.getTransferCounts()
            loads_before, stores_before = self._seen.get(connection, (0, 0))
            # Less than before: somebody else has set it back to zero.
            self._loads.inc(loads - loads_before if loads >= loads_before else loads)
            self._stores.inc(stores - stores_before if stores >= stores_before else stores)
            self._closed.inc()
        except Exception:
            self._complain()

    def _settle(self, connection: Any) -> None:
        """Take note of what the monitors behind have left of a connection's numbers."""
        try:
            self._seen[connection] = connection.getTransferCounts()
        except Exception:
            self._complain()

    def _complain(self) -> None:
        if not self._complained:
            self._complained = True
            log.exception("a ZODB connection could not be counted")


class Monitor:
    """In a database's only place for a monitor, with the former one behind it.

    Whatever else is asked of it, the one behind it answers: if there was none, one
    of ZODB's own, made when it is first asked, as if it had been put there then.
    """

    def __init__(self, activity: Activity, behind: Any = None) -> None:
        self.activity = activity
        self._behind = behind

    def closedConnection(self, connection: Any) -> None:
        """Called by ZODB. Raises what the monitor behind this one raises."""
        self.activity.closed(connection, self._behind)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._behind is None:
            self._behind = ActivityMonitor()
        return getattr(self._behind, name)
