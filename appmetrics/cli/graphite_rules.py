"""``appmetrics graphite-rules``: what carbon must be told about our metrics."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..config.build import Built
from ..config.files import examine_file, read
from .check import find_like_a_server, path_argument
from .terminal import CliError

_FILES = ("schemas", "aggregation")


def arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="an ini file with a section [metrics]")
    parser.add_argument("--only", choices=_FILES, help="print one of the two files")
    path_argument(parser)


def run(args: Namespace) -> int:
    """Print both files, each with its name in a comment, or one of them."""
    # Late: the other commands need no handler of a target.
    from ..handlers.graphite import GraphiteHandler
    from ..handlers.graphite_rules import aggregation, schemas

    find_like_a_server(args.path)
    built: Built = examine_file(read(args.file)).build()
    usual = built.plan.options["interval"]
    handlers = [each for each in built.handlers.values() if isinstance(each, GraphiteHandler)]
    if not handlers:
        raise CliError(f"{args.file}: there is no handler of class graphite")
    texts = {
        "schemas": schemas((each, each.interval or usual) for each in handlers),
        "aggregation": aggregation(handlers),
    }
    parts = []
    for name in [args.only] if args.only else _FILES:
        parts.append(
            f"# storage-{name}.conf: put this in front of the general sections\n{texts[name]}"
        )
    print("\n".join(parts), end="")
    return 0
