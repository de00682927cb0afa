"""`resolve`: the object that a dotted path names.

The only place where text of a configuration becomes code; it only imports.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from .errors import describe

EXPECTED = "a dotted path such as package.module.Class"


class NoSuchName(ValueError):
    """A module holds no such name: ``wrong``, which should be one of ``words``."""

    def __init__(self, reason: str, wrong: str, words: Iterable[str]) -> None:
        super().__init__(reason)
        self.wrong = wrong
        self.words = tuple(words)


def resolve(path: str) -> Any:
    """The object at a dotted path such as ``package.module.Class`` (also ``module:Class``).

    Raises ValueError with the reason: no such module or name (`NoSuchName`), or
    whatever exception the import of a module ended in.
    """
    names = path.replace(":", ".").split(".")
    if len(names) < 2 or not all(name.isidentifier() for name in names):
        raise ValueError(f"expected {EXPECTED}")
    for split in range(len(names) - 1, 0, -1):
        module = ".".join(names[:split])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            # Not found may be the module itself (then its name is an attribute
            # of the one before) or something that it imports.
            if split > 1 and error.name and f"{module}.".startswith(f"{error.name}."):
                continue
            raise ValueError(f"can't import {module}: {error}") from error
        except Exception as error:
            reason = describe(error)
            raise ValueError(f"can't import {module}: {reason}") from error
        for name in names[split:]:
            if not hasattr(found, name):
                words = (each for each in dir(found) if each[0] != "_")
                raise NoSuchName(f"{module} has no {'.'.join(names[split:])}", name, words)
            found = getattr(found, name)
        return found
    raise AssertionError("the loop returns or raises")
