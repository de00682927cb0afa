"""How long names and label values may be.

A name is written by a programmer, once: one that is too long is an error where it is
declared. A label's value may come from a client: it is cut, and the update counts. How
many children an instrument has is its own matter.
"""

from __future__ import annotations

import hashlib

from .errors import InstrumentError

#: Characters. A part of a name is a file name at some targets, which have 255 bytes.
MAX_NAME = 500
MAX_LABEL_NAME = 100
#: Of label values; `[metrics] max_label_length` changes it.
MAX_LABEL_LENGTH = 256

#: Characters of a cut text that tell it from others which begin alike.
_MARK = 13


def check_length(what: str, name: str, most: int = MAX_NAME) -> None:
    """Raise InstrumentError for a name that is too long."""
    if len(name) > most:
        raise InstrumentError(
            f"{what} has at most {most} characters, not {len(name):,}: {name[:40]!r}..."
        )


def cut(text: str, most: int) -> str:
    """The text, if it is longer than ``most`` characters its beginning and a hash of it all.

    So texts that differ stay different, and one is always cut to the same.
    """
    if len(text) <= most:
        return text
    # A lone surrogate is legal in a str, and in no encoding.
    whole = text.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(whole, digest_size=(_MARK - 1) // 2).hexdigest()
    return f"{text[: most - _MARK]}~{digest}"
