"""Long loops that let other threads run.

The interpreter takes its lock away from a thread only after 5 ms (see
``sys.getswitchinterval``), so a request that waits 20 times for something would
wait 100 ms more while all series are looked through. A loop over them gives
the lock up by itself, after a part of a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import sleep
from typing import TypeVar

T = TypeVar("T")


def in_parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Slices of so many items; between them other threads may run."""
    for start in range(0, len(items), size):
        if start:
            sleep(0)
        yield items[start : start + size]


def unhurried(items: Sequence[T], size: int) -> Iterator[T]:
    """The items, one by one; after so many of them other threads may run."""
    for part in in_parts(items, size):
        yield from part
