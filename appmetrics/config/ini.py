"""Reading an ini file to plain data, with the line of every section and key.

The file may belong to others as well (PasteDeploy, ``logging.config``, uWSGI):
only ``[metrics]``, ``[metrics.*]`` and, as variables, the keys of ``[DEFAULT]``
are looked at, and nothing in other sections can disturb. configparser says
what the values are; a pass of our own over the same lines says where they stand.
What the options mean is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from configparser import RawConfigParser
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import Problem
from .expand import Variables, expand
from .wording import shown

#: The words after ``metrics.`` and the keys they have in the plain data.
GROUPS = {
    "handler": "handlers",
    "filter": "filters",
    "formatter": "formatters",
    "meter": "meters",
}

_WORDS = {group: word for word, group in GROUPS.items()}


#: A header of ours that lacks its last character.
_UNCLOSED = re.compile(r"\[(metrics(?:\.[\w.-]+)?)")


class Entry(NamedTuple):
    """An option as it stands in the file.

    ``raw`` is the value before names are expanded; ``more`` are the lines that
    continue it, as (line number, text).
    """

    value: str
    raw: str
    line: int
    more: tuple[tuple[int, str], ...]


@dataclass
class Document:
    """Our part of a file.

    ``sections`` maps a section of ours to its options; ``header_lines`` every
    section of the file (others' too) to the line of its header. ``strays`` are
    indented lines that look like headers of ours, but continue a value;
    ``defaults`` the keys of ``[DEFAULT]`` that serve as variables.
    """

    file: str
    sections: dict[str, dict[str, Entry]] = field(default_factory=dict)
    header_lines: dict[str, int] = field(default_factory=dict)
    strays: list[tuple[int, str]] = field(default_factory=list)
    defaults: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def mapping(self) -> dict[str, dict[str, object]]:
        """The sections in the form that dict_config takes.

        Sections of ours that are of no known kind are left out; `lint` finds them.
        """
        result: dict[str, dict[str, object]] = {}
        for section, entries in self.sections.items():
            options = {key: entry.value for key, entry in entries.items()}
            _, _, rest = section.partition(".")
            kind, _, name = rest.partition(".")
            if not rest:
                result["metrics"] = dict(options)
            elif kind in GROUPS and name:
                result.setdefault(GROUPS[kind], {})[name] = options
        return result

    def section(self, group: str, name: str = "") -> str:
        """The section that a group of the plain data, or one of it, comes from."""
        return f"metrics.{_WORDS[group]}.{name}" if group in _WORDS else "metrics"

    def line(self, section: str, key: str = "") -> int:
        """Where a section, or an option in it, stands; 0 if it does not."""
        entry = self.sections.get(section, {}).get(key)
        return entry.line if entry else self.header_lines.get(section, 0)


def is_ours(section: str) -> bool:
    """True for ``metrics`` and ``metrics.anything``."""
    return section == "metrics" or section.startswith("metrics.")


class _Line(NamedTuple):
    number: int
    kind: str
    section: str
    key: str
    text: str


def _scan(lines: list[str]) -> Iterator[_Line]:
    """What each line is to configparser, by its rules for indents and comments."""
    section = key = ""
    inside = False
    indent = 0
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text[0] in "#;":
            yield _Line(number, "blank", section, key, text)
            continue
        depth = len(line) - len(line.lstrip())
        if key and depth > indent:
            yield _Line(number, "more", section, key, text)
            continue
        indent = depth
        unclosed = _UNCLOSED.fullmatch(text)
        if unclosed:
            inside, section, key = True, unclosed[1], ""
            yield _Line(number, "unclosed", section, key, text)
            continue
        header = RawConfigParser.SECTCRE.match(text)
        if header:
            inside, section, key = True, header["header"], ""
            yield _Line(number, "section", section, key, text)
            continue
        option = RawConfigParser.OPTCRE.match(text)
        if not inside or option is None or not option["option"]:
            yield _Line(number, "bad" if inside else "outside", section, key, text)
            continue
        key = option["option"].rstrip().lower()
        yield _Line(number, "option", section, key, text)


def parse(text: str, file: str, given: Mapping[str, object] | None = None) -> Document:
    """Our part of the text of an ini file.

    ``file`` names it in problems and gives ``%(here)s``; ``given`` are further
    variables. What is wrong is collected in the document's ``problems``.
    """
    document = Document(file)
    lines = text.split("\n")
    places = _survey(document, lines)
    parser = RawConfigParser(strict=False)
    parser.read_string("\n".join(lines), file)
    variables = Variables(file, parser.defaults(), given)
    document.defaults = variables.defaults
    for section in filter(is_ours, parser.sections()):
        entries = document.sections[section] = {}
        for key, raw in parser.items(section):
            # items() also yields the keys that [DEFAULT] lends to every section.
            found = places.get((section, key))
            if found:
                entry = Entry(
                    raw, raw, found[0].number, tuple((more.number, more.text) for more in found[1:])
                )
                entries[key] = _expanded(document, section, key, entry, variables)
    return document


def _survey(document: Document, lines: list[str]) -> dict[tuple[str, str], list[_Line]]:
    """The lines of each option of ours. Empties those that are not configparser's business.

    It never sees what it would stumble over, but sees every header, since one
    ends the option above.
    """
    places: dict[tuple[str, str], list[_Line]] = {}
    begun = unreadable = repeated = False
    for item in _scan(lines):
        number, kind, section, key, text = item
        mine = is_ours(section)
        if kind in ("section", "unclosed"):
            first = document.header_lines.setdefault(section, number)
            repeated = mine and first != number
            if kind == "unclosed":
                _report(document, item, "a section ends in ]")
                lines[number - 1] = f"[{section}]"
            if repeated:
                _report(document, item, f"the section is already in line {first}")
        elif repeated:
            # Its options would be taken for those of the first, of another class maybe.
            lines[number - 1] = ""
            continue
        elif kind == "outside" and not begun:
            # Once: the file is probably no ini file at all.
            begun = True
            _report(document, item, "expected a section such as [metrics] first")
        elif kind == "bad" and mine:
            _report(document, item, "expected name = value; a continuation must be indented")
        elif kind == "option" and mine:
            known = places.setdefault((section, key), [item])
            if known[0] is not item:
                _report(document, item, f"the option is already in line {known[0].number}")
        elif kind == "more":
            if text.startswith(("[metrics]", "[metrics.")):
                document.strays.append((number, text))
            if mine:
                places[section, key].append(item)
        if kind != "blank":
            # What seems to continue an unreadable line would be taken for something else.
            unreadable = kind in ("bad", "outside") or (unreadable and kind == "more")
        others = not mine and section != "DEFAULT"
        if unreadable or (others and kind not in ("section", "unclosed")):
            lines[number - 1] = ""
    return places


def _report(document: Document, item: _Line, message: str) -> None:
    key = item.key
    if item.kind in ("bad", "outside"):
        key = shown(item.text, item.text)
    section = item.section
    document.problems.append(Problem(message, document.file, section, key, line=item.number))


def _expanded(
    document: Document, section: str, key: str, entry: Entry, variables: Variables
) -> Entry:
    def problem(message: str, nearest: str = "") -> None:
        document.problems.append(
            Problem(
                message, document.file, section, key, shown(key, entry.raw), nearest, entry.line
            )
        )

    if any("\ud800" <= char <= "\udfff" for char in entry.raw):
        problem("expected text in UTF-8")
        return entry._replace(value=entry.raw.encode("utf-8", "replace").decode())
    value, unknown = expand(entry.raw, variables)
    for name in dict.fromkeys(unknown):
        if name.startswith("ENV_"):
            message = f"the environment has no {name[4:]}, wanted by %({name})s"
        else:
            known = ", ".join([*variables.names(), "ENV_ and an environment variable"])
            message = f"unknown name {name!r}, known are {known} (write %%( for a plain %()"
        problem(message, variables.nearest(name))
    return entry._replace(value=value)
