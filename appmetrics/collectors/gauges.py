"""Gauges that a collector reads, and that fall silent when it is taken out."""

from __future__ import annotations

from collections.abc import Iterable

from ..instruments import Gauge


def silence(gauges: Iterable[Gauge]) -> None:
    """Let gauges have no reading from now on.

    They stay declared, as everything does, so that a later installation gives
    the same gauges a callback again.
    """
    for gauge in gauges:
        gauge.declaration.callback = _nothing
        gauge.declaration.answered = frozenset()


def _nothing() -> None:
    """The answer of a callback that has no reading."""
