"""``appmetrics ship``: run the handlers of a configuration in a process of its own.

For servers whose workers may not run threads, and for those that had better not send.
It joins the group of the workers, reads what they share, and sends it, until it is ended.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from argparse import ArgumentParser, Namespace

from ..config import configurator
from ..reporter import reporter
from ..sharing import OFF
from .check import find_like_a_server, path_argument
from .terminal import CliError


def arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="CONFIG", help="the ini file of the workers")
    path_argument(parser)


def run(args: Namespace) -> int:
    """Send until SIGTERM or Ctrl-C; then a last round, unless workers live on."""
    find_like_a_server(args.path)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    sharing = reporter.sharing
    sharing.is_sidecar = True
    configurator.file_config(args.file)
    if sharing.processes == OFF:
        raise CliError(f"{args.file} says processes = off: there is nothing to share")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    sharing.join()
    if not sharing.joined:
        raise CliError("the numbers of the workers can't be reached, see above")
    reporter.start()
    ended.wait()
    reporter.stop()
    return 0
