"""Flask: what is measured, and under which names."""

# ruff: noqa: E402 (what is imported only where the framework is installed)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import appmetrics
from appmetrics.config import Configurator
from appmetrics.contrib import common
from appmetrics.testing import Capture, World
from appmetrics.wsgi import Middleware
from wsgi_client import get, load_example

flask = pytest.importorskip("flask")

from appmetrics.contrib.flask import AppMetrics


@pytest.fixture(autouse=True)
def _stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End what the first request starts."""
    monkeypatch.delenv("APPMETRICS_CONFIG", raising=False)
    yield
    appmetrics.stop()


@pytest.fixture
def app() -> Any:
    """An application with some views."""
    app = flask.Flask("test_contrib_flask")
    shops = flask.Blueprint("shops", __name__, url_prefix="/shops")

    @shops.route("/<int:shop>")
    def shop(shop: int) -> str:
        return "Hello."

    @app.route("/")
    def stream() -> Any:
        return flask.Response(flask.stream_with_context(iter(["Hel", "lo."])))

    @app.route("/broken")
    def broken() -> str:
        raise ZeroDivisionError

    @app.route("/file")
    def file() -> Any:
        return flask.send_file(__file__)

    app.register_blueprint(shops)
    return app


@pytest.mark.parametrize(
    ("path", "view", "status"),
    [
        ("/shops/12", "/shops/<int:shop>", "2xx"),
        ("/", "/", "2xx"),
        ("/broken", "/broken", "5xx"),
        ("/file", "/file", "2xx"),
        ("/static/nothing.css", "/static/<path:filename>", "4xx"),
        ("/wp-admin.php", "-", "4xx"),
    ],
)
def test_views_have_the_names_of_the_code(
    app: Any, metrics: Capture, path: str, view: str, status: str
) -> None:
    """The view is the rule with its blueprint's prefix; never the path."""
    AppMetrics(app)
    get(app, path)
    assert metrics.value("http.requests", method="GET", view=view, status=status) == 1
    assert metrics.value("http.requests") == 1
    assert metrics.value("http.duration", view=view) == 1
    assert metrics.value("http.errors") == (status == "5xx")


def test_a_request_that_is_turned_away_has_its_view(app: Any, metrics: Capture) -> None:
    """Where a before_request answers, the view is known all the same."""
    app.before_request(lambda: ("Not you.", 403))
    AppMetrics(app)
    assert get(app, "/shops/12")[0].startswith("403")
    assert metrics.value("http.requests", view="/shops/<int:shop>", status="4xx") == 1


def test_options_come_from_the_config_or_the_call(app: Any, metrics: Capture) -> None:
    """app.config["APPMETRICS"] holds options, and what the call says wins."""
    app.config["APPMETRICS"] = {"path": "/numbers", "token": "one"}
    extension = AppMetrics(token="two")
    extension.init_app(app)
    assert app.extensions["appmetrics"] is extension
    assert get(app, "/numbers", HTTP_AUTHORIZATION="Bearer one")[0] == "401 Unauthorized"
    assert get(app, "/numbers", HTTP_AUTHORIZATION="Bearer two")[0] == "200 OK"


def test_a_wrong_option_is_an_error(app: Any) -> None:
    """An unknown option is named, with what may have been meant."""
    with pytest.raises(appmetrics.ConfigError, match="did you mean 'path'"):
        AppMetrics(app, paht="/metrics")
    with pytest.raises(appmetrics.ConfigError, match="everybody"):
        AppMetrics(app, allow="everybody", path="/metrics")


def test_the_file_is_read(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option config names the ini file."""
    world = World()
    configurator = Configurator(world.hierarchy, world.reporter)
    monkeypatch.setattr(common, "configurator", configurator)
    (tmp_path / "metrics.ini").write_text("[metrics]\ninterval = 7\n")
    AppMetrics(app, config=str(tmp_path / "metrics.ini"))
    loaded = configurator.loaded()
    assert loaded
    assert loaded.plan.options["interval"] == 7


def test_twice_is_once(app: Any, metrics: Capture) -> None:
    """An application that is given twice, or stands behind the filter, is measured once."""
    AppMetrics(app)
    AppMetrics(app)
    get(Middleware(app), "/shops/12")
    assert metrics.value("http.requests", view="/shops/<int:shop>") == 1
    assert metrics.value("http.requests") == 1


def test_the_example_does_what_it_says(metrics: Capture) -> None:
    """examples/flask_app.py greets, and its page has the greeting under its rule."""
    app = load_example("flask_app").app
    assert get(app, "/hello/Ann") == ("200 OK", "Hello, Ann.\n")
    assert 'view="/hello/<name>"' in get(app, "/metrics")[1]
    assert metrics.value("hello.greetings") == 1
