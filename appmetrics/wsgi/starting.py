"""Starting the reporter of an application instance before its first request.

Where a middleware is made, a thread looks once a second for a minute whether this
process is one that serves requests, by the server's modules in the stacks of its
threads, and then starts the reporter. A pre-fork master has no such stack, nor has a
script that only makes the application; a child has it if its parent had not begun yet.
Where no server is recognised, or threads don't run, the first request starts it.
"""

from __future__ import annotations

import _thread
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import ref

from ..live.stacks import frames, modules, patched
from ..reporter import Reporter

log = logging.getLogger("appmetrics")

#: Seconds between two looks, and how long they go on: an application may take its time to load.
PERIOD = 1.0
PATIENCE = 60.0
#: For how many seconds a fork waits at the most until the thread that looks has ended.
PAUSE = 0.5

#: The modules in which servers wait for requests, in any thread (or greenlet).
SERVERS = (
    "gevent.baseserver",
    "gunicorn.workers.",
    "waitress.server",
    "waitress.task",
    "waitress.wasyncore",
)
#: Servers for development wait in `socketserver`, and so does anybody's listener: it
#: counts in the main thread, and where Flask and Django call it in another one, beside
#: that which waits for the sources to change.
DEVELOPMENT = ("werkzeug.serving", "django.core.servers.basehttp")

#: By process id: a lock that another thread held at a fork is never asked for again.
_gates: dict[int, threading.Lock] = {}


def gate() -> threading.Lock:
    """Held by whoever starts a reporter: after a fork, what is counted before the
    reporter knows of it is lost, so that all requests wait."""
    return _gates.setdefault(os.getpid(), threading.Lock())


def serving() -> bool:
    """Whether this process serves requests, as far as can be seen."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None:
        return bool(uwsgi.worker_id())
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return False  # a helper, which has its parent's stack below its own
    main = threading.main_thread().ident
    for ident, frame in frames().items():
        stack = set(modules(frame))
        if any(module.startswith(SERVERS) for module in stack):
            return True
        if "socketserver" in stack and (ident == main or not stack.isdisjoint(DEVELOPMENT)):
            return True
    return False


class _Starter:
    """The reporters that wait to be started in this process, and the thread that looks."""

    def __init__(self) -> None:
        self._waiting: list[ref[Reporter]] = []
        self._hooked = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] = _nothing

    def expect(self, reporter: Reporter) -> None:
        """Start this reporter as soon as the process serves requests."""
        self._in_this_process()
        self._waiting = [*self._still_waiting(), ref(reporter)]
        uwsgi = sys.modules.get("uwsgi")
        if uwsgi is None or uwsgi.worker_id():
            self._look()
        elif not self._hooked:
            self._hooked = True
            _after_uwsgis_fork(uwsgi, self.after_fork)

    def pause(self) -> None:
        """Before a fork: no thread of ours, of which Python would warn."""
        if self._pid != os.getpid():
            return
        self._stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(PAUSE)
        # What has begun in the parent is no business of its children.
        self._waiting = self._still_waiting()

    def resume(self) -> None:
        """After a fork, in the parent."""
        if self._waiting and sys.modules.get("uwsgi") is None:
            self._look()

    def after_fork(self) -> None:
        """In a forked child. uWSGI calls it by its own hook, or not at all."""
        if self._pid != os.getpid():
            self._waiting = self._still_waiting()
            self._begin()
            if self._waiting and _may_serve():
                self._look()

    def _in_this_process(self) -> None:
        if self._pid != os.getpid():
            self._waiting = []
            self._begin()

    def _still_waiting(self) -> list[ref[Reporter]]:
        return [each for each in self._waiting if not getattr(each(), "started", True)]

    def _look(self) -> None:
        """Begin to look, unless that is done already."""
        if "gevent" in sys.modules and not patched():
            # In a worker that gevent is about to take over, where this thread would be lost.
            return
        # Whoever finds it taken leaves it to the one that took it.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._thread is not None and self._thread.is_alive():
                return
            stop = threading.Event()
            thread = threading.Thread(
                target=self._run,
                args=(stop, _thread.start_new_thread),
                name="appmetrics-starter",
                daemon=True,
            )
            thread.start()
            self._thread, self._stop = thread, stop.set
        except RuntimeError:
            pass  # no more threads, or the interpreter is shutting down
        finally:
            self._lock.release()

    def _run(self, stop: threading.Event, native: Any) -> None:
        end = time.monotonic() + PATIENCE
        while not stop.wait(PERIOD) and time.monotonic() < end:
            # gevent, in a worker that was forked before it replaced the threads: what
            # this thread starts then would end with it.
            if _thread.start_new_thread is not native:
                return
            try:
                if self._done():
                    return
            except Exception:
                log.debug("whether requests are served here can't be seen", exc_info=True)
                return

    def _done(self) -> bool:
        """Start who waits, if it is time; whether nobody does any more."""
        # A method, so that no reporter is kept alive between two looks.
        waiting = [each() for each in self._still_waiting()]
        return not waiting or (serving() and _start(waiting))


def _start(waiting: list[Reporter | None]) -> bool:
    for reporter in waiting:
        if reporter is not None and reporter.hierarchy.handlers():
            with gate():
                reporter.serve()
    return True


def _may_serve() -> bool:
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi is None or bool(uwsgi.worker_id())


def _nothing() -> None:
    pass


def _after_uwsgis_fork(uwsgi: Any, call: Callable[[], None]) -> None:
    """Have something called in uWSGI's workers, beside what the application has asked for.

    uWSGI has one place for that. If the application takes it later, the first request
    starts the reporter.
    """
    decorators = sys.modules.get("uwsgidecorators")
    if decorators is not None:
        decorators.postfork_chain.append(call)
        return
    former = getattr(uwsgi, "post_fork_hook", None)

    def both() -> None:
        try:
            if former is not None:
                former()
        finally:
            call()

    uwsgi.post_fork_hook = both


_starter = _Starter()
expect = _starter.expect

os.register_at_fork(
    before=_starter.pause, after_in_parent=_starter.resume, after_in_child=_starter.after_fork
)
