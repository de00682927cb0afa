"""`Handler`: what every handler is, from the queue to the counting of its failures.

A handler overrides ``emit`` and, where it pays, ``prepare``; it knows one target
and nothing of meters and instruments. Buffers, back-off and reconnecting belong
to ``delivery``, the turning of samples into text to ``formatters``.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any, ClassVar, NamedTuple

from ..clock import SYSTEM, Clock
from ..errors import describe
from ..identities import T
from ..levels import NOTSET
from ..observing import Sink
from ..options import Option, level, names, period, text
from ..sample import Sample, Series
from ..selection import LEFT_OUT, Selection

__all__ = ["COMMON", "LEFT_OUT", "Batch", "Filter", "Handler", "Stats"]

log = logging.getLogger("appmetrics")

Filter = Callable[[Series], "Series | None"]

#: The options that every handler has.
COMMON = (
    Option("level", level, NOTSET, "Lowest level of the series that this handler gets."),
    Option("interval", period, None, "Seconds between two rounds; else that of [metrics]."),
    Option("filters", names, (), "Names of [metrics.filter.NAME] sections, applied in order."),
    Option("formatter", text, None, "A [metrics.formatter.NAME] section, or a formatter's name."),
)

#: Rounds and events that wait for a worker. Rounds carry cumulative readings, so
#: dropping one merges two intervals and loses no count.
MAX_ROUNDS = 8
MAX_EVENTS = 1000


class Batch(NamedTuple):
    """One round's readings of one handler's series."""

    selection: Selection
    readings: list[Any]
    time: float
    monotonic: float


class Stats:
    """What a handler tells about itself; counts in samples, times in seconds since 1970."""

    def __init__(self) -> None:
        self.sent = 0
        self.dropped = 0
        self.errors = 0
        self.lag = 0.0
        self.last_sent: float | None = None
        self.last_error = ""
        self.last_error_time: float | None = None


class Handler:
    """Ships samples to one target.

    Options: see `COMMON`, and each handler's own ``OPTIONS``, which its
    constructor takes as keyword arguments. ``emit`` runs in the handler's own
    thread unless ``threaded`` is False. A ``pull`` handler gets no rounds: what
    it serves is read from the reporter when it is asked. A handler that is
    ``everywhere`` gets all series without being attached to a meter. One that
    ``observes`` is told of every single value of timers and histograms, see `observer`.
    """

    OPTIONS: ClassVar[tuple[Option, ...]] = ()
    threaded: ClassVar[bool] = True
    pull: ClassVar[bool] = False
    everywhere: ClassVar[bool] = False
    observes: ClassVar[bool] = False
    #: True where it runs beside the one process that sends for a group, too.
    in_each_process = False

    #: Until when the worker may go on after `stop`, by time.monotonic(); None: no end is set.
    deadline: float | None

    _thread: threading.Thread | None
    _signal: queue.SimpleQueue[None]

    def __init__(
        self,
        *,
        name: str = "",
        level: int = NOTSET,
        interval: float | None = None,
        filters: Sequence[Filter] = (),
        formatter: Any = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.name = name or type(self).__name__
        self.level = level
        self.interval = interval
        self.filters = tuple(filters)
        self.formatter = formatter
        self.stats = Stats()
        self.clock = clock
        #: What tells the series of this process from those of others that push the same,
        #: such as ``w1``; empty where nobody else does. Set by the reporter.
        self.instance = ""
        #: Set by the reporter before `stop`: who goes on in this handler's place.
        self.successor: Handler | None = None
        #: Set by the reporter before `stop`: another process goes on telling of the same series.
        self.relieved = False
        #: The reporter's: what it reads for this handler, when it doesn't serve it.
        self.reading: Any = None
        self._failing = False
        self._selection: Selection | None = None
        self.after_fork()

    # -- to override ---------------------------------------------------------

    def emit(self, samples: Sequence[Sample]) -> int | None:
        """Ship one batch; may raise.

        Returns how many samples have been sent, None for all of them.
        """
        raise NotImplementedError(f"{type(self).__name__} must override emit()")

    def prepare(self, series: Series) -> Any:
        """What never changes in a series' rendering; `LEFT_OUT` to refuse it."""
        return None

    def observer(self, series: Series) -> Sink | None:
        """What is called with each single value of a timer or histogram, of those that
        ``observes``. It is called by the application, in its threads: it must not block,
        lock, log or raise (see ``observations``). None: no need."""
        return None

    def rerouted(self) -> None:
        """Called in the worker when the routing has changed: every series will be
        prepared anew, so names that were given to series can be forgotten."""

    def describe(self, series: Series) -> list[str]:
        """The final paths or lines of a series, for ``appmetrics explain``."""
        return [series.name]

    def target(self) -> str:
        """Where the samples go, for people: ``127.0.0.1:2003``, a path."""
        return ""

    def open(self) -> None:
        """Called once in the worker, before the first batch."""

    def close(self) -> None:
        """Called once in the worker, after the last batch."""

    def idle(self) -> float | None:
        """Called when nothing waits; returns in how many seconds to call again."""
        return None

    def settled(self) -> bool:
        """Whether the target has all that was worked off; `flush` waits for it."""
        return True

    def served_by(self, reporter: Any) -> None:
        """Called by the reporter that serves this handler from now on."""
        self.clock = reporter.clock

    def check(self) -> None:
        """Try the target without sending anything; raises OSError."""

    def warnings(self) -> list[str]:
        """What is surely not meant, or won't work yet, each as one sentence for a person
        who configures this handler; connects to nothing."""
        return []

    # -- mechanism -----------------------------------------------------------

    def share(self, made: T) -> T:
        """One object for all that is equal to it and that handlers have made, by the
        routing of now, of series; for what ``prepare`` keeps."""
        return made if self._selection is None else self._selection.share(made)

    def sink(self, series: Series) -> Sink | None:
        """What `observer` gives; never raises, and logs nothing: an application waits."""
        try:
            return self.observer(series)
        except Exception as error:
            self.count_failure(describe(error))
            return None

    def put(self, batch: Batch) -> None:
        """Hand over a round; never blocks."""
        self._in_this_process()
        while len(self._rounds) >= MAX_ROUNDS:
            self._rounds.popleft()
            self.failed("its worker is busy; rounds are merged")
        self._rounds.append(batch)
        self._wake()

    def put_event(self, event: Sample) -> None:
        """Hand over an event; never blocks, safe in signal handlers."""
        self._in_this_process()
        if len(self._events) >= MAX_EVENTS:
            self.stats.dropped += 1
        self._events.append(event)
        self._wake()

    @property
    def queued(self) -> int:
        """Rounds and events that wait for the worker."""
        return len(self._rounds) + len(self._events)

    @property
    def spooled(self) -> int | None:
        """Of those, samples that wait on disk; None for a handler that has no spool."""
        return None

    @property
    def time_left(self) -> float | None:
        """Seconds until the first sample would be dropped; None if that isn't known."""
        return None

    @property
    def served(self) -> int | None:
        """Requests answered, of a handler that is asked."""
        return None

    def start(self) -> None:
        """Start the worker in this process, unless it runs."""
        self._in_this_process()
        if self.threaded and not self._alive():
            self._stopping = False
            # See `Reporter.start`.
            self._signal = queue.SimpleQueue()
            if self._rounds or self._events:
                self._signal.put(None)
            self.deadline = None
            thread = threading.Thread(target=self._run, name=f"appmetrics-{self.name}", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError as error:
                # No more threads, or the interpreter is shutting down.
                self._thread = None
                self.failed(error)

    def end_by(self, deadline: float) -> None:
        """Tell the worker to work off what waits and to end, by ``deadline`` (time.monotonic()).

        Doesn't wait for it as `stop` does, and does nothing without a worker.
        """
        self._in_this_process()
        if self._alive():
            self.deadline = deadline
            self._stopping = True
            self._wake()

    def stop(self, timeout: float = 5.0) -> bool:
        """Work off what waits, close and end the worker; False if time ran out.

        With a timeout of 0 it is only told to end, and may take its time. Without a
        worker (it never started, or the interpreter is shutting down) the caller's
        thread does it.
        """
        self._in_this_process()
        if timeout:
            self.deadline = time.monotonic() + timeout
        self._stopping = True
        thread = self._thread
        if thread is None or not self._alive():
            self._work()
            self._finish()
            return True
        self._wake()
        thread.join(timeout)
        return not thread.is_alive()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the target has all that was handed over; False if time ran out."""
        self._in_this_process()
        if not self._alive():
            self._work()
            return self.settled()
        deadline = time.monotonic() + timeout
        done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiters.append(done)
        self._wake()
        try:
            done.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return False
        return True

    def handle(self, batch: Batch) -> None:
        """Turn a round into samples and emit them; never raises."""
        self._open()
        try:
            if batch.selection is not self._selection:
                self._selection = batch.selection
                self.rerouted()
            samples = batch.selection.samples(
                batch.readings, batch.time, batch.monotonic, self._prepare
            )
        except Exception as error:
            self.failed(error)
            return
        self._emit(samples)
        self.stats.lag = max(0.0, self.clock.monotonic() - batch.monotonic)

    def _emit(self, samples: Sequence[Sample]) -> None:
        try:
            sent = self.emit(samples)
            self.count_sent(len(samples) if sent is None else sent)
        except Exception as error:
            self.stats.dropped += len(samples)
            self.failed(error)

    def count_sent(self, number: int) -> None:
        """Count samples that reached the target."""
        if number:
            self.stats.sent += number
            self.stats.last_sent = self.clock.time()
            self._failing = False

    def count_failure(self, what: str) -> None:
        """Count a failure, without a log line."""
        self.stats.errors += 1
        self.stats.last_error = what
        self.stats.last_error_time = self.clock.time()

    def failed(self, what: str | Exception) -> None:
        """Count a failure; log the first of a row only."""
        error = what if isinstance(what, Exception) else None
        text = describe(error) if error else str(what)
        self.count_failure(text)
        if not self._failing:
            self._failing = True
            log.warning("handler %s failed: %s", self.name, text, exc_info=error)

    def _in_this_process(self) -> None:
        # Not only os.register_at_fork: uWSGI does not call it.
        if self._pid != os.getpid():
            self.after_fork()

    def after_fork(self) -> None:
        """Begin anew: in a forked child a thread is dead, a lock may be held for
        ever, and what waited in the queue belongs to the parent."""
        self._pid = os.getpid()
        self._thread = None
        self._rounds: deque[Batch] = deque()
        self._events: deque[Sample] = deque(maxlen=MAX_EVENTS)
        self._waiters: deque[queue.SimpleQueue[None]] = deque()
        # SimpleQueue, not Event or Condition: its put() is reentrant, so an
        # event may be recorded in a signal handler.
        self._signal = queue.SimpleQueue()
        # Held by whoever works: the worker, or without one the caller.
        self._working = threading.RLock()
        self._inside = False
        self._stopping = False
        self.deadline = None
        self._opened = False

    def _alive(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _wake(self) -> None:
        if not self.threaded:
            self._work()
        elif self._signal.empty():
            self._signal.put(None)

    def _open(self) -> None:
        if not self._opened:
            self._opened = True
            self._guard(self.open)

    def _run(self) -> None:
        self._open()
        timeout = self._guard(self.idle)
        while True:
            try:
                self._signal.get(timeout=timeout)
            except Empty:
                pass
            waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
            stopping = self._stopping
            self._work()
            timeout = self._guard(self.idle)
            if self.settled():
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
                if self._rounds or self._events:
                    self._open()
                # Not for as long as there is any: emit() may record an event each time.
                for _ in range(2 * MAX_ROUNDS):
                    if not (self._rounds or self._events):
                        break
                    self._step()
            finally:
                self._inside = False

    def _step(self) -> None:
        events = [self._events.popleft() for _ in range(len(self._events))]
        prepared = [e._replace(prepared=self._prepare(e.series)) for e in events]
        taken = [event for event in prepared if event.prepared is not LEFT_OUT]
        if taken:
            self._emit(taken)
        try:
            batch = self._rounds.popleft()
        except IndexError:
            return
        self.handle(batch)

    def _prepare(self, series: Series) -> Any:
        try:
            return self.prepare(series)
        except Exception as error:
            self.failed(error)
            return LEFT_OUT

    def _finish(self) -> None:
        if self._opened:
            self._opened = False
            self._guard(self.close)
        self.deadline = None

    def _guard(self, call: Callable[[], float | None] | Callable[[], None]) -> float | None:
        try:
            return call()
        except Exception as error:
            self.failed(error)
            return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.target()}>"


def shown_target(handler: Handler) -> str:
    """A handler's target for a message, whatever its own method does."""
    try:
        return handler.target()
    except Exception as error:
        return describe(error)
