"""display: names, numbers and times as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmetrics.display import ago, count, duration, plain, printable, quantity, rate, title


@given(st.text(st.characters(codec=None)))
def test_printable_text_is_one_plain_line(text: str) -> None:
    """Whatever is in a text, what is shown has no control, direction or line character."""
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("shop.orders", "shop.orders"),
        ("Zürich 日本", "Zürich 日本"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb", "a\\nb"),
        ("\u202e\ud800\U000e0001", "\\u202e\\ud800\\U000e0001"),
    ],
)
def test_printable_escapes_only_what_it_must(text: str, shown: str) -> None:
    """Letters of any script stay; what isn't printable becomes an escape."""
    assert printable(text) == shown


def test_a_title_has_name_and_labels() -> None:
    """Label values are quoted, and can't end their quotes."""
    assert title("shop.orders") == "shop.orders"
    assert title("a", [("shop", 'd"e\\')]) == 'a{shop="d\\"e\\\\"}'
    assert title("") == '""'


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (12, "12"),
        (12.0, "12"),
        (0.125, "0.125"),
        (1234.5678, "1,234.6"),
        (99999.5, "99,999.5"),
        (1234567, "1,234,567"),
        (-1234567, "-1,234,567"),
        (1.5e20, "1.50e+20"),
        (0.00001, "1.00e-05"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_plain_numbers(number: float, shown: str) -> None:
    """Numbers have separators, and an exponent only where they would be long."""
    assert plain(number) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (3.5e-7, "350 ns"),
        (0.00035, "350 us"),
        (0.0125, "12.5 ms"),
        (0.9996, "1 s"),
        (3.25, "3.25 s"),
        (119.4, "119 s"),
        (119.7, "2 min 0 s"),
        (312, "5 min 12 s"),
        (-312, "-5 min 12 s"),
        (7300, "2 h 1 min"),
        (900000, "10 d 10 h"),
        (1e9, "1,000,000,000 s"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    """A duration has the unit in which it is easily read."""
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("number", "unit", "shown"),
    [
        (12, "", "12"),
        (0.0125, "seconds", "12.5 ms"),
        (80.608, "bytes", "80.6 B"),
        (999, "bytes", "999 B"),
        (999_999, "bytes", "1 MB"),
        (1_234_000_000, "bytes", "1.23 GB"),
        (1e20, "bytes", "100,000 PB"),
        (0.125, "ratio", "12.5 %"),
        (3, "orders", "3 orders"),
        (3, "\x1b[2J", "3 \\x1b[2J"),
    ],
)
def test_quantities(number: float, unit: str, shown: str) -> None:
    """A number is shown in its unit."""
    assert quantity(number, unit) == shown


@pytest.mark.parametrize(
    ("number", "unit", "shown"),
    [(0, "", "0/s"), (0.3, "", "0.3/s"), (1234.5, "", "1,234/s"), (1e6, "bytes", "1 MB/s")],
)
def test_rates(number: float, unit: str, shown: str) -> None:
    """A rate is per second."""
    assert rate(number, unit) == shown


def test_moments() -> None:
    """A moment is told as distance and as time of day, with the date if it is long ago."""
    assert ago(1_000_000_000, 1_000_000_000) == "just now (01:46:40 UTC)"
    assert ago(1_000_000_000, 1_000_000_300) == "5 min 0 s ago (01:46:40 UTC)"
    assert ago(1_000_000_000, 1_000_900_000) == "10 d 10 h ago (2001-09-09 01:46:40 UTC)"


def test_counts() -> None:
    """A number of things has its singular and its plural."""
    assert [count(n, "error") for n in (0, 1, 2000)] == ["0 errors", "1 error", "2,000 errors"]
    assert count(2, "series", "series") == "2 series"
