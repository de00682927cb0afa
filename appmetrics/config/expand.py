"""``%(name)s`` in a value: which names there are, and replacing them once.

Knows no file format. Everything that is not exactly ``%(name)s`` stays as it
is, so that ``> 80%``, ``=~ "api %"`` and a password with a percent sign are
plain text; ``%%(`` stands for ``%(``.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from .wording import nearest

_UNFINISHED = re.compile(r"(?<!%)%\((\w+)\)(?!s)")
_REFERENCE = re.compile(r"%%\(|%\(([^()]*)\)s")


def expand(text: str, look_up: Callable[[str], str | None]) -> tuple[str, list[str]]:
    """The text with every ``%(name)s`` replaced by what ``look_up(name)`` returns.

    What was put in is not looked at again. A name for which the answer is None
    stays as it is and is returned in the list of unknown names.
    """
    unknown: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%("
        value = look_up(match[1])
        if value is None:
            unknown.append(match[1])
            return match[0]
        return value

    return _REFERENCE.sub(replace, text), unknown


def unfinished(text: str) -> list[str]:
    """The names that a text seems to refer to, but for the s of ``%(name)s``."""
    return _UNFINISHED.findall(text)


def references(text: str) -> list[str]:
    """The names that a text refers to."""
    return [match[1] for match in _REFERENCE.finditer(text) if match[1] is not None]


class Variables:
    """The names that one file may use.

    ``here`` and ``__file__`` belong to the file that is read; then come the
    ``given`` ones (PasteDeploy's global_conf), the file's ``[DEFAULT]`` keys,
    and ``hostname``, ``fqdn`` and ``pid``. ``ENV_X`` is the environment
    variable X.
    """

    def __init__(
        self,
        file: str,
        defaults: Mapping[str, str] | None = None,
        given: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        path = Path(file).absolute()
        self._environ = os.environ if environ is None else environ
        self._values = {str(key).lower(): str(value) for key, value in (given or {}).items()}
        self._values |= {"here": str(path.parent), "__file__": str(path)}
        self.defaults = {
            key: value for key, value in (defaults or {}).items() if key not in self._values
        }
        self._values |= self.defaults

    def __call__(self, name: str) -> str | None:
        """The value of a name; None if there is no such name."""
        if name.startswith("ENV_"):
            return self._environ.get(name[4:])
        # ConfigParser lowers the case of keys, [DEFAULT]'s included.
        value = self._values.get(name.lower())
        return value if value is not None else _machine(name)

    def names(self) -> list[str]:
        """All known names but the environment's, sorted."""
        return sorted({*self._values, *_MACHINE})

    def nearest(self, name: str) -> str:
        """The known name that looks most like this one, or an empty text."""
        prefix, _, rest = name.partition("_")
        if prefix == "ENV":
            # All of them share the prefix, which makes none of them more alike.
            close = difflib.get_close_matches(rest, list(self._environ), 1, 0.8)
            return f"ENV_{close[0]}" if close else ""
        return f"ENV_{name}" if name in self._environ else nearest(name, self.names())


# Looked up on use: the fully qualified name may have to ask a name server.
_MACHINE: Mapping[str, Callable[[], object]] = {
    # Without dots, since it is meant for dotted paths, where each would start a level.
    "hostname": lambda: socket.gethostname().replace(".", "_"),
    "fqdn": socket.getfqdn,
    "pid": os.getpid,
}


def _machine(name: str) -> str | None:
    function = _MACHINE.get(name)
    return None if function is None else str(function())
