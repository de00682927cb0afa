"""Two commits beside each other: ``python -m benchmarks compare REV [REV]``.

Each commit's package is checked out into a temporary folder and measured there by
the benchmarks of today, in processes that take turns; of each figure the better run
counts. Without a second REV the other side is the working tree.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .harness import table

HERE = Path(__file__).parent
ROOT = HERE.parent
TURNS = 2

Figures = dict[tuple[str, str], float]


@contextlib.contextmanager
def checked_out(revision: str | None) -> Iterator[Path]:
    """A folder with the package as of a commit, or of now, and the benchmarks of now."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        if revision is None:
            shutil.copytree(ROOT / "appmetrics", tree / "appmetrics")
        else:
            git = ["git", "-C", str(ROOT), "worktree"]
            subprocess.run([*git, "add", "--detach", "--quiet", str(tree), revision], check=True)
        shutil.rmtree(tree / "benchmarks", ignore_errors=True)
        shutil.copytree(HERE, tree / "benchmarks")
        try:
            yield tree
        finally:
            if revision is not None:
                subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def measured(tree: Path, groups: list[str]) -> Figures:
    """The figures of one run in a folder."""
    target = tree / "figures.json"
    command = [sys.executable, "-m", "benchmarks", *groups, "--json", str(target)]
    # From that folder, whose package comes before an installed one.
    subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(target.read_text())["figures"]
    return {(f["name"], f["unit"]): f["value"] for f in found}


def better(unit: str, one: float, other: float) -> float:
    """The value of the less disturbed run: the smaller, but of ratios to others the larger."""
    return max(one, other) if unit.startswith("x ") else min(one, other)


def compare(revisions: list[str], groups: list[str]) -> None:
    """Print both sides' figures and the second over the first."""
    sides = [revisions[0], revisions[1] if len(revisions) > 1 else None]
    best: list[Figures] = [{}, {}]
    with checked_out(sides[0]) as first, checked_out(sides[1]) as second:
        for _ in range(TURNS):
            for known, tree in zip(best, (first, second)):
                for (name, unit), value in measured(tree, groups).items():
                    before = known.get((name, unit), value)
                    known[name, unit] = better(unit, before, value)
    rows = [
        (name, unit, f"{best[0][name, unit]:,.4g}", f"{value:,.4g}",
         f"{value / best[0][name, unit]:.2f}" if best[0][name, unit] else "")
        for (name, unit), value in best[1].items()
        if (name, unit) in best[0]
    ]  # fmt: skip
    print(table(("", "unit", sides[0] or "", sides[1] or "now", "of it"), rows))
