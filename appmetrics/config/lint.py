"""What is legal in an ini file but surely not meant.

Each rule is a generator of `Problem`s over a `Document`; those that have to
know what can be given in a section get the option tables as well. What is
illegal is found by ``ini`` and ``plan``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from ..errors import Problem
from ..options import Option, mapping
from .expand import references, unfinished
from .ini import GROUPS, Document, is_ours

Tables = Mapping[str, Sequence[Option]]

_LIKE_OURS = re.compile(r"\s*([a-z0-9]+)(?:[\W_]+(\w*?)s?(?:[\W_]+(.*?))?)?\s*", re.IGNORECASE)
_INLINE_COMMENT = re.compile(r"\s([;#].*)")
_OPTION = re.compile(r"([A-Za-z_]\w*)\s*[=:]")


def lint(document: Document, tables: Tables) -> list[Problem]:
    """All warnings about a file, in the order of its lines."""
    found = [
        *misnamed_sections(document),
        *_indented_headers(document),
        *_inline_comments(document),
        *_swallowed_options(document, tables),
        *_lost_indents(document, tables),
        *_nested_variables(document),
        *_quoted_values(document),
        *_unfinished_variables(document),
    ]
    return sorted(found, key=lambda problem: problem.line)


def misnamed_sections(document: Document) -> Iterator[Problem]:
    """``[metric.handler.x]``, ``[Metrics]``, ``[metrics.handlers.x]``, ``[metrics.handler]``."""
    for section, line in document.header_lines.items():
        match = _LIKE_OURS.fullmatch(section)
        first = match[1].lower().removeprefix("app") if match else ""
        # Close enough for a slip of the finger, far enough for [metricbeat] and [meters].
        if match is None or not difflib.get_close_matches(first, ["metrics"], 1, 0.8):
            continue
        word, name = (match[2] or "").lower(), match[3]
        if is_ours(section):
            _, kind, name = f"{section}..".split(".", 2)
            if section == "metrics" or (kind in GROUPS and name.strip(".")):
                continue
        elif word and word not in GROUPS and not difflib.get_close_matches(word, GROUPS, 1):
            # [metrics_server] may well be somebody else's.
            continue
        kind = "".join(difflib.get_close_matches(word, GROUPS, 1))
        meant = f"metrics.{kind}.{(name or '').strip('.') or 'NAME'}" if kind else ""
        if not word:
            meant = "metrics"
        message = "the section has no effect"
        yield Problem(message, document.file, section, nearest=meant, line=line)


def _indented_headers(document: Document) -> Iterator[Problem]:
    """``  [metrics.handler.x]`` below an option continues that option's value."""
    for line, text in document.strays:
        message = f"{text} is indented, and so part of the value above it"
        yield Problem(message, document.file, line=line)


def _inline_comments(document: Document) -> Iterator[Problem]:
    """``port = 2003 ; the port``: the comment is part of the value."""
    for section, entries in document.sections.items():
        for key, entry in entries.items():
            for text in entry.raw.split("\n"):
                comment = _INLINE_COMMENT.search(text)
                if comment:
                    message = (
                        f"{comment[1]!r} is part of the value; a comment needs a line of its own"
                    )
                    yield Problem(message, document.file, section, key, line=entry.line)


def _swallowed_options(document: Document, tables: Tables) -> Iterator[Problem]:
    """An indented ``port = 2003`` below another option continues that option's value."""
    for section, entries in document.sections.items():
        table = tables.get(section)
        known = {"class", *(option.name for option in table or ())}
        for key, entry in entries.items():
            for line, text in entry.more:
                option = _OPTION.match(text)
                # The table is not known where the class is wrong, maybe by this very line.
                if option and (table is None or option[1].lower() in known):
                    message = f"{text!r} is indented, and so part of this value"
                    yield Problem(message, document.file, section, key, line=line)


def _lost_indents(document: Document, tables: Tables) -> Iterator[Problem]:
    """An unknown option below a list of pairs that isn't finished may be one of its lines."""
    for section, entries in document.sections.items():
        rows = {option.name: option for option in tables.get(section, ())}
        above = ""
        for key, entry in entries.items():
            row = rows.get(key)
            if rows and row is None and key != "class" and above:
                message = f"indent this line if it belongs to the value of {above!r}"
                yield Problem(message, document.file, section, key, line=entry.line)
                continue
            takes_pairs = row is not None and row.convert is mapping
            unfinished = not entry.raw or entry.raw.endswith(",") or entry.more
            above = key if takes_pairs and unfinished else ""


def _nested_variables(document: Document) -> Iterator[Problem]:
    """``%(name)s`` in ``[DEFAULT]``, used by us: what is put in is not expanded again."""
    for section, entries in document.sections.items():
        for key, entry in entries.items():
            for name in references(entry.raw):
                inner = references(document.defaults.get(name.lower(), ""))
                if inner:
                    message = f"%({inner[0]})s in the value of %({name})s is not expanded"
                    yield Problem(message, document.file, section, key, line=entry.line)


def _quoted_values(document: Document) -> Iterator[Problem]:
    """``host = "127.0.0.1"``: as in a shell or in TOML, but here they stand for themselves."""
    for section, entries in document.sections.items():
        for key, entry in entries.items():
            if len(entry.raw) > 1 and entry.raw[0] in "\"'" and entry.raw[0] == entry.raw[-1]:
                message = "the quotes are part of the value"
                yield Problem(message, document.file, section, key, line=entry.line)


def _unfinished_variables(document: Document) -> Iterator[Problem]:
    """``%(hostname)``, which is plain text without its s."""
    for section, entries in document.sections.items():
        for key, entry in entries.items():
            for name in dict.fromkeys(unfinished(entry.raw)):
                message, meant = f"%({name}) is plain text", f"%({name})s"
                yield Problem(message, document.file, section, key, "", meant, entry.line)
