"""Which collectors there are, and putting them in and out of a hierarchy.

A collector is a callable: given a hierarchy it declares its instruments there,
sees to it that they are updated, and returns the function that ends that. What
they measure is in their own modules. Starts no thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import cast
from weakref import WeakKeyDictionary

from ..dotted import resolve
from ..hierarchy import Hierarchy, hierarchy

log = logging.getLogger("appmetrics")

Remove = Callable[[], None]
Collector = Callable[[Hierarchy], Remove]

#: Short names. A dotted path to a collector of one's own will do as well.
COLLECTORS = {
    "garbage": "appmetrics.collectors.garbage.install",
    "logging": "appmetrics.collectors.records.install",
    "process": "appmetrics.collectors.process.install",
    "prometheus": "appmetrics.contrib.prometheus.install",
    "waitress": "appmetrics.collectors.waitress.install",
}

_installed: WeakKeyDictionary[Hierarchy, dict[Collector, Remove]] = WeakKeyDictionary()


def find(name: str) -> Collector:
    """The collector of a short name or a dotted path. Raises ValueError with the reason."""
    if name not in COLLECTORS and "." not in name:
        known = ", ".join(sorted(COLLECTORS))
        raise ValueError(f"expected a collector: {known} or a dotted path, not {name!r}")
    found = resolve(COLLECTORS.get(name, name))
    if not callable(found):
        raise ValueError(f"expected a collector, which is callable; {name} is not")
    return cast(Collector, found)


def install(names: Iterable[str | Collector], hierarchy: Hierarchy = hierarchy) -> None:
    """Put collectors in, by name or as they are; those that are in stay as they are.

    Raises ValueError for a name that stands for none; then nothing has changed.
    A collector that fails is logged, and the others are put in.
    """
    # Found before the lock is taken: that imports, see `Configurator`.
    wanted = [find(each) if isinstance(each, str) else each for each in names]
    with hierarchy.lock:
        present = _installed.setdefault(hierarchy, {})
        for collector in wanted:
            if collector in present:
                continue
            try:
                present[collector] = collector(hierarchy)
            except Exception:
                log.exception("the collector %s can't be used here", _name(collector))


def uninstall(
    names: Iterable[str | Collector] | None = None, hierarchy: Hierarchy = hierarchy
) -> None:
    """Take collectors out, all of them without ``names``.

    Counters keep what they have counted; gauges no longer have a reading.
    Raises ValueError for a name that stands for none.
    """
    wanted = (
        None if names is None else [find(each) if isinstance(each, str) else each for each in names]
    )
    with hierarchy.lock:
        present = _installed.get(hierarchy, {})
        for collector in list(present) if wanted is None else wanted:
            remove = present.pop(collector, None)
            if remove is None:
                continue
            try:
                remove()
            except Exception:
                log.exception("the collector %s could not be taken out", _name(collector))


def installed(hierarchy: Hierarchy = hierarchy) -> tuple[Collector, ...]:
    """The collectors that are in."""
    return tuple(_installed.get(hierarchy, ()))


def _name(collector: Collector) -> str:
    module, name = (getattr(collector, each, "") for each in ("__module__", "__qualname__"))
    return f"{module}.{name}" if module and name else repr(collector)
