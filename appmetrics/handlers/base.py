"""`Handler`: what every handler is, from its options to the counting of its failures.

A handler overrides ``emit`` and, where it pays, ``prepare``; it knows one target
and nothing of meters and instruments. Its thread and queue belong to ``worker``, buffers,
back-off and reconnecting to ``delivery``, the turning of samples into text to ``formatters``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from ..clock import SYSTEM, Clock
from ..errors import describe
from ..identities import T
from ..levels import NOTSET
from ..observing import Sink
from ..options import Option, level, names, period, text
from ..sample import Sample, Series
from ..selection import LEFT_OUT, Selection
from .worker import Worker

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
        self._worker = Worker(self)
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
        self._worker.put(batch)

    def put_event(self, event: Sample) -> None:
        """Hand over an event; never blocks, safe in signal handlers."""
        self._worker.put_event(event)

    @property
    def queued(self) -> int:
        """Rounds and events that wait for the worker."""
        return self._worker.queued

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
        self._worker.start()

    def end_by(self, deadline: float) -> None:
        """Tell the worker to work off what waits and to end, by ``deadline`` (time.monotonic()).

        Doesn't wait for it as `stop` does, and does nothing without a worker.
        """
        self._worker.end_by(deadline)

    def stop(self, timeout: float = 5.0) -> bool:
        """Work off what waits, close and end the worker; False if time ran out.

        With a timeout of 0 it is only told to end, and may take its time. Without a
        worker (it never started, or the interpreter is shutting down) the caller's
        thread does it.
        """
        return self._worker.stop(timeout)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the target has all that was handed over; False if time ran out."""
        return self._worker.flush(timeout)

    def handle(self, batch: Batch) -> None:
        """Turn a round into samples and emit them; never raises."""
        self._worker.open()
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

    def handle_events(self, events: Sequence[Sample]) -> None:
        """Emit events; never raises."""
        prepared = [event._replace(prepared=self._prepare(event.series)) for event in events]
        taken = [event for event in prepared if event.prepared is not LEFT_OUT]
        if taken:
            self._emit(taken)

    def _prepare(self, series: Series) -> Any:
        try:
            return self.prepare(series)
        except Exception as error:
            self.failed(error)
            return LEFT_OUT

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

    def guarded(self, call: Callable[[], float | None] | Callable[[], None]) -> float | None:
        """What a call returns; None if it fails, which is counted."""
        try:
            return call()
        except Exception as error:
            self.failed(error)
            return None

    def after_fork(self) -> None:
        """In a forked child: begin anew, with nothing that belongs to the parent."""
        self._worker.begin()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.target()}>"


def shown_target(handler: Handler) -> str:
    """A handler's target for a message, whatever its own method does."""
    try:
        return handler.target()
    except Exception as error:
        return describe(error)
