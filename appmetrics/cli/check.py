"""``appmetrics check``: all that is wrong with a configuration file.

Status 2 if it can't be used, 1 for a target that refuses (``--connect``) or for
warnings (``--strict``), else 0: fit for Ansible's ``validate: appmetrics check %s``.
"""

from __future__ import annotations

import errno
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable

from ..config import check_file
from ..display import count, printable
from ..errors import describe
from ..handlers.base import Handler
from .terminal import paint


def arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="an ini file with a section [metrics]")
    parser.add_argument("--connect", action="store_true", help="try the target of each handler")
    parser.add_argument("--strict", action="store_true", help="status 1 if there are warnings")


def run(args: Namespace) -> int:
    """Print problems and warnings, one a line."""
    find_like_a_server()
    checked = check_file(args.file)
    for word, colour, found in (
        ("error", "red", checked.problems),
        ("warning", "yellow", checked.warnings),
    ):
        for problem in found:
            print(f"{paint(colour, word)}: {printable(str(problem))}")
    errors, warnings = len(checked.problems), len(checked.warnings)
    handlers = [f"{name} ({handler.target()})" for name, handler in checked.handlers.items()]
    parts = [count(errors, "error")] if errors else [f"handlers {', '.join(handlers) or 'none'}"]
    parts += [count(warnings, "warning")] if warnings else []
    verdict = paint("red", "can't be used") if errors else paint("green", "can be used")
    print(f"{printable(args.file)}: {verdict}: {printable(', '.join(parts))}")
    if errors:
        return 2
    refused = _try(checked.handlers.values()) if args.connect else 0
    return 1 if refused or (warnings and args.strict) else 0


def find_like_a_server() -> None:
    """Let handlers and filters be found in the current folder, as WSGI servers do."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _try(handlers: Iterable[Handler]) -> int:
    """Try each handler's target, and print how it went; returns how many refused."""
    refused = 0
    for handler in handlers:
        word, colour, reason = _answer(handler)
        refused += word == "refused"
        tried = printable(f"{handler.name} {handler.target()}{reason}")
        print(f"{paint(colour, f'{word:8}')} {tried}")
    return refused


def _answer(handler: Handler) -> tuple[str, str, str]:
    if type(handler).check is Handler.check:
        return "untried", "", ": it has nothing to try"
    try:
        handler.check()
    except OSError as error:
        reason = f": {error.strerror or error}"
        if handler.pull and error.errno == errno.EADDRINUSE:
            # Most likely by the very application that is configured here.
            return "in use", "yellow", reason
        return "refused", "red", reason
    except Exception as error:
        return "refused", "red", f": {describe(error)}"
    return "ok", "green", ""
