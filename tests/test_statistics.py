"""Tests of statistics.py."""

from __future__ import annotations

import pytest

from appmetrics.buckets import Distribution
from appmetrics.sample import Sample, Series
from appmetrics.statistics import (
    TIMER_STATISTICS,
    counter_statistics,
    key,
    statistics,
    timer_statistics,
)


def test_of_a_counter() -> None:
    """Count is the interval's, rate is per second, total is all so far."""
    sample = Sample(Series("a", kind="counter"), 1.0, 12, 3, 10.0)
    assert dict(statistics(sample, ("count", "rate", "total"))) == {
        "count": 3,
        "rate": 0.3,
        "total": 12,
    }


def test_of_a_timer() -> None:
    """All but total are of the interval."""
    earlier, new = Distribution.of([8.0]), Distribution.of([1.0, 2.0, 4.0])
    sample = Sample(Series("a", kind="timer"), 1.0, earlier + new, new, 6.0)
    found = dict(statistics(sample, (*TIMER_STATISTICS, "p50")))
    assert found["count"] == 3
    assert found["rate"] == 0.5
    assert found["total"] == 4
    assert found["sum"] == 7.0
    assert found["mean"] == pytest.approx(7 / 3)
    assert found["min"] == pytest.approx(1, rel=0.025)
    assert found["p50"] == pytest.approx(2, rel=0.025)
    assert found["max"] == pytest.approx(4, rel=0.025)


def test_of_an_idle_timer() -> None:
    """An idle interval has count, rate and sum 0, and no mean or percentile."""
    sample = Sample(Series("a", kind="timer"), 1.0, Distribution.of([8.0]), Distribution(), 10.0)
    found = dict(statistics(sample, (*TIMER_STATISTICS, "p50")))
    assert found == {"count": 0, "rate": 0.0, "sum": 0.0, "total": 1}


def test_without_a_delta() -> None:
    """Without an earlier reading only the total is known."""
    sample = Sample(Series("a", kind="counter"), 1.0, 12)
    assert dict(statistics(sample, ("count", "rate", "total"))) == {"total": 12}


def test_what_is_not_finite_is_left_out() -> None:
    """A sum that overflowed is not told, nor is its mean."""
    big = Distribution.of([1e308, 1e308])
    sample = Sample(Series("a", kind="histogram"), 1.0, big, big, 1.0)
    assert set(dict(statistics(sample, ("count", "sum", "mean")))) == {"count"}


def test_words() -> None:
    """The known words and any percentile are taken; others are refused with what is expected."""
    assert timer_statistics("count, p50, p99.9, p100, max") == (
        "count",
        "p50",
        "p99.9",
        "p100",
        "max",
    )
    assert counter_statistics("rate") == ("rate",)
    for wrong in ("p101", "p", "p1.", "median", "", "P50"):
        with pytest.raises(ValueError, match="percentiles such as p95"):
            timer_statistics(wrong)
    for wrong in ("mean", ""):
        with pytest.raises(ValueError, match="count, rate, total"):
            counter_statistics(wrong)


def test_keys_have_no_dots() -> None:
    """A percentile's dot must not look like a separator."""
    assert key("p99.9") == "p99_9"
