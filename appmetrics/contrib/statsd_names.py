"""`Names`: from the names that a program gives to a StatsClient to our instruments.

Which there can be, how many, and what becomes of one that is used for two kinds.
"""

from __future__ import annotations

import weakref
from typing import Any
from weakref import WeakKeyDictionary

from .. import rejection
from ..errors import InstrumentError
from ..hierarchy import Hierarchy
from ..instrument import shown
from ..reporter import INTERVAL, reporter
from ..sample import VALUES
from .uniques import Uniques

#: Names that the clients make instruments of: a program that builds names from user
#: ids must not fill the memory.
MAX_NAMES = 10_000


class Names:
    """From names to instruments, each made when it is first used."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy: Hierarchy = weakref.proxy(hierarchy)
        self._known: dict[tuple[str, Any], Any] = {}
        self._full = False

    def find(self, kind: str, name: str) -> Any:
        """The instrument of this kind and name; None if there can't be one."""
        try:
            return self._known[kind, name]
        except (KeyError, TypeError):
            return self._made(kind, name)

    def _made(self, kind: str, name: object) -> Any:
        if not isinstance(name, str) or not name.strip("."):
            rejection.reject("statsd", f"a name must be a non-empty text, not {shown(name)}")
            return None
        if len(self._known) >= MAX_NAMES:
            if not self._full:
                self._full = True
                rejection.log.warning(
                    "the StatsClient has used %d names; further ones are left out. Names"
                    " should be few (no user ids, no paths)",
                    MAX_NAMES,
                )
            rejection.counts["statsd"] = rejection.counts.get("statsd", 0) + 1
            return None
        return self._known.setdefault((kind, name), self._declared(kind, name))

    def _declared(self, kind: str, name: str) -> Any:
        # A name may have been used with another kind, which statsd keeps apart.
        for full in (name, f"{name}.{kind}"):
            parent, _, last = full.strip(".").rpartition(".")
            meter = self._hierarchy.get_meter(parent)
            try:
                if kind != "uniques":
                    return getattr(meter, kind)(last)
                uniques = Uniques(self._hierarchy.clock, _interval)
                help = "Different values in the last interval"
                meter.gauge(last, help, unit=VALUES, callback=uniques.count)
                return uniques
            except InstrumentError as error:
                problem = error
        rejection.reject(name, str(problem))
        return None


#: Clients that record in one place know the same instruments.
_names: WeakKeyDictionary[Hierarchy, Names] = WeakKeyDictionary()


def _interval() -> float:
    return reporter.interval or INTERVAL


def names_of(hierarchy: Hierarchy) -> Names:
    """The names of all clients that record in a hierarchy."""
    return _names.setdefault(hierarchy, Names(hierarchy))
