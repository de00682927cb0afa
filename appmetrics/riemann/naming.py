"""`Naming`: which host and service a series has in Riemann, by two templates.

Only text is made here; that two series don't share an identity is watched by the handler,
which knows all of them.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from ..exposition.values import encodable
from ..sample import Series

HOST = "{hostname}"
SERVICE = "{name} {labels} {statistic}"

_FIELD = re.compile(r"\{(\w+)\}")


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

    def host(self, series: Series, statistic: str = "", instance: str = "") -> str:
        """The host of one of a series' events; an instance follows behind a slash."""
        host = self._filled(self._host, series, statistic)
        return f"{host}/{printable(instance)}" if instance else host

    def service(self, series: Series, statistic: str = "") -> str:
        """The service of one of a series' events."""
        return self._filled(self._service, series, statistic) or "_"

    def _filled(self, words: list[str], series: Series, statistic: str) -> str:
        values: dict[str, Callable[[], str]] = {
            "name": lambda: " ".join(filter(None, series.name.split("."))),
            "statistic": lambda: statistic,
            "hostname": lambda: self._hostname,
            "labels": lambda: " ".join(
                value
                for label, value in series.labels
                if label not in self._named and label not in series.common
            ),
        }

        def value(field: re.Match[str]) -> str:
            known = values.get(field[1])
            return printable(known() if known else series.label(field[1]))

        filled = (_FIELD.sub(value, word).strip() for word in words)
        return " ".join(filter(None, filled))


def _words(option: str, template: str) -> list[str]:
    words = printable(template.strip()).split()
    if not words:
        raise ValueError(f"{option}: it is empty")
    if re.search(r"[{}]", _FIELD.sub("", template)):
        raise ValueError(f"{option}: braces that hold no field such as {{name}}")
    return words
