"""Subscribers to the events of Zope's publisher: where the time of a request goes.

Each attempt at a request has a request object of its own, and so its own `Attempt`,
which ends with it. Nothing here may raise: that would break the request.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any

from transaction.interfaces import TransientError

from ...hierarchy import get_meter
from ...wsgi.exchange import NO_VIEW
from ...wsgi.middleware import KEY
from .views import ViewNames

log = logging.getLogger("appmetrics")

#: In the request's ``__dict__``: as an attribute it could come from a form.
_ATTEMPT = "_appmetrics_attempt"

names = ViewNames()

_meter = get_meter("zope")
_traverse = _meter.timer("traverse", "Time to find and authorize the view", labels=("view",))
_render = _meter.timer("render", "Time that the view takes", labels=("view",))
_commit = _meter.timer("commit", "Time to commit the transaction", labels=("view",))
_error = _meter.timer(
    "error", "Time of the step that failed, with its error page and abort", labels=("view",)
)
_exceptions = _meter.counter(
    "exceptions", "Attempts that an exception has ended", labels=("view", "exception")
)
_conflicts = _meter.counter(
    "conflicts", "Attempts that a conflict has ended", labels=("view", "retried")
)


class Attempt:
    """One attempt at a request: the name of its view, and when the last step ended."""

    __slots__ = ("_since", "view")

    def __init__(self) -> None:
        self.view = NO_VIEW
        self._since = perf_counter()

    def step(self) -> float:
        """The seconds since the step before."""
        now = perf_counter()
        elapsed, self._since = now - self._since, now
        return elapsed


Subscriber = Callable[[Any], None]
_complained = False


def _harmless(function: Subscriber) -> Subscriber:
    """The subscriber without its exceptions, the first of which is logged."""

    @functools.wraps(function)
    def subscriber(event: Any) -> None:
        global _complained
        try:
            function(event)
        except Exception:
            if not _complained:
                _complained = True
                log.exception("a request could not be measured; Zope answers it all the same")

    return subscriber


@_harmless
def started(event: Any) -> None:
    """IPubStart: the request has been read, and the transaction has begun."""
    vars(event.request)[_ATTEMPT] = Attempt()


@_harmless
def traversed(event: Any) -> None:
    """IPubAfterTraversal: the view is known from here on; not after a 404."""
    request = event.request
    view = names.of(request.other.get("PUBLISHED"))
    # Zope copies the environ; what is in it remains the same object.
    context = request.environ.get(KEY)
    if context is not None:
        context.view = view
    attempt = _of(event)
    attempt.view = view
    _traverse.labels(view).observe(attempt.step())


@_harmless
def rendered(event: Any) -> None:
    """IPubBeforeCommit."""
    attempt = _of(event)
    _render.labels(attempt.view).observe(attempt.step())


@_harmless
def committed(event: Any) -> None:
    """IPubSuccess."""
    attempt = _of(event)
    _commit.labels(attempt.view).observe(attempt.step())


@_harmless
def failed(event: Any) -> None:
    """IPubFailure: aborted, and perhaps tried again as another request."""
    attempt = _of(event)
    kind = event.exc_info[0]
    _error.labels(attempt.view).observe(attempt.step())
    _exceptions.labels(attempt.view, kind.__name__).inc()
    if issubclass(kind, TransientError):
        _conflicts.labels(attempt.view, "yes" if event.retry else "no").inc()


def _of(event: Any) -> Attempt:
    """The attempt of an event's request."""
    # None has begun where this was loaded in the middle of a request.
    found: Attempt = vars(event.request).setdefault(_ATTEMPT, Attempt())
    return found
