"""Pyramid: what is measured, and under which names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import appmetrics
from appmetrics.testing import Capture
from appmetrics.wsgi import Middleware
from wsgi_client import get, load_example

with warnings.catch_warnings():
    # WebOb imports cgi, which Python 3.11 and 3.12 warn of.
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pyramid.config")

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response


class Root(dict[str, Any]):
    """The root of the traversed tree."""


class Folder(dict[str, Any]):
    """Something below it."""


def hello(request: Any) -> Response:
    """A page."""
    return Response("Hello.")


def failing(request: Any) -> Response:
    """A view with a mistake."""
    raise ZeroDivisionError


def missing(request: Any) -> Response:
    """A view that does not find what it looks for."""
    raise HTTPNotFound


def application(**settings: str) -> Any:
    """An application with routes and traversal."""
    config = Configurator(settings=settings, root_factory=lambda request: Root(folder=Folder()))
    config.include("appmetrics.contrib.pyramid")
    config.add_route("shop", "/shops/{id}")
    config.add_route("broken", "/broken")
    config.add_view(hello, route_name="shop")
    config.add_view(failing, route_name="broken")
    config.add_view(hello, context=Root)
    config.add_view(hello, context=Folder, name="edit")
    config.add_view(missing, context=Folder, name="lost")
    return config.make_wsgi_app()


@pytest.fixture(autouse=True)
def _stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End what the first request starts."""
    monkeypatch.delenv("APPMETRICS_CONFIG", raising=False)
    yield
    appmetrics.stop()


@pytest.mark.parametrize(
    ("path", "view", "status"),
    [
        ("/shops/12", "/shops/{id}", "2xx"),
        ("/", "Root", "2xx"),
        ("/folder/edit", "Folder.edit", "2xx"),
        ("/folder/lost", "-", "4xx"),
        ("/wp-admin.php", "-", "4xx"),
        ("/folder/wp-admin.php", "-", "4xx"),
    ],
)
def test_views_have_the_names_of_the_code(
    metrics: Capture, path: str, view: str, status: str
) -> None:
    """The view is the route's pattern, or the class and the name of the view; never the path."""
    get(application(), path)
    assert metrics.value("http.requests", method="GET", view=view, status=status) == 1
    assert metrics.value("http.requests") == 1
    assert metrics.value("http.duration", view=view) == 1


def test_an_exception_is_an_error_of_its_view(metrics: Capture) -> None:
    """An exception that no view handles leaves the application and is counted with its route."""
    app = application()
    with pytest.raises(ZeroDivisionError):
        get(app, "/broken")
    assert metrics.value("http.errors", view="/broken") == 1
    assert metrics.value("http.requests", view="/broken", status="5xx") == 1


def test_settings_are_options(metrics: Capture) -> None:
    """Settings with the prefix appmetrics. are those of the middleware."""
    app = application(**{"appmetrics.path": "/metrics", "appmetrics.token": "hush"})
    assert get(app, "/metrics")[0] == "401 Unauthorized"
    page = get(app, "/metrics", HTTP_AUTHORIZATION="Bearer hush")[1]
    assert "http_requests" in page


def test_a_wrong_setting_is_an_error() -> None:
    """An unknown setting is named, with what may have been meant."""
    with pytest.raises(appmetrics.ConfigError, match=r"appmetrics.*did you mean 'token'"):
        application(**{"appmetrics.tokn": "hush"})


def test_a_middleware_outside_counts_once(metrics: Capture) -> None:
    """Where the filter is in the pipeline as well, a request is one request with its view."""
    get(Middleware(application()), "/shops/12")
    assert metrics.value("http.requests", view="/shops/{id}") == 1
    assert metrics.value("http.requests") == 1


def test_an_execution_policy_of_ones_own_stays(metrics: Capture) -> None:
    """A policy that the application sets runs, in the measured time."""
    config = Configurator()
    config.include("appmetrics.contrib.pyramid")

    def policy(environ: Any, router: Any) -> Any:
        assert environ["appmetrics.request"].view == "-"
        return Response("by the policy")

    config.set_execution_policy(policy)
    assert get(config.make_wsgi_app())[1] == "by the policy"
    assert metrics.value("http.requests") == 1


def test_the_example_does_what_it_says(metrics: Capture) -> None:
    """examples/pyramid_app.py greets, and its page has the greeting under its route."""
    app = load_example("pyramid_app").main({}, **{"appmetrics.path": "/metrics"})
    assert get(app, "/hello/Ann") == ("200 OK", "Hello, Ann.\n")
    assert 'view="/hello/{name}"' in get(app, "/metrics")[1]
    assert metrics.value("hello.greetings") == 1
