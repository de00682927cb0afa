"""``appmetrics show``: the numbers of a process or a file as a table."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from datetime import datetime, timezone

from ..display import count, duration, plain, printable, quantity, rate, title
from ..options import period
from ..sample import COUNTER, HISTOGRAM, TIMER
from .sources import FIGURES, STATISTICS, Reading, Row, Sending, read, with_rates
from .terminal import Cell, CliError, Column, cut, height, paint, table, width

_COLUMNS = (
    Column("NAME", elastic=True),
    Column("KIND", spare=True),
    Column("VALUE", right=True),
    Column("RATE", right=True),
    *(Column(name.upper(), right=True, spare=True) for name in STATISTICS),
    Column("NOTE", elastic=True),
)
_HANDLERS = (
    Column("HANDLER", elastic=True),
    Column("STATE"),
    Column("TARGET", elastic=True, spare=True),
    Column("SENT", right=True),
    Column("QUEUE", right=True),
    Column("SPOOLED", right=True),
    Column("DROPPED", right=True),
    Column("ERRORS", right=True),
    Column("TIME LEFT", right=True),
    Column("LAG", right=True, spare=True),
    Column("LAST ERROR", elastic=True),
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
    lines += [printable(remark) for remark in reading.remarks]
    if reading.handlers:
        lines += [*table(_HANDLERS, map(_handler_cells, reading.handlers), limit), ""]
    if not rows:
        return [*lines, f"nothing matches {printable(query)}" if query else "there are no series"]
    newest = max(row.time for row in rows)
    return [*lines, *table(_COLUMNS, [_cells(row, newest) for row in rows], limit)]


def _handler_cells(handler: Sending) -> list[Cell]:
    figures = handler.figures
    error = handler.last_error
    if error and handler.last_error_time is not None:
        error = f"{datetime.fromtimestamp(handler.last_error_time, timezone.utc):%H:%M:%S} {error}"
    sent = figures.get("sent", 0)
    return [
        Cell(handler.name),
        Cell("failing", "red") if handler.failing else Cell("well", "green"),
        Cell(handler.target),
        Cell(f"{handler.served:,.0f} requests" if handler.served is not None else plain(sent)),
        *(Cell(plain(figures[name]) if name in figures else "") for name in FIGURES[1:5]),
        *(Cell(duration(figures[name]) if name in figures else "") for name in FIGURES[5:]),
        Cell(error),
    ]


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
