"""Who is served: the handlers of a hierarchy, each with its selection.

Keeps step with the routing: takes on handlers that are attached, lets go of the
others, chooses series anew when levels, filters or meters change. When they are
read is the matter of ``rounds``, what is handed over the ``reporter``'s; its lock
is held by whoever calls here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .handlers.base import Handler, shown_target
from .hierarchy import Hierarchy
from .registry import ReadOnly
from .rounds import Route
from .sample import COUNTER, GAUGE, Series
from .selection import Point, Selection
from .sharing import Sharing

#: What each handler tells about itself, as ``appmetrics.handler.NAME.…``.
_SELF_METRICS = (
    ("sent", COUNTER, "Samples sent"),
    ("dropped", COUNTER, "Samples dropped"),
    ("errors", COUNTER, "Failures"),
    ("queue", GAUGE, "Rounds and events waiting"),
    ("spooled", GAUGE, "Samples waiting on disk"),
    ("time_left", GAUGE, "Seconds until the first sample would be dropped"),
    ("lag", GAUGE, "Seconds from the reading of a round to its delivery"),
)
_PULLED = (
    ("errors", COUNTER, "Failures"),
    ("served", COUNTER, "Requests answered with numbers"),
)
#: Those that a handler has itself, not its ``stats``.
_OWN = {"queue": "queued", **{name: name for name in ("spooled", "time_left", "served")}}

Chosen = tuple[int, Selection]


class Routes:
    """The handlers being served: those of the hierarchy, if this process sends.

    ``owner`` is told to the handlers as who serves them.
    """

    def __init__(self, hierarchy: Hierarchy, sharing: Sharing, owner: Any) -> None:
        self.hierarchy = hierarchy
        self.sharing = sharing
        self.clock = hierarchy.clock
        self._owner = owner
        self._told: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """Serve nobody yet."""
        self.served: dict[int, Route] = {}
        #: Handlers let go of whose workers may still run.
        self.retired: list[Handler] = []
        #: Not served, since another process sends, and yet told of each value here.
        self.observing: list[Handler] = []
        self._version = -1
        self._served = False
        self._life = object()

    def after_fork(self) -> None:
        """In a forked child: the handlers begin anew."""
        for handler in self.handlers():
            handler.after_fork()
        self.begin()

    def all(self) -> list[Route]:
        """The handlers being served."""
        return list(self.served.values())

    def handlers(self) -> list[Handler]:
        """All whose workers may run, the retired ones first."""
        return [*self.retired, *self.observing, *(route.handler for route in self.all())]

    @property
    def version(self) -> int:
        """Rises with each change of the routing, and of what this process does of it."""
        return self.hierarchy.version + self.sharing.version

    def _attached(self) -> list[Handler]:
        handlers = self.hierarchy.handlers()
        return handlers if self.sharing.sends else [h for h in handlers if h.in_each_process]

    def _points(self, handler: Handler) -> list[Point]:
        return self.sharing.everything if handler.pull else self.sharing.points

    def sync(self) -> list[Route]:
        """Serve the handlers that are attached now; returns the routes of the others.

        A replaced handler (see `_replaces`) leaves its successor its readings and
        what it could not deliver. A really new one starts from the readings of
        now, unless it is among the first.
        """
        # Who is there and what they get must be of one and the same routing.
        chosen: dict[int, Chosen] = {}
        if self._version != self.version:
            pushed = (handler for handler in self._attached() if not handler.pull)
            chosen = {id(handler): self.choose(handler) for handler in pushed}
        with self.hierarchy.lock:
            changed = self._version != self.version
            return self._exchange(chosen) if changed else []

    def choose(self, handler: Handler) -> Chosen:
        """A selection made without the lock, and the version of the routing it is good for.

        With very many series it takes seconds, and whoever declares a new
        instrument needs the lock.
        """
        version, points = self.version, self._points(handler)
        known = self.sharing.handlers
        before = (lambda point: None) if handler.pull else known.before(handler.name)
        selection = self.hierarchy.selection(handler, self.hierarchy.started, before)
        selection.extend(points)
        return version, selection

    def select(self, route: Route, chosen: Chosen | None = None) -> Selection:
        """The route's selection by the routing of now, with all series of now.

        ``chosen`` is what `choose` gave, and taken if no other routing came between.

        A handler that is no longer attached keeps the selection it had: by the
        new routing it would get nothing, and its heir would inherit that.
        """
        handler, hierarchy = route.handler, self.hierarchy
        with hierarchy.lock:
            attached = handler.everywhere or any(handler is h for h in hierarchy.handlers())
            selection = route.selection
            if selection is not None and not attached:
                return selection
            points = self._points(handler)
            if selection is None or route.version != self.version:
                if chosen is None or chosen[0] != self.version:
                    chosen = self.choose(handler)
                selection = chosen[1]
                selection.extend(points)
                if route.selection is not None and route.points is points and not handler.pull:
                    selection.follow(route.selection, same_handler=route.version >= 0)
                route.selection, route.version, route.points = selection, self.version, points
            else:
                selection.extend(points)
            return selection

    def pulled(self, handler: Handler) -> Selection:
        """The up-to-date selection of a handler that is being asked."""
        route = self.served.get(id(handler))
        if route is None:
            # Kept with the handler, so that both can go together.
            if handler.reading is None or handler.reading[0] is not self._life:
                handler.reading = (self._life, Route(handler))
            route = handler.reading[1]
        stale = route.selection is None or route.version != self.version
        return self.select(route, self.choose(handler) if stale else None)

    def retire(self, handler: Handler) -> None:
        """Let a handler that is no longer served work off what it has."""
        if handler.successor is None:
            self.sharing.handlers.forget(handler.name)
        # Its worker ends by itself when the queue is empty; stop() waits for it.
        # A listener is waited for now, since its successor may want its port.
        self.retired = [old for old in self.retired if not old.stop(0.0)]
        if not handler.stop(1.0 if handler.pull else 0.0):
            self.retired.append(handler)

    def tell(
        self, what: str, kind: str, read: Callable[[], Any], help: str, merge: str = "sum"
    ) -> None:
        """Make a number of appmetrics' own readable, as ``appmetrics.WHAT``."""
        if what not in self._told:
            self._told.add(what)
            unit = "seconds" if what.endswith((".lag", ".time_left")) else ""
            series = Series(f"appmetrics.{what}", kind=kind, help=help, unit=unit, merge=merge)
            self.hierarchy.registry.points.append(ReadOnly(series, read))

    def _exchange(self, chosen: dict[int, Chosen]) -> list[Route]:
        """Take on the handlers that are attached now; returns the routes of the others."""
        self._version = self.version
        attached = {id(handler): handler for handler in self._attached()}
        gone = [route for key, route in self.served.items() if key not in attached]
        for route in gone:
            del self.served[id(route.handler)]
        for key, handler in attached.items():
            if key not in self.served:
                former = next((r for r in gone if _replaces(handler, r.handler)), None)
                if former is not None:
                    former.handler.successor = handler
                self._adopt(handler, former, chosen.get(key))
        self._served = self._served or bool(attached)
        self._observe()
        for key, route in self.served.items():
            # At once, so that what a handler newly gets starts from now.
            if not route.handler.pull:
                self.select(route, chosen.get(key))
        return gone

    def _observe(self) -> None:
        before = self.observing
        observing = (handler for handler in self.hierarchy.handlers() if handler.observes)
        self.observing = [handler for handler in observing if id(handler) not in self.served]
        for handler in self.observing:
            handler.served_by(self._owner)
        going_on = [*self.observing, *(route.handler for route in self.all())]
        self.retired += (h for h in before if h not in going_on and not h.stop(0.0))

    def _adopt(self, handler: Handler, former: Route | None, chosen: Chosen | None) -> None:
        route = self.served[id(handler)] = Route(handler)
        handler.successor = None
        handler.instance = "" if handler.pull else self.sharing.instance
        handler.served_by(self._owner)
        if former is not None and former.selection is not None:
            route.selection, route.last = former.selection, former.last
            route.points = former.points
        elif not handler.pull:
            selection = self.select(route, chosen)
            last = self.sharing.handlers.last_round(handler.name)
            if last is not None:
                time, monotonic = last
                selection.resume(monotonic)
                route.last = (time, self.clock.time(), self.clock.monotonic())
            elif self._served:
                selection.start_from_now(self.clock.monotonic())
        self._report_on(handler)

    def _report_on(self, handler: Handler) -> None:
        name = handler.name
        for what, kind, help in _PULLED if handler.pull else _SELF_METRICS:
            self.tell(f"handler.{name}.{what}", kind, self._statistic(name, what), help)

    def _statistic(self, name: str, what: str) -> Callable[[], Any]:
        def read() -> Any:
            for route in self.all():
                if route.handler.name == name:
                    handler = route.handler
                    own = _OWN.get(what)
                    return getattr(handler, own) if own else getattr(handler.stats, what)
            return None

        return read


def _replaces(new: Handler, old: Handler) -> bool:
    """Whether a handler takes another's place: by its name, or it has only been renamed."""
    if new.name == old.name:
        return True
    target = shown_target(old)
    return type(new) is type(old) and bool(target) and shown_target(new) == target
