"""`Worker`: a handler's own thread, what waits for it, and who waits for that.

Starts, stops and flushes it, and survives forks. What is done with a round or an event is
the matter of ``base``, and of the handler itself.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from queue import Empty
from typing import TYPE_CHECKING

from ..sample import Sample

if TYPE_CHECKING:
    from .base import Batch, Handler

#: Rounds and events that wait for a worker. Rounds carry cumulative readings, so
#: dropping one merges two intervals and loses no count.
MAX_ROUNDS = 8
MAX_EVENTS = 1000


class Worker:
    """Works off what a handler is handed: in a thread, or at once where that has none."""

    _thread: threading.Thread | None
    _signal: queue.SimpleQueue[None]

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def begin(self) -> None:
        """Begin anew: in a forked child a thread is dead, a lock may be held for
        ever, and what waited in the queue belongs to the parent."""
        self._pid = os.getpid()
        self._thread = None
        self.rounds: deque[Batch] = deque()
        self.events: deque[Sample] = deque(maxlen=MAX_EVENTS)
        self._waiters: deque[queue.SimpleQueue[None]] = deque()
        # SimpleQueue, not Event or Condition: its put() is reentrant, so an
        # event may be recorded in a signal handler.
        self._signal = queue.SimpleQueue()
        # Held by whoever works: the worker, or without one the caller.
        self._working = threading.RLock()
        self._inside = False
        self._stopping = False
        self._opened = False
        self._handler.deadline = None

    def _in_this_process(self) -> None:
        # Not only os.register_at_fork: uWSGI does not call it.
        if self._pid != os.getpid():
            self._handler.after_fork()

    # -- from outside --------------------------------------------------------

    @property
    def queued(self) -> int:
        """Rounds and events that wait."""
        return len(self.rounds) + len(self.events)

    def put(self, batch: Batch) -> None:
        """See `Handler.put`."""
        self._in_this_process()
        while len(self.rounds) >= MAX_ROUNDS:
            self.rounds.popleft()
            self._handler.failed("its worker is busy; rounds are merged")
        self.rounds.append(batch)
        self.wake()

    def put_event(self, event: Sample) -> None:
        """See `Handler.put_event`."""
        self._in_this_process()
        if len(self.events) >= MAX_EVENTS:
            self._handler.stats.dropped += 1
        self.events.append(event)
        self.wake()

    def start(self) -> None:
        """See `Handler.start`."""
        self._in_this_process()
        if self._handler.threaded and not self._alive():
            self._stopping = False
            # See `Reporter.start`.
            self._signal = queue.SimpleQueue()
            if self.queued:
                self._signal.put(None)
            self._handler.deadline = None
            name = f"appmetrics-{self._handler.name}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError as error:
                # No more threads, or the interpreter is shutting down.
                self._thread = None
                self._handler.failed(error)

    def end_by(self, deadline: float) -> None:
        """See `Handler.end_by`."""
        self._in_this_process()
        if self._alive():
            self._handler.deadline = deadline
            self._stopping = True
            self.wake()

    def stop(self, timeout: float) -> bool:
        """See `Handler.stop`."""
        self._in_this_process()
        if timeout:
            self._handler.deadline = time.monotonic() + timeout
        self._stopping = True
        thread = self._thread
        if thread is None or not self._alive():
            self._work()
            self._finish()
            return True
        self.wake()
        thread.join(timeout)
        return not thread.is_alive()

    def flush(self, timeout: float) -> bool:
        """See `Handler.flush`."""
        self._in_this_process()
        if not self._alive():
            self._work()
            return self._handler.settled()
        deadline = time.monotonic() + timeout
        done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiters.append(done)
        self.wake()
        try:
            done.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return False
        return True

    def open(self) -> None:
        """Let the handler open what it needs, once."""
        if not self._opened:
            self._opened = True
            self._handler.guarded(self._handler.open)

    # -- inside --------------------------------------------------------------

    def _alive(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def wake(self) -> None:
        if not self._handler.threaded:
            self._work()
        elif self._signal.empty():
            self._signal.put(None)

    def _run(self) -> None:
        self.open()
        timeout = self._handler.guarded(self._handler.idle)
        while True:
            try:
                self._signal.get(timeout=timeout)
            except Empty:
                pass
            waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
            stopping = self._stopping
            self._work()
            timeout = self._handler.guarded(self._handler.idle)
            if self._handler.settled():
                for waiter in waiters:
                    waiter.put(None)
            else:
                self._waiters.extendleft(waiters)
            if stopping:
                self._finish()
                return

    def _work(self) -> None:
        """Work off rounds and events that wait; at most one thread at a time."""
        with self._working:
            if self._inside:
                return  # an event that emit() itself recorded waits for its turn
            self._inside = True
            try:
                if self.queued:
                    self.open()
                # Not for as long as there is any: emit() may record an event each time.
                for _ in range(2 * MAX_ROUNDS):
                    if not self.queued:
                        break
                    self._step()
            finally:
                self._inside = False

    def _step(self) -> None:
        events = [self.events.popleft() for _ in range(len(self.events))]
        if events:
            self._handler.handle_events(events)
        try:
            batch = self.rounds.popleft()
        except IndexError:
            return
        self._handler.handle(batch)

    def _finish(self) -> None:
        if self._opened:
            self._opened = False
            self._handler.guarded(self._handler.close)
        self._handler.deadline = None
