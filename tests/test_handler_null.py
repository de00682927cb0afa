"""Tests of handlers/null.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from appmetrics.handlers.null import NullHandler
from appmetrics.sample import Sample, Series
from appmetrics.testing.contract import HandlerContract


class TestContract(HandlerContract):
    """What goes into a null handler counts as arrived, so its samples are noted on the way in."""

    @pytest.fixture(autouse=True)
    def _note_samples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[str] = []
        monkeypatch.setattr(NullHandler, "emit", lambda _, samples: self._take(samples))

    def _take(self, samples: list[Sample]) -> None:
        self.taken += [sample.series.name for sample in samples]

    def make_handler(self, tmp_path: Path) -> NullHandler:
        return NullHandler()

    def received(self) -> list[str]:
        return [name if "\n" not in name else "hostile" for name in self.taken]


def test_drops_what_it_gets() -> None:
    """Nothing comes of a sample, not even an error."""
    assert NullHandler().emit([Sample(Series("shop.orders"), 1.0, 1)]) is None
