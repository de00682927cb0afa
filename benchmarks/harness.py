"""What all benchmarks share: statements, timing them in turns, figures and how they are shown.

Times on a shared machine move by a factor of two from minute to minute; ratios between
operations that take turns in one run hardly do. So everything that is compared is timed
by one call of `fastest`, and the time of a statement is the least of all its rounds.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

#: How often a statement runs in one turn, and how many turns it has.
STEPS, ROUNDS = 5_000, 60


class Statement(NamedTuple):
    """Source text to be timed, and the names that are in it."""

    code: str
    names: Mapping[str, Any] = {}


class Figure(NamedTuple):
    """One number: what was measured, in which unit, and what is promised about it."""

    name: str
    value: float
    unit: str
    budget: Budget | None = None

    @property
    def verdict(self) -> str:
        """met, missed, or nothing."""
        if self.budget is None:
            return ""
        return "met" if self.budget.allows(self.value) else "MISSED"


class Budget(NamedTuple):
    """A limit: ``at least`` or ``at most`` a number."""

    direction: str
    limit: float

    def allows(self, value: float) -> bool:
        """Whether a value keeps within it."""
        return value >= self.limit if self.direction == "at least" else value <= self.limit

    def __str__(self) -> str:
        return f"{self.direction} {self.limit:g}"


def at_least(limit: float) -> Budget:
    """A lower limit."""
    return Budget("at least", limit)


def at_most(limit: float) -> Budget:
    """An upper limit."""
    return Budget("at most", limit)


def fastest(
    statements: Mapping[K, Statement], *, rounds: int = ROUNDS, steps: int = STEPS
) -> dict[K, float]:
    """The least seconds that one run of each statement took, all of them taking turns.

    The loop is timeit's, compiled with the statement in it, and is included; so is what
    the interpreter's garbage collector is spared meanwhile.
    """
    timers = {key: timeit.Timer(s.code, globals=dict(s.names)) for key, s in statements.items()}
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(rounds):
        for key, timer in timers.items():
            best[key] = min(best[key], timer.timeit(steps) / steps)
    return best


def once(work: Callable[[], object], *, rounds: int = 3) -> float:
    """The least seconds that something long took."""
    return min(timeit.repeat(work, number=1, repeat=rounds))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lines with the columns under each other, the first one to the left."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )


def listing(figures: Iterable[Figure]) -> str:
    """Figures under each other, with their budgets."""
    return table(
        ("", "value", "unit", "budget", ""),
        (
            (
                f.name,
                f"{f.value:,.4g}" if f.value < 1000 else f"{f.value:,.0f}",
                f.unit,
                str(f.budget or ""),
                f.verdict,
            )
            for f in figures
        ),
    )
