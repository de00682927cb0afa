"""Every file in examples/ does what it says."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import servers
from appmetrics.config import check_file
from appmetrics.config.tables import METRICS
from appmetrics.handlers.base import Handler
from appmetrics.riemann import Client, Event
from appmetrics.testing.contract import HandlerContract
from riemann_server import RiemannServer
from servers import get, wait_for

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

#: Options of [metrics] that most configurations do without.
SPECIAL = {"faulthandler_signal", "filters", "idle_ttl", "scales_counters", "sigterm"}
SPECIAL |= {"max_children", "max_label_length"}


def run(*command: str, cwd: Path, **environ: str) -> str:
    """What a Python prints, which must end well."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=servers.PATIENCE,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environ},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def load(name: str) -> types.ModuleType:
    """A module of examples/, under its own name, as an application would have it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hello_prints_what_it_measured(tmp_path: Path) -> None:
    """The last lines that hello prints have its three greetings and its one block."""
    output = run(str(EXAMPLES / "hello.py"), cwd=tmp_path).splitlines()
    assert "hello.greetings counter 3 " in [line for line in output if "greetings" in line][-1]
    assert "hello.working timer 1 " in [line for line in output if "working" in line][-1]


@pytest.mark.parametrize("name", ["metrics.ini", "scales_app/metrics.ini", "shop/shop.ini"])
def test_the_configurations_are_right(name: str) -> None:
    """The ini files have neither an error nor a warning."""
    checked = check_file(EXAMPLES / name)
    assert checked.problems == ()
    assert checked.warnings == ()


def test_the_full_configuration_shows_the_usual_options() -> None:
    """metrics.ini has every option of [metrics] that is not for special cases."""
    section = (EXAMPLES / "metrics.ini").read_text().split("\n[metrics]\n")[1].split("\n[")[0]
    shown = {line.partition(" = ")[0] for line in section.splitlines() if " = " in line}
    assert {option.name for option in METRICS} - shown <= SPECIAL


def copy_wsgi_app(folder: Path) -> tuple[int, int]:
    """The application and its ini file with free ports: its own, and its page's."""
    text = (EXAMPLES / "metrics.ini").read_text()
    ports = {"port = 8080": 0, "listen = 127.0.0.1:9464": 0, "port = 2003": 0}
    for usual in ports:
        assert text.count(usual) == 1
        ports[usual] = servers.free_port()
        text = text.replace(usual, usual.rstrip("0123456789") + str(ports[usual]))
    (folder / "metrics.ini").write_text(text)
    shutil.copy(EXAMPLES / "wsgi_app.py", folder)
    return ports["port = 8080"], ports["listen = 127.0.0.1:9464"]


def test_one_file_for_everything(tmp_path: Path) -> None:
    """PasteDeploy starts the application from metrics.ini, logging and appmetrics read it too."""
    copy_wsgi_app(tmp_path)
    run(
        "-c",
        f"""
import logging.config, sys, threading, urllib.request
from paste.deploy import loadapp
sys.path.insert(0, "")
ini = {str(tmp_path / "metrics.ini")!r}
logging.config.fileConfig(ini)
assert logging.getLogger().handlers
application = loadapp("config:" + ini)
assert list(application({{}}, lambda status, headers: None)) == [b"Hello.\\n"]
import appmetrics
assert appmetrics.get_meter("myapp.db").level == appmetrics.DEBUG
appmetrics.get_meter("myapp.db").timer("query", level=appmetrics.DEBUG).observe(1)
appmetrics.stop()
""",
        cwd=tmp_path,
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    greetings = next(line for line in lines if line["metric"] == "myapp.greetings")
    assert greetings["value"] == 1
    assert greetings["labels"] == {"instance": "one"}
    assert 'myapp_greetings_total{instance="one"} 1' in (tmp_path / "metrics.prom").read_text()
    assert not any(line["metric"] == "myapp.db.query" for line in lines)


def test_the_application_of_the_full_configuration_runs(tmp_path: Path) -> None:
    """``python wsgi_app.py`` serves the application and shows its metrics."""
    site, page = copy_wsgi_app(tmp_path)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "wsgi_app.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        try:
            assert wait_for(lambda: get(f"http://127.0.0.1:{site}/"), "the site") == b"Hello.\n"
            text = wait_for(lambda: get(f"http://127.0.0.1:{page}/metrics"), "the page").decode()
        finally:
            process.kill()
    assert 'myapp_greetings_total{instance="one"} 1' in text


def test_testing_your_code_passes(tmp_path: Path) -> None:
    """The tests in the example pass where only appmetrics is installed."""
    found = any(point.name == "appmetrics" for point in entry_points(group="pytest11"))
    plugin = [] if found else ["-p", "appmetrics.testing.plugin"]
    file = shutil.copy(EXAMPLES / "testing_your_code.py", tmp_path)
    options = ["-p", "no:cacheprovider", "-W", "error", *plugin]
    assert "3 passed" in run("-m", "pytest", *options, str(file), cwd=tmp_path)


# -- custom_handler.py ---------------------------------------------------------


class Agent:
    """Takes datagrams at a Unix socket, in a thread."""

    def __init__(self, path: Path) -> None:
        self.datagrams: list[bytes] = []
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        while (datagram := self._socket.recv(1 << 20)) != b"end":
            self.datagrams.append(datagram)

    def stop(self) -> None:
        """Close the socket and end the thread."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"end", str(self.path))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """A local agent."""
    agent = Agent(tmp_path_factory.mktemp("agent") / "agent.socket")
    yield agent
    agent.stop()


class TestUnixHandler(HandlerContract):
    """The stranger's handler keeps the contract of all handlers."""

    @pytest.fixture(autouse=True)
    def _agent(self, agent: Agent) -> None:
        self.agent = agent

    def make_handler(self, tmp_path: Path) -> Handler:
        """One that sends to this test's agent."""
        handler: Handler = load("custom_handler").UnixHandler(path=str(self.agent.path))
        return handler

    def received(self) -> list[str]:
        """One text for each line of each datagram."""
        return [
            line for datagram in self.agent.datagrams for line in datagram.decode().splitlines()
        ]


def test_the_stranger_needs_thirty_lines() -> None:
    """The custom handler is at most 30 lines long, imports and all."""
    assert len((EXAMPLES / "custom_handler.py").read_text().splitlines()) <= 30


def test_a_custom_handler_is_named_in_an_ini(tmp_path: Path) -> None:
    """custom_handler.ini finds the handler by its dotted path, and numbers arrive."""
    for name in ("custom_handler.py", "custom_handler.ini"):
        shutil.copy(EXAMPLES / name, tmp_path)
    agent = Agent(tmp_path / "agent.socket")
    try:
        run(
            "-c",
            "import appmetrics; appmetrics.get_meter('mine').counter('things').inc(3);"
            "appmetrics.configure('custom_handler.ini'); appmetrics.start()",
            cwd=tmp_path,
        )
    finally:
        agent.stop()
    documents = [json.loads(datagram) for datagram in agent.datagrams]
    assert [d["value"] for d in documents if d["metric"] == "mine.things"] == [3]


def test_the_index_of_a_riemann_is_printed(riemann: RiemannServer, tmp_path: Path) -> None:
    """riemann_index.py prints the events that a query finds, sorted."""
    with Client(port=riemann.port, timeout=servers.PATIENCE) as client:
        client.send(*(Event("web1", f"shop {name}", "ok", 1.5) for name in ("b", "a")), Event("x"))
    script = str(EXAMPLES / "riemann_index.py")
    printed = run(script, f"{riemann.host}:{riemann.port}", 'service =~ "shop %"', cwd=tmp_path)
    assert printed == "web1\tshop a\tok\t1.5\nweb1\tshop b\tok\t1.5\n"


def test_plain_scales_in_graphite(carbon: servers.Carbon, tmp_path: Path) -> None:
    """The launched scales application is in carbon, counted exactly, without a line changed."""
    for name in ("app.py", "launch.py", "metrics.ini"):
        shutil.copy(EXAMPLES / "scales_app" / name, tmp_path)
    ini = tmp_path / "metrics.ini"
    assert "appmetrics" not in (tmp_path / "app.py").read_text().partition('"""\n')[2]
    assert "port = 2003\n" in ini.read_text()
    ini.write_text(ini.read_text().replace("port = 2003\n", f"port = {carbon.port}\n"))
    run("launch.py", "app.py", "200", cwd=tmp_path)

    def total(path: str) -> float:
        return sum(carbon.points(f"legacy.mailer.{path}").values())

    wait_for(lambda: total("sent.count") == 160, "the mails sent")
    wait_for(lambda: total("refused.full.count") == 40, "the mails refused")
    wait_for(lambda: total("duration.count.count") == 200, "the count of durations")
    medians = wait_for(lambda: carbon.points("legacy.mailer.duration.median"), "a median")
    assert all(0.01 <= median < 1 for median in medians.values())
    assert carbon.refused() == []
