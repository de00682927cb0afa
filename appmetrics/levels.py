"""Levels: logging's numbers and names, used for instruments, meters and handlers."""

from __future__ import annotations

import logging

NOTSET = logging.NOTSET
DEBUG = logging.DEBUG
INFO = logging.INFO
WARNING = logging.WARNING
ERROR = logging.ERROR
CRITICAL = logging.CRITICAL

NAMES = {
    "NOTSET": NOTSET,
    "DEBUG": DEBUG,
    "INFO": INFO,
    "WARNING": WARNING,
    "ERROR": ERROR,
    "CRITICAL": CRITICAL,
}


def number(level: int | str) -> int:
    """The number of a level given as number, digits or name (case does not matter).

    Raises ValueError for anything else.
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    text = str(level).strip().upper()
    if text in NAMES:
        return NAMES[text]
    if text.isascii() and text.isdigit():
        return int(text)
    raise ValueError(f"unknown level {level!r}, expected one of {', '.join(NAMES)} or a number")


def name(level: int) -> str:
    """The name of a level, or its number as text."""
    return next((known for known, value in NAMES.items() if value == level), str(level))
