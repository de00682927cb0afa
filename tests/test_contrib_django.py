"""Django: what is measured, and under which names."""

# ruff: noqa: E402 (what is imported only where the framework is installed)

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

import appmetrics
from appmetrics.config import Configurator
from appmetrics.contrib import common
from appmetrics.testing import Capture, World
from appmetrics.wsgi import Middleware
from wsgi_client import EXAMPLES, get

django = pytest.importorskip("django")

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import include, path, re_path

from servers import PATIENCE

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["appmetrics.contrib.django.AppMetricsConfig"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=["appmetrics.contrib.django.middleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="tests",
    )
    django.setup()


def hello(request: Any, **values: Any) -> HttpResponse:
    """A page."""
    return HttpResponse("Hello.")


def failing(request: Any) -> HttpResponse:
    """A view with a mistake."""
    raise ZeroDivisionError


def file(request: Any) -> FileResponse:
    """This file."""
    return FileResponse(Path(__file__).open("rb"))


urlpatterns = [
    path("", hello),
    path("broken", failing),
    path("file", file),
    path("stream", lambda request: StreamingHttpResponse(iter([b"Hel", b"lo."]))),
    path("shops/", include([path("<int:shop>", hello)])),
    re_path(r"^old/(?P<shop>\d+)$", hello),
]


@pytest.fixture(autouse=True)
def _stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End what the first request starts."""
    monkeypatch.delenv("APPMETRICS_CONFIG", raising=False)
    yield
    appmetrics.stop()


@pytest.fixture(params=[False, True], ids=["alone", "behind the WSGI middleware"])
def app(request: pytest.FixtureRequest) -> Any:
    """Django's application, and the same with the WSGI middleware around it."""
    return Middleware(WSGIHandler()) if request.param else WSGIHandler()


@pytest.mark.parametrize(
    ("path", "view", "status", "size"),
    [
        ("/", "/", "2xx", 6),
        ("/shops/12", "/shops/<int:shop>", "2xx", 6),
        ("/old/12", r"^old/(?P<shop>\d+)$", "2xx", 6),
        ("/stream", "/stream", "2xx", 6),
        ("/file", "/file", "2xx", Path(__file__).stat().st_size),
        ("/broken", "/broken", "5xx", None),
        ("/wp-admin.php", "-", "4xx", None),
    ],
)
def test_views_have_the_names_of_the_code(
    app: Any, metrics: Capture, path: str, view: str, status: str, size: int | None
) -> None:
    """The view is the route with the prefixes of includes; never the path."""
    body = get(app, path)[1]
    assert metrics.value("http.requests", method="GET", view=view, status=status) == 1
    assert metrics.value("http.requests") == 1
    assert metrics.value("http.duration", view=view) == 1
    assert metrics.value("http.errors") == (status == "5xx")
    assert metrics.value("http.aborted") == 0
    assert metrics.value("http.in_flight") == 0
    if size is not None:
        assert len(body.encode()) == size
        assert metrics.distribution("http.response.size", view=view).sum == size


def test_without_a_file_wrapper_files_are_measured(metrics: Capture) -> None:
    """Where the server has no wrapper for files of its own, their bytes are counted."""
    body = get(WSGIHandler(), "/file", **{"wsgi.file_wrapper": lambda file, size=0: file})[1]
    assert "def hello" in body
    assert metrics.distribution("http.response.size", view="/file").sum == len(body.encode())
    assert metrics.value("http.aborted") == 0


def test_a_client_that_leaves_is_seen(metrics: Capture) -> None:
    """A stream that is closed before its end is aborted by the client."""
    environ: dict[str, Any] = {"PATH_INFO": "/stream"}
    setup_testing_defaults(environ)
    response = WSGIHandler()(environ, lambda *arguments: None)
    assert next(iter(response)) == b"Hel"
    response.close()
    assert metrics.value("http.aborted", reason="client") == 1


def test_the_page_is_mounted_where_asked(metrics: Capture) -> None:
    """APPMETRICS in the settings holds the options; the page has its own status and type."""
    with override_settings(APPMETRICS={"path": "/metrics", "token": "hush"}):
        app = WSGIHandler()
    assert get(app, "/metrics")[0] == "401 Unauthorized"
    status, page = get(app, "/metrics", HTTP_AUTHORIZATION="Bearer hush")
    assert status == "200 OK"
    assert "http_requests" in page


def test_a_wrong_setting_is_an_error() -> None:
    """An unknown option is named, with what may have been meant."""
    wrong = override_settings(APPMETRICS={"paht": "/metrics"})
    with wrong, pytest.raises(appmetrics.ConfigError, match=r"settings.APPMETRICS.*'path'"):
        WSGIHandler()


def test_the_application_configures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's start reads the file that the settings name, once."""
    from django.apps import apps

    world = World()
    configurator = Configurator(world.hierarchy, world.reporter)
    monkeypatch.setattr(common, "configurator", configurator)
    (tmp_path / "metrics.ini").write_text("[metrics]\ninterval = 7\n")
    with override_settings(APPMETRICS={"config": str(tmp_path / "metrics.ini")}):
        apps.get_app_config("appmetrics").ready()
        loaded = configurator.loaded()
        WSGIHandler()
    assert loaded
    assert loaded.plan.options["interval"] == 7
    assert configurator.loaded() is loaded


def test_asynchronous_requests_pass_through() -> None:
    """Under ASGI the middleware is a coroutine function that changes nothing."""
    from appmetrics.contrib.django import middleware

    async def answer(request: Any) -> str:
        return f"answer to {request}"

    assert asyncio.run(middleware(answer)("it")) == "answer to it"


def test_the_example_does_what_it_says() -> None:
    """examples/django_app.py greets, and its page has the greeting under its route."""
    # In a process of its own: Django's settings are those of a whole process.
    code = (
        "import django_app, wsgi_client\n"
        "assert wsgi_client.get(django_app.application, '/hello/Ann')[1] == 'Hello, Ann.\\n'\n"
        "print(wsgi_client.get(django_app.application, '/metrics')[1])\n"
    )
    folders = [EXAMPLES, Path(__file__).parent, *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert 'view="/hello/<name>"' in done.stdout
