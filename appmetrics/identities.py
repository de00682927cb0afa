"""`Identities`: what the handlers of one routing know alike, kept once.

Which handler gets what is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any, TypeVar

from .sample import Labels, Series

T = TypeVar("T", bound=Hashable)


class Identities:
    """The series of all selections of one routing, each kept once and numbered.

    Most handlers get mostly the same series. So what they all need to know of one is
    here, and a selection notes four bytes under its number.
    """

    def __init__(self) -> None:
        # By name and kind, then by labels: the number.
        self._numbers: dict[tuple[str, str], dict[Labels, int]] = {}
        self._series: list[Series] = []
        self._shared: dict[Any, Any] = {}
        self._lock = threading.RLock()

    def of(self, series: Series) -> tuple[int, Series]:
        """The number of whatever has this name, kind and labels; the series itself."""
        key = (series.name, series.kind)
        numbers = self._numbers.get(key)
        if numbers is None:
            numbers = self._numbers.setdefault(key, {})
        number = numbers.get(series.labels)
        if number is None:
            with self._lock:
                number = numbers.get(series.labels)
                if number is None:
                    number = len(self._series)
                    # In this order: who finds the number, finds the series.
                    self._series.append(series)
                    numbers[series.labels] = number
                    return number, series
        first = self._series[number]
        # Handlers may see it with another unit or help.
        return number, first if first == series else series

    def share(self, made: T) -> T:
        """The first object equal to this one that a handler has made of a series."""
        shared: T = self._shared.setdefault(made, made)
        return shared
