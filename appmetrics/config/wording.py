"""Words for messages: the nearest known one, and values fit to be repeated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_SECRET = re.compile("passw|secret|token|credential", re.IGNORECASE)
_LONGEST = 80


def nearest(wrong: str, words: Iterable[str]) -> str:
    """The word most like the (first) one that is none of them, or an empty text."""
    known = {word.lower(): word for word in words}
    strange = [word for word in re.split(r"[,\s]+", wrong.lower()) if word not in known]
    close = difflib.get_close_matches(strange[0] if strange else "", list(known), n=1)
    return known[close[0]] if close else ""


def shown(key: str, value: object) -> str:
    """A value as a message repeats it: on one line, not too long, no secret."""
    # Bytes that are not UTF-8 arrive as surrogates, which no log file could take.
    text = " ".join(str(value).split()).encode("utf-8", "backslashreplace").decode()
    if text and _SECRET.search(key):
        return "..."
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
