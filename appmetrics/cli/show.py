"""``appmetrics show``: the numbers of a process or a file as a table."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from datetime import datetime, timezone

from ..display import count, duration, printable, quantity, rate, title
from ..options import period
from ..sample import COUNTER, HISTOGRAM, TIMER
from .sources import STATISTICS, Reading, Row, read, with_rates
from .terminal import Cell, CliError, Column, cut, height, paint, table, width

_COLUMNS = (
    Column("NAME", elastic=True),
    Column("KIND", spare=True),
    Column("VALUE", right=True),
    Column("RATE", right=True),
    *(Column(name.upper(), right=True, spare=True) for name in STATISTICS),
    Column("NOTE", elastic=True),
)
_STATES = {"ok": "green", "warning": "yellow", "critical": "red", "unknown": "magenta"}

#: A row this many seconds older than the newest says so.
OLD = 120.0


def arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source",
        metavar="URL|FILE",
        help="address of /metrics (127.0.0.1:9464), or a file that a file handler wrote",
    )
    parser.add_argument("--query", default="", metavar="GLOB", help="only names like shop.*")
    parser.add_argument(
        "--watch", type=_period, metavar="SECONDS", help="again and again, with the rates between"
    )


def _period(text: str) -> float:
    try:
        return period(text)
    except ValueError as error:
        raise CliError(f"--watch: {error}, not {text!r}") from None


def run(args: Namespace) -> int:
    """Print the table; with ``--watch`` until Ctrl-C."""
    reading = read(args.source, args.query)
    if args.watch is None:
        print("\n".join(render(reading, args.query)))
        return 0
    try:
        _watch(reading, args)
    except KeyboardInterrupt:
        return 0
    return 0


def _watch(reading: Reading | None, args: Namespace) -> None:
    last = reading
    while True:
        if reading is not None:
            _refresh(render(reading, args.query))
            last = reading
        time.sleep(args.watch)
        try:
            reading = with_rates(read(args.source, args.query), last)
        except CliError as error:
            # It may be restarting.
            reading = None
            print(paint("red", printable(str(error))), file=sys.stderr, flush=True)


def _refresh(lines: list[str]) -> None:
    screen = height()
    if screen is None:
        print("\n".join(lines), end="\n\n", flush=True)
        return
    if len(lines) >= screen:
        rest = len(lines) - screen + 2
        lines = [*lines[: screen - 2], f"... and {rest:,} more: --query picks some"]
    # Home, then each line over what stood there, then away with the rest.
    text = "".join(f"{line}\x1b[K\n" for line in lines)
    print(f"\x1b[H{text}\x1b[J", end="", flush=True)


def render(reading: Reading, query: str = "") -> list[str]:
    """A reading as lines."""
    rows = sorted(reading.rows, key=lambda row: row.key)
    when = f"{datetime.fromtimestamp(reading.time, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    head = [reading.source, reading.about, when, count(len(rows), "series", "series")]
    if any(row.statistics for row in rows):
        head.append(f"mean to max {reading.span}")
    limit = width()
    text = printable("  ".join(filter(None, head)))
    lines = [paint("dim", text if limit is None else cut(text, limit))]
    if not rows:
        return [*lines, f"nothing matches {printable(query)}" if query else "there are no series"]
    newest = max(row.time for row in rows)
    return [*lines, *table(_COLUMNS, [_cells(row, newest) for row in rows], limit)]


def _cells(row: Row, newest: float) -> list[Cell]:
    colour = ""
    if row.value is None:
        value = "-"
    elif isinstance(row.value, str):
        value, colour = row.value, _STATES.get(row.value, "magenta")
    else:
        value = quantity(row.value, "" if row.kind in (TIMER, HISTOGRAM) else row.unit)
    note = [row.note] if row.note else []
    if newest - row.time > OLD:
        note.append(f"{duration(newest - row.time)} older")
    unit = row.unit if row.kind == COUNTER else ""
    return [
        Cell(title(row.name, row.labels)),
        Cell(row.kind, "dim"),
        Cell(value, colour),
        Cell("" if row.rate is None else rate(row.rate, unit)),
        *(
            Cell(quantity(row.statistics[name], row.unit) if name in row.statistics else "")
            for name in STATISTICS
        ),
        Cell("; ".join(note)),
    ]
