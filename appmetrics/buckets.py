"""Exponential buckets: the arithmetic, and `Distribution`, a reading of them.

16 logarithmic sub-buckets per octave. Octave ``o`` covers (2**(o-1), 2**o];
its sub-bucket ``i`` (0..15) covers (2**(o-1) * 2**(i/16), 2**(o-1) * 2**((i+1)/16)].
Three more cells hold zeros, values up to `LOWEST` and values above `HIGHEST`.
A bucket's middle is at most 2.2 % from any value in it. Buckets add and subtract,
so distributions merge over labels, processes and time; a reservoir can't.

The cells being counted in belong to ``octaves``.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

SUBS = 16
LOWEST_OCTAVE = -29
HIGHEST_OCTAVE = 34
LOWEST = 2.0 ** (LOWEST_OCTAVE - 1)
HIGHEST = 2.0**HIGHEST_OCTAVE

#: Upper edges of an octave's sub-buckets as frexp mantissas, the lower edge in front.
EDGES = tuple(2.0 ** (i / SUBS - 1) for i in range(SUBS))

#: Which of the counts beside the octaves is which.
ZERO, BELOW, ABOVE = range(3)
SPECIALS = 3

#: The largest number that is kept anywhere.
MAX = sys.float_info.max

_SUMMARY = {
    "median": 50,
    "75percentile": 75,
    "95percentile": 95,
    "98percentile": 98,
    "99percentile": 99,
    "999percentile": 99.9,
}

_HALF_BUCKET = 2.0 ** (0.5 / SUBS)


def finite(value: float) -> float:
    """A number, with what has added up beyond the largest float cut off."""
    return value if -MAX <= value <= MAX else MAX if value > 0 else -MAX


def locate(value: float) -> tuple[int, int]:
    """(octave, sub-bucket) of a value in (`LOWEST`, `HIGHEST`].

    Exact at every edge: frexp is, and a mantissa of exactly 0.5 (a power of
    two) belongs to the octave below, as its upper edge.
    """
    mantissa, exponent = math.frexp(value)
    index = (exponent << 4) + bisect_left(EDGES, mantissa) - 1
    return index >> 4, index & 15


def place(value: float) -> tuple[int | None, int]:
    """The octave (None: beyond the range) and the index under which any number >= 0 is counted."""
    if value > HIGHEST:
        return None, ABOVE
    if value > LOWEST:
        return locate(value)
    return None, BELOW if value else ZERO


def upper_edge(octave: int, sub: int) -> float:
    """The (inclusive) upper edge of a bucket."""
    if sub == SUBS - 1:
        return math.ldexp(1.0, octave)
    return math.ldexp(EDGES[sub + 1], octave)


@lru_cache(maxsize=64)
def _places(bounds: tuple[float, ...]) -> tuple[tuple[int, int], ...]:
    """The bucket that each bound is the upper edge of; some octave below all for 0."""
    return tuple(locate(bound) if bound >= LOWEST else (LOWEST_OCTAVE - 2, 0) for bound in bounds)


class Distribution:
    """How many values fell into which bucket, and their sum; immutable.

    ``octaves`` maps an octave to its 16 counts and holds only octaves in use;
    ``special`` are the counts of zeros, values up to `LOWEST` and values above
    `HIGHEST`; ``sum`` is the sum of all values, in the instrument's unit.
    """

    __slots__ = ("_count", "octaves", "special", "sum")

    octaves: Mapping[int, Sequence[int]]
    special: Sequence[int]
    sum: float

    def __init__(
        self,
        octaves: Mapping[int, Sequence[int]] | None = None,
        special: Sequence[int] = (0, 0, 0),
        sum: float = 0.0,
    ) -> None:
        self.octaves = octaves or {}
        self.special = special
        self.sum = sum
        self._count: int | None = None

    @classmethod
    def of(cls, values: Iterable[float]) -> Distribution:
        """The distribution of some non-negative numbers."""
        octaves: dict[int, list[int]] = {}
        special = [0] * SPECIALS
        total = 0.0
        for value in values:
            total += value
            octave, index = place(value)
            counts = special if octave is None else octaves.setdefault(octave, [0] * SUBS)
            counts[index] += 1
        return cls(octaves, special, total)

    @property
    def count(self) -> int:
        """How many values; the sum of the buckets, so that the two always agree."""
        if self._count is None:
            self._count = sum(map(sum, self.octaves.values())) + sum(self.special)
        return self._count

    @property
    def mean(self) -> float:
        """The arithmetic mean, 0 if empty."""
        return self.sum / self.count if self.count else 0.0

    @property
    def min(self) -> float:
        """The smallest value, as near as its bucket tells; 0 if empty."""
        return self.percentile(0)

    @property
    def max(self) -> float:
        """The largest value, as near as its bucket tells; 0 if empty."""
        return self.percentile(100)

    def percentile(self, percent: float) -> float:
        """The nearest-rank percentile (0 to 100), within 2.2 %; 0 if empty.

        Nearest rank: the smallest value such that at least ``percent`` of all
        values are no larger. Values beyond the range read as its nearer end.
        """
        return self.percentiles((percent,))[0]

    def percentiles(self, percents: Sequence[float]) -> list[float]:
        """Several percentiles, given in rising order, in one walk over the buckets."""
        result: list[float] = []
        buckets = self.buckets()
        seen = 0
        edge = middle = 0.0
        mean = self.mean
        for percent in percents:
            rank = max(1, math.ceil(self.count * percent / 100))
            while seen < rank:
                edge, middle, number = next(buckets, (0.0, 0.0, rank))
                seen += number
            # The sum is exact: where it tells more of the extremes than the bucket
            # does, they are no further from the truth, and enclose the mean.
            above = percent == 100 and middle < mean <= edge < math.inf
            below = percent == 0 and middle > mean > edge / _HALF_BUCKET**2
            result.append(mean if above or below else middle)
        return result

    def summary(self) -> dict[str, float]:
        """The numbers, under the key names that scales uses."""
        low, *middle, high = self.percentiles((0, *_SUMMARY.values(), 100))
        numbers = {"count": self.count, "min": low, "max": high, "mean": self.mean}
        return {**numbers, **dict(zip(_SUMMARY, middle))}

    def below(self, bounds: Sequence[float]) -> list[int]:
        """For each bound (rising, finite, exact bucket edges) how many values are <= it."""
        zero, tiny, _ = self.special
        octaves = self.octaves
        rising = sorted(octaves)
        result = []
        seen = zero
        done = 0
        for octave, sub in _places(tuple(bounds)):
            if tiny and octave >= LOWEST_OCTAVE - 1:
                seen, tiny = seen + tiny, 0
            while done < len(rising) and rising[done] < octave:
                seen += sum(octaves[rising[done]])
                done += 1
            inside = octaves.get(octave)
            result.append(seen + sum(inside[: sub + 1]) if inside else seen)
        return result

    def buckets(self) -> Iterator[tuple[float, float, int]]:
        """(upper edge, representative value, count) of each bucket in use, rising.

        The representative is the middle of the bucket, within 2.2 % of each value in it.
        """
        zero, tiny, huge = self.special
        if zero:
            yield 0.0, 0.0, zero
        if tiny:
            yield LOWEST, LOWEST, tiny
        for octave in sorted(self.octaves):
            for sub, number in enumerate(self.octaves[octave]):
                if number:
                    edge = upper_edge(octave, sub)
                    yield edge, edge / _HALF_BUCKET, number
        if huge:
            yield math.inf, HIGHEST, huge

    def __add__(self, other: Distribution) -> Distribution:
        octaves = dict(self.octaves)
        for octave, counts in other.octaves.items():
            mine = octaves.get(octave)
            octaves[octave] = counts if mine is None else [a + b for a, b in zip(mine, counts)]
        special = [a + b for a, b in zip(self.special, other.special)]
        return Distribution(octaves, special, finite(self.sum + other.sum))

    def __sub__(self, earlier: Distribution) -> Distribution:
        """What came since ``earlier``, a previous reading of the same instrument.

        If anything shrank, the instrument was reset in between and everything
        it has now came since.
        """
        octaves: dict[int, Sequence[int]] = {}
        for octave, counts in self.octaves.items():
            before = earlier.octaves.get(octave)
            if before is None:
                octaves[octave] = counts
                continue
            change = [a - b for a, b in zip(counts, before)]
            if min(change) < 0:
                return self
            if any(change):
                octaves[octave] = change
        special = [a - b for a, b in zip(self.special, earlier.special)]
        if min(special) < 0 or earlier.octaves.keys() - self.octaves.keys():
            return self
        return Distribution(octaves, special, self.sum - earlier.sum)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Distribution):
            return NotImplemented
        return (
            self.sum == other.sum
            and tuple(self.special) == tuple(other.special)
            and {o: tuple(c) for o, c in self.octaves.items() if any(c)}
            == {o: tuple(c) for o, c in other.octaves.items() if any(c)}
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Distribution count={self.count} sum={self.sum:g} p50={self.percentile(50):g}>"


EMPTY = Distribution()
