"""`ScalesTree`: instruments in scales' own tree, and what an application keeps there.

The only module that imports ``greplin.scales``, and not before the first
instrument is made. Uses its tree and `StatContainer` only. Our instruments are
callable leaves at ``/dotted/name``, so ``scales.getStats()`` shows them; stats
that an application keeps with scales itself are read from the same tree.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from .buckets import Distribution
from .instrument import Instrument, number
from .sample import COUNTER, GAUGE, MAX_DEPTH, StateValue

_NAME = "greplin.scales"


class Leaf:
    """An instrument as scales sees it: callable, JSON-ready, never raising.

    An application's own scales stats may be at the same path, and come after ours.
    Where they use the leaf as a container, a real one takes its place, and our
    value moves to the key ``value`` in it. Where they use it as a number or a
    distribution, theirs takes its place, as if nothing had been there.
    """

    def __init__(self, instrument: Instrument, parent: Any, key: str) -> None:
        self.instrument = instrument
        self._parent = parent
        self._key = key
        self._container: Any = None

    def __call__(self) -> Any:
        try:
            return scales_value(self.instrument)
        except Exception:
            return None

    def container(self) -> Any:
        """The container that has taken the leaf's place."""
        if self._container is None:
            base = _scales().StatContainer
            # Dict stats count on missing keys being 0.
            self._container = type(
                "Container", (base,), {"__missing__": lambda *_: 0, "setdefault": _setdefault}
            )()
            self._container["value"] = self
            self._parent[self._key] = self._container
        return self._container

    def __add__(self, amount: Any) -> Any:
        return amount

    def __sub__(self, amount: Any) -> Any:
        return -amount

    def addValue(self, value: Any) -> None:
        self._give_way().addValue(value)

    def time(self) -> Any:
        return self._give_way().time()

    def _give_way(self) -> Any:
        self._parent[self._key] = distribution = _scales().PmfStatDict()
        return distribution

    def get(self, key: Any, default: Any = None) -> Any:
        return self.container().get(key, default)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return self.container().setdefault(key, default)

    def __contains__(self, key: Any) -> bool:
        return key in self.container()

    def __getitem__(self, key: Any) -> Any:
        return self.container()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.container()[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.container()[key]


def scales_value(instrument: Instrument) -> Any:
    """An instrument's value under scales' key names."""
    if instrument.label_names:
        return {
            ",".join(f"{key}={value}" for key, value in child.series.labels): scales_value(child)
            for child in instrument.own_points()
        }
    value = instrument.read()
    if isinstance(value, Distribution):
        return value.summary()
    if isinstance(value, StateValue):
        return value.text
    return value


def _setdefault(container: Any, key: Any, default: Any = None) -> Any:
    # UserDict's own asks for the key, which is never missing.
    return container.data.setdefault(key, default)


@functools.cache
def _scales() -> Any:
    # Once: changing the warnings' filters is not for several threads at a time, and
    # in a child that was forked in the middle of an import statement the next hangs.
    with warnings.catch_warnings():
        # scales 1.0.9 compiles with a SyntaxWarning, an error under -W error.
        warnings.simplefilter("ignore")
        return importlib.import_module(_NAME)


class ScalesTree:
    """Our leaves in scales' process-wide tree, and everybody else's."""

    def __init__(self) -> None:
        self._root: Any = None
        self._attached: dict[str, Instrument] = {}

    def attach(self, name: str, instrument: Instrument) -> None:
        """Show an instrument at its place; what an application has there stays."""
        self._attached[name] = instrument
        root = _scales().getStats()
        if root is self._root:
            self._place(root, name, instrument)
            return
        # The first time, and after an application's tests called scales.reset().
        self._root = root
        for known, old in self._attached.items():
            self._place(root, known, old)

    def _place(self, node: Any, name: str, instrument: Instrument) -> None:
        container_type = _scales().StatContainer
        *path, last = name.split(".", MAX_DEPTH)
        for part in path:
            child = node.setdefault(part, container_type())
            if isinstance(child, Leaf):
                child = child.container()
            if not isinstance(child, container_type):
                return
            node = child
        if isinstance(node.get(last), container_type):
            node, last = node[last], "value"
        if last not in node:
            node[last] = Leaf(instrument, node, last)

    def foreign(self) -> Iterator[tuple[str, str, Any]]:
        """(dotted name, kind, number) of the stats that aren't ours."""
        if _NAME in sys.modules:
            yield from _walk((), _scales().getStats())


def _walk(path: tuple[str, ...], node: Any, counts: bool = False) -> Iterator[tuple[str, str, Any]]:
    # .data: a UserDict's own items() is Python code, in which other threads may
    # change the dict; list() of the plain dict is one step.
    for key, value in list(getattr(node, "data", node).items()):
        if isinstance(value, Leaf):
            continue
        here = (*path, str(key))
        try:
            if callable(value):
                value = value()
            if hasattr(value, "items"):
                yield from _walk(here, value, counts=hasattr(value, "addValue"))
            elif isinstance(value, (int, float)) and (plain := number(value)) is not None:
                kind = COUNTER if counts and key == "count" else GAUGE
                yield ".".join(here), kind, plain
        except Exception:
            continue
