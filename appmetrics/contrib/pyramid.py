"""Pyramid: ``config.include("appmetrics.contrib.pyramid")`` is all.

Requests are measured around Pyramid's router, with route patterns as views; for
traversal the class of the context and the name of the view. Settings such as
``appmetrics.path = /metrics`` are `common.OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pyramid.events import ApplicationCreated
from pyramid.httpexceptions import HTTPNotFound

from . import common

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PREFIX = "appmetrics."

Tween = Callable[[Any], Any]


def includeme(config: Any) -> None:
    """Called by ``config.include``. Raises ConfigError for wrong settings."""
    settings = config.get_settings() or {}
    given = {key[len(_PREFIX) :]: settings[key] for key in settings if key.startswith(_PREFIX)}
    options = common.read(given, f"<settings of Pyramid, {_PREFIX}*>")
    common.configure(options["config"])

    def measure(event: ApplicationCreated) -> None:
        # Whatever policy is there by now: a package such as pyramid_retry sets its own.
        router, policy = event.app, event.app.execution_policy

        def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            response: Iterable[bytes] = policy(environ, router)(environ, start_response)
            return response

        app = common.middleware(answer, options)
        # The router calls what its policy returns: here the middleware, and that
        # the policy proper, so that all is in the measured time.
        router.execution_policy = lambda environ, router: app

    config.add_tween(f"{__name__}.tween_factory")
    config.add_subscriber(measure, ApplicationCreated)


def tween_factory(handler: Tween, registry: Any) -> Tween:
    """A tween that tells the middleware which view answers."""

    def tween(request: Any) -> Any:
        found = True
        try:
            return handler(request)
        except HTTPNotFound:
            found = False
            raise
        finally:
            context = request.environ.get("appmetrics.request")
            if context is not None:
                found = found and not isinstance(request.exception, HTTPNotFound)
                context.view = view_name(request, found)

    return tween


def view_name(request: Any, found: bool = True) -> str:
    """The matched route's pattern, else the class of the context and the view's name.

    ``found``: without a route the name of a view that was not found is whatever
    the client wrote in the path.
    """
    route = getattr(request, "matched_route", None)
    if route is not None:
        return str(route.pattern or route.name)
    if not found or getattr(request, "view_name", None) is None:
        return "-"
    context = type(request.context).__name__
    return f"{context}.{request.view_name}" if request.view_name else context
