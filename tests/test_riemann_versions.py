"""appmetrics.riemann with the oldest and the newest protobuf, each in an environment of its own.

With the interpreter that runs the tests; tox brings the others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import appmetrics
import servers
from conftest import _or_skip
from riemann_server import RiemannServer

PACKAGE = Path(appmetrics.__file__).parent
OLDEST, NEWEST = "protobuf==3.20.0", "protobuf"
#: With the package pkg_resources in it, and without.
SETUPTOOLS = {OLDEST: ["setuptools<82"], NEWEST: []}

PROGRAM = """
import json, sys
before = set(sys.modules)
from appmetrics.riemann import Client, Event
from appmetrics.handlers.riemann import RiemannHandler
from appmetrics.testing import World
found = {name.partition(".")[0] for name in set(sys.modules) - before}
world = World()
world.meter().add_handler(RiemannHandler(port=int(sys.argv[1]), event_host="web1"))
for name, value in (("a", 2**53 - 1), ("b", 0.1), ("c", -1e-300), ("d", 1e300)):
    world.meter("exact").gauge(name).set(value)
world.advance(10)
world.stop()
with Client(port=int(sys.argv[1])) as client:
    client.send(Event("h", "sent", "ok", -5, attributes={"k": "v"}, ttl=1e9))
    (sent,) = client.query('service = "sent"')
import google.protobuf
print(json.dumps({
    "strange": sorted(found - {"appmetrics", "google", "greplin", "six"} - sys.stdlib_module_names),
    "sent": [sent.host, sent.state, sent.metric, sent.attributes],
    "protobuf": google.protobuf.__version__,
}))
"""

APPLICATION = """
import appmetrics.riemann.messages as ours
import bernhard
assert bernhard.pb.__name__ == "bernhard.proto_pb2", bernhard.pb.__name__
event = bernhard.Event(params={"host": "h", "metric": 1.5})
assert type(event.event) is not ours.Event
"""


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python with one protobuf, and nothing else but what appmetrics needs."""

    def made(protobuf: str) -> Path:
        folder = tmp_path_factory.mktemp("protobuf")
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        wanted = ["bernhard", "scales", "six", protobuf, *SETUPTOOLS[protobuf]]
        installed = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", *wanted],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if installed.returncode:
            raise servers.MissingServer("bernhard and protobuf")
        return python

    # By itself: beside it there may be this interpreter's protobuf.
    path = tmp_path_factory.mktemp("path")
    (path / PACKAGE.name).symlink_to(PACKAGE)

    def run(protobuf: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(_or_skip(made, protobuf)), "-c", *arguments],
            env={**os.environ, "PYTHONPATH": str(path)},
            cwd=tmp_path_factory.getbasetemp(),
            capture_output=True,
            text=True,
            timeout=servers.PATIENCE,
            check=False,
        )

    return run


@pytest.mark.slow
@pytest.mark.parametrize("protobuf", [OLDEST, NEWEST])
def test_each_protobuf_works(
    environment: Callable[..., subprocess.CompletedProcess[str]],
    riemann: RiemannServer,
    protobuf: str,
) -> None:
    """Numbers arrive as they are, the index can be asked, and sys.modules is as it was."""
    done = environment(protobuf, PROGRAM, str(riemann.port))
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["strange"] == []
    assert result["sent"] == ["h", "ok", -5, {"k": "v"}]
    assert result["protobuf"].startswith("3.20.") == (protobuf == OLDEST)
    metrics = {event.service: repr(event.metric) for event in riemann.events if event.state is None}
    assert {name: metrics[f"exact {name}"] for name in "abcd"} == {
        "a": repr(2**53 - 1), "b": "0.1", "c": "-1e-300", "d": "1e+300"
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="no protobuf 3 with its own bernhard")
def test_an_application_keeps_its_own_bernhard(
    environment: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Where bernhard works by itself, who imports it gets it as it is."""
    done = environment(OLDEST, APPLICATION)
    assert done.returncode == 0, done.stderr
