"""A sampling profile: a hundred times a second, where each thread is.

Wall-clock time: a thread that waits is sampled where it waits. What comes out are
collapsed stacks, ``thread;module:function;... count``, the form that flame graphs are
made of. The thread that samples is left out.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TypeVar

from .stacks import names, patched

T = TypeVar("T")

#: Samples a second.
RATE = 100
#: The longest profile, in seconds.
LONGEST = 30.0
#: Deeper stacks lose their outermost functions.
DEPTH = 200

_RESERVED = re.compile(r"[;\s]+")

_busy = threading.Lock()


class Busy(Exception):
    """Raised when a profile is being taken already."""


def profile(seconds: float) -> Counter[str]:
    """How often each stack was seen. Raises `Busy`."""
    busy = _busy
    if not busy.acquire(blocking=False):
        raise Busy
    try:
        return _natively(lambda: _sampled(seconds))
    finally:
        busy.release()


def collapsed(samples: Counter[str]) -> str:
    """One line for each stack, the most frequent first."""
    return "".join(f"{stack} {count}\n" for stack, count in samples.most_common())


def _after_fork() -> None:
    """A profile of the parent's goes on only there."""
    global _busy
    _busy = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _sampled(seconds: float) -> Counter[str]:
    sleep = _original("time", "sleep", time.sleep)
    me = _original("_thread", "get_ident", threading.get_ident)()
    seen: Counter[tuple[int, tuple[CodeType, ...]]] = Counter()
    modules: dict[CodeType, str] = {}
    called = names()
    beginning = time.monotonic()
    done = 0
    while (now := time.monotonic()) < beginning + seconds:
        for ident, frame in sys._current_frames().items():
            if ident != me:
                seen[ident, _codes(frame, modules)] += 1
        del frame
        # On the grid, so that a sample that took long doesn't shift those that follow.
        done = max(done + 1, int((now - beginning) * RATE))
        sleep(max(0.001, beginning + (done + 1) / RATE - time.monotonic()))
    result: Counter[str] = Counter()
    for (ident, codes), count in seen.items():
        words = [called.get(ident) or f"thread {ident}"]
        words += [f"{modules[c]}:{getattr(c, 'co_qualname', c.co_name)}" for c in codes]
        result[";".join(_RESERVED.sub("_", word) for word in words)] += count
    return result


def _codes(frame: FrameType | None, modules: dict[CodeType, str]) -> tuple[CodeType, ...]:
    """The functions of a stack, outermost first; where they are from goes into ``modules``."""
    codes: list[CodeType] = []
    while frame is not None and len(codes) < DEPTH:
        code = frame.f_code
        if code not in modules:
            modules[code] = str(frame.f_globals.get("__name__", "?"))
        codes.append(code)
        frame = frame.f_back
    codes.reverse()
    return tuple(codes)


def _natively(call: Callable[[], T]) -> T:
    """The result of a call in a thread that is one: a greenlet never sees another one run."""
    if not patched():
        return call()
    result: T = sys.modules["gevent"].get_hub().threadpool.apply(call)
    return result


def _original(module: str, name: str, here: Callable[..., T]) -> Callable[..., T]:
    """A function as it was before gevent replaced it."""
    if not patched():
        return here
    found: Callable[..., T] = sys.modules["gevent.monkey"].get_original(module, name)
    return found
