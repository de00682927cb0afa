"""Where numbers live, and whether updating them needs a lock.

A cell is anything with items that can be added to: a list in a single process.
The instruments' updates compute first and then do one ``cell[i] += n``.
On CPython with the GIL nothing is lost that way: the interpreter only switches
threads at calls and at backward jumps, and there is neither between the load
and the store. Elsewhere (free-threaded builds, PyPy) updates take a lock.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

#: True where an unlocked ``cell[i] += n`` is safe.
LOCK_FREE: bool = (
    sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
)

#: Where updates go while an instrument's level is off. Nobody reads it.
BIT_BUCKET: list[Any] = [0]

_Class = TypeVar("_Class", bound=type)


def locked(cls: _Class, *methods: str) -> _Class:
    """A subclass whose named methods hold one lock of the instance.

    An update made in a signal handler or a callback of the collector, which interrupts
    another one of the same thread, waits until that is done. It can't wait at a lock that
    its own thread holds, so it is noted, and made by the one that it interrupted.
    """

    def lock(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self._lock._is_owned():
                self._noted.append((method, args, kwargs))
                return None
            with self._lock:
                result = method(self, *args, **kwargs)
            # After the lock was let go: what interrupts from here on takes it by itself.
            while self._noted:
                make_noted(self)
            return result

        return call

    def make_noted(self: Any) -> None:
        with self._lock:
            try:
                method, args, kwargs = self._noted.pop(0)
            except IndexError:  # another thread was faster
                return
            method(self, *args, **kwargs)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.RLock()
        self._noted = []
        initialize(self, *args, **kwargs)

    initialize = cls.__init__  # type: ignore[misc]
    members: dict[str, Any] = {name: lock(getattr(cls, name)) for name in methods}
    members.update(__init__=__init__, __slots__=("_lock", "_noted"), __module__=cls.__module__)
    members["__doc__"] = cls.__doc__
    return type(cls.__name__, (cls,), members)  # type: ignore[return-value]


def renew_lock(instance: Any) -> None:
    """After a fork: another thread may have held the lock, and is not here."""
    if hasattr(instance, "_lock"):
        instance._lock = threading.RLock()


def guarded(*methods: str) -> Callable[[_Class], _Class]:
    """Class decorator: the class itself where `LOCK_FREE`, else its locked twin."""
    return lambda cls: cls if LOCK_FREE else locked(cls, *methods)
