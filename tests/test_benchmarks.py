"""The benchmarks run, and judge as they should; what they find is nobody's test."""

from __future__ import annotations

from pathlib import Path

import pytest

# Not in the distribution, and found in a checkout by ``python -m pytest`` only.
pytest.importorskip("benchmarks", reason="the benchmarks are not there")

from benchmarks import budgets, command, ours
from benchmarks.compare import checked_out
from benchmarks.harness import Figure, Statement, at_least, at_most, fastest, listing, table


def test_every_operation_of_ours_runs() -> None:
    """And stands beside a bare call in one and the same run."""
    times = fastest({**ours.BARE, **ours.statements()}, rounds=1, steps=3)
    assert len(times) > 20
    assert all(seconds > 0 for seconds in times.values())
    assert budgets.HOT.keys() <= times.keys()


@pytest.mark.parametrize("peer", ["prometheus", "scales"])
def test_a_peer_has_our_names_for_what_it_does(peer: str) -> None:
    """A misspelt one would be compared with nothing."""
    module = pytest.importorskip(f"benchmarks.peers.{peer}")
    found = module.statements()
    assert found.keys() <= ours.statements().keys()
    fastest(found, rounds=1, steps=2)


def test_a_budget_is_met_or_missed() -> None:
    """The limit itself is within it."""
    assert Figure("x", 5.0, "A", at_most(5)).verdict == "met"
    assert Figure("x", 5.1, "A", at_most(5)).verdict == "MISSED"
    assert Figure("x", 4.9, "x peer", at_least(5)).verdict == "MISSED"
    assert Figure("x", 4.9, "ns").verdict == ""
    assert "MISSED" in listing([Figure("x", 5.1, "A", at_most(5))])


def test_a_statement_is_timed_with_its_names() -> None:
    """As often as it is asked for."""
    seen: list[int] = []
    fastest({"x": Statement("seen.append(1)", {"seen": seen})}, rounds=2, steps=3)
    assert len(seen) == 6


def test_columns_stand_under_each_other() -> None:
    """The first to the left, the others to the right."""
    assert table(("", "b"), [("long", "1"), ("x", "22")]) == "       b\nlong   1\nx     22"


def test_figures_are_written_with_versions() -> None:
    """So that runs can be told apart later."""
    found = command.document({"hot": [Figure("x", 1.5, "ns", at_most(1))]})
    assert found["versions"]["python"].startswith(("CPython", "PyPy"))
    assert found["figures"] == [
        {"group": "hot", "name": "x", "value": 1.5, "unit": "ns", "budget": "at most 1",
         "verdict": "MISSED"}
    ]  # fmt: skip


def test_an_unknown_group_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """That names those there are."""
    with pytest.raises(SystemExit):
        command.main(["hott"])
    assert "no group hott, expected hot," in capsys.readouterr().err


def test_the_working_tree_can_be_compared() -> None:
    """It is measured in a folder of its own, as any commit is."""
    with checked_out(None) as tree:
        assert (tree / "appmetrics" / "__init__.py").exists()
        assert (tree / "benchmarks" / "hot.py").exists()
    assert not Path(tree).exists()
