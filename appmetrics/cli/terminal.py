"""Writing to a terminal or a pipe: colours where they are welcome, and tables.

Knows nothing of metrics. Whatever comes from outside is made printable here, so
that no name can send control sequences.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..display import printable

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "magenta": "35", "bold": "1", "dim": "2"}

#: Where nobody says how wide a line may be, a first column is padded to no more.
PADDED = 60
#: What a column that has to give way keeps at least.
NARROWEST = 20


class CliError(Exception):
    """A command can't do what it was asked for; the message is one sentence."""


class Cell(NamedTuple):
    """A table's cell; the colour never says anything that the text doesn't."""

    text: str = ""
    colour: str = ""


class Column(NamedTuple):
    """A table's column: its title, on which side its cells are flush, whether a narrow
    terminal does without it, and whether it does with a part of it."""

    title: str
    right: bool = False
    spare: bool = False
    elastic: bool = False


def is_terminal() -> bool:
    """Whether stdout is a terminal, and not a pipe or a file."""
    return sys.stdout is not None and sys.stdout.isatty()


def width() -> int | None:
    """The columns that a line may have, None if it doesn't matter."""
    # Some terminals have no size; only newer Pythons take the default then.
    return (shutil.get_terminal_size().columns or 80) if is_terminal() else None


def height() -> int | None:
    """The lines that a screen has, None if it isn't one."""
    return (shutil.get_terminal_size().lines or 24) if is_terminal() else None


def paint(colour: str, text: str) -> str:
    """The text in a colour, if stdout is a terminal and $NO_COLOR isn't set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not is_terminal()
    if plain or not text or colour not in _COLOURS:
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def breadth(text: str) -> int:
    """How many columns a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def cut(text: str, columns: int) -> str:
    """The text, or its beginning and its end, in so many columns."""
    if breadth(text) <= columns:
        return text
    # The end tells names apart more often than the middle does.
    tail = max(0, min(columns // 3, columns - 3))
    head = max(0, columns - tail - 3)
    while head and breadth(text[:head]) > columns - tail - 3:
        head -= 1
    while tail and breadth(text[-tail:]) > columns // 3:
        tail -= 1
    return f"{text[:head]}...{text[len(text) - tail :]}"


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], limit: int | None
) -> list[str]:
    """Aligned lines with a title line on top; columns without any text are left out.

    With a ``limit`` of columns, spare columns go from the right, elastic ones narrow.
    """
    cells = [[Cell(printable(cell.text), cell.colour) for cell in row] for row in rows]
    cells.insert(0, [Cell(column.title, "bold") for column in columns])
    widths = [max(breadth(cell.text) for cell in column) for column in zip(*cells)]
    least = [min(w, NARROWEST) if c.elastic else w for c, w in zip(columns, widths)]
    used = [n for n in range(len(columns)) if any(row[n].text for row in cells[1:])]
    if limit is None:
        widths[0] = min(widths[0], PADDED)
    else:
        for n in reversed(used):
            if columns[n].spare and sum(least[n] + 2 for n in used) - 2 > limit:
                used.remove(n)
        over = sum(widths[n] + 2 for n in used) - 2 - limit
        for n in reversed(used):
            narrowed = max(least[n], widths[n] - max(0, over))
            over -= widths[n] - narrowed
            widths[n] = narrowed
        cells = [[Cell(cut(c.text, w), c.colour) for c, w in zip(row, widths)] for row in cells]
    return [_line([(columns[n], row[n], widths[n]) for n in used]) for row in cells]


def _line(cells: Sequence[tuple[Column, Cell, int]]) -> str:
    parts = []
    for column, cell, columns_wide in cells:
        space = " " * (columns_wide - breadth(cell.text))
        text = paint(cell.colour, cell.text)
        parts.append(space + text if column.right else text + space)
    return "  ".join(parts).rstrip()
