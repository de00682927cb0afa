"""The reporter: at each due round it reads what each handler gets, and hands it over.

One thread per process; it only reads. Who is served is the matter of ``routes``, when a
round is due that of ``rounds``.
Sending, formatting and waiting are the handlers' own, in their own threads. Without
its thread (before `Reporter.start`, in tests) the same work is done by calling
`Reporter.run_due`.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from queue import Empty
from typing import Any
from weakref import WeakKeyDictionary

from .callbacks import Callbacks
from .handlers.base import Batch, Handler, shown_target
from .handlers.table import row
from .hierarchy import Hierarchy, hierarchy
from .idling import LOOKS_APART, sweep
from .instruments import Gauge
from .rounds import Route
from .routes import Routes
from .sample import COUNTER, GAUGE
from .selection import Selection
from .sharing import AUTO, Sharing
from .sharing.surroundings import master

log = logging.getLogger("appmetrics")

INTERVAL = 10.0
FLUSH_TIMEOUT = 5.0
HEARTBEAT = "appserver"
#: How long a round waits for callback gauges, in seconds.
CALLBACK_TIMEOUT = 1.0
#: Seconds after which the others are told again how the handlers of the one that sends do.
POSTS_APART = 5.0


class Reporter:
    """Serves the handlers of one hierarchy.

    ``interval`` is the seconds between rounds of a handler that has none of its
    own; ``jobs`` are called about once a second. ``sharing`` is what it knows of other
    processes, by default that there are none.
    """

    _thread: threading.Thread | None
    _signal: queue.SimpleQueue[None]

    def __init__(self, hierarchy: Hierarchy, sharing: Sharing | None = None) -> None:
        self.hierarchy = hierarchy
        self.sharing = Sharing(hierarchy) if sharing is None else sharing
        self.clock = hierarchy.clock
        self.interval = INTERVAL
        self.flush_timeout = FLUSH_TIMEOUT
        self.jobs: list[Callable[[], None]] = []
        #: What the state of an application instance is called; empty for none.
        self.heartbeat = HEARTBEAT
        self.callbacks = Callbacks()
        self.skipped = 0
        self._idle = 0
        #: Series that a page leaves out beyond its ``max_series``, by whose page it is.
        self.left_out: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        #: What the configuration layer put in force, for ``explain``.
        self.loaded: Any = None
        hierarchy.on_change = self.wake
        self._routes = Routes(hierarchy, self.sharing, self)
        self._reports = True
        self._begin()
        tell = self._routes.tell
        tell("skipped_rounds", COUNTER, lambda: self.skipped, "Rounds that were missed")
        tell(
            "callbacks.failed",
            COUNTER,
            lambda: self.callbacks.failed + self.callbacks.missed,
            "Callbacks that raised or did not return in time",
        )
        tell("idle", GAUGE, self._idle_now, "Label sets left out since they don't change", "max")
        tell("scrape.left_out", GAUGE, self._left_out, "Series beyond a page's max_series", "max")

    # -- life ----------------------------------------------------------------

    def serve(self) -> None:
        """At the first request in a process: start, as one that has work to do."""
        self._in_this_process()
        if not master():
            self.sharing.join()
            self.start()

    def start(self) -> None:
        """Start the thread and the handlers in this process, unless they run."""
        self._in_this_process()
        if master():
            # The thread would not live in the workers, which start their own.
            return
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._running = True
            self._stopped = -1
            self._reports = True
            self._started = self.clock.monotonic()
            # gevent may have replaced threads and queues meanwhile: not one of each kind.
            self._signal = queue.SimpleQueue()
            self._sync()
            thread = threading.Thread(target=self._run, name="appmetrics-reporter", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError as error:
                # No more threads, or the interpreter is shutting down.
                self._thread = None
                log.error("the reporter can't start: %s", error)

    @property
    def started(self) -> bool:
        """Whether `start` was called in this process, `stop` or not."""
        return self._thread is not None or self._stopped != -1

    def stop(self, timeout: float | None = None) -> bool:
        """A last round, then work off all queues and close all handlers.

        False if that took longer than ``timeout`` seconds (default: the
        configured ``flush_timeout``).
        """
        deadline = time.monotonic() + (self.flush_timeout if timeout is None else timeout)
        self._in_this_process()
        self._running = False
        thread, self._thread = self._thread, None
        self.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
        # A filter that hangs may hold the lock.
        locked = self._lock.acquire(timeout=max(0.01, deadline - time.monotonic()))
        last = False
        try:
            last = locked and self._leave(deadline)
            if last:
                self._collect()
                self._sync()
                patience = min(CALLBACK_TIMEOUT, max(0.0, deadline - time.monotonic()) / 4)
                self._round(self._routes.all(), last=True, patience=patience)
            elif not locked:
                log.warning("a round has not finished in time; there is no last one")
            handlers = self._routes.handlers()
            self._routes.retired = []
            self._stopped = self.hierarchy.version
        finally:
            if locked:
                self._lock.release()
        self.hierarchy.complain()
        # All at once, so that one whose target hangs leaves the others their time.
        for handler in handlers:
            handler.relieved = locked and not last
            handler.end_by(deadline)
        late = [h for h in handlers if not h.stop(max(0.01, deadline - time.monotonic()))]
        for handler in late:
            log.warning(
                "handler %s (%s) has not finished in time; %d rounds, events or samples are left",
                handler.name,
                shown_target(handler),
                handler.queued,
            )
        self.sharing.close()
        return not late

    def _leave(self, deadline: float) -> bool:
        """Whether there is to be a last round: while others live, one of them goes on."""
        if self._reports and not master():
            self.sharing.join()  # if it has not come to that yet
        self.sharing.refresh()
        return self.sharing.leave(max(0.0, deadline - time.monotonic()) / 2)

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> bool:
        """Wait until the handlers have worked off all they were handed.

        Takes no new reading; False if time ran out.
        """
        deadline = time.monotonic() + timeout
        self._in_this_process()
        with self._lock:
            handlers = [route.handler for route in self._routes.all()]
        done = True
        for handler in handlers:
            done = handler.flush(max(0.01, deadline - time.monotonic())) and done
        return done

    def wake(self) -> None:
        """Make the thread look at what is due now, after a change of routing."""
        if self._signal.empty():
            self._signal.put(None)

    def shutdown(self) -> None:
        """At exit: `stop`, unless that has been done. Not in a child that was never started."""
        if self._reports and self._pid == os.getpid() and self._stopped != self.hierarchy.version:
            self.stop()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._signal = queue.SimpleQueue()
        self._thread = None
        self._running = False
        self._stopped = -1
        self._jobs_ran = -math.inf
        self._started = -math.inf
        self._refreshed = -math.inf
        self._swept = -math.inf
        self._posted = -math.inf

    def _in_this_process(self) -> None:
        # Not only os.register_at_fork: uWSGI does not call it.
        if self._pid != os.getpid():
            self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: no thread runs here, and any lock may be held for ever.

        What was counted before is the parent's, and so are its gauges and states if
        it reports them: this process' begin at zero.
        """
        keep = self._thread is None and not self.sharing.joined
        # First what begins at zero: `sharing` notes what doesn't.
        self.hierarchy.after_fork(keep)
        self.sharing.after_fork()
        self.callbacks.after_fork()
        self._routes.after_fork()
        self._begin()
        self._reports = False

    def _run(self) -> None:
        failing = False
        while self._running and self._thread is threading.current_thread():
            try:
                wait = self.run_due()
                failing = False
            except Exception as error:
                if not failing:
                    failing = True
                    log.error("a round failed", exc_info=error)
                wait = 1.0
            try:
                self._signal.get(timeout=min(wait, 1.0))
                while True:
                    self._signal.get_nowait()
            except Empty:
                pass

    # -- rounds --------------------------------------------------------------

    def run_due(self) -> float:
        """Do all work that is due by the clock; returns the seconds until more is."""
        self._in_this_process()
        if self.clock.monotonic() - self._jobs_ran >= 1.0:
            self._jobs_ran = self.clock.monotonic()
            for job in list(self.jobs):
                try:
                    job()
                except Exception:
                    log.exception("%r failed", job)
            # Not at once: who starts before he forks his workers is none of them.
            if self._jobs_ran - self._started >= 1.0:
                self.sharing.step()
        self._sweep()
        with self._lock:
            self._collect()
            self._sync()
            now = self.clock.time()
            due = [route for route in self._routes.all() if route.is_due(now, self.interval)]
            self._round(due)
            if self.sharing.joined and self.clock.monotonic() - self._refreshed >= self.interval:
                self._refresh()
            if self.sharing.leads and self.clock.monotonic() - self._posted >= POSTS_APART:
                self._posted = self.clock.monotonic()
                self.sharing.post([row(r.handler, self.interval) for r in self._routes.all()])
            waits = [r.due - self.clock.time() for r in self._routes.all() if r.due is not None]
        self.hierarchy.complain()
        return max(0.0, min(waits, default=1.0))

    def _sweep(self) -> None:
        """Now and then leave out what is idle; of several processes, their view does it."""
        registry, now = self.hierarchy.registry, self.clock.monotonic()
        if now - self._swept >= LOOKS_APART and self.sharing.points is registry.points:
            self._swept = now
            instruments = list(registry.instruments.values())
            idle = sweep(instruments, now, self.hierarchy.idle_ttl)
            self._idle = sum(idle.values())
            self.hierarchy.tell_idle(idle)

    def _left_out(self) -> int:
        return max(list(self.left_out.values()), default=0)

    def _idle_now(self) -> int:
        return self.sharing.idle if self.sharing.joined else self._idle

    def _collect(self) -> None:
        """Events of other processes, if this one sends for them."""
        for meter, event in self.sharing.events():
            self.hierarchy.pass_on(meter, event)

    def _round(
        self, routes: list[Route], last: bool = False, patience: float | None = None
    ) -> None:
        routes = [route for route in routes if not route.handler.pull]
        if not routes:
            return
        self._refresh(patience)
        for route in routes:
            missed = route.begin(self.clock, self.interval, last)
            if missed is None:
                continue
            self.skipped += missed
            time, now, monotonic = route.last
            selection = self._routes.select(route)
            readings = selection.read()
            if last:
                # It stands for the whole interval, so its rates are over that, too.
                monotonic += time - now
            selection.handed_over(readings, monotonic)
            handler = route.handler
            handler.put(Batch(selection, readings, time, monotonic))
            self.sharing.handlers.keep(handler.name, selection.points, readings, time, monotonic)

    def _refresh(self, patience: float | None = None) -> None:
        registry = self.hierarchy.registry
        callbacks: dict[str, Callable[[], None]] = {
            instrument.name: instrument.refresh
            for instrument in list(registry.instruments.values())
            if isinstance(instrument, Gauge)
            and instrument.declaration.callback is not None
            and instrument.declaration.enabled
        }
        if registry.tree is not None:
            counters = self.hierarchy.scales_counters
            callbacks["(scales)"] = lambda: registry.read_foreign(counters)
        self.callbacks.ask(callbacks, CALLBACK_TIMEOUT if patience is None else patience)
        self._refreshed = self.clock.monotonic()
        self.sharing.refresh()

    def after_request(self) -> None:
        """Called after each request, for servers where no thread of ours runs in between:
        what other processes are to see of this one is brought up to date here."""
        now = self.clock.monotonic()
        if now - self._refreshed <= 2 * self.interval or not self.sharing.wanted:
            return
        # Not while holding the lock, see `Hierarchy.complain`: it may log.
        self.sharing.catch_up()
        if not self.sharing.joined:
            # The next time: claiming may take a moment, and not that of each request.
            self._refreshed = now
        elif self._lock.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._lock.release()

    def pull(self, handler: Handler) -> Selection:
        """An up-to-date selection for a handler that is being asked."""
        self._in_this_process()
        with self._lock:
            self._sync()
            self._refresh()
            selection = self._routes.pulled(handler)
        self.hierarchy.complain()
        return selection

    def routes(self) -> list[Route]:
        """The handlers being served, each with its selection."""
        self._in_this_process()
        with self._lock:
            self._sync()
            return self._routes.all()

    def _sync(self) -> None:
        """Serve the handlers that are attached now, let go of the others."""
        gone = self._routes.sync()
        orphans = [route for route in gone if route.handler.successor is None]
        self._round(orphans, last=True)
        for route in gone:
            self._routes.retire(route.handler)
        if self._running:
            for handler in self._routes.observing:
                handler.start()
            for route in self._routes.all():
                route.handler.start()


#: The process' own reporter.
reporter = Reporter(hierarchy, Sharing(hierarchy, AUTO))

start = reporter.start
stop = reporter.stop
flush = reporter.flush

atexit.register(reporter.shutdown)
os.register_at_fork(after_in_child=reporter.after_fork)
