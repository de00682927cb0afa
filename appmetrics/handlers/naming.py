"""What names at a target share: cutting what is too long, and who owns a name.

Which characters a target takes, and how a name is made, is each handler's own.
"""

from __future__ import annotations

import hashlib
import logging

from ..display import title
from ..sample import Series

log = logging.getLogger("appmetrics")

_DIGEST = 12


def cut(text: str, limit: int) -> str:
    """The text itself, or what fits into ``limit`` bytes and ends in a hash of the whole."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    digest = hashlib.sha256(data).hexdigest()[:_DIGEST]
    return f"{data[: limit - _DIGEST - 1].decode('utf-8', 'ignore')}_{digest}"


class LeftOut:
    """The series that a handler can't send, and why.

    ``handler`` is the handler's name, for the one log line about them.
    """

    def __init__(self, handler: str) -> None:
        self._handler = handler
        self._left_out: dict[Series, str] = {}

    def leave_out(self, series: Series, why: str) -> None:
        """Note that a series is not sent; the first is logged."""
        if not self._left_out:
            log.warning(
                "handler %s: %s is left out: %s (more like it are only counted)",
                self._handler,
                title(*series.identity),
                why,
            )
        self._left_out[series] = why

    @property
    def left_out(self) -> list[tuple[Series, str]]:
        """The series that are not sent, and why."""
        return list(self._left_out.items())

    def clear(self) -> None:
        """Forget all: the routing has changed, and every series asks again."""
        self._left_out.clear()


class Names(LeftOut):
    """Which series has which name at one target: the first that asks keeps it."""

    def __init__(self, handler: str) -> None:
        super().__init__(handler)
        self._owners: dict[str, Series] = {}

    def claim(self, series: Series, name: str) -> bool:
        """Whether a series may have this name; if not, it is among `left_out`."""
        owner = self._owners.setdefault(name, series)
        if (owner.identity, owner.kind) == (series.identity, series.kind):
            return True
        self.leave_out(
            series, f"its name {name} belongs to the {owner.kind} {title(*owner.identity)}"
        )
        return False

    def clear(self) -> None:
        super().clear()
        self._owners.clear()
