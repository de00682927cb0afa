"""Readings and texts made safe to print, for every rendering in this package.

Cells hold finite numbers, but sums overflow and stats of others hold anything:
what can't be printed as a number is "no reading" here.
"""

from __future__ import annotations

import re
import sys

#: The largest magnitude that is printed.
LARGEST = sys.float_info.max

_SURROGATES = re.compile("[\ud800-\udfff]")


def number(value: object) -> int | float | None:
    """A reading as exactly int or float, or None if it is not a finite number."""
    if not isinstance(value, (int, float)) or not -LARGEST <= value <= LARGEST:
        return None
    return float(value) if isinstance(value, float) else int(value)


def encodable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which UTF-8 can't encode."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
