"""`Rule`: from which value on a number is a warning, or critical; and the option of such rules."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from ..options import Converter, Refused, number
from ..statistics import timer_statistics

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Rule(NamedTuple):
    """``pattern`` is a glob on names; ``statistic`` is empty for gauges.

    The limits are in the unit of the series; without ``critical`` there is only a warning.
    """

    pattern: str
    statistic: str
    comparison: str
    warning: float
    critical: float | None = None

    def matches(self, name: str, statistic: str) -> bool:
        """Whether it is about this statistic of a series of this name."""
        return self.statistic == statistic and fnmatchcase(name, self.pattern)

    def state(self, value: float) -> str:
        """``ok``, ``warning`` or ``critical``."""
        beyond = _COMPARE[self.comparison]
        if self.critical is not None and beyond(value, self.critical):
            return "critical"
        return "warning" if beyond(value, self.warning) else "ok"

    def __str__(self) -> str:
        parts = (self.pattern, self.statistic, self.comparison, self.warning, self.critical)
        return " ".join(
            f"{part:g}" if isinstance(part, float) else part
            for part in parts
            if part not in ("", None)
        )


def _rules(value: object) -> tuple[Rule, ...]:
    parts = re.split(r"[,\n]", value) if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        raise TypeError
    return tuple(
        part if isinstance(part, Rule) else _rule(str(part)) for part in parts if str(part).strip()
    )


def _rule(text: str) -> Rule:
    pattern, *words = text.split()
    statistic = "" if not words or words[0] in _COMPARE else words.pop(0)
    if not 2 <= len(words) <= 3 or words[0] not in _COMPARE:
        raise Refused(f"{text.strip()!r} is none")
    try:
        if statistic:
            timer_statistics(statistic)
        limits = [number(word) for word in words[1:]]
    except ValueError as error:
        raise Refused(f"in {text.strip()!r}: {error}") from None
    rule = Rule(pattern, statistic, words[0], *limits)
    if rule.critical is not None:
        first, last = limits if rule.comparison[0] == ">" else reversed(limits)
        if first > last:
            raise Refused(f"in {text.strip()!r}: critical would come before the warning")
    return rule


#: Rules, separated by commas or newlines: ``NAME [STATISTIC] > WARNING [CRITICAL]``.
thresholds = Converter("rules such as shop.queue > 100 1000 or shop.render p95 > 0.5 2", _rules)
