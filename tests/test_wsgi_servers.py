"""The middleware on waitress, gunicorn and uWSGI: what it counts, and that nobody notices."""

from __future__ import annotations

import concurrent.futures
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import _or_skip
from servers import HOST, PATIENCE, UWSGI, Gunicorn, Waitress, WsgiServer, get, wait_for

TESTS = Path(__file__).parent
PATH = (TESTS, TESTS.parent)
ALL = [
    Waitress,
    pytest.param(Gunicorn, marks=pytest.mark.server),
    pytest.param(UWSGI, marks=pytest.mark.server),
]


@pytest.fixture(scope="module", params=ALL, ids=lambda server: server.__name__.lower())
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WsgiServer]:
    """The site on each server, one process."""
    folder = tmp_path_factory.mktemp("site")
    with _or_skip(lambda: request.param(folder, "wsgi_site:application", path=PATH)) as server:
        yield server


def ask(site: WsgiServer, path: str, *, method: str = "GET") -> bytes:
    """The whole answer as it comes over the wire, without its date."""
    # Some servers send a body after HEAD: only the end of the connection says where it ends.
    close = "Connection: close\r\n" if method == "HEAD" else ""
    with socket.create_connection((HOST, site.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{close}\r\n".encode())
        answer = b""
        while (close or not _whole(answer)) and (more := connection.recv(1 << 20)):
            answer += more
    return re.sub(rb"Date: [^\r]*\r\n", b"", answer)


def _whole(answer: bytes) -> bool:
    """Whether no more is to come on a connection that may be kept alive."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def leave(site: WsgiServer, path: str) -> None:
    """Read the beginning of an answer and go away."""
    with socket.create_connection((HOST, site.port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(1000)


def numbers(site: WsgiServer, name: str, **labels: str) -> list[dict[str, Any]]:
    """The series of this name with these labels; the requests of the site are over."""
    series = json.loads(get(f"{site.url}/metrics?format=series"))["series"]
    return [
        each for each in series if each["name"] == name and labels.items() <= each["labels"].items()
    ]


def total(site: WsgiServer, name: str, **labels: str) -> float:
    """The sum of these series' values, counts for timers and histograms."""
    return sum(each["value"] for each in numbers(site, name, **labels))


@pytest.mark.parametrize(
    ("page", "status"),
    [("one", "2xx"), ("sized", "2xx"), ("missing", "4xx"), ("nothing", "3xx"), ("late", "2xx")],
)
def test_requests_are_counted_by_method_status_and_view(
    site: WsgiServer, page: str, status: str
) -> None:
    """A request is one more with its labels, is timed, and is no error."""
    labels = {"method": "GET", "status": status, "view": page}
    before = total(site, "http.requests", **labels)
    ask(site, f"/{page}?secret=1")

    def counted() -> bool:
        for name in ("requests", "duration", "first_byte", "response.size"):
            assert total(site, f"http.{name}", **labels) == before + 1, name
        assert total(site, "http.errors", view=page) == 0
        assert total(site, "http.in_flight") == 0
        return True

    wait_for(counted)


@pytest.mark.parametrize(
    "page", ["one", "sized", "missing", "nothing", "late", "write", "file", "raising"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_answer_is_what_it_is_without_the_middleware(
    site: WsgiServer, page: str, method: str
) -> None:
    """Byte for byte: Content-Length, keep-alive and chunks included."""
    bare = ask(site, f"/bare/{page}", method=method)
    assert bare or page == "raising"  # to which uWSGI doesn't answer at all
    assert ask(site, f"/{page}", method=method) == bare


def test_a_connection_is_kept_alive(tmp_path: Path) -> None:
    """waitress keeps a connection open after a list without Content-Length, as it does bare."""
    with (
        Waitress(tmp_path, "wsgi_site:application", path=PATH) as site,
        socket.create_connection((HOST, site.port), timeout=PATIENCE) as connection,
    ):
        for _ in range(3):
            connection.sendall(b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"hello"):
                more = connection.recv(1000)
                assert more, answer
                answer += more
            assert b"Content-Length: 5\r\n" in answer


def test_duration_and_first_byte_are_two_things(site: WsgiServer) -> None:
    """What comes after start_response is in the duration only."""
    ask(site, "/slow")

    def counted() -> bool:
        # Not the maxima, which are as exact as a bucket is.
        durations = numbers(site, "http.duration", view="slow")
        first_bytes = numbers(site, "http.first_byte", view="slow")
        assert [each["value"] for each in (*durations, *first_bytes)] == [1, 1]
        assert first_bytes[0]["sum"] > 0.19
        return durations[0]["sum"] > first_bytes[0]["sum"] + 0.19

    wait_for(counted)


def test_a_client_that_leaves_is_counted(site: WsgiServer) -> None:
    """A closed connection is an aborted request and no error; the body is closed once."""
    closed = json.loads(get(f"{site.url}/alive")).get("closed", 0)
    before = total(site, "http.aborted", reason="client")
    leave(site, "/endless")

    def counted() -> bool:
        assert total(site, "http.aborted", reason="client") == before + 1
        assert total(site, "http.errors", view="endless") == 0
        return total(site, "http.in_flight") == 0

    wait_for(counted)
    assert json.loads(get(f"{site.url}/alive"))["closed"] == closed + 1


def test_head_is_not_a_client_that_leaves(site: WsgiServer) -> None:
    """However a server treats the body of a HEAD, nothing was aborted."""
    before = total(site, "http.aborted")
    requests = total(site, "http.requests", view="endless", method="HEAD")
    ask(site, "/endless", method="HEAD")
    wait_for(
        lambda: total(site, "http.requests", view="endless", method="HEAD") == requests + 1,
        timeout=PATIENCE,
    )
    assert total(site, "http.aborted") == before
    assert total(site, "http.response.size", method="HEAD") == 0


def test_an_exception_is_a_500_and_an_error(site: WsgiServer) -> None:
    """An application that raises has had a request, which failed."""
    labels = {"method": "GET", "view": "raising"}
    before = total(site, "http.errors", **labels)
    ask(site, "/raising")

    def counted() -> bool:
        assert total(site, "http.errors", **labels) == before + 1
        assert total(site, "http.requests", status="5xx", **labels) == before + 1
        return total(site, "http.in_flight") == 0

    wait_for(counted)


def test_an_exception_in_the_middle_is_an_aborted_200(site: WsgiServer) -> None:
    """The status is the one that was sent; the request is aborted and an error."""
    before = total(site, "http.aborted", reason="exception")
    ask(site, "/breaking")

    def counted() -> bool:
        assert total(site, "http.aborted", reason="exception") == before + 1
        assert total(site, "http.requests", status="2xx", view="breaking") == 1
        return total(site, "http.errors", view="breaking") == 1

    wait_for(counted)


def test_the_last_status_counts(site: WsgiServer) -> None:
    """start_response with exc_info, before anything was sent, replaces the status."""
    # uWSGI can't do that: it raises SystemError, with and without the middleware.
    assert ask(site, "/twice") == ask(site, "/bare/twice")
    wait_for(lambda: total(site, "http.errors", view="twice") == 1)
    assert total(site, "http.requests", status="5xx", view="twice") == 1


def test_files_are_sent_by_the_server(site: WsgiServer) -> None:
    """A file arrives whole, and its size is counted."""
    assert ask(site, "/file").endswith(b"0123456789" * 300_000)
    wait_for(lambda: total(site, "http.response.size", view="file"))
    size = numbers(site, "http.response.size", view="file")[0]
    assert size["max"] == pytest.approx(3_000_000, rel=0.05)


def test_what_is_written_is_counted(site: WsgiServer) -> None:
    """Bytes that go through write() are bytes of the response."""
    ask(site, "/write")

    def counted() -> bool:
        sizes = numbers(site, "http.response.size", method="GET", view="write")
        return any(size["value"] and size["sum"] == 10 * size["value"] for size in sizes)

    wait_for(counted)


def processes(site: WsgiServer) -> dict[int, int]:
    """Process id -> how often the reporter's thread has run there; asked all at once."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(get, [f"{site.url}/alive"] * 16))
    return {answer["pid"]: answer["ticks"] for answer in map(json.loads, answers)}


def _live_in_all(site: WsgiServer, workers: int) -> Callable[[], bool]:
    seen: dict[int, int] = {}

    def live() -> bool:
        seen.update(processes(site))
        assert len(seen) == workers, seen
        return min(seen.values()) >= 2

    return live


@pytest.mark.server
@pytest.mark.parametrize(
    "options",
    [
        ("--workers=4",),
        ("--workers=4", "--preload"),
        ("--workers=2", "--preload", "--env=REQUEST_BEFORE_FORK=1"),
        ("--workers=2", "--preload", "--worker-class=gthread", "--threads=2"),
    ],
    ids=" ".join,
)
def test_each_gunicorn_worker_has_a_live_reporter(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The reporter's thread runs in every worker, even if it ran in the master before."""
    workers = int(options[0].removeprefix("--workers="))
    server = _or_skip(lambda: Gunicorn(tmp_path, "wsgi_site:application", *options, path=PATH))
    with server as site:
        wait_for(_live_in_all(site, workers), "a reporter in each worker")


@pytest.mark.server
@pytest.mark.parametrize(
    "options",
    [
        ("--processes=4",),
        ("--processes=2", "--env=REQUEST_BEFORE_FORK=1"),
        ("--processes=4", "--lazy-apps"),
        ("--processes=2", "--threads=2"),
    ],
    ids=" ".join,
)
def test_each_uwsgi_worker_has_a_live_reporter(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Also in the default mode, where nobody tells Python of the fork."""
    workers = int(options[0].removeprefix("--processes="))
    server = _or_skip(lambda: UWSGI(tmp_path, "wsgi_site:application", *options, path=PATH))
    with server as site:
        wait_for(_live_in_all(site, workers), "a reporter in each worker")
