"""Asking callbacks without letting one that hangs hold up anybody.

All callbacks of a round are asked on one further thread. One that has not
returned in time is missing from the round and is not asked again before it
returns; its thread is left to it and a new one goes on with the others.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty

from .errors import describe

Callback = Callable[[], object]

log = logging.getLogger("appmetrics")

#: Seconds that what is behind a hanging callback gets when the time is over.
LAST_MOMENT = 0.1


class _Run:
    """What one thread has been told to ask, and how far it has come."""

    def __init__(self, todo: list[str]) -> None:
        self.todo = todo
        self.done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.finished = 0
        self.abandoned = False


class Callbacks:
    """Asks callbacks; ``missed`` and ``failed`` count what went wrong."""

    def __init__(self) -> None:
        self.missed = 0
        self.failed = 0
        self._hanging: set[str] = set()
        self._complained: set[str] = set()

    def ask(self, callbacks: Mapping[str, Callback], timeout: float) -> None:
        """Call each callback by its name, and wait about ``timeout`` seconds in all.

        Not much longer if several hang; then those that are left are missing, too.
        Not for several threads at once.
        """
        self.missed += len(self._hanging & callbacks.keys())
        todo = [name for name in callbacks if name not in self._hanging]
        deadline = time.monotonic() + timeout
        end = deadline + max(timeout, 5 * LAST_MOMENT)
        while todo:
            run = _Run(todo)
            thread = threading.Thread(
                target=self._ask, args=(run, callbacks), name="appmetrics-callbacks", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is shutting down: the last answers have to do.
                return
            self._wait(len(todo), run.done, deadline)
            with run.lock:
                # Not what was waited for: one may have returned at the last moment.
                if run.finished == len(todo):
                    return
                late = todo[run.finished]
                run.abandoned = True
                self._hanging.add(late)
            self.missed += 1
            self._complain(late, f"has not returned after {timeout:g} s", None)
            todo = todo[run.finished + 1 :]
            if time.monotonic() >= end:
                self.missed += len(todo)
                return
            deadline = max(deadline, time.monotonic() + LAST_MOMENT)

    @staticmethod
    def _wait(number: int, done: queue.SimpleQueue[str], deadline: float) -> None:
        try:
            for _ in range(number):
                done.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            pass

    def _ask(self, run: _Run, callbacks: Mapping[str, Callback]) -> None:
        for name in run.todo:
            try:
                callbacks[name]()
            except BaseException as error:
                # Also SystemExit: it ends this thread only, and the asking with it.
                self.failed += 1
                self._complain(name, f"failed: {describe(error)}", error)
            with run.lock:
                if run.abandoned:
                    self._hanging.discard(name)
                    return
                run.finished += 1
            run.done.put(name)

    def _complain(self, name: str, what: str, error: BaseException | None) -> None:
        if name not in self._complained:
            self._complained.add(name)
            log.warning("the callback of %s %s", name, what, exc_info=error)

    def after_fork(self) -> None:
        """The threads stayed in the parent."""
        self._hanging = set()
