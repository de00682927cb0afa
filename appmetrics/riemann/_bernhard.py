"""A private copy of bernhard that works: the only module that loads it.

bernhard's generated messages fail to import with protobuf 4 and later, and it asks
`pkg_resources`, which newer setuptools no longer has, for protobuf's version. So it is
executed here with an ``import`` of its own, which gives it our messages in place of
its generated ones and a stand-in for `pkg_resources`. Nothing of this enters
``sys.modules``, not even for a moment: an application that imports bernhard itself, or
tests whether there is a `pkg_resources`, sees what it would see without us.
"""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

from . import messages

_MISSING = "bernhard is not installed: pip install 'appmetrics-routing[riemann]'"


class _NotFound(Exception):
    """In place of pkg_resources.DistributionNotFound: bernhard then asks no further."""


def _distribution(name: str) -> Any:
    raise _NotFound(name)


#: What bernhard's import statements find in place of the modules that they name.
_INSTEAD: dict[tuple[str, int], Any] = {
    ("pkg_resources", 0): SimpleNamespace(
        get_distribution=_distribution, DistributionNotFound=_NotFound
    ),
    ("", 1): SimpleNamespace(pb=messages, proto_pb2=messages),
}


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    found = _INSTEAD.get((name, level))
    if found is None:
        found = builtins.__import__(name, globals, locals, fromlist or (), level)
    return found


def load() -> ModuleType:
    """Execute bernhard into a module of its own. Raises ImportError if it isn't installed."""
    spec = importlib.util.find_spec("bernhard")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(_MISSING, name="bernhard")
    module = importlib.util.module_from_spec(spec)
    # Code takes its builtins from its globals; the import statement is one of them.
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
    spec.loader.exec_module(module)
    return module


_module = load()
Client: Any = _module.Client
Message: Any = _module.Message
