"""Long loops that let other threads run."""

from __future__ import annotations

import pytest

from appmetrics import pace
from appmetrics.pace import in_parts, unhurried


@pytest.mark.parametrize("number", [0, 1, 4, 5, 6, 23])
def test_all_items_come_in_order(number: int) -> None:
    """Whatever the size of the parts."""
    items = list(range(number))
    assert list(unhurried(items, 5)) == items
    assert [item for part in in_parts(items, 5) for item in part] == items


@pytest.mark.parametrize(("number", "pauses"), [(0, 0), (5, 0), (6, 1), (23, 4)])
def test_others_are_let_in_between_the_parts(
    monkeypatch: pytest.MonkeyPatch, number: int, pauses: int
) -> None:
    """After each part but the last; what is one part is never held up."""
    slept: list[float] = []
    monkeypatch.setattr(pace, "sleep", slept.append)
    assert len(list(unhurried(range(number), 5))) == number
    assert slept == [0] * pauses
