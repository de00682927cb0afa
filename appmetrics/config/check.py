"""Checking single options and classes, and collecting everything that is wrong.

Knows option tables and dotted paths, but not which sections there are nor how
they refer to each other; that is ``plan``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from ..dotted import NoSuchName, resolve
from ..errors import Problem, describe
from ..options import Option, globs, secret
from .wording import nearest, shown


class Source(Protocol):
    """Where plain data came from, for the problems."""

    @property
    def file(self) -> str:
        """A path, or a word such as ``<dict>``."""

    def section(self, group: str, name: str = "") -> str:
        """What the place of some options is called there."""

    def line(self, section: str, key: str = "") -> int:
        """The line of a section or an option, 0 if there are no lines."""


class DictSource:
    """A dict, which has no lines."""

    def __init__(self, file: str = "<dict>") -> None:
        self.file = file

    def section(self, group: str, name: str = "") -> str:
        """The keys that lead to the options."""
        return f"{group}.{name}" if name else group

    def line(self, section: str, key: str = "") -> int:
        """Always 0."""
        return 0


class Checker:
    """Converts options and finds classes; what is wrong gathers in ``problems``."""

    def __init__(self, source: Source, places: Mapping[str, str] | None = None) -> None:
        self.source = source
        #: In which sections an option would be right that isn't where it is given.
        self.places = places or {}
        self.problems: list[Problem] = []
        #: What can be given in each section that has been looked at.
        self.tables: dict[str, tuple[Option, ...]] = {}

    def report(
        self,
        section: str,
        message: str,
        key: str = "",
        value: object = "",
        *,
        wrong: object = "",
        words: Iterable[str] = (),
    ) -> None:
        """Note a problem. ``wrong`` is what should have been one of ``words``."""
        near = nearest(str(wrong), words)
        line = self.source.line(section, key)
        self.problems.append(
            Problem(message, self.source.file, section, key, shown(key, value), near, line)
        )

    def options(
        self, section: str, given: Mapping[str, Any], table: Sequence[Option]
    ) -> dict[str, Any]:
        """All options of a section, converted; the default where one is wrong."""
        self.tables[section] = tuple(table)
        rows = {option.name: option for option in table}
        for key, value in given.items():
            if key not in rows:
                near = rows.get(nearest(key, rows))
                hidden = "..." if near and near.convert is secret else value
                message = "unknown option"
                if key in self.places:
                    self.report(
                        section, f"{message}; it belongs to {self.places[key]}", key, hidden
                    )
                    continue
                if near is None:
                    message += f"; known are {', '.join(rows)}" if rows else "; it takes none"
                self.report(section, message, key, hidden, wrong=key, words=rows)
        result: dict[str, Any] = {}
        for name, row in rows.items():
            result[name] = row.default
            if name in given:
                result[name] = self._convert(section, row, given[name])
            elif row.required:
                self.report(section, f"missing, expected {row.expects}", name)
        return result

    def _convert(self, section: str, row: Option, value: Any) -> Any:
        if value is None and row.default is None:
            return None
        try:
            return row.convert(value)
        except ValueError as error:
            message = str(error)
        except Exception as error:
            # A converter of somebody else's may raise anything.
            message = describe(error)
        hidden = "..." if row.convert is secret else value
        words = getattr(row.convert, "words", ())
        bad = _bad_words(row, value)
        message += f"; not {', '.join(bad)}" if bad else ""
        wrong = ", ".join(bad) if bad else value
        self.report(section, message, row.name, hidden, wrong=wrong, words=words)
        return row.default

    def find(
        self,
        section: str,
        key: str,
        given: Any,
        table: Mapping[str, Any],
        expected: str,
        fits: Callable[[Any], bool],
    ) -> Any:
        """What a short name of the table or a dotted path means; None after a problem."""
        either = f"expected {expected}: {', '.join(sorted(table))} or a dotted path"
        found = given
        if given is None:
            self.report(section, f"missing, {either}", key)
            return None
        if isinstance(given, str):
            word = given.strip()
            found = table.get(word, word)
            if found is word and "." not in word:
                self.report(section, either, key, given, wrong=word, words=table)
                return None
        if isinstance(found, str):
            try:
                found = resolve(found)
            except NoSuchName as error:
                words = error.words
                self.report(section, str(error), key, given, wrong=error.wrong, words=words)
                return None
            except ValueError as error:
                self.report(section, str(error), key, given)
                return None
        if not fits(found):
            self.report(section, f"expected {expected}", key, given)
            return None
        return found


def _bad_words(row: Option, value: Any) -> list[str]:
    """Which words of a list make it wrong; none if it isn't a list, or all are."""
    words = _words(value)
    bad, good = [], []
    for word in words:
        try:
            good.append(row.convert(word))
        except Exception:
            bad.append(word)
    takes_many = any(isinstance(each, (tuple, Mapping)) for each in good)
    return bad if takes_many and row.convert is not secret else []


def _words(value: object) -> tuple[str, ...]:
    """The words of a list; none of what is no list."""
    try:
        return globs(value)
    except ValueError:
        return ()
