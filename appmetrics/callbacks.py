"""Asking callbacks without letting one that hangs hold up anybody.

All callbacks of a round are asked on one further thread. One that has not
returned in time is missing from the round and is not asked again before it
returns; its thread is left to it and a new one goes on with the others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue

from .errors import describe

Callback = Callable[[], object]

log = logging.getLogger("appmetrics")


class Callbacks:
    """Asks callbacks; ``missed`` and ``failed`` count what went wrong."""

    def __init__(self) -> None:
        self.missed = 0
        self.failed = 0
        self._hanging: set[str] = set()
        self._complained: set[str] = set()

    def ask(self, callbacks: Mapping[str, Callback], timeout: float) -> None:
        """Call each callback by its name, and wait at most ``timeout`` seconds in all.

        Not for several threads at once.
        """
        self.missed += len(self._hanging & callbacks.keys())
        todo = [name for name in callbacks if name not in self._hanging]
        deadline = time.monotonic() + timeout
        while todo:
            done: SimpleQueue[str] = SimpleQueue()
            abandoned = threading.Event()
            thread = threading.Thread(
                target=self._ask,
                args=([(name, callbacks[name]) for name in todo], done, abandoned),
                name="appmetrics-callbacks",
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is shutting down: the last answers have to do.
                return
            finished = self._wait(len(todo), done, deadline)
            if finished == len(todo):
                return
            late = todo[finished]
            self.missed += 1
            self._hanging.add(late)
            abandoned.set()
            self._complain(late, f"has not returned after {timeout:g} s", None)
            # What is behind it gets a last moment of its own.
            todo = todo[finished + 1 :]
            deadline = max(deadline, time.monotonic() + 0.1)

    @staticmethod
    def _wait(number: int, done: SimpleQueue[str], deadline: float) -> int:
        for finished in range(number):
            try:
                done.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return finished
        return number

    def _ask(
        self,
        todo: list[tuple[str, Callback]],
        done: SimpleQueue[str],
        abandoned: threading.Event,
    ) -> None:
        for name, callback in todo:
            try:
                callback()
            except BaseException as error:
                # Also SystemExit: it ends this thread only, and the asking with it.
                self.failed += 1
                self._complain(name, f"failed: {describe(error)}", error)
            done.put(name)
            if abandoned.is_set():
                self._hanging.discard(name)
                return

    def _complain(self, name: str, what: str, error: BaseException | None) -> None:
        if name not in self._complained:
            self._complained.add(name)
            log.warning("the callback of %s %s", name, what, exc_info=error)

    def after_fork(self) -> None:
        """The threads stayed in the parent."""
        self._hanging = set()
