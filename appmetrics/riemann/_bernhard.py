"""A private copy of bernhard that works: the only module that loads it.

bernhard's generated messages fail to import with protobuf 4 and later, and it asks
`pkg_resources`, which newer setuptools no longer has, for protobuf's version. So its
source is executed here without these import statements, in a module that has our messages
and a stand-in for `pkg_resources` under the names that they would bind. Nothing of this
enters ``sys.modules``, not even for a moment: an application that imports bernhard itself,
or tests whether there is a `pkg_resources`, sees what it would see without us.
"""

from __future__ import annotations

import ast
import importlib.util
from types import ModuleType, SimpleNamespace
from typing import Any

from . import messages

_MISSING = "bernhard is not installed: pip install 'appmetrics-routing[riemann]'"


class _NotFound(Exception):
    """In place of pkg_resources.DistributionNotFound: bernhard then asks no further."""


def _distribution(name: str) -> Any:
    raise _NotFound(name)


#: What bernhard has under the names of what it would import.
_INSTEAD = {
    "pkg_resources": SimpleNamespace(
        get_distribution=_distribution, DistributionNotFound=_NotFound
    ),
    "pb": messages,
}


class _WithoutImports(ast.NodeTransformer):
    """Leaves out what is in `_INSTEAD`."""

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        return ast.Pass() if node.names[0].name in _INSTEAD else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        return ast.Pass() if node.level else node


def load() -> ModuleType:
    """Execute bernhard into a module of its own. Raises ImportError if it isn't installed."""
    spec = importlib.util.find_spec("bernhard")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(_MISSING, name="bernhard")
    module = importlib.util.module_from_spec(spec)
    vars(module).update(_INSTEAD)
    loader: Any = spec.loader
    source = _WithoutImports().visit(ast.parse(loader.get_source("bernhard")))
    exec(compile(ast.fix_missing_locations(source), str(spec.origin), "exec"), vars(module))
    return module


_module = load()
Client: Any = _module.Client
Message: Any = _module.Message
