"""What is written of a series into a key file, and read again: `Key` and `About`.

Plain JSON data in a fixed order, so that any process can make the same series of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..buckets import SUBS
from ..sample import COUNTER, GAUGE, HISTOGRAM, STATE, TIMER, Labels, Series

#: The help text of a series is kept up to this length.
MAX_HELP = 500

#: A state's cells: sequence, time, length of its text and description; then their bytes.
STATE_HEAD = 3
STATE_BYTES = 488

#: Cells of a series, the stamp of its owner not counted. Of a distribution: the special
#: buckets and the sum; its octaves have regions of their own.
SIZES = {
    COUNTER: 1,
    GAUGE: 1,
    HISTOGRAM: 4,
    TIMER: 4,
    STATE: STATE_HEAD + STATE_BYTES // 8,
}
OCTAVE_SIZE = SUBS

#: Cells in front of a series' own: the number of the take-over in which its owner
#: declared it, so that readers know what nobody declares any more.
STAMP = 1


class Key(NamedTuple):
    """What makes two points of different processes the same one."""

    kind: str
    name: str
    labels: Labels


class About(NamedTuple):
    """All that a reader must know of a point."""

    key: Key
    series: Series
    meter: str | None
    ttl: float | None


def written(series: Series, meter: str | None, ttl: float | None = None) -> list[Any]:
    """A point as JSON data; ``meter`` is None for what no meter has made."""
    kind, name, labels = series.kind, series.name, [list(pair) for pair in series.labels]
    more = [series.unit, series.level, series.help[:MAX_HELP], series.merge, list(series.states)]
    return [kind, name, labels, meter, ttl, *more]


def read(data: Any) -> About:
    """The reverse of `written`. Raises ValueError, TypeError or the like for anything else."""
    kind, name, pairs, meter, ttl, unit, level, help, merge, states = data
    labels = tuple((str(key), str(value)) for key, value in pairs)
    SIZES[kind]
    series = Series(name, labels, kind, unit, int(level), help, merge, tuple(states))
    return About(Key(kind, name, labels), series, meter, ttl)


def octave_written(start: int, octave: int) -> list[int]:
    """An octave of the distribution whose region begins at ``start``."""
    return [start, octave]


def is_octave(data: Any) -> bool:
    """Whether a region belongs to a distribution that has been read before."""
    return len(data) == 2


def whole(value: float) -> float:
    """A number from a cell: whole ones as int, as if nothing had been shared."""
    return int(value) if value.is_integer() else value
