"""Exponential buckets against exact arithmetic."""

from __future__ import annotations

import math
from bisect import bisect_right
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmetrics.buckets import (
    EMPTY,
    HIGHEST,
    HIGHEST_OCTAVE,
    LOWEST,
    LOWEST_OCTAVE,
    SUBS,
    Distribution,
    locate,
    upper_edge,
)

in_range = st.floats(LOWEST, HIGHEST, exclude_min=True)
anything = st.one_of(
    st.just(0.0),
    st.floats(0, 1e300),
    st.floats(0, LOWEST),
    in_range,
    st.integers(0, 10**12),
    # Many octaves evenly, and heaps of nearly equal values.
    st.floats(-29, 33.9).map(lambda exponent: 2.0**exponent),
    st.sampled_from([0.1, 0.1000001, 0.25, 1, 1.0001, 100]),
)
samples = st.lists(anything, min_size=1, max_size=200)
percents = st.one_of(
    st.integers(0, 100), st.sampled_from(["0.1", "12.5", "99.9", "99.99"]).map(Fraction)
)


def nearest_rank(values: list[float], percent: int | Fraction) -> float:
    """The exact percentile: the smallest value with at least that share at or below it."""
    rank = max(1, math.ceil(len(values) * Fraction(percent) / 100))
    return sorted(values)[rank - 1]


@given(samples, percents)
def test_percentiles_are_nearest_rank_within_4_percent(
    values: list[float], percent: int | Fraction
) -> None:
    """Against the exact percentile, whatever the values; beyond the range its nearer end."""
    exact = nearest_rank(values, percent)
    found = Distribution.of(values).percentile(float(percent))
    if exact == 0:
        assert found == 0
    else:
        clipped = min(max(exact, LOWEST), HIGHEST)
        assert abs(found - clipped) <= 0.022 * clipped


@pytest.mark.parametrize("count", [1, 7, 10, 100, 1000, 2000, 10_000, 99_999])
@pytest.mark.parametrize("percent", ["0", "1", "7", "28", "50", "55", "99", "99.9", "99.99", "100"])
def test_ranks_are_not_off_by_one(count: int, percent: str) -> None:
    """A rank that is a whole number is not pushed to the next one by rounding."""
    rank = max(1, math.ceil(count * Fraction(percent) / 100))
    # So many ones that the percentile is exactly the last of them, or just not.
    at = Distribution.of([1.0] * rank + [8.0] * (count - rank))
    below = Distribution.of([1.0] * (rank - 1) + [8.0] * (count - rank + 1))
    assert at.percentile(float(percent)) == pytest.approx(1, rel=0.03)
    assert below.percentile(float(percent)) == pytest.approx(8, rel=0.03)


@given(samples, st.lists(percents, max_size=6))
def test_several_percentiles_are_those_asked_one_by_one(
    values: list[float], wanted: list[int | Fraction]
) -> None:
    """One walk over the buckets gives what single questions give."""
    distribution = Distribution.of(values)
    rising = sorted(map(float, wanted))
    assert distribution.percentiles(rising) == [distribution.percentile(p) for p in rising]


@given(in_range)
def test_a_bucket_holds_its_values(value: float) -> None:
    """Lower edge < value <= upper edge, and the middle is within 2.2 %."""
    octave, sub = locate(value)
    assert LOWEST_OCTAVE <= octave <= HIGHEST_OCTAVE
    lower = upper_edge(octave, sub - 1) if sub else upper_edge(octave - 1, SUBS - 1)
    assert lower < value <= upper_edge(octave, sub)
    assert abs(Distribution.of([value]).percentile(50) - value) <= 0.022 * value


@pytest.mark.parametrize("octave", range(LOWEST_OCTAVE, HIGHEST_OCTAVE + 1))
def test_edges_are_exact(octave: int) -> None:
    """Each edge belongs to its own bucket, the next larger float to the next one."""
    for sub in range(SUBS):
        edge = upper_edge(octave, sub)
        assert locate(edge) == (octave, sub)
        after = math.nextafter(edge, math.inf)
        if after <= HIGHEST:
            assert locate(after) == ((octave, sub + 1) if sub + 1 < SUBS else (octave + 1, 0))
    assert upper_edge(octave, SUBS - 1) == 2.0**octave


EDGES = [
    0.0,
    *(upper_edge(o, s) for o in range(LOWEST_OCTAVE, HIGHEST_OCTAVE + 1) for s in range(SUBS)),
]


@given(samples, st.lists(st.sampled_from(EDGES), unique=True, min_size=1))
def test_below_counts_exactly(values: list[float], bounds: list[float]) -> None:
    """For bounds that are edges, exactly the values that are no larger."""
    bounds = sorted(bounds)
    ordered = sorted(values)
    expected = [bisect_right(ordered, bound) for bound in bounds]
    assert Distribution.of(values).below(bounds) == expected


def test_zero_tiny_and_huge_have_buckets_of_their_own() -> None:
    """They count, and read as zero and as the ends of the range."""
    found = Distribution.of([0, 1e-300, LOWEST, HIGHEST, 1e300])
    assert found.count == 5
    assert found.percentiles((20, 40, 60, 80, 100)) == [
        0,
        LOWEST,
        LOWEST,
        pytest.approx(HIGHEST, rel=0.022),
        HIGHEST,
    ]
    assert found.below([0, LOWEST, 1, HIGHEST]) == [1, 3, 3, 4]


def test_an_empty_distribution_is_all_zero() -> None:
    """Count, sum, mean, extremes and percentiles of nothing are 0."""
    empty = Distribution()
    assert (empty.count, empty.sum, empty.mean, empty.min, empty.max) == (0, 0, 0, 0, 0)
    assert empty.percentile(99) == 0
    assert empty.below([1]) == [0]
    assert empty == EMPTY


def test_a_distribution_tells_count_sum_mean_and_extremes() -> None:
    """Sum and mean are exact, the extremes as near as a bucket is wide."""
    found = Distribution.of([1, 2, 6])
    assert (found.count, found.sum, found.mean) == (3, 9, 3)
    assert found.min == pytest.approx(1, rel=0.022)
    assert found.max == pytest.approx(6, rel=0.022)
    assert "count=3" in repr(found)


whole = st.lists(st.integers(0, 10**9), max_size=60)


@given(whole, whole, whole)
def test_distributions_add_like_their_values(a: list[int], b: list[int], c: list[int]) -> None:
    """Adding is concatenating: associative, commutative, EMPTY changes nothing."""
    x, y, z = Distribution.of(a), Distribution.of(b), Distribution.of(c)
    assert x + y == Distribution.of(a + b)
    assert x + y == y + x
    assert (x + y) + z == x + (y + z)
    assert x + EMPTY == x == EMPTY + x


@given(whole, whole)
def test_subtracting_undoes_adding(a: list[int], b: list[int]) -> None:
    """What came since an earlier reading is exactly what was added since."""
    x, y = Distribution.of(a), Distribution.of(b)
    assert (x + y) - x == y
    assert x - x == EMPTY
    assert ((x + y) - x).count == len(b)


@given(whole.filter(len), whole)
def test_a_distribution_that_shrank_was_reset(a: list[int], b: list[int]) -> None:
    """Subtracting more than there is gives all there is now."""
    earlier, now = Distribution.of(a + a + b), Distribution.of(b)
    assert now - earlier == now


@given(whole, whole)
def test_adding_and_subtracting_leave_their_operands_alone(a: list[int], b: list[int]) -> None:
    """Distributions are values: no result shares state that changes."""
    x, y = Distribution.of(a), Distribution.of(b)
    x + y
    (x + y) - x
    assert (x, y) == (Distribution.of(a), Distribution.of(b))


def test_sums_of_the_largest_floats_stay_finite() -> None:
    """Merging distributions whose sums can't grow any more gives no infinity."""
    huge = Distribution.of([1.7e308])
    assert math.isfinite((huge + huge).sum)


def test_a_distribution_equals_no_other_thing() -> None:
    """Comparing with something else is False, not an error; empty octaves don't count."""
    assert Distribution.of([1]) != 1
    assert Distribution({0: [0] * 16}) == EMPTY


@given(st.lists(st.floats(2**-29, 2**33), min_size=1, max_size=20))
def test_the_mean_lies_between_the_extremes(values: list[float]) -> None:
    """Also for a single value, whose bucket's middle is another number."""
    spread = Distribution.of(values)
    assert spread.min <= spread.mean * (1 + 1e-12)
    assert spread.mean <= spread.max * (1 + 1e-12)
