"""The debug pages: what they show, to whom, and that it is no secret."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import appmetrics
from appmetrics.config import Configurator
from appmetrics.contrib import common
from appmetrics.errors import ConfigError
from appmetrics.handlers.http import HttpHandler
from appmetrics.options import Option, text
from appmetrics.testing import World
from appmetrics.wsgi import Middleware
from appmetrics.wsgi.debug import DebugApp
from conftest import _or_skip
from servers import HOST, PATIENCE, Gunicorn, Waitress, free_port, wait_for
from wsgi_client import get

TESTS = Path(__file__).parent
#: What waitress has by itself.
THREADS = 4
TOKEN = "it's me"
PAGES = ("", "requests", "threads", "profile", "vars", "gc")


@pytest.fixture
def world() -> Iterator[World]:
    """A world whose handlers end with the test."""
    world = World()
    yield world
    world.stop()


def bearer(token: str = TOKEN) -> dict[str, str]:
    """What a request gives a token with."""
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def pages(world: World) -> DebugApp:
    """The pages as the http handler has them, for this machine only."""
    return DebugApp(own_listener=True, reporter=world.reporter)


# -- to whom -------------------------------------------------------------------


def hello(environ: Any, start_response: Any) -> list[bytes]:
    """The application."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application"]


def test_they_are_off_by_default(world: World) -> None:
    """Without the option the application answers."""
    app = Middleware(hello, metrics="/metrics", token=TOKEN, reporter=world.reporter)
    assert get(app, "/debug/requests", **bearer()) == ("200 OK", "the application")
    assert HttpHandler().debug is None


def test_behind_the_application_they_need_a_token(world: World) -> None:
    """Without one the middleware can't be made; a request without it is refused."""
    with pytest.raises(ValueError, match="token: "):
        Middleware(hello, debug="/debug", reporter=world.reporter)
    app = Middleware(hello, debug="/debug", token=TOKEN, reporter=world.reporter)
    for page in PAGES[1:3]:
        assert get(app, f"/debug/{page}")[0].startswith("401")
        assert get(app, f"/debug/{page}", **bearer("it's him"))[0].startswith("401")
        assert get(app, f"/debug/{page}", **bearer())[0] == "200 OK"
    password = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    assert get(app, "/debug/", HTTP_AUTHORIZATION=f"Basic {password}")[0] == "200 OK"
    assert get(app, "/debugging") == ("200 OK", "the application")


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"])
def test_what_a_proxy_forwarded_is_refused(world: World, header: str) -> None:
    """Also with the token, and on a listener of our own."""
    app = Middleware(hello, debug="/debug", token=TOKEN, reporter=world.reporter)
    assert get(app, "/debug/requests", **bearer(), **{header: "x"})[0] == "403 Forbidden"
    assert get(pages(world), "/debug/requests", **{header: "x"})[0] == "403 Forbidden"


def test_networks_hold_for_them_too(world: World) -> None:
    """allow is asked, beside the token."""
    app = Middleware(
        hello, debug="/debug", token=TOKEN, allow=["10.0.0.0/8"], reporter=world.reporter
    )
    assert get(app, "/debug/gc", **bearer(), REMOTE_ADDR="192.0.2.1")[0] == "403 Forbidden"
    assert get(app, "/debug/gc", **bearer(), REMOTE_ADDR="10.1.2.3")[0] == "200 OK"


@pytest.mark.parametrize("page", PAGES)
def test_only_get_and_head_are_answered(world: World, page: str) -> None:
    """Nothing can be sent to them; HEAD has no body."""
    arguments = {"QUERY_STRING": "seconds=0.01"}
    for method in ("POST", "PUT", "DELETE"):
        assert get(pages(world), f"/debug/{page}", method=method)[0].startswith("405")
    assert get(pages(world), f"/debug/{page}", method="HEAD", **arguments) == ("200 OK", "")


def test_a_page_in_a_browser_cannot_ask_by_a_name_of_its_own(world: World) -> None:
    """Without a token, a request must name this machine as loopback."""
    for host in ("localhost:9464", "127.0.0.1:9464", "[::1]:9464", "127.0.0.1"):
        assert get(pages(world), "/debug/gc", HTTP_HOST=host)[0] == "200 OK", host
    for host in ("rebound.example", "127.0.0.1.rebound.example:9464", "[::2]", ""):
        assert get(pages(world), "/debug/gc", HTTP_HOST=host)[0] == "403 Forbidden", host


def test_frameworks_have_the_option() -> None:
    """debug and token are options of all of them; one without the other is an error."""
    options = common.read({"debug": "/debug", "token": TOKEN}, "<test>")
    app = common.middleware(hello, options)
    try:
        assert get(app, "/debug/gc", **bearer())[0] == "200 OK"
    finally:
        appmetrics.stop()
    with pytest.raises(ConfigError, match="the debug pages need one"):
        common.middleware(hello, common.read({"debug": "/debug"}, "<test>"))


@pytest.mark.parametrize(
    ("listen", "right"),
    [
        ("127.0.0.1:0", True),
        ("[::1]:0", True),
        ("localhost:0", True),
        ("unix:/tmp/x", True),
        ("0.0.0.0:0", False),
        ("192.0.2.1:80", False),
        ("example.com:80", False),
    ],
)
def test_on_another_address_than_loopback_a_token_is_required(
    world: World, listen: str, right: bool
) -> None:
    """The configuration says so, naming the option; with a token it is right."""

    def configure(**more: str) -> None:
        options = {"class": "http", "listen": listen, "debug": "yes", **more}
        data = {"metrics": {"handlers": "page"}, "handlers": {"page": options}}
        Configurator(world.hierarchy, world.reporter).dict_config(data)

    with contextlib.nullcontext() if right else pytest.raises(ConfigError, match="token"):
        configure()
    configure(token=TOKEN)


def test_there_is_nothing_else(world: World) -> None:
    """An unknown page is a 404 that lists those that there are."""
    status, body = get(pages(world), "/debug/shell")
    assert status == "404 Not Found"
    assert [f"/debug/{page}" in body for page in PAGES[1:]] == [True] * 5
    assert get(pages(world), "/debug/requests/1")[0] == "404 Not Found"


# -- what they show ------------------------------------------------------------


def during(world: World, page: str, path: str = "/asked", **environ: Any) -> str:
    """A page as it is while the application answers a request, in its thread."""
    seen: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["appmetrics.request"].view = "<b>asking</b>"
        password = "never shown"
        query = {"QUERY_STRING": page.partition("?")[2]}
        seen.append(get(pages(world), f"/debug/{page.partition('?')[0]}", **query)[1])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [password.encode()]

    get(Middleware(app, reporter=world.reporter), path, **environ)
    return seen[0]


def test_requests_have_age_thread_method_path_view_and_stack(world: World) -> None:
    """As text and as JSON; the path without what the client sent with it."""
    sent = {"QUERY_STRING": "q=never", "HTTP_COOKIE": "c=never"}
    body = during(world, "requests", **sent)
    assert re.search(
        rf"^[\d.]+ \w+  GET /asked \(view <b>asking</b>\)  thread {threading.get_ident()} \(\S+\)$",
        body,
        re.MULTILINE,
    )
    assert "seen.append(get(pages(world)" in body
    assert "never" not in body
    rows = json.loads(during(world, "requests?format=json", **sent))
    (row,) = [row for row in rows if row["path"] == "/asked"]
    assert (row["method"], row["view"]) == ("GET", "<b>asking</b>")
    assert row["thread"] == threading.get_ident()
    assert row["stack"][-1]["file"].endswith("stacks.py")
    assert "never" not in json.dumps(row)


def test_threads_are_all_there_with_what_they_answer(world: World) -> None:
    """Each with its name and stack; the one of a request with that."""
    body = during(world, "threads")
    assert f"thread {threading.get_ident()} (" in body
    assert "GET /asked (view" in body
    assert "MainThread" in body
    rows = json.loads(get(pages(world), "/debug/threads", QUERY_STRING="format=json")[1])
    assert {row["thread"] for row in rows} >= {threading.get_ident()}


def test_pages_are_plain_text_that_no_browser_takes_for_more(world: World) -> None:
    """What a client wrote can't become a script, nor a line of its own."""
    headers: list[Any] = []
    DebugApp(own_listener=True, reporter=world.reporter)(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/debug/requests"},
        lambda status, given, exc_info=None: headers.extend(given),
    )
    assert ("Content-Type", "text/plain; charset=utf-8") in headers
    assert ("X-Content-Type-Options", "nosniff") in headers
    assert "\x1b" not in during(world, "requests", path="/a\x1b[31m")


@pytest.mark.parametrize("seconds", ["0", "-1", "31", "nan", "inf", "many", ""])
def test_a_profile_has_its_limits(world: World, seconds: str) -> None:
    """More than half a minute is refused, and what is no number."""
    answer = get(pages(world), "/debug/profile", QUERY_STRING=f"seconds={seconds}")
    if seconds:
        assert answer[0] == "400 Bad Request"
    else:
        assert answer[0] == "200 OK"  # as if it weren't there


def test_a_profile_is_text_for_flame_graphs(world: World) -> None:
    """A stack and a number on each line."""
    going = threading.Event()
    other = threading.Thread(target=going.wait, name="other", daemon=True)
    other.start()
    try:
        body = get(pages(world), "/debug/profile", QUERY_STRING="seconds=0.2")[1]
    finally:
        going.set()
        other.join(PATIENCE)
    assert re.fullmatch(r"(?:[^\s;]+(?:;[^\s;]+)* \d+\n)+", body)
    assert "other;threading:" in body


class Odd(HttpHandler):
    """A handler with options that may hold secrets without saying so."""

    OPTIONS = (
        *HttpHandler.OPTIONS,
        Option("url", text, ""),
        Option("api_key", text, ""),
    )

    def __init__(self, *, url: str = "", api_key: str = "", **more: Any) -> None:
        super().__init__(**more)
        self._url = url

    def target(self) -> str:
        """A careless one."""
        return self._url


def test_secrets_are_masked(world: World) -> None:
    """Options that are secrets, that are called so, and passwords in URLs, wherever they are."""
    handler = {
        "class": Odd,
        "token": "hidden-1",
        "api_key": "hidden-2",
        "url": "https://me:hidden-3@host/path",
        "listen": "127.0.0.1:0",
    }
    Configurator(world.hierarchy, world.reporter).dict_config(
        {
            "metrics": {"handlers": "page", "labels": "env=prod, db=pg://u:hidden-4@db/x"},
            "handlers": {"page": handler},
            "meters": {"shop": {"labels": "secret_label=hidden-5"}},
        }
    )
    route = world.reporter.routes()[0]
    route.handler.count_failure("https://me:hidden-6@host does not answer")
    status, body = get(pages(world), "/debug/vars")
    assert status == "200 OK"
    assert "hidden" not in body
    shown = json.loads(body)
    page = shown["configuration"]["handlers"]["page"]
    assert (page["token"], page["api_key"]) == ("...", "...")
    assert page["url"] == "https://me:...@host/path"
    assert shown["configuration"]["metrics"]["labels"]["env"] == "prod"
    assert shown["handlers"][0]["last_error"] == "https://me:...@host does not answer"
    assert shown["handlers"][0]["queue"] == 0


def test_vars_are_there_without_a_configuration(world: World) -> None:
    """Then there is none to show."""
    shown = json.loads(get(pages(world), "/debug/vars")[1])
    assert shown["configuration"] is None
    assert shown["pid"] == os.getpid()


def test_gc_shows_the_collector(world: World) -> None:
    """Thresholds, counts and statistics."""
    shown = json.loads(get(pages(world), "/debug/gc")[1])
    assert len(shown["generations"]) == len(shown["count"]) == 3


# -- the listener --------------------------------------------------------------


class OverUnix(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("whatever", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def fetched(path: Path, page: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and body of a page over a Unix socket."""
    connection = OverUnix(path)
    try:
        connection.request("GET", page, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def serve(world: World) -> Iterator[Callable[..., HttpHandler]]:
    """Starts http handlers."""
    started: list[HttpHandler] = []

    def start(**options: Any) -> HttpHandler:
        handler = HttpHandler(name=f"http{len(started)}", **options)
        world.meter().add_handler(handler)
        world.reporter.routes()
        started.append(handler)
        handler.start()
        handler.flush(PATIENCE)
        return handler

    yield start
    for handler in started:
        handler.stop(PATIENCE)


def test_a_unix_socket_serves_its_owner(serve: Callable[..., HttpHandler], tmp_path: Path) -> None:
    """/metrics and the debug pages answer there; its mode is 0600; it goes with the handler."""
    path = tmp_path / "socket"
    handler = serve(listen=f"unix:{path}", debug=True)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert handler.target() == f"unix:{path}"
    assert "appmetrics_rejected_total" in fetched(path, "/metrics")[1]
    assert fetched(path, "/debug/requests")[0] == 200
    assert fetched(path, "/debug/requests", {"X-Forwarded-For": "1.2.3.4"})[0] == 403
    assert fetched(path, "/elsewhere")[0] == 404
    assert handler.stop(PATIENCE)
    assert not path.exists()


def test_a_socket_that_a_killed_process_left_is_replaced(
    serve: Callable[..., HttpHandler], tmp_path: Path
) -> None:
    """One that somebody listens on is not, nor is a file."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    serve(listen=f"unix:{path}")
    assert fetched(path, "/metrics")[0] == 200
    second = serve(listen=f"unix:{path}")
    assert "can't listen on unix:" in second.stats.last_error
    assert second.stop(PATIENCE)
    assert fetched(path, "/metrics")[0] == 200
    file = tmp_path / "file"
    file.write_text("precious")
    assert "can't listen" in serve(listen=f"unix:{file}").stats.last_error
    assert file.read_text() == "precious"


def test_each_process_may_have_a_socket_of_its_own(
    serve: Callable[..., HttpHandler], tmp_path: Path
) -> None:
    """{pid} is its id; those that killed processes have left are removed, others are not."""
    for name in ("site-1.sock", "site-2.sock", "other-3.sock"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / name))
    (tmp_path / "site-4.sock").write_text("a file")
    own = tmp_path / f"site-{os.getpid()}.sock"
    handler = serve(listen=f"unix:{tmp_path}/site-{{pid}}.sock")
    assert handler.target() == f"unix:{own}"
    assert fetched(own, "/metrics")[0] == 200
    assert {path.name for path in tmp_path.iterdir()} == {own.name, "other-3.sock", "site-4.sock"}


@pytest.mark.server
def test_each_worker_shows_its_own_requests(tmp_path: Path) -> None:
    """Workers share their numbers, and only one of them sends; each has its debug pages."""
    config = tmp_path / "metrics.ini"
    config.write_text(
        "[metrics]\nhandlers = page\n\n"
        f"[metrics.handler.page]\nclass = http\nlisten = unix:{tmp_path}/{{pid}}\ndebug = yes\n"
    )
    options = ("--workers=2", "--preload")
    path = (TESTS, TESTS.parent)
    server = _or_skip(
        lambda: Gunicorn(tmp_path / "s", "live_site:application", *options, path=path)
    )
    server.environ = {**server.environ, "APPMETRICS_CONFIG": str(config)}

    def sockets() -> list[Path]:
        return [each for each in tmp_path.iterdir() if each.name.isdecimal()]

    with server, contextlib.ExitStack() as stack:
        wait_for(lambda: len(sockets()) == 2, "a socket of each worker")
        assert server.process is not None
        assert str(server.process.pid) not in {each.name for each in sockets()}
        client = stack.enter_context(
            socket.create_connection((HOST, server.port), timeout=PATIENCE)
        )
        client.sendall(b"GET /hang HTTP/1.0\r\n\r\n")

        def shown() -> list[str]:
            pages = [fetched(each, "/debug/requests")[1] for each in sockets()]
            return sorted(page.partition("\n")[0] for page in pages)

        wait_for(lambda: shown() == ["0 requests in flight", "1 request in flight"])


def test_a_forked_child_leaves_the_socket_to_its_parent(
    serve: Callable[..., HttpHandler], tmp_path: Path
) -> None:
    """It closes its copy, and the parent goes on."""
    path = tmp_path / "socket"
    handler = serve(listen=f"unix:{path}")
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            handler.after_fork()
        os._exit(0)
    os.waitpid(child, 0)
    assert fetched(path, "/metrics")[0] == 200


# -- on a real server ----------------------------------------------------------


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[tuple[Waitress, int]]:
    """A waitress all of whose threads hang, and the port of its listener."""
    port = free_port()
    config = tmp_path / "metrics.ini"
    config.write_text(
        "[metrics]\nhandlers = page\nslow_timeout = 500ms\nslow_interval = 1s\n\n"
        f"[metrics.handler.page]\nclass = http\nlisten = {HOST}:{port}\ndebug = yes\n"
    )
    path = (TESTS, TESTS.parent)
    server = _or_skip(lambda: Waitress(tmp_path / "site", "live_site:application", path=path))
    server.environ = {**server.environ, "APPMETRICS_CONFIG": str(config)}
    with server, contextlib.ExitStack() as stack:
        for _ in range(THREADS + 1):
            client = stack.enter_context(
                socket.create_connection((HOST, server.port), timeout=PATIENCE)
            )
            client.sendall(b"GET /hang?q=never HTTP/1.1\r\nHost: x\r\nCookie: c=never\r\n\r\n")
        yield server, port


def page(port: int, path: str) -> str:
    """A page of the listener."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode()
    finally:
        connection.close()


def test_they_answer_while_all_threads_hang(hanging: tuple[Waitress, int]) -> None:
    """The listener shows all requests and where they are; the profile shows it, too."""
    _, port = hanging

    def all_of_them() -> str:
        shown = page(port, "/debug/requests")
        assert shown.startswith(f"{THREADS} requests in flight")
        assert shown.count("GET /hang (view hang)  thread ") == THREADS
        assert shown.count("time.sleep(60)  # here it hangs") == THREADS
        return shown

    assert "never" not in wait_for(all_of_them, "all requests, where they hang")
    assert "GET /hang (view hang)" in page(port, "/debug/threads")
    profile = page(port, "/debug/profile?seconds=0.3")
    assert len(re.findall(r"^waitress-\d;.*;live_site:hang \d+$", profile, re.MULTILINE)) == THREADS


def test_the_slow_log_names_the_view_and_the_line(hanging: tuple[Waitress, int]) -> None:
    """On the server's stderr, once with the stack and then without, and counted."""
    server, port = hanging
    hanging = r"GET /hang \(view hang\) has been running for "

    def all_of_them() -> str:
        said = server.log.read_text()
        again = rf"{hanging}.* in thread (\d+) .*; the same stack as before$"
        assert len(set(re.findall(again, said, re.M))) == THREADS
        return said

    said = wait_for(all_of_them, "each request for the second time")
    assert len(re.findall(rf"{hanging}.*:$", said, re.M)) == THREADS
    assert said.count("time.sleep(60)  # here it hangs") == THREADS
    assert "never" not in said
    assert 'http_slow_total{method="GET",view="hang"} 4' in page(port, "/metrics")
