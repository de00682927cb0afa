"""examples/deployment: what can be run here without the tools that deploy."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

import servers
from appmetrics.config import check_file
from conftest import _or_skip
from servers import get, wait_for

EXAMPLES = Path(__file__).parent.parent / "examples"
DEPLOYMENT = EXAMPLES / "deployment"
#: The folders of ansible and batou hold Jinja templates.
INIS = [*DEPLOYMENT.rglob("metrics.ini*")]


@pytest.mark.parametrize("file", INIS, ids=lambda file: str(file.relative_to(DEPLOYMENT)))
def test_the_configurations_are_right(file: Path, tmp_path: Path) -> None:
    """With something in place of their variables, they have no error and no warning."""
    filled = tmp_path / "metrics.ini"
    filled.write_text(re.sub(r"\{\{.*?\}\}", "1", file.read_text()))
    checked = check_file(filled)
    assert (checked.problems, checked.warnings) == ((), ())


def test_the_readme_names_all() -> None:
    """Each folder is in the table."""
    text = (DEPLOYMENT / "README.md").read_text()
    folders = [path.name for path in DEPLOYMENT.iterdir() if path.is_dir()]
    assert len(folders) == 4
    assert [name for name in folders if f"]({name})" not in text] == []


def copied(folder: Path) -> int:
    """paste.ini, its application and the pre-fork files at free ports; that of the page."""
    page = servers.free_port()
    for file in (EXAMPLES / "pyramid_app.py", *(DEPLOYMENT / "pre_fork").iterdir()):
        shutil.copy(file, folder)
    text = (EXAMPLES / "paste.ini").read_text()
    assert text.count("127.0.0.1:9464\n") == text.count("port = 2003\n") == 1
    text = text.replace("127.0.0.1:9464\n", f"127.0.0.1:{page}\n")
    # Nobody is there, which is no reason not to start.
    text = text.replace("port = 2003\n", f"port = {servers.free_port()}\n")
    (folder / "paste.ini").write_text(text)
    return page


def expect_a_greeting(server: servers.WsgiServer, page: int) -> None:
    """The application answers, and the page says so."""
    assert get(f"{server.url}/hello/Ann") == b"Hello, Ann.\n"
    counted = 'status="2xx",view="/hello/{name}"} 1\n'
    # A request is counted when the server is done with it.
    wait_for(lambda: counted in get(f"http://{servers.HOST}:{page}/metrics").decode(), counted)


@pytest.mark.server
def test_the_procfile_starts_gunicorn(tmp_path: Path) -> None:
    """Its command line serves paste.ini at $PORT."""
    server = _or_skip(servers.Gunicorn, tmp_path, "")
    page = copied(tmp_path)
    command = (tmp_path / "Procfile").read_text().removeprefix("web: ")
    server.command = ["sh", "-c", f"exec {command}"]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    server.environ = {
        **server.environ, "PATH": path, "HOST": servers.HOST, "PORT": str(server.port)
    }  # fmt: skip
    with server:
        expect_a_greeting(server, page)


@pytest.mark.server
def test_the_ini_starts_uwsgi(tmp_path: Path) -> None:
    """uwsgi.ini serves paste.ini, beside which it is."""
    server = _or_skip(servers.UWSGI, tmp_path, "")
    page = copied(tmp_path)
    ini = tmp_path / "uwsgi.ini"
    assert ini.read_text().count("127.0.0.1:8080\n") == 1
    ini.write_text(ini.read_text().replace("127.0.0.1:8080\n", f"127.0.0.1:{server.port}\n"))
    program, *rest = server.command
    home = [option for option in rest if option.startswith("--home=")]
    server.command = [program, *home, "--ini", str(ini)]
    with server:
        expect_a_greeting(server, page)
