"""How names, numbers and times are shown to people, in a terminal or in a sentence.

Pure text: nothing here knows where it is printed. What machines read is made by
``formatters`` and ``exposition``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime, timezone

#: ``//user:password@``; a password may contain what a URL must not.
_PASSWORD = re.compile(r"(//[^/\s:@]*):[^\s/]*@")

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")


def printable(text: str) -> str:
    """The text on one line, with escapes for all that isn't printable.

    No name or description can move a cursor, change a colour or the direction
    of writing, or break a line.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def without_passwords(text: str) -> str:
    """The text with ``...`` for the passwords of URLs in it."""
    return _PASSWORD.sub(r"\1:...@", text)


def title(name: str, labels: Iterable[tuple[str, str]] = ()) -> str:
    """Name and labels as people write them: ``shop.orders{shop="de"}``."""
    inside = ", ".join(f"{printable(key)}={quoted(value)}" for key, value in labels)
    return printable(name) + (f"{{{inside}}}" if inside else "") or '""'


def quoted(text: str) -> str:
    """The text in quotes, on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped)}"'


def plain(number: float) -> str:
    """A number without a unit: 12, 1,234,567, 0.125, 1.50e+20."""
    size = abs(number)
    if not math.isfinite(number) or size >= 1e15 or (size and size < 1e-4):
        return f"{number:.2e}" if math.isfinite(number) else str(number)
    if size >= 1e5 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:,.5g}" if size < 1e4 else f"{number:,.1f}"


def duration(seconds: float) -> str:
    """Seconds with the unit that fits: 350 us, 12.5 ms, 3.2 s, 5 min 12 s, 4 d 3 h."""
    size = abs(seconds)
    if not size or not size < 1e8:
        return f"{plain(seconds)} s"
    if size >= 119.5:
        sign = "-" if seconds < 0 else ""
        size = round(size)
        for length, unit, small, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
            if size >= 2 * length:
                return f"{sign}{size // length} {unit} {size % length // small} {rest}"
        return f"{sign}{size // 60} min {size % 60} s"
    # The next smaller unit from where three digits would round up to 1,000.
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if size * factor >= 0.9995:
            return f"{three(seconds * factor)} {unit}"
    return f"{three(seconds * 1e9)} ns"


def three(number: float) -> str:
    """Three significant digits, without an exponent where that is readable."""
    return f"{number:,.0f}" if abs(number) >= 99.95 else f"{number:.3g}"


def quantity(number: float, unit: str = "") -> str:
    """A number with its unit."""
    if unit == "seconds":
        return duration(number)
    if unit == "ratio":
        return f"{plain(number * 100)} %"
    if unit == "bytes":
        power = 0
        while abs(number) >= 999.5 and power < len(_BYTES) - 1:
            number /= 1000
            power += 1
        return f"{three(number)} {_BYTES[power]}"
    return f"{plain(number)} {printable(unit)}" if unit else plain(number)


def rate(number: float, unit: str = "") -> str:
    """Change per second: 12.5/s, 1.2 MB/s."""
    if unit in ("bytes", "seconds"):
        return f"{quantity(number, unit)}/s"
    return f"{three(number) if abs(number) >= 1e-4 or not number else plain(number)}/s"


def ago(when: float, now: float) -> str:
    """A moment, both as distance and as time of day (UTC; with the date if it is far)."""
    passed = now - when
    moment = datetime.fromtimestamp(when, timezone.utc)
    clock = f"{moment:%H:%M:%S} UTC" if abs(passed) < 43200 else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    distance = "just now" if passed < 1 else f"{duration(float(round(passed)))} ago"
    return f"{distance} ({clock})"


def count(number: int, one: str, many: str = "") -> str:
    """``1 series``, ``2 errors``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
