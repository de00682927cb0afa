"""Where threads are: their stacks as plain lines, without values and without frames.

Under gevent, whose requests are greenlets of one thread, also where those are. The
identifiers are those that ``threading.get_ident`` gives. Taking a stack stops nobody:
of a thread that runs meanwhile it may be half of one moment and half of the next.
"""

from __future__ import annotations

import gc
import linecache
import sys
import threading
from collections.abc import Collection, Iterator
from types import FrameType
from typing import Any, NamedTuple

from ..display import printable

#: Of a deeper stack the innermost lines are shown: those of an application in Zope,
#: below some 50 of server, pipeline and publisher.
DEPTH = 100


class Line(NamedTuple):
    """A place in the code that waits for the next one of its stack."""

    file: str
    line: int
    function: str


#: Outermost first, as in a traceback.
Stack = tuple[Line, ...]


def stacks(wanted: Collection[int] | None = None) -> dict[int, Stack]:
    """The stacks of these threads, of all without ``wanted``, by identifier."""
    return {
        ident: walked(frame)
        for ident, frame in frames().items()
        if wanted is None or ident in wanted
    }


def frames() -> dict[int, FrameType]:
    """The innermost frame of each thread and greenlet. Not to be kept."""
    found = dict(sys._current_frames())
    if patched():
        for each in _greenlets():
            frame = each.gr_frame  # None: it is the one that runs, or it is over
            if frame is not None:
                found[id(each)] = frame
    return found


def walked(frame: FrameType | None) -> Stack:
    """The lines from a frame outwards."""
    lines: list[Line] = []
    while frame is not None and len(lines) < DEPTH:
        code = frame.f_code
        # No line number: in the midst of a call. The function's own will do.
        number = frame.f_lineno or code.co_firstlineno
        lines.append(Line(code.co_filename, number, getattr(code, "co_qualname", code.co_name)))
        frame = frame.f_back
    lines.reverse()
    return tuple(lines)


def modules(frame: FrameType | None) -> Iterator[str]:
    """The names of the modules from a frame outwards."""
    while frame is not None:
        yield str(frame.f_globals.get("__name__", ""))
        frame = frame.f_back


def names() -> dict[int, str]:
    """What the threads, and gevent's greenlets, are called."""
    found = {each.ident: each.name for each in threading.enumerate() if each.ident is not None}
    if patched():
        for each in _greenlets():
            found.setdefault(id(each), str(getattr(each, "name", "")) or type(each).__name__)
    return found


def shown(stack: Stack) -> str:
    """The text of a stack, with the lines of the source where it can be read."""
    result = []
    if len(stack) == DEPTH:
        result.append(f"  (the innermost {DEPTH} lines)")
    for file, number, function in stack:
        result.append(f'  File "{printable(file)}", line {number}, in {printable(function)}')
        if source := linecache.getline(file, number).strip():
            result.append(f"    {printable(source)}")
    return "\n".join(result)


def patched() -> bool:
    """Whether threads are gevent's greenlets here."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def _greenlets() -> Iterator[Any]:
    greenlet: type = sys.modules["greenlet"].greenlet
    # By type: isinstance() would ask a proxy, such as Django's settings, for what it stands for.
    return (each for each in gc.get_objects() if issubclass(type(each), greenlet))
