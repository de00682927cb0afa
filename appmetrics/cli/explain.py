"""``appmetrics explain``: asks a process, or says what a configuration file would do."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from .. import levels
from ..config import ENVIRONMENT
from ..config.build import Built
from ..config.files import examine_file, read
from ..display import printable
from ..explain import OK, PROBLEM, Explanation, explain
from ..handlers.base import shown_target
from ..hierarchy import Hierarchy
from ..registry import Registry
from ..reporter import Reporter
from ..sample import COUNTER, KINDS
from .check import find_like_a_server, path_argument
from .fetch import get_json, url_of
from .terminal import CliError, paint

_COLOURS = {OK: "green", PROBLEM: "red"}


def arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="dotted name of a metric: shop.orders")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="address of the process' /metrics: 127.0.0.1:9464")
    where.add_argument(
        "--config", metavar="FILE", help=f"what would become of it (default: ${ENVIRONMENT})"
    )
    parser.add_argument("--kind", choices=KINDS, help="of a metric that nobody has registered")
    parser.add_argument("--level", default="INFO", help="its level (with --config)")
    parser.add_argument(
        "--label", action="append", default=[], metavar="NAME=VALUE", help="only series with it"
    )
    path_argument(parser)


def run(args: Namespace) -> int:
    """Print the steps; status 1 if a process doesn't know the name."""
    labels = [_pair(text) for text in args.label]
    config = args.config or os.environ.get(ENVIRONMENT, "")
    if args.url:
        explanation = _ask(args.url, args.name, labels, args.kind)
    elif config:
        explanation = _foresee(config, args, dict(labels))
    else:
        raise CliError(f"say where to look: --url, --config or ${ENVIRONMENT}")
    text = explanation.text(lambda verdict, mark: paint(_COLOURS.get(verdict, ""), mark))
    print(text, end="")
    return 0 if explanation.found or not args.url else 1


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise CliError(f"--label {text}: expected NAME=VALUE")
    return name, value


def _ask(url: str, name: str, labels: list[tuple[str, str]], kind: str | None) -> Explanation:
    asked = [("explain", name), *(("label", f"{key}={value}") for key, value in labels)]
    if kind:
        asked.append(("kind", kind))
    try:
        return Explanation.from_dict(get_json(url, *asked))
    except ValueError:
        where = url_of(url).partition("?")[0]
        raise CliError(f"{where} answers, but not as appmetrics does") from None


def _foresee(path: str, args: Namespace, labels: dict[str, str]) -> Explanation:
    """What the file says about a series, in a hierarchy of its own."""
    try:
        level = levels.number(args.level)
    except ValueError as error:
        raise CliError(f"--level: {error}") from None
    find_like_a_server(args.path)
    built: Built = examine_file(read(path)).build()
    hierarchy = Hierarchy(Registry())
    hierarchy.configure(built.settings)
    reporter = Reporter(hierarchy)
    reporter.interval = built.plan.options["interval"]
    kind = args.kind or COUNTER
    explanation = explain(reporter, args.name, labels, kind=kind, level=level, live=False)
    pages = [shown_target(handler) for handler in built.handlers.values() if handler.pull]
    print(f"This is what {printable(path)} says. What a running process says of it:")
    url = next((page for page in pages if page.startswith("http")), "URL")
    print(f"appmetrics explain {printable(args.name)} --url {printable(url)}\n")
    return explanation
