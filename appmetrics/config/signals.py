"""The two signals that an operator may ask for, and none otherwise.

``faulthandler_signal`` writes the stacks of all threads to stderr, by faulthandler: in C,
so that it also works when no Python code runs any more. ``sigterm = exit`` ends a process
as Ctrl-C does, with the last round: waitress, for one, does nothing about SIGTERM, and
Python then ends without it. What a server has set is left alone.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys
from types import FrameType

from ..errors import describe
from ..options import Converter

log = logging.getLogger("appmetrics")

_NAMES = tuple(sorted(each.name for each in signal.Signals))
#: Python and faulthandler have uses of their own for these, or they can't be caught.
_TAKEN = {"SIGKILL", "SIGSTOP", "SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS", "SIGILL"}
_FREE = tuple(name for name in _NAMES if name not in _TAKEN)


def _signal(value: object) -> str:
    name = str(value).strip().upper() if value else ""
    name = name if name.startswith("SIG") or not name else f"SIG{name}"
    if name and name not in _FREE:
        raise ValueError
    return name


#: The name of a signal, empty for none.
signal_name = Converter("a signal such as SIGUSR1", _signal)

_dumps_on: signal.Signals | None = None


def install(dump: str, sigterm: str) -> None:
    """Take on these settings; what can't be done here is logged as a warning."""
    try:
        _dump_on(signal.Signals[dump] if dump else None)
    except Exception as error:  # no stderr, or none with a file descriptor
        log.warning("faulthandler_signal has no effect: %s", describe(error))
    if sigterm == "exit" and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        try:
            signal.signal(signal.SIGTERM, _exit)
        except ValueError as error:  # not in the main thread
            log.warning("sigterm has no effect: %s", error)
    elif sigterm != "exit" and signal.getsignal(signal.SIGTERM) is _exit:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        except ValueError as error:
            log.warning("sigterm stays as it was: %s", error)


def _dump_on(wanted: signal.Signals | None) -> None:
    global _dumps_on
    if wanted == _dumps_on:
        return
    if _dumps_on is not None:
        faulthandler.unregister(_dumps_on)
        _dumps_on = None
    if wanted is not None:
        # Who has a handler for it is still called, unless that would end the process.
        former = signal.getsignal(wanted)
        chain = former not in (signal.SIG_DFL, signal.SIG_IGN, None)
        faulthandler.register(wanted, sys.stderr, all_threads=True, chain=chain)
        _dumps_on = wanted


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
