"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import logging
import platform
from pathlib import Path
from typing import Any

from . import peers
from .compare import compare
from .harness import Figure

#: Modules and what they are about, in the order in which they run. Each has a function
#: ``figures`` that prints its figures and returns them.
GROUPS = {
    "hot": "what one update costs",
    "parts": "where the time of an update goes",
    "scrape": "what reading everything costs",
    "latency": "what a scrape does to requests",
    "memory": "what a series takes",
    "rounds": "what reporting takes",
    "sharing": "what processes that share pay",
    "imports": "what importing takes",
    "floor": "what was tried and not kept",
}


def versions() -> dict[str, str]:
    """What was measured with what."""
    found = {"python": f"{platform.python_implementation()} {platform.python_version()}"}
    for distribution in ("appmetrics-routing", *peers.NAMES):
        try:
            found[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def run(groups: list[str]) -> dict[str, list[Figure]]:
    """Run the groups, printing each one's table."""
    found = {}
    for name in groups:
        print(f"\n== {name}: {GROUPS[name]}\n", flush=True)
        found[name] = importlib.import_module(f"{__package__}.{name}").figures()
    return found


def document(found: dict[str, list[Figure]]) -> dict[str, Any]:
    """All figures, JSON-ready."""
    return {
        "versions": versions(),
        "figures": [
            {
                "group": group,
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "budget": str(figure.budget or ""),
                "verdict": figure.verdict,
            }
            for group, figures in found.items()
            for figure in figures
        ],
    }


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run what it asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "groups",
        nargs="*",
        metavar="GROUP",
        help=f"of {', '.join(GROUPS)}; none is all. Or: compare REV [REV] [GROUP ...]",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    if given.groups[:1] == ["compare"]:
        names = [name for name in given.groups[1:] if name in GROUPS]
        revisions = [name for name in given.groups[1:] if name not in GROUPS]
        if len(revisions) not in (1, 2):
            parser.error("compare takes one or two commits, and groups")
        compare(revisions, names or ["hot"])
        return
    unknown = set(given.groups) - GROUPS.keys()
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}, expected {', '.join(GROUPS)}")
    logging.disable()
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    found = run(given.groups or list(GROUPS))
    missed = [
        figure for figures in found.values() for figure in figures if figure.verdict == "MISSED"
    ]
    if missed:
        print(
            "\nmissed: " + "; ".join(f"{f.name} {f.value:.3g} {f.unit}, {f.budget}" for f in missed)
        )
    if given.json:
        given.json.write_text(json.dumps(document(found), indent=1) + "\n")
