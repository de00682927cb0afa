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
from .harness import Figure

#: Module and what it is about, in the order in which they run.
GROUPS = {
    "hot": "what one update costs",
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
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; none is all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
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
