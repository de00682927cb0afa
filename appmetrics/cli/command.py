"""The command ``appmetrics``: its arguments, and how it ends.

Every error ends in one sentence on stderr and status 2, never in a traceback;
Ctrl-C and a closed pipe end quietly.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from ..display import printable
from ..errors import ConfigError
from ..version import __version__
from . import check, explain, graphite_rules, ship, show
from .terminal import CliError

_COMMANDS = {
    "check": (check, "say what is wrong with a configuration file"),
    "show": (show, "print the numbers of a process or a file"),
    "ship": (ship, "send what the worker processes of a server share"),
    "explain": (explain, "say why a metric is, or is not, where you look for it"),
    "graphite-rules": (graphite_rules, "print what carbon must be told about our metrics"),
}


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CliError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name that the terminal's encoding doesn't know is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (CliError, ConfigError) as error:
        for line in str(error).splitlines() or [""]:
            print(f"appmetrics: {printable(line)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _forget_output()
        return 128 + 13
    except OSError as error:
        _forget_output()
        print(f"appmetrics: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + 2
    return status


def _run(argv: list[str]) -> int:
    if argv[:1] == ["demo"]:
        return _demo(argv[1:])
    parser = _parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    args = parser.parse_args(argv)
    status: int = args.run(args)
    return status


def _parser() -> ArgumentParser:
    parser = _Parser(prog="appmetrics", description="Metrics that behave like logging.")
    parser.add_argument("--version", action="version", version=f"appmetrics {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, help) in _COMMANDS.items():
        command = commands.add_parser(name, help=help, description=f"{help.capitalize()}.")
        module.arguments(command)
        command.set_defaults(run=module.run)
    commands.add_parser("demo", help="run a small web shop with traffic and its /metrics")
    return parser


def _demo(argv: list[str]) -> int:
    try:
        demo = import_module("..demo", __package__)
    except ModuleNotFoundError as error:
        needed = f"the demo needs {error.name}: pip install 'appmetrics-routing[demo]'"
        raise CliError(needed) from None
    status = demo.main(argv)
    return int(status or 0)


def _forget_output() -> None:
    """Make the interpreter's own last flush succeed."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass
