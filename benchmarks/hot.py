"""What one update costs: ours, and how many times as long the peers take for theirs."""

from __future__ import annotations

from collections.abc import Mapping

from . import budgets, ours, peers
from .harness import Figure, Statement, fastest, table

Key = tuple[str, str]

#: Decorated calls are compared by what they add to the call.
OVERHEAD = {"@": "a bare call", "@timed async": "a bare await", "off: @": "a bare call"}


def measured(rounds: int) -> dict[Key, float]:
    """Seconds by (who, operation), of one run in which all take turns."""
    statements: dict[Key, Statement] = {("bare", name): s for name, s in ours.BARE.items()}
    statements.update({("ours", name): s for name, s in ours.statements().items()})
    for distribution, module in peers.installed():
        statements.update({(distribution, name): s for name, s in module.statements().items()})
    return fastest(statements, rounds=rounds)


def overhead(name: str, times: Mapping[Key, float], who: str) -> float:
    """Seconds of an operation, without those of the call that a decorator adds to."""
    prefix = max((p for p in OVERHEAD if name.startswith(p)), key=len, default="")
    return times[who, name] - (times["bare", OVERHEAD[prefix]] if prefix else 0.0)


def figures(rounds: int = 60) -> list[Figure]:
    """Prints the table; returns all that is in it."""
    times = measured(rounds)
    empty = times["bare", "an empty method call"]
    others = [who for who in peers.NAMES if any(key[0] == who for key in times)]
    result = [Figure("an empty method call", empty * 1e9, "ns")]
    rows = [("an empty method call", f"{empty * 1e9:.0f}", "1.0", *[""] * len(others), "")]
    for (who, name), seconds in times.items():
        if who != "ours":
            continue
        cost = overhead(name, times, "ours")
        ratios = {
            other: overhead(name, times, other) / cost for other in others if (other, name) in times
        }
        in_empty, over_peer = budgets.HOT.get(name, (None, None))
        first = others[0] if others else ""
        judged = [Figure(name, cost / empty, "A", in_empty)]
        judged += [
            Figure(name, ratio, f"x {other}", over_peer if other == first else None)
            for other, ratio in ratios.items()
        ]
        result += [Figure(name, seconds * 1e9, "ns"), *judged]
        verdicts = [f"{f.unit} {f.budget} {f.verdict}" for f in judged if f.budget]
        rows.append((
            name, f"{seconds * 1e9:.0f}", f"{cost / empty:.1f}",
            *(f"{ratios[other]:.1f}" if other in ratios else "" for other in others),
            "; ".join(verdicts),
        ))  # fmt: skip
    print(
        "ns of the whole statement; A: as many empty method calls (of a decorator, what it adds);"
    )
    print("then as many times as long the others take for theirs.\n")
    print(table(("", "ns", "A", *others, "budget"), rows))
    return result
