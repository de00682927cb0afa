"""`Sharing`: the part that this process has in a group of processes with one set of numbers.

Decides whether there is a group at all, claims a slot, says which points are to be read
here and whether this process sends. Everything else asks it and need not know why. In a
process that is alone it answers that its own points are all there are, and that it sends.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from ..errors import describe
from ..hierarchy import Hierarchy
from ..instrument import Instrument
from ..sample import COUNTER
from ..selection import Point
from . import surroundings
from .board import Notice, pin, seen
from .folder import Folder, Unusable, default_folder
from .lead import Lead, leader
from .post import Letter, Post
from .readings import Handlers, Unkept
from .slot import Slot
from .view import View

log = logging.getLogger("appmetrics")

AUTO, OFF = "auto", "off"
LEADER, SIDECAR, EACH = "leader", "sidecar", "each"

#: Seconds between two looks for series that are no longer used.
TIDYING = 60.0


class Sharing:
    """What one reporter knows of other processes.

    ``processes`` is ``auto`` (a group under a pre-fork server), ``off`` or a folder;
    ``reporter`` who sends: ``leader``, ``sidecar`` or ``each``; ``key`` names the
    configuration. ``version`` rises when `points` or `sends` change.
    """

    def __init__(
        self, hierarchy: Hierarchy, processes: str = OFF, reporter: str = LEADER, key: str = ""
    ) -> None:
        self.hierarchy = hierarchy
        self.processes, self.reporter, self.key = processes, reporter, key
        #: True in the process that does nothing but send for the others.
        self.is_sidecar = False
        self.version = 0
        self._lock = threading.RLock()
        #: Readings at the fork of what starts anew in no child: an application's own stats.
        self._at_fork: dict[int, Any] = {}
        self._begin()

    def _begin(self) -> None:
        self._folder: Folder | None = None
        self._slot: Slot | None = None
        self._view: View | None = None
        self._leading: Lead | None = None
        #: Whether nobody else was alive when this process let go of its slot.
        self._last = False
        self._number: surroundings.Number | None = None
        self._given_up = False
        self._tidied = -math.inf
        self._warned = False
        self._post = Post()
        self.hierarchy.hand_on = self._post.leave if self.wanted and self.merges else None

    def configure(self, processes: str, reporter: str, key: str) -> None:
        """Take options over; those of a group that has been joined stay until the end."""
        wanted = (processes, reporter, key)
        if wanted == (self.processes, self.reporter, self.key):
            return
        if self._slot is not None:
            log.warning("processes and reporter of [metrics] change when the process is restarted")
            return
        self.processes, self.reporter, self.key = wanted
        self._forget()

    # -- what others ask -----------------------------------------------------

    @property
    def wanted(self) -> bool:
        """Whether there is, or is to be, a group."""
        if self._given_up or self.processes == OFF:
            return False
        return self.processes != AUTO or self.is_sidecar or bool(surroundings.server())

    @property
    def joined(self) -> bool:
        """Whether this process has a slot in its group."""
        return self._slot is not None

    @property
    def merges(self) -> bool:
        """Whether one sends for all, and what it sends is the numbers of all."""
        return self.reporter != EACH

    @property
    def points(self) -> list[Point]:
        """All that can be read, for handlers."""
        return self.everything if self.merges else self.hierarchy.registry.points

    @property
    def everything(self) -> list[Point]:
        """All that can be read, for a page: of the whole group also where each sends its own."""
        return self._view.points if self._view is not None else self.hierarchy.registry.points

    @property
    def idle(self) -> int:
        """How many of the group's series are left out since they don't change."""
        return len(self._view.idle()) if self._view is not None else 0

    @property
    def sends(self) -> bool:
        """Whether this process runs the handlers."""
        return self._leading is not None or not self.wanted or self.reporter == EACH

    @property
    def leads(self) -> bool:
        """Whether this process sends for a group."""
        return self._leading is not None

    @property
    def instance(self) -> str:
        """What tells this process' pushed series from those of others, such as ``w1``.

        Empty where the numbers of all are sent by one.
        """
        if self._slot is not None:
            return f"w{self._slot.number}" if self.reporter == EACH else ""
        if self.wanted or not self.key:
            return ""
        if self._number is None:
            self._number = surroundings.Number(_digest(self.key))
            if self._number.value and not self._given_up:
                log.error(
                    "another process reports from %s as well; this one's paths get w%d. To let"
                    " them share one set of numbers, set processes = auto or a folder in"
                    " [metrics]",
                    self.key,
                    self._number.value,
                )
        return f"w{self._number.value}" if self._number.value else ""

    def leader(self) -> int:
        """The process id of the one that sends for all; 0 if there is none yet."""
        return 0 if self._folder is None else leader(self._folder)

    def processes_alive(self) -> list[int]:
        """The process ids of the group, this one's included."""
        view = self._view
        return [os.getpid()] if view is None else sorted(each.pid for each in view.alive())

    # -- joining -------------------------------------------------------------

    def join(self) -> None:
        """Claim a slot, unless that has been done or there is no group. Never raises.

        Called at the first request and in the reporter's rounds, never while an
        application is loaded: a pre-fork master must have no slot.
        """
        if self._slot is not None or not self.wanted:
            return
        with self._lock:
            try:
                if not self.joined:  # another thread may have done it meanwhile
                    self._join()
            except Exception as error:
                self._give_up(error)

    def __str__(self) -> str:
        """How it is shared, as a part of a sentence; empty if it isn't."""
        if not self.wanted:
            return ""
        place = surroundings.server() if self.processes == AUTO else self.processes
        return f"numbers shared by the processes of {place}, sent by {self.reporter}"

    def _join(self) -> None:
        path = self.processes
        if path == AUTO:
            path = default_folder(self.key or "\0".join([os.getcwd(), *sys.argv]))
        folder = Folder(path)
        claimed = folder.claim()
        if claimed is None:
            return  # others are claiming: the next time
        slot = Slot(folder, *claimed)
        view = View(folder, slot.number)
        view.refresh(self.hierarchy.clock.monotonic())
        slot.adopt_all(self.hierarchy.registry)
        self._folder, self._view, self._slot = folder, view, slot
        self.version += 1
        self._post.open(slot.events)

    def _give_up(self, error: Exception) -> None:
        self._given_up = True
        self.version += 1
        self.hierarchy.hand_on = None
        for letter in self._post.early():
            self.hierarchy.pass_on(*letter)
        reason = str(error) if isinstance(error, Unusable) else describe(error)
        log.error(
            "the processes of this server can't share their numbers: %s; each reports for"
            " itself. Set processes in [metrics] to a folder on a local disk, or to off",
            reason,
        )

    # -- rounds --------------------------------------------------------------

    def step(self) -> None:
        """What is to be done about once a second, in the reporter's thread. Never raises."""
        self.join()
        slot, folder = self._slot, self._folder
        if slot is None or folder is None:
            return
        slot.tidy()
        try:
            if self._leading is None and self._may_lead():
                self._lead(folder)
            if self._leading is not None:
                self.look()
        except OSError as error:
            self._complain(error)

    def catch_up(self) -> None:
        """After a request: the `step`, where no thread makes it in between. Never raises."""
        if not surroundings.threads_run():
            self.step()

    def _may_lead(self) -> bool:
        if self.is_sidecar:
            return True
        if self.reporter != LEADER:
            return False
        if surroundings.threads_run():
            return True
        if not self._warned:
            self._warned = True
            log.warning(
                "uWSGI runs no threads here while no request is served, so no process can send:"
                " set enable-threads, or start: appmetrics ship %s",
                self.key or "CONFIG",
            )
        return False

    def refresh(self) -> None:
        """Show others what they can't read by themselves, and take in what they show."""
        slot, view = self._slot, self._view
        if slot is None or view is None:
            return
        slot.refresh(self.hierarchy.registry, self._at_fork)
        self.look()

    def look(self) -> None:
        """Take in what other processes show."""
        view, folder = self._view, self._folder
        if view is None or folder is None:
            return
        try:
            now = self.hierarchy.clock.monotonic()
            view.refresh(now)
            if now - self._tidied >= TIDYING:
                self._tidied = now
                view.forget(now, self.hierarchy.idle_ttl)
                if self.sends:
                    self.hierarchy.tell_idle(point.series.name for point in view.idle())
        except OSError as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            log.error("the numbers of other processes can't be read: %s", describe(error))

    # -- what passes between processes ---------------------------------------

    @property
    def handlers(self) -> Handlers | Unkept:
        """What handlers were handed over by former processes, and where that is noted."""
        if self._leading is not None:
            return self._leading.handlers
        known = self._at_fork
        if self._slot is not None and not self.merges:
            known = self._slot.inherited
        return Unkept(known)

    def post(self, handlers: list[dict[str, Any]]) -> None:
        """Tell the others how the handlers of this process, which sends, are doing."""
        if self._folder is not None:
            notice = Notice(os.getpid(), self.hierarchy.clock.time(), handlers)
            try:
                pin(self._folder, notice)
            except OSError as error:
                self._complain(error)

    def posted(self) -> Notice | None:
        """What the one that sends has told last; None if it hasn't."""
        return seen(self._folder) if self._folder is not None else None

    def events(self) -> Iterator[Letter]:
        """The events that processes of the group have left to this one, with their meters."""
        if self._leading is None or self._view is None:
            return
        try:
            yield from self._leading.events(list(self._view.readers.values()))
        except OSError as error:
            self._complain(error)

    # -- the end -------------------------------------------------------------

    def leave(self, patience: float) -> bool:
        """Leave the group at the end; whether there is something left to send here.

        There is, where this process sends for itself, and in the last one of a group: it
        waits so many seconds until a leader that is ending, too, has worked off what it
        has. Then `sends` is true, and `points` are still those of the group.
        """
        with self._lock:
            folder, view = self._folder, self._view
            if folder is None or view is None or not self.merges:
                return self.sends
            try:
                self._let_go(folder)
                if not self._last or not (self.is_sidecar or self.reporter == LEADER):
                    return False
                view.keep_own()
                self._lead(folder, patience)
            except OSError as error:
                self._complain(error)
            return self._leading is not None

    def _let_go(self, folder: Folder) -> None:
        """Give up the slot."""
        slot, self._slot = self._slot, None
        if slot is None:
            return
        self._last = slot.release(folder, self.hierarchy.registry)

    def _lead(self, folder: Folder, patience: float = 0.0) -> None:
        """Become the leader, unless another one is."""
        if self._leading is None:
            self._leading = Lead.take(folder, self._complain, patience)
            self.version += self._leading is not None

    def close(self) -> None:
        """After `leave` and the last round: let go of what is still held."""
        with self._lock:
            folder = self._folder
            if folder is not None:
                self._let_go(folder)
            if self._leading is not None:
                self._leading.release()
            last = self._last
            self._forget()
            if folder is not None and last:
                with contextlib.suppress(OSError):  # who begins the next group does it
                    folder.sweep()

    def after_fork(self) -> None:
        """In a forked child: slot and locks are the parent's."""
        self._lock = threading.RLock()
        if self._slot is not None:
            self._slot.forget()
        if self._leading is not None:
            self._leading.forget()
        self._at_fork = {
            id(point): point.read()
            for point in self.hierarchy.registry.points
            if not isinstance(point, Instrument) and point.series.kind == COUNTER
        }
        self._forget()

    def _forget(self) -> None:
        """Close what is open, and begin anew."""
        if self._view is not None:
            self._view.close()
        if self._number is not None:
            self._number.forget()
        self._begin()
        self.version += 1


def _digest(key: str) -> str:
    import hashlib  # loads OpenSSL: late, for those that share

    return hashlib.sha256(f"{os.geteuid()}\0{key}".encode("utf-8", "replace")).hexdigest()[:16]
