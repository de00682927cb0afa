"""Rounds of made-up readings for tests of handlers, harmless ones and hostile ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..buckets import Distribution
from ..handlers.base import Batch
from ..sample import Series, StateValue
from ..selection import Selection

#: Names and label values that have broken one or another target's format.
HOSTILE = (
    "",
    " ",
    ".",
    "..",
    "...leading.and.trailing...",
    "with blanks",
    "line\nend",
    "\nevil 1 1\n",
    "\r\nevil 1 1",
    "good\u2028evil 1 1\u2029\x85\x0b\x0c\x1c",
    "tab\tnul\0escape\x1b[31m",
    "quote\"quote'quote`",
    "back\\slash\\n\\",
    ";evil=1",
    "a;b=c;~d",
    "~tilde",
    "a,b=c",
    "{evil} 1",
    'x"} evil 1',
    '{"evil": 1}',
    "*?[a-z]",
    "/etc/passwd",
    "../../etc/passwd",
    "%s %d %(name)s %n %",
    "$HOME ${HOME} $(id)",
    "# TYPE evil counter",
    "# EOF",
    "<script>evil()</script>",
    "größe.名前.🙂",
    "lone\ud800surrogate",
    "rtl\u202eoverride\u200b",
    "x" * 10_240,
    "y." * 5_120,
    "z\n" * 5_120,
)


class _Point(NamedTuple):
    series: Series
    value: Any

    def read(self) -> Any:
        return self.value


def batch(pairs: Sequence[tuple[Series, Any]], when: float = 1_600_000_000.0) -> Batch:
    """A handler's first round, as the reporter would hand it over."""
    selection = Selection(lambda point: point.series, started=when - 10)
    selection.extend([_Point(series, value) for series, value in pairs])
    return Batch(selection, selection.read(), when, when)


def one_of_each_kind() -> list[tuple[Series, Any]]:
    """A series of each kind that is read, with a reading."""
    labels = (("shop", "de"),)
    return [
        (Series("contract.orders", labels, "counter", help="Orders."), 12),
        (Series("contract.queue", labels, "gauge", "bytes"), 2.5),
        (Series("contract.sizes", labels, "histogram", "bytes"), Distribution.of([1, 2, 3])),
        (Series("contract.render", labels, "timer", "seconds"), Distribution.of([0.1, 0.2])),
        (Series("contract.idle", (), "timer", "seconds"), Distribution()),
        (
            Series("contract.database", labels, "state", states=("ok", "critical")),
            StateValue("critical", "no route to host", 1, "critical", None),
        ),
    ]
