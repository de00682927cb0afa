"""The filter and the application for PasteDeploy, deployed from ini files."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import appmetrics
from appmetrics.config import Configurator, check_file
from appmetrics.contrib import common, paste
from appmetrics.errors import ConfigError
from appmetrics.testing import World
from servers import PATIENCE
from wsgi_client import EXAMPLES, get

paste_deploy = pytest.importorskip("paste.deploy")

INI = """
[DEFAULT]
instance = one%%two

[app:main]
paste.app_factory = test_paste:make_app

[filter:metrics]
paste.filter_app_factory = appmetrics.contrib.paste:filter_app
path = /metrics

[pipeline:pipe]
pipeline = metrics main

[app:shown]
paste.app_factory = appmetrics.contrib.paste:metrics_app

[metrics]
labels = instance=%(instance)s
handlers = kept

[metrics.handler.kept]
class = memory
"""


def make_app(global_conf: dict[str, str], **settings: str) -> Any:
    """An application that answers a greeting."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Hello.\n"]

    return app


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configurator]:
    """A configuration of the test's own takes the place of the process'."""
    world = World()
    configurator = Configurator(world.hierarchy, world.reporter)
    monkeypatch.setattr(common, "configurator", configurator)
    monkeypatch.setattr(paste, "_warned", False)
    monkeypatch.delenv("APPMETRICS_CONFIG", raising=False)
    yield configurator
    world.stop()
    appmetrics.stop()  # the first request has started it


@pytest.fixture
def ini(tmp_path: Path) -> Callable[..., str]:
    """Writes an ini file with some texts replaced, and returns its path."""

    def write(name: str = "app.ini", text: str = INI, **replaced: str) -> str:
        for old, new in replaced.items():
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def load(path: str, name: str = "pipe") -> Any:
    """Deploy from an ini file."""
    return paste_deploy.loadapp(f"config:{path}", name=name)


def test_the_filter_reads_the_file_it_stands_in(
    configured: Configurator, ini: Callable[..., str]
) -> None:
    """Without options the sections of the same file count, with its variables."""
    path = ini()
    app = load(path)
    loaded = configured.loaded()
    assert loaded
    assert loaded.path == path
    assert loaded.plan.options["labels"] == {"instance": "one%two"}
    assert get(app) == ("200 OK", "Hello.\n")


def test_the_page_is_mounted_where_asked(configured: Configurator, ini: Callable[..., str]) -> None:
    """With path the metrics are there, and nothing else is; with token not for everybody."""
    app = load(ini(**{"path = /metrics": "path = /numbers\ntoken = hush"}))
    assert get(app, "/numbers")[0] == "401 Unauthorized"
    assert "http_requests" in get(app, "/numbers", HTTP_AUTHORIZATION="Bearer hush")[1]
    assert get(app, "/metrics")[1] == "Hello.\n"


def test_the_debug_pages_are_mounted_where_asked(
    configured: Configurator, ini: Callable[..., str]
) -> None:
    """With debug they are there, with a token; without a configuration, too."""
    text = INI.partition("[metrics]")[0]
    wanted = {"path = /metrics": "debug = /inside\ntoken = hush"}
    app = load(ini(text=text, **wanted))
    assert get(app, "/inside/requests")[0] == "401 Unauthorized"
    assert "in flight" in get(app, "/inside/requests", HTTP_AUTHORIZATION="Bearer hush")[1]
    with pytest.raises(ConfigError, match="token"):
        load(ini("without.ini", text=text, **{"path = /metrics": "debug = /inside"}))


def test_requests_are_counted(
    configured: Configurator, ini: Callable[..., str], metrics: appmetrics.testing.Capture
) -> None:
    """What goes through the filter is in http.requests."""
    get(load(ini()))
    assert metrics.value("http.requests", method="GET", status="2xx") == 1


def test_config_names_another_file(configured: Configurator, ini: Callable[..., str]) -> None:
    """The option config wins over the environment and the file itself; it is relative to it."""
    other = ini("other.ini", "[metrics]\ninterval = 7\n")
    load(ini(**{"path = /metrics": "config = other.ini"}))
    loaded = configured.loaded()
    assert loaded
    assert loaded.path == other


def test_the_environment_wins_over_the_file(
    configured: Configurator, ini: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """$APPMETRICS_CONFIG is read instead of the ini file of the application."""
    other = ini("other.ini", "[metrics]\ninterval = 7\n")
    monkeypatch.setenv("APPMETRICS_CONFIG", other)
    load(ini())
    loaded = configured.loaded()
    assert loaded
    assert loaded.path == other


def test_without_a_configuration_it_is_not_there(
    configured: Configurator, ini: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """With nothing to configure from, the application comes back as it is, with one warning."""
    text = INI.split("\n[metrics]\n")[0].replace("path = /metrics", "")
    with caplog.at_level(logging.WARNING, "appmetrics"):
        first, second = load(ini(text=text)), load(ini(text=text))
    assert first.__name__ == second.__name__ == "app"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no section [metrics]" in caplog.text


def test_one_file_is_read_once(
    configured: Configurator, ini: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """A second filter with the same file changes nothing and says nothing."""
    path = ini()
    load(path)
    before = configured.loaded()
    with caplog.at_level(logging.INFO, "appmetrics"):
        load(path)
        load(path, "shown")
    assert configured.loaded() is before
    assert caplog.text == ""


def test_a_second_file_is_a_warning(
    configured: Configurator, ini: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """Another file stays unread, and a warning names both."""
    first, second = ini("first.ini"), ini("second.ini")
    load(first)
    with caplog.at_level(logging.WARNING, "appmetrics"):
        load(second)
    assert f"{second} is not read: appmetrics is configured from {first}" in caplog.text
    loaded = configured.loaded()
    assert loaded
    assert loaded.path == first


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("handlers = kept", "handlers = kpet", r"app\.ini:\d+ \[metrics\] handlers"),
        ("path = /metrics", "pat = /metrics", r"did you mean 'path'"),
        ("path = /metrics", "path = /metrics\nallow = everybody", "everybody"),
        ("path = /metrics", "config = nowhere.ini", r"nowhere\.ini: can't be read"),
    ],
)
def test_a_wrong_configuration_stops_the_start(
    configured: Configurator, ini: Callable[..., str], old: str, new: str, problem: str
) -> None:
    """An error in the file or in the filter's options is a ConfigError that names it."""
    with pytest.raises(appmetrics.ConfigError, match=problem):
        load(ini(**{old: new}))


def test_a_target_that_is_down_does_not_stop_the_start(
    configured: Configurator, ini: Callable[..., str]
) -> None:
    """With nobody at Graphite's port the application starts and answers."""
    app = load(ini(**{"class = memory": "class = graphite\nport = 1"}))
    assert get(app) == ("200 OK", "Hello.\n")


def test_the_metrics_are_an_application(configured: Configurator, ini: Callable[..., str]) -> None:
    """``#metrics`` reads the same configuration and shows the metrics at any path."""
    app = load(ini(), "shown")
    assert configured.loaded()
    assert "# TYPE" in get(app, "/whatever")[1]


def test_counts_from_before_the_configuration_are_kept(tmp_path: Path) -> None:
    """What an application counts while it is imported and built arrives at the handlers."""
    (tmp_path / "early.py").write_text(
        "import appmetrics\n"
        "counter = appmetrics.get_meter('early').counter('imports')\n"
        "counter.inc()\n"
        "def make_app(global_conf):\n"
        "    counter.inc()\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [])\n"
        "        return []\n"
        "    return app\n"
    )
    (tmp_path / "app.ini").write_text(
        "[app:main]\npaste.app_factory = early:make_app\n"
        "[filter:m]\npaste.filter_app_factory = appmetrics.contrib.paste:filter_app\n"
        "[pipeline:pipe]\npipeline = m main\n"
        "[metrics]\nhandlers = lines\n"
        "[metrics.handler.lines]\nclass = file\npath = %(here)s/out.json\nformatter = json\n"
    )
    code = (
        "from paste.deploy import loadapp\n"
        f"app = loadapp('config:{tmp_path / 'app.ini'}', name='pipe')\n"
        "list(app({'REQUEST_METHOD': 'GET', 'PATH_INFO': '/'}, lambda *a: None))\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environ = {key: value for key, value in os.environ.items() if key != "APPMETRICS_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert [line["value"] for line in lines if line["metric"] == "early.imports"] == [2]


def test_the_example_is_right_and_runs(
    configured: Configurator, ini: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """examples/paste.ini has no problem, and deploys an application with the filter."""
    with warnings.catch_warnings():
        # WebOb imports cgi, which Python 3.11 and 3.12 warn of.
        warnings.simplefilter("ignore", DeprecationWarning)
        pytest.importorskip("pyramid.config")
    checked = check_file(EXAMPLES / "paste.ini")
    assert (checked.problems, checked.warnings) == ((), ())
    monkeypatch.syspath_prepend(str(EXAMPLES))
    text = (EXAMPLES / "paste.ini").read_text()
    line = "pipeline = egg:appmetrics-routing#wsgi hello"
    assert f"\n{line}\n" in text
    # The same without an installed distribution.
    text = text.replace(f"\n{line}", "\npipeline = measured hello")
    text += "\n[filter:measured]\npaste.filter_app_factory = appmetrics.contrib.paste:filter_app\n"
    app = load(ini("paste.ini", text), "main")
    assert get(app, "/hello/Ann") == ("200 OK", "Hello, Ann.\n")
    loaded = configured.loaded()
    assert loaded
    assert sorted(loaded.handlers) == ["carbon", "page"]
