"""`Naming`: which host and service a series has in Riemann, by two templates.

Only text is made here; that two series don't share an identity is watched by the handler,
which knows all of them.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence

from ..exposition.values import encodable
from ..sample import Series

HOST = "{hostname}"
SERVICE = "{name} {labels} {statistic}"

_FIELD = re.compile(r"\{(\w+)\}")

#: A word of a template: texts, and between them the names of fields.
_Word = list[str]


def printable(text: str) -> str:
    """The text on one line: ``_`` for each character that can't be seen."""
    text = encodable(text)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "_" for char in text)


class Naming:
    """Makes hosts and services. Raises ValueError for a template that can't be used.

    Both are words with blanks between them, of text and fields: ``{name}``, the dotted
    name with blanks; ``{statistic}``; ``{labels}``, the values of the instrument's own
    labels that neither template names; ``{shop}``, the value of the label shop;
    ``{hostname}``, this machine. What is empty leaves no word behind.
    """

    def __init__(self, host: str = HOST, service: str = SERVICE) -> None:
        self._host = _words("event_host", host)
        self._service = _words("service", service)
        fields = _FIELD.findall(f"{host} {service}")
        if "name" not in fields:
            raise ValueError("service: {name} is missing")
        for field in ("name", "labels", "statistic"):
            if fields.count(field) > 1:
                raise ValueError(f"service: {{{field}}} stands there twice")
        #: Whether each statistic of a series has an identity of its own.
        self.tells_statistics = "statistic" in fields
        self._named = set(fields) - {"name", "labels", "statistic", "hostname"}
        self._hostname = socket.gethostname()

    def identities(
        self, series: Series, statistics: Sequence[str], instance: str = ""
    ) -> list[tuple[str, str]]:
        """Host and service of each of a series' events; an instance follows the host behind
        a slash. Without statistics there is one event."""
        known = {label: printable(value) for label, value in series.labels}
        own = (
            known[label]
            for label, _ in series.labels
            if label not in self._named and label not in series.common
        )
        known["labels"] = " ".join(own)
        known["name"] = printable(" ".join(filter(None, series.name.split("."))))
        known["hostname"] = self._hostname
        behind = f"/{printable(instance)}" if instance else ""
        found = []
        for statistic in statistics or ("",):
            known["statistic"] = statistic
            host, service = _filled(self._host, known), _filled(self._service, known)
            found.append((host + behind, service or "_"))
        return found


def _filled(words: list[_Word], known: Mapping[str, str]) -> str:
    filled = []
    for word in words:
        parts = list(word)
        parts[1::2] = [known.get(field, "") for field in word[1::2]]
        text = "".join(parts).strip()
        if text:
            filled.append(text)
    return " ".join(filled)


def _words(option: str, template: str) -> list[_Word]:
    words = printable(template.strip()).split()
    if not words:
        raise ValueError(f"{option}: it is empty")
    if re.search(r"[{}]", _FIELD.sub("", template)):
        raise ValueError(f"{option}: braces that hold no field such as {{name}}")
    return [_FIELD.split(word) for word in words]
