"""The heartbeat of an application instance, and when its reporter starts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from appmetrics.handlers.memory import MemoryHandler
from appmetrics.testing import World
from appmetrics.wsgi import Middleware
from conftest import _or_skip
from servers import (
    PATIENCE,
    UWSGI,
    Gunicorn,
    Waitress,
    WsgiServer,
    get,
    need_module,
    untraced,
    wait_for,
    whole_lines,
)

TESTS = Path(__file__).parent
PATH = (TESTS, TESTS.parent)


def nothing(environ: object, start_response: object) -> list[bytes]:
    """No application is asked here."""
    return []


@pytest.fixture
def world() -> World:
    """A world with one handler and a middleware."""
    world = World()
    world.meter().add_handler(MemoryHandler(name="memory"))
    Middleware(nothing, reporter=world.reporter)
    return world


def memory(world: World) -> MemoryHandler:
    """The handler."""
    handler = world.reporter.routes()[0].handler
    assert isinstance(handler, MemoryHandler)
    return handler


def beats(world: World, name: str = "appserver") -> list[tuple[object, str]]:
    """Value and description of each state of this name that the handler got."""
    samples = [s for s in memory(world).samples if s.series.name == name]
    return [(s.value.state, s.value.description) for s in samples]


# -- what it says --------------------------------------------------------------


def test_it_is_ok_in_every_round_and_always_says_the_same(world: World) -> None:
    """One state a round, whose description names the process and doesn't change."""
    world.advance(30)
    said = beats(world)
    assert len(said) == 3
    assert len(set(said)) == 1
    assert said[0][0] == "ok"
    assert re.fullmatch(r"pid \d+, Python [\d.]+\S*, since \S+ \S+ UTC", said[0][1])


def test_without_a_middleware_there_is_none() -> None:
    """A script has no heartbeat."""
    world = World()
    world.meter().add_handler(MemoryHandler(name="memory"))
    world.advance(20)
    assert beats(world) == []


def test_another_name_takes_its_place(world: World) -> None:
    """The old state is silent from then on, the new one beats."""
    world.advance(10)
    world.reporter.heartbeat = "shop.instance"
    world.advance(20)
    assert len(beats(world)) == 1
    assert len(beats(world, "shop.instance")) == 2


def test_it_can_be_turned_off(world: World) -> None:
    """Without a name there is none."""
    world.reporter.heartbeat = ""
    world.advance(20)
    assert beats(world) == []


def test_a_name_that_is_taken_is_one_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A counter of that name stays what it is, and the log says so once."""
    world.meter().counter("appserver").inc()
    world.advance(30)
    assert [r.getMessage() for r in caplog.records if "heartbeat" in r.getMessage()] != []
    assert len(caplog.records) == 1


def test_two_middlewares_have_one(world: World) -> None:
    """It is the process' heartbeat, not the middleware's."""
    Middleware(nothing, reporter=world.reporter)
    world.advance(20)
    assert len(beats(world)) == 2


# -- when it begins ------------------------------------------------------------


def lines_in(file: Path) -> list[dict[str, Any]]:
    """The heartbeats in a file that is being written."""
    return [json.loads(line) for line in whole_lines(file) if '"appserver"' in line]


def said_by(file: Path) -> Counter[int]:
    """How often each process has said that it is there."""
    return Counter(int(re.findall(r"pid (\d+)", each["description"])[0]) for each in lines_in(file))


def configured(
    folder: Path, server: type[WsgiServer], *options: str, reporter: str = "each"
) -> WsgiServer:
    """A server of the site, configured to write to the file ``beats`` each second."""
    config = folder / "metrics.ini"
    config.write_text(
        f"[metrics]\ninterval = 1\nhandlers = log\nreporter = {reporter}\n\n"
        f"[metrics.handler.log]\nclass = file\npath = {folder / 'beats'}\n"
    )
    application = "live_site:application"
    made = _or_skip(lambda: server(folder / "server", application, *options, path=PATH))
    made.environ = {**made.environ, "APPMETRICS_CONFIG": str(config)}
    return made


@pytest.mark.server
@pytest.mark.parametrize(
    ("server", "options"),
    [
        (Waitress, ()),
        (Gunicorn, ("--workers=2",)),
        (Gunicorn, ("--workers=2", "--preload")),
        (Gunicorn, ("--workers=2", "--preload", "--worker-class=gthread", "--threads=2")),
        (Gunicorn, ("--workers=2", "--worker-class=gevent")),
        (UWSGI, ("--processes=2", "--lazy-apps", "--enable-threads")),
        (UWSGI, ("--processes=2", "--enable-threads")),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else " ".join(value),
)
def test_it_beats_before_the_first_request_and_not_in_a_master(
    tmp_path: Path, server: type[WsgiServer], options: tuple[str, ...]
) -> None:
    """Every worker reports within seconds of its start, and no other process."""
    if "--worker-class=gevent" in options:
        _or_skip(need_module, "gevent")
    workers = 1 if server is Waitress else 2
    beats = tmp_path / "beats"
    with configured(tmp_path, server, *options) as site:
        wait_for(
            lambda: len(said_by(beats)) == workers and min(said_by(beats).values()) >= 2,
            f"two beats of {workers} processes",
            timeout=PATIENCE,
        )
        assert site.process is not None
        assert (site.process.pid in said_by(beats)) == (server is Waitress)
        assert len(said_by(beats)) == workers


@pytest.mark.server
@pytest.mark.parametrize(
    ("server", "options"),
    [(Gunicorn, ("--workers=2", "--preload")), (UWSGI, ("--processes=2", "--enable-threads"))],
    ids=lambda value: value.__name__ if isinstance(value, type) else " ".join(value),
)
def test_workers_that_share_their_numbers_have_one_heartbeat(
    tmp_path: Path, server: type[WsgiServer], options: tuple[str, ...]
) -> None:
    """The leader sends it, before the first request, and it is no master's."""
    beats = tmp_path / "beats"
    with configured(tmp_path, server, *options, reporter="leader") as site:
        wait_for(lambda: sum(said_by(beats).values()) >= 3, "three beats")
        assert site.process is not None
        assert site.process.pid not in said_by(beats)
        said = [each["@timestamp"] for each in lines_in(beats)]
        assert len(said) == len(set(said))


class Development(WsgiServer):
    """Flask's own server, which starts itself again in a second process, with a reloader."""

    def program(self) -> list[str]:
        """Run by flask's command."""
        need_module("flask")
        flask = [sys.executable, "-m", "flask", "--app", "live_flask", "run", "--debug"]
        return [*flask, f"--port={self.port}"]


def test_the_reloader_of_a_server_for_development_is_no_instance(tmp_path: Path) -> None:
    """Of its two processes, which both make the application, the one that serves reports."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "live_flask.py").write_text(
        "import flask\n"
        "from appmetrics.contrib.flask import AppMetrics\n"
        "app = flask.Flask(__name__)\n"
        "AppMetrics(app)\n"
    )
    with configured(tmp_path, Development) as site:
        beats = wait_for(lambda: max(said_by(tmp_path / "beats").values(), default=0) >= 2)
        assert beats
        assert site.process is not None
        (pid,) = said_by(tmp_path / "beats")
        assert pid != site.process.pid


@pytest.mark.server
def test_where_gevent_comes_after_the_fork_the_first_request_begins(tmp_path: Path) -> None:
    """The application answers, and reports from then on: no thread from before is in the way."""
    _or_skip(need_module, "gevent")
    options = ("--workers=1", "--preload", "--worker-class=gevent")
    with configured(tmp_path, Gunicorn, *options) as site:
        assert get(f"{site.url}/calm") == b"calm"
        wait_for(lambda: sum(said_by(tmp_path / "beats").values()) >= 2, "two beats")
        assert get(f"{site.url}/calm") == b"calm"
        assert "Traceback" not in site.log.read_text()


#: Begins a script that looks for a server a hundred times a second.
QUICK = """
import os, sys, threading, time
from appmetrics.handlers.null import NullHandler
from appmetrics.reporter import reporter
from appmetrics.wsgi import Middleware, starting

looks = []
serving = starting.serving

def looked():
    looks.append(os.getpid())
    return serving()

starting.serving = looked
starting.PERIOD = 0.01
# Whatever takes long on a busy machine.
starting.PAUSE = reporter.flush_timeout = 60
reporter.hierarchy.get_meter().add_handler(NullHandler())

def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)

def application(environ, start_response):
    start_response("200 OK", [])
    return []

application = Middleware(application)
"""


def run(script: str) -> str:
    """What a script prints that begins with `QUICK`."""
    command = [sys.executable, "-W", "error", "-c", QUICK + script]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=2 * PATIENCE, env=untraced()
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_script_that_only_makes_the_application_starts_nothing() -> None:
    """A shell, a task queue, a command of a framework: no server, no reporter."""
    assert run("wait_for(lambda: len(looks) > 5); print(reporter.started)") == "False"


def test_a_server_for_development_is_recognised() -> None:
    """wsgiref's loop in the main thread is one."""
    script = """
from wsgiref.simple_server import make_server
server = make_server("127.0.0.1", 0, application)

def end():
    wait_for(lambda: reporter.started)
    server.shutdown()

threading.Thread(target=end).start()
server.serve_forever()
print(reporter.started)
"""
    assert run(script) == "True"


def test_a_fork_finds_no_thread_of_ours_and_both_sides_go_on_looking() -> None:
    """Python warns of a fork with threads; parent and child look on afterwards."""
    script = """
os.register_at_fork(before=lambda: None)
wait_for(lambda: looks)
starting._starter.pause()
print(threading.active_count())
starting._starter.resume()
child = os.fork()
looks.clear()
wait_for(lambda: looks)
if not child:
    os._exit(0)
print(os.waitpid(child, 0)[1], set(looks) == {os.getpid()})
"""
    assert run(script) == "1\n0 True"


def test_a_child_of_a_process_that_has_begun_does_not_look() -> None:
    """A helper forked off an application instance is no instance."""
    script = """
list(application({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *arguments: None))
assert reporter.started
reporter.stop()
child = os.fork()
if not child:
    os._exit(len(threading.enumerate()) - 1 + len(starting._starter._waiting))
print(os.waitpid(child, 0)[1])
"""
    assert run(script) == "0"


def test_a_process_of_multiprocessing_is_no_instance() -> None:
    """Not even if its parent's server is on the stack that it was forked with."""
    script = """
import multiprocessing, socketserver

context = multiprocessing.get_context("fork")
def child(queue):
    queue.put(serving())

class Forking(socketserver.TCPServer):
    def service_actions(self):
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        process.join()
        print(serving(), queue.get())
        self._BaseServer__shutdown_request = True

starting._starter._waiting.clear()
starting._starter.pause()
with Forking(("127.0.0.1", 0), None) as server:
    server.serve_forever(0.01)
"""
    assert run(script) == "True False"


def test_waiting_keeps_no_reporter_alive() -> None:
    """What nobody else refers to is gone, and so is the thread that waited for it."""
    script = """
import gc
from appmetrics.testing import World
world = World()
Middleware(application, reporter=world.reporter)
looks.clear()
wait_for(lambda: len(looks) > 1)
del world, application, reporter.jobs[:]
starting._starter._waiting.pop(0)

def over():
    gc.collect()
    return threading.active_count() == 1

wait_for(over)
print(starting._starter._still_waiting())
"""
    assert run(script) == "[]"
