"""The in-flight table, stacks, the log of slow requests, and the profile."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from appmetrics.config import Configurator
from appmetrics.live import inflight
from appmetrics.live import profile as live_profile
from appmetrics.live import slow as slow_log
from appmetrics.live.inflight import TABLE, in_flight
from appmetrics.live.profile import Busy, collapsed, profile
from appmetrics.live.slow import SlowLog
from appmetrics.live.stacks import DEPTH, names, shown, stacks
from appmetrics.testing import World
from appmetrics.wsgi import Middleware, Request
from conftest import _or_skip
from servers import PATIENCE, need_module, wait_for
from wsgi_client import get

PLAIN = [("Content-Type", "text/plain")]


@pytest.fixture
def world() -> Iterator[World]:
    """A world whose reporter ends with the test."""
    world = World()
    yield world
    world.stop()


def mine(path: str) -> list[Request]:
    """What is in flight of a path that only one test asks for."""
    return [request for request in in_flight() if request.path == path]


# -- the table -----------------------------------------------------------------


def test_a_request_is_in_the_table_until_its_body_is_closed(world: World) -> None:
    """From the application's call on, and not a moment longer."""
    seen: list[list[Request]] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        seen.append(mine("/until"))
        start_response("200 OK", PLAIN)
        yield b"a"
        seen.append(mine("/until"))

    get(Middleware(app, reporter=world.reporter), "/until", QUERY_STRING="secret=1")
    assert [len(each) for each in seen] == [1, 1]
    assert seen[0][0].thread == threading.get_ident()
    assert mine("/until") == []


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_request_that_fails_leaves_the_table(world: World, error: type[BaseException]) -> None:
    """Whatever is raised, also what is no Exception."""

    def app(environ: Any, start_response: Any) -> Any:
        assert mine("/fails")
        raise error

    with pytest.raises(error):
        get(Middleware(app, reporter=world.reporter), "/fails")
    assert mine("/fails") == []


def test_a_body_that_is_dropped_leaves_the_table(world: World) -> None:
    """A server that never closes a generator, too, when it lets go of it."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"a"

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/dropped"}
    body = iter(Middleware(app, reporter=world.reporter)(environ, lambda *arguments: print))
    next(body)
    assert mine("/dropped")
    del body
    assert mine("/dropped") == []


def test_the_table_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for which there is no place is answered all the same."""
    monkeypatch.setattr("appmetrics.wsgi.middleware._MOST", 0)
    seen: list[Request] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.extend(mine("/bounded"))
        start_response("200 OK", PLAIN)
        return [b"ok"]

    assert get(Middleware(app, reporter=world.reporter), "/bounded") == ("200 OK", "ok")
    assert seen == []


def test_a_child_forked_off_a_request_has_none_in_flight(world: World) -> None:
    """Neither before its first request, nor from its parent when it has one of its own."""
    answers: list[int] = []

    def inner(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/forking":
            child = os.fork()
            if not child:
                status = 9
                with contextlib.suppress(BaseException):
                    none = not in_flight()
                    get(app, "/own")
                    status = 0 if none and own == [1] and not in_flight() else 1
                os._exit(status)
            answers.append(os.waitpid(child, 0)[1])
        else:
            own.append(len(in_flight()))
        start_response("200 OK", PLAIN)
        return [b"ok"]

    own: list[int] = []
    app = Middleware(inner, reporter=world.reporter)
    get(app, "/forking")
    assert answers == [0]


# -- stacks --------------------------------------------------------------------


class Waiting:
    """A thread that waits in a method known by name, from which it can be let go."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        # No event, in whose methods it would be at one moment here, at the next one there.
        self._go = threading.Lock()
        self._go.acquire()
        self.thread = threading.Thread(target=self.wait_here, name="waiting;one", daemon=True)

    def __enter__(self) -> Waiting:
        self.thread.start()
        wait_for(lambda: "# where it waits" in shown(stacks({self.ident})[self.ident]), "the wait")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._go.release()
        self.thread.join(PATIENCE)

    def wait_here(self, deeper: int = 0) -> None:
        """Wait, so many calls deep."""
        if deeper < self._depth:
            self.wait_here(deeper + 1)
        else:
            self._go.acquire(timeout=PATIENCE)  # where it waits

    @property
    def ident(self) -> int:
        """The thread's identifier."""
        assert self.thread.ident is not None
        return self.thread.ident


def test_a_stack_says_where_a_thread_is_with_the_line_of_the_source() -> None:
    """File, line, function and the line itself, innermost last."""
    with Waiting() as waiting:
        stack = stacks({waiting.ident})[waiting.ident]
        text = shown(stack)
        assert names()[waiting.ident] == "waiting;one"
    assert text.index("in Waiting.wait_here" if sys.version_info >= (3, 11) else "in wait_here")
    assert "self._go.acquire(timeout=PATIENCE)  # where it waits" in text
    assert f'File "{__file__}", line ' in text


def test_of_a_deep_stack_the_innermost_lines_are_shown() -> None:
    """The rest is said to be missing."""
    with Waiting(depth=2 * DEPTH) as waiting:
        stack = stacks({waiting.ident})[waiting.ident]
        text = shown(stack)
    assert len(stack) == DEPTH
    assert f"the innermost {DEPTH} lines" in text
    assert "where it waits" in text


# -- the log of slow requests --------------------------------------------------


class Slow:
    """A slow log and requests that began long ago."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        self.world = World()
        self.log = SlowLog(self.world.hierarchy)
        self.log.set(5.0, 10.0)
        self.requests: list[Request] = []
        #: The time, which stands still.
        self.now = perf_counter()

    def begin(self, age: float, path: str = "/slow", thread: int = 0) -> Request:
        """A request that began so many seconds ago."""
        request = Request("GET", path)
        request.started = self.now - age
        request.view = "cart"
        if thread:
            request.thread = thread
        TABLE[id(request)] = request
        self.requests.append(request)
        return request

    def end(self, request: Request) -> None:
        """The request is over."""
        request.finished = True
        TABLE.pop(id(request), None)

    def look(self) -> list[str]:
        """What is logged now about these requests."""
        self.caplog.clear()
        self.log.look()
        return [r.getMessage() for r in self.caplog.records if r.name == "appmetrics.slow"]


@pytest.fixture
def slow(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """A slow log; the table has what the test puts in."""
    monkeypatch.setattr(inflight, "_pid", os.getpid())
    TABLE.clear()  # of what other tests may have left in flight
    setting = Slow(caplog)
    monkeypatch.setattr(slow_log, "perf_counter", lambda: setting.now)
    yield setting
    for request in setting.requests:
        setting.end(request)


def test_a_slow_request_is_logged_with_the_stack_of_its_thread(slow: Slow) -> None:
    """Method, path, view, age, thread and where that is, as a warning."""
    with Waiting() as waiting:
        slow.begin(7.0, thread=waiting.ident)
        slow.begin(4.0, "/quick", thread=waiting.ident)
        (text,) = slow.look()
    first, _, rest = text.partition("\n")
    assert re.fullmatch(
        rf"GET /slow \(view cart\) has been running for 7\S* s in thread {waiting.ident}"
        r" \(waiting;one\):",
        first,
    )
    assert "self._go.acquire(timeout=PATIENCE)  # where it waits" in rest
    assert [r.levelno for r in slow.caplog.records] == [logging.WARNING]


def test_it_is_logged_once_per_interval_and_the_same_stack_once(slow: Slow) -> None:
    """Nothing more in the same interval; then that nothing has changed; then what has."""
    with Waiting() as waiting:
        request = slow.begin(7.0, thread=waiting.ident)
        assert "where it waits" in slow.look()[0]
        assert slow.look() == []
        slow.log.interval = 0.0
        (again,) = slow.look()
        assert again.endswith("; the same stack as before")
        with Waiting(depth=1) as elsewhere:
            request.thread = elsewhere.ident
            assert "where it waits" in slow.look()[0]


def test_a_request_that_ends_meanwhile_is_not_logged(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread may be at another one by then, whose stack would be wrong."""
    request = slow.begin(7.0)

    def ending(wanted: Any) -> Any:
        found = stacks(wanted)
        slow.end(request)
        return found

    monkeypatch.setattr(slow_log, "stacks", ending)
    assert slow.look() == []


def test_what_runs_in_no_known_thread_is_logged_without_a_stack(slow: Slow) -> None:
    """And the log says so."""
    slow.begin(7.0, thread=1)
    assert "where it is can't be seen" in slow.look()[0]


def test_a_path_cannot_forge_lines_of_the_log(slow: Slow) -> None:
    """What a client sends stays on one line, and is cut."""
    slow.begin(7.0, "/a\nERROR forged \x1b[31m" + "x" * 1000, thread=1)
    (text,) = slow.look()
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 500


def test_very_many_are_a_number(slow: Slow) -> None:
    """The longest are logged with their stack, of the others how many they are; once."""
    for _ in range(slow_log.MOST + 30):
        slow.begin(7.0, thread=1)
    lines = slow.look()
    assert len(lines) == slow_log.MOST + 1
    assert lines[-1] == "30 more requests take longer than 5 s"
    assert slow.look() == []


def test_a_slow_request_is_counted_once(slow: Slow) -> None:
    """http.slow, by method and view, however often it is logged."""
    slow.begin(7.0, thread=1)
    slow.log.interval = 0.0
    with slow.world.capture() as now:
        slow.begin(7.0, thread=1)
        slow.look()
        slow.look()
        assert now.value("http.slow", method="GET", view="cart") == 2


def test_a_name_that_is_taken_only_costs_the_counter(
    slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    """An application's own http.slow stays what it is, with an error in the log."""
    slow.world = World()
    slow.world.meter("http").gauge("slow").set(3)
    slow.log = SlowLog(slow.world.hierarchy)
    slow.log.set(5.0, 10.0)
    assert "are not counted" in caplog.text
    slow.begin(7.0, thread=1)
    assert len(slow.look()) == 1


def test_what_is_over_is_forgotten(slow: Slow) -> None:
    """The log keeps nothing of requests that have ended."""
    request = slow.begin(7.0, thread=1)
    slow.look()
    assert len(slow.log._told) == 1
    slow.end(request)
    slow.look()
    assert slow.log._told == {}


def test_the_configuration_turns_it_on_and_off(world: World, slow: Slow) -> None:
    """slow_timeout, which is off by default; the counter exists only with it."""
    slow.begin(7.0, thread=1)
    configurator = Configurator(world.hierarchy, world.reporter)

    def logged(**options: Any) -> int:
        configurator.dict_config({"metrics": options})
        slow.caplog.clear()
        for job in world.reporter.jobs:
            job()
        return len([r for r in slow.caplog.records if r.name == "appmetrics.slow"])

    assert logged() == 0
    assert "http.slow" not in world.hierarchy.registry.instruments
    assert logged(slow_timeout="5 s") == 1
    assert logged(slow_timeout="5 s", slow_interval="1 h") == 0
    assert logged() == 0
    assert world.reporter.jobs == []


@pytest.mark.server
def test_greenlets_are_found_where_they_wait(tmp_path: Path) -> None:
    """Under gevent each request has the stack of its own greenlet, in the log and on a page."""
    _or_skip(need_module, "gevent")
    script = tmp_path / "script.py"
    script.write_text(
        """
import gevent.monkey
gevent.monkey.patch_all()
import logging, sys, time
import gevent
import appmetrics
from appmetrics.live.profile import profile
from appmetrics.reporter import reporter
from appmetrics.wsgi import Middleware

logging.basicConfig(stream=sys.stdout, format="%(message)s")
appmetrics.dict_config({"metrics": {"slow_timeout": 0.01}})

def first():
    gevent.sleep(60)  # the first one waits

def second():
    gevent.sleep(60)  # the second one waits

def busy():
    while True:
        sum(range(1000))
        gevent.sleep(0)

def app(environ, start_response):
    {"/first": first, "/second": second}[environ["PATH_INFO"]]()

app = Middleware(app)
for path in ("/first", "/second"):
    gevent.spawn(app, {"REQUEST_METHOD": "GET", "PATH_INFO": path}, None)
gevent.sleep(0.05)
for job in reporter.jobs:
    job()
sys.stdout.flush()
gevent.spawn(busy)
end = time.monotonic() + 60
while not (found := any(":busy" in stack for stack in profile(0.3))):
    assert time.monotonic() < end
print("profile", found)
"""
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    one, two = re.findall(r"^GET /\w+(?:.|\n)*?(?=^GET|^profile)", done.stdout, re.MULTILINE)
    assert one.startswith("GET /first")
    assert "# the first one waits" in one
    assert "# the second one waits" not in one
    assert "# the second one waits" in two
    assert done.stdout.endswith("profile True\n")


# -- the profile ---------------------------------------------------------------


def test_a_profile_is_collapsed_stacks_of_all_other_threads() -> None:
    """Thread, functions from the outermost on, and a count; nothing that breaks the form."""
    with Waiting(depth=1) as waiting:
        samples = profile(0.3)
        ident = waiting.ident
    assert ident
    lines = collapsed(samples).splitlines()
    for line in lines:
        assert re.fullmatch(r"[^\s;]+(;[^\s;]+)* [1-9]\d*", line), line
    counts = [int(line.rpartition(" ")[2]) for line in lines]
    assert counts == sorted(counts, reverse=True)
    (found,) = [line for line in lines if line.startswith("waiting_one;")]
    assert re.search(r"test_live:(Waiting\.)?wait_here;test_live:(Waiting\.)?wait_here ", found)
    assert not [line for line in lines if "live.profile" in line]


@contextlib.contextmanager
def profiling() -> Iterator[None]:
    """A profile is being taken in another thread, for as long as this lasts."""
    begun, over = threading.Event(), threading.Event()

    def sampled(seconds: float) -> Counter[str]:
        begun.set()
        over.wait(PATIENCE)
        return Counter()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_profile, "_sampled", sampled)
        thread = threading.Thread(target=profile, args=(1.0,))
        thread.start()
        assert begun.wait(PATIENCE)
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)


def test_one_profile_at_a_time() -> None:
    """A second one is refused, until the first is over."""
    with profiling(), pytest.raises(Busy):
        profile(0.001)
    with Waiting():
        assert profile(0.1)


def test_a_child_forked_in_a_profile_can_take_its_own() -> None:
    """The parent's goes on only in the parent."""
    with profiling():
        child = os.fork()
        if not child:
            status = 1
            with contextlib.suppress(BaseException):
                profile(0.01)
                status = 0
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
