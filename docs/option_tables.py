"""Writes the option tables of these pages, from the tables that the code reads.

``python docs/option_tables.py`` renews what stands between the marks
``<!-- options: NAME -->`` and ``<!-- end of options -->`` in every page. The
tables are kept in the pages, and not made by Sphinx, so that they can be read
without it; a test compares them with the code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from appmetrics import levels, options
from appmetrics.config.tables import METER, METRICS
from appmetrics.filters import FILTERS
from appmetrics.formatters import FORMATTERS
from appmetrics.handlers import HANDLERS
from appmetrics.handlers.base import COMMON
from appmetrics.options import Option

DOCS = Path(__file__).parent
_PLACE = re.compile(r"<!-- options: (.+?) -->\n(.*?)<!-- end of options -->", re.DOTALL)
_HEAD = "| option | default | expects | meaning |\n|---|---|---|---|\n"


def all_tables() -> dict[str, Sequence[Option]]:
    """Every option table there is, by the name that the pages know it by."""
    tables: dict[str, Sequence[Option]] = {
        "metrics": METRICS,
        "metrics.meter": METER,
        "metrics.handler": COMMON,
    }
    for kind, classes in (("filter", FILTERS), ("formatter", FORMATTERS)):
        for name, made in classes.items():
            tables[f"{kind} {name}"] = made.OPTIONS  # type: ignore[attr-defined]
    for name, path in HANDLERS.items():
        tables[f"handler {name}"] = options.resolve(path).OPTIONS
    return tables


def rendered(table: Sequence[Option]) -> str:
    """A table in Markdown; a sentence if it has no rows."""
    if not table:
        return "It has no options of its own.\n"
    return _HEAD + "".join(_row(option) for option in table)


def _row(option: Option) -> str:
    default = "required" if option.required else _as_text(option)
    cells = (f"`{option.name}`", default, option.expects, option.help)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _as_text(option: Option) -> str:
    """A default as it would stand in an ini file."""
    value = option.default
    if value is None or value == "" or value == () or value == {}:
        return ""
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif option.convert is options.level:
        text = levels.name(value)
    elif option.convert in (options.address, options.listening):
        text = ":".join(map(str, value))
    elif option.convert is options.size:
        text = _size(value)
    elif isinstance(value, Mapping):
        text = ", ".join(f"{key}={item}" for key, item in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        text = ", ".join(map(str, value))
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text}`"


def _size(value: int) -> str:
    units = ["", "k", "M", "G"]
    while value % 1024 == 0 and len(units) > 1:
        value //= 1024
        units.pop(0)
    return f"{value}{units[0]}"


def renewed(page: str, tables: Mapping[str, Sequence[Option]]) -> str:
    """A page's text with its tables as the code has them. Raises KeyError for an unknown one."""

    def table(place: re.Match[str]) -> str:
        text = rendered(tables[place[1]])
        return f"<!-- options: {place[1]} -->\n\n{text}\n<!-- end of options -->"

    return _PLACE.sub(table, page)


def placed(page: str) -> list[str]:
    """The names of the tables in a page."""
    return [place[1] for place in _PLACE.finditer(page)]


def main() -> int:
    """Renew all pages, and print the names of those that changed."""
    tables = all_tables()
    for path in sorted(DOCS.rglob("*.md")):
        old = path.read_text("utf-8")
        new = renewed(old, tables)
        if new != old:
            path.write_text(new, "utf-8")
            print(f"{path.relative_to(DOCS.parent)} was renewed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
