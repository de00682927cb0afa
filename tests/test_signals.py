"""The signals that an operator may ask for, on a real server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appmetrics.config import Configurator
from appmetrics.errors import ConfigError
from appmetrics.testing import World
from conftest import _or_skip
from servers import HOST, PATIENCE, Waitress, wait_for

TESTS = Path(__file__).parent


@pytest.fixture
def waitress(tmp_path: Path) -> Iterator[Callable[[str], Waitress]]:
    """A waitress with these lines in [metrics], that writes to ``lines`` once an hour."""
    servers = []

    def start(lines: str) -> Waitress:
        config = tmp_path / "metrics.ini"
        config.write_text(
            f"[metrics]\ninterval = 1h\nhandlers = lines\n{lines}\n\n"
            f"[metrics.handler.lines]\nclass = file\npath = {tmp_path / 'lines'}\n"
        )
        path = (TESTS, TESTS.parent)
        make = lambda: Waitress(tmp_path / "site", "live_site:application", path=path)  # noqa: E731
        server = _or_skip(make)
        server.environ = {**server.environ, "APPMETRICS_CONFIG": str(config)}
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop(kill=True)


def ask(server: Waitress, path: str) -> socket.socket:
    """A connection on which a page was asked for."""
    client = socket.create_connection((HOST, server.port), timeout=PATIENCE)
    client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    return client


def test_sigterm_ends_with_the_last_round(
    waitress: Callable[[str], Waitress], tmp_path: Path
) -> None:
    """What was counted since the last round is written, and the process ends well."""
    server = waitress("sigterm = exit")
    with ask(server, "/calm") as client, client.makefile("rb") as answer:
        assert answer.read()  # to its end, which comes when the request has been counted
    assert server.process is not None
    server.process.terminate()
    assert server.process.wait(PATIENCE) == 0
    assert '"http.requests"' in (tmp_path / "lines").read_text()


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="faulthandler shows one thread only where there is no GIL",
)
def test_a_signal_shows_where_all_threads_are(waitress: Callable[[str], Waitress]) -> None:
    """On stderr, by faulthandler; the process goes on."""
    server = waitress("faulthandler_signal = SIGUSR1")
    with ask(server, "/hang"), ask(server, "/calm") as calm:
        assert calm.recv(1000)
        assert server.process is not None

        def dumped() -> bool:
            assert server.process is not None
            server.process.send_signal(signal.SIGUSR1)
            return "live_site.py" in server.log.read_text()

        wait_for(dumped)
        with ask(server, "/calm") as again:
            assert again.recv(1000)


def test_without_being_asked_no_signal_is_touched() -> None:
    """By default, and where a server has its own idea of SIGTERM."""
    script = """
import faulthandler, signal
import appmetrics
def handlers():
    return [signal.getsignal(each) for each in signal.valid_signals()]
before = handlers()
appmetrics.dict_config({"metrics": {}})
print(handlers() == before)
own = lambda *arguments: None
signal.signal(signal.SIGTERM, own)
appmetrics.dict_config({"metrics": {"sigterm": "exit", "faulthandler_signal": "usr2"}})
print(signal.getsignal(signal.SIGTERM) is own)
print(faulthandler.unregister(signal.SIGUSR2))
signal.signal(signal.SIGTERM, signal.SIG_DFL)
appmetrics.dict_config({"metrics": {"sigterm": "exit"}})
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
appmetrics.dict_config({"metrics": {}})
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True", "True", "False", "True"]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGNONE", "9"])
def test_not_every_signal_will_do(name: str) -> None:
    """One that can't be caught or has a meaning is refused, with an example of one that can."""
    world = World()
    with pytest.raises(ConfigError, match="expected a signal such as SIGUSR1"):
        Configurator(world.hierarchy, world.reporter).dict_config(
            {"metrics": {"faulthandler_signal": name}}
        )
