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
from ..config.wording import described
from ..display import count, printable
from ..errors import describe
from ..handlers.base import Handler, shown_target
from .terminal import CliError, paint


def arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="an ini file with a section [metrics]")
    parser.add_argument("--connect", action="store_true", help="try the target of each handler")
    parser.add_argument("--strict", action="store_true", help="status 1 if there are warnings")
    path_argument(parser)


def path_argument(parser: ArgumentParser) -> None:
    """Declare ``--path``, for `find_like_a_server`."""
    parser.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="DIR",
        help="where handlers and filters of the application are imported from",
    )


def run(args: Namespace) -> int:
    """Print problems and warnings, one a line."""
    find_like_a_server(args.path)
    checked = check_file(args.file)
    for word, colour, found in (
        ("error", "red", checked.problems),
        ("warning", "yellow", checked.warnings),
    ):
        for problem in found:
            print(f"{paint(colour, word)}: {printable(str(problem))}")
    errors, warnings = len(checked.problems), len(checked.warnings)
    if any("can't import" in problem.message for problem in checked.problems):
        print(f"modules were looked for in {printable(_looked_in())}; --path DIR adds a folder")
    handlers = [described(*item) for item in checked.handlers.items()]
    parts = [count(errors, "error")] if errors else [f"handlers {', '.join(handlers) or 'none'}"]
    parts += [count(warnings, "warning")] if warnings else []
    verdict = paint("red", "can't be used") if errors else paint("green", "can be used")
    print(f"{printable(args.file)}: {verdict}: {printable(', '.join(parts))}")
    if errors:
        return 2
    refused = _try(checked.handlers.values()) if args.connect else 0
    return 1 if refused or (warnings and args.strict) else 0


def find_like_a_server(folders: Iterable[str] = ()) -> None:
    """Let handlers and filters be found in these folders, and in the current one, as
    WSGI servers do. Raises CliError for what is no folder."""
    for place, folder in enumerate(map(os.path.abspath, folders)):
        if not os.path.isdir(folder):
            raise CliError(f"--path {folder}: no such folder")
        sys.path.insert(place, folder)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _looked_in() -> str:
    """The folders that modules come from, but for those of Python itself."""
    own = tuple({os.path.realpath(prefix) for prefix in (sys.prefix, sys.base_prefix)})
    folders = (os.path.realpath(folder) for folder in sys.path)
    others = (folder for folder in dict.fromkeys(folders) if not folder.startswith(own))
    return ", ".join([*others, "Python's own folders"])


def _try(handlers: Iterable[Handler]) -> int:
    """Try each handler's target, and print how it went; returns how many refused."""
    refused = 0
    for handler in handlers:
        word, colour, reason = _answer(handler)
        refused += word == "refused"
        tried = printable(f"{handler.name} {shown_target(handler)}".rstrip() + reason)
        print(f"{paint(colour, f'{word:8}')} {tried}")
    return refused


def _answer(handler: Handler) -> tuple[str, str, str]:
    if type(handler).check is Handler.check:
        return "untried", "", ": this handler has no check()"
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
