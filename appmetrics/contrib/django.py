"""Django: a middleware and an application, one line of the settings each.

    INSTALLED_APPS = ["appmetrics.contrib.django.AppMetricsConfig", ...]
    MIDDLEWARE = ["appmetrics.contrib.django.middleware", ...]

Requests are measured from where the middleware stands, so it stands first, with
routes as views. Where `appmetrics.wsgi.middleware.Middleware` is around Django's
application as well, that measures and this tells it the view. ``APPMETRICS`` in
the settings is a dict of `common.OPTIONS`. Under ASGI nothing is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.apps import AppConfig
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.utils.decorators import sync_and_async_middleware

from ..wsgi.middleware import KEY
from . import common

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

GetResponse = Callable[[Any], Any]


class AppMetricsConfig(AppConfig):  # type: ignore[misc]
    """Configures appmetrics when Django starts, in management commands, too."""

    name = "appmetrics.contrib.django"
    label = "appmetrics"
    verbose_name = "appmetrics"

    def ready(self) -> None:
        """Read the configuration. Raises ConfigError if it can't be used."""
        common.configure(_options()["config"])


@sync_and_async_middleware  # type: ignore[untyped-decorator]
def middleware(get_response: GetResponse) -> GetResponse:
    """Django's factory of middleware. Raises ConfigError for wrong settings."""
    if iscoroutinefunction(get_response):

        async def pass_on(request: Any) -> Any:
            return await get_response(request)

        return pass_on
    options = _options()
    common.configure(options["config"])
    # The request comes by in the environ, where the WSGI side finds nothing else of Django's.
    measure = common.middleware(partial(_answer, get_response), options)

    def answer(request: Any) -> Any:
        environ = request.META
        if KEY in environ or not isinstance(request, WSGIRequest):
            response = get_response(request)
            _tell(request, environ.get(KEY))
            return response
        return _measured(measure, request)

    return answer


def _options() -> dict[str, Any]:
    return common.read(getattr(settings, "APPMETRICS", {}), "<settings.APPMETRICS>")


def _tell(request: Any, context: Any) -> None:
    match = request.resolver_match
    # None: a 404, or a middleware has answered.
    if context is not None and match is not None:
        context.view = f"/{match.route}" if not match.route.startswith("^") else match.route


_REQUEST = "appmetrics.django.request"
_RESPONSE = "appmetrics.django.response"


def _answer(
    get_response: GetResponse, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """What Django answers, as a WSGI application for the middleware to see."""
    request = environ[_REQUEST]
    environ[_RESPONSE] = response = get_response(request)
    _tell(request, environ.get(KEY))
    start_response(
        f"{response.status_code} {response.reason_phrase}",
        [(str(name), str(value)) for name, value in response.items()],
    )
    if not response.streaming:
        return [response.content]
    wrapper = environ.get("wsgi.file_wrapper")
    file = getattr(response, "file_to_stream", None)
    if file is not None and isinstance(wrapper, type):
        # What the server will make of it later; the middleware knows it by its class.
        whole: Iterable[bytes] = wrapper(file, response.block_size)
        return whole
    content: Iterable[bytes] = iter(response)
    return content


def _measured(measure: Any, request: Any) -> Any:
    environ = request.META
    environ[_REQUEST] = request
    head: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        head[:] = [int(status[:3]), dict(headers)]
        return lambda data: None

    try:
        body = measure(environ, start_response)
        response = environ.pop(_RESPONSE, None)
    finally:
        del environ[_REQUEST]
    if response is not None and response.streaming:
        wrapper = environ.get("wsgi.file_wrapper")
        if not (isinstance(wrapper, type) and isinstance(body, wrapper)):
            # Django closes it together with the response.
            response.streaming_content = body
        return response
    try:
        content = b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()
    if response is not None:
        return response
    # The page of the metrics.
    return HttpResponse(content, status=head[0], headers=head[1])
