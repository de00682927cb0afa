"""Words for messages: the nearest known one, and values fit to be repeated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from ..display import printable
from ..errors import Problem
from ..handlers.base import Handler, shown_target

_SECRET = re.compile("passw|secret|token|credential", re.IGNORECASE)
_LONGEST = 80


def nearest(wrong: str, words: Iterable[str]) -> str:
    """The word most like the (first) one that is none of them, or an empty text."""
    exact = set(words)
    known = {word.lower(): word for word in sorted(exact)}
    strange = (word for word in re.split(r"[,\s]+", wrong) if word and word not in exact)
    for word in strange:
        # A word that differs by case only is a match, of course.
        if close := difflib.get_close_matches(word.lower(), list(known), n=1):
            return known[close[0]]
    return ""


def shown(key: str, value: object) -> str:
    """A value as a message repeats it: on one line, not too long, no secret."""
    text = printable(" ".join(str(value).split()))
    if text and _SECRET.search(key):
        return "..."
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def tidy(problem: Problem) -> Problem:
    """The problem without characters that could move a terminal's cursor, or end a line.

    Also bytes that are not UTF-8: they arrive as surrogates, which no log file could take.
    """
    texts = (printable(each) if isinstance(each, str) else each for each in problem)
    return Problem(*texts)  # type: ignore[arg-type]


def described(name: str, handler: Handler) -> str:
    """A handler with its target, in parentheses if it has one."""
    target = shown_target(handler)
    return f"{name} ({target})" if target else name
