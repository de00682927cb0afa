"""Tests of handlers/posting.py: one connection, its limits, its failures."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appmetrics.handlers.posting import MAX_ANSWER, Poster, url
from http_target import HttpTarget
from servers import HOST, PATIENCE


@pytest.fixture
def http() -> Iterator[HttpTarget]:
    """An HTTP server that answers as it is told."""
    with HttpTarget() as target:
        yield target


@contextlib.contextmanager
def raw(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """The URL of a server that does anything with a connection after its request."""
    with socket.create_server((HOST, 0)) as listener:
        open_ones = [listener]

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    open_ones.append(connection)
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65536)
                        serve(connection)
                        connection.shutdown(socket.SHUT_WR)
                        # To close it before all has been read would be a reset.
                        while connection.recv(65536):
                            pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            for each in open_ones:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def test_one_connection_carries_all_requests(http: HttpTarget) -> None:
    """The connection is kept from request to request."""
    poster = Poster(http.url, timeout=PATIENCE)
    http.answers = [(200, b"one"), (400, b"two \x1b[31m\nlines")]
    assert poster.post("/a", b"1") == (200, b"one")
    assert poster.post("/b?c", b"2").text == "HTTP 400: two  [31m"
    assert poster.post("/d", b"").status == 204
    assert [request.path for request in http.requests] == ["/a", "/b?c", "/d"]
    assert http.bodies == [b"1", b"2", b""]
    assert http.connections == 1
    poster.close()


def test_a_connection_that_has_ended_is_made_anew(http: HttpTarget) -> None:
    """A server may close what was idle; the next request goes over a new connection."""
    http.rude = True
    poster = Poster(http.url, timeout=PATIENCE)
    for body in (b"1", b"2", b"3"):
        assert poster.post("/", body).status == 204
    assert http.bodies == [b"1", b"2", b"3"]
    poster.close()


def test_nobody_there_is_an_oserror() -> None:
    """Refused is refused."""
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        poster = Poster(f"http://{HOST}:{unused.getsockname()[1]}")
        with pytest.raises(ConnectionRefusedError):
            poster.post("/", b"")
        with pytest.raises(ConnectionRefusedError):
            poster.reach()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbanana\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"X" * 200_000,
    ],
)
def test_whatever_is_answered_is_an_oserror(answer: bytes) -> None:
    """What is no answer in HTTP is an outage, and nothing else."""
    with raw(lambda connection: connection.sendall(answer)) as there:
        poster = Poster(there, timeout=PATIENCE)
        with pytest.raises(OSError):  # noqa: PT011
            poster.post("/", b"body")
        poster.close()


heads = st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 400 Bad\r\nContent-Length: "])


@settings(max_examples=100)
@given(st.tuples(heads, st.binary(max_size=300)).map(b"".join))
def test_any_bytes_are_an_answer_or_an_oserror(answer: bytes) -> None:
    """Whatever a server says, nothing but an OSError is raised."""
    with raw(lambda connection: connection.sendall(answer)) as there:
        poster = Poster(there, timeout=PATIENCE)
        with contextlib.suppress(OSError):
            assert poster.post("/", b"body").text
        poster.close()


def test_an_answer_is_read_so_far(http: HttpTarget) -> None:
    """A long one costs the connection, not the memory."""
    http.answers = [(200, b"x" * (10 * MAX_ANSWER))]
    poster = Poster(http.url, timeout=PATIENCE)
    assert len(poster.post("/", b"").body) == MAX_ANSWER
    assert poster.post("/", b"").status == 204
    assert http.connections == 2
    poster.close()


def test_a_connection_that_ends_with_its_answer_is_closed() -> None:
    """Also where the answer is longer than what is read of it; a left socket is a warning."""
    long = b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * (2 * MAX_ANSWER)
    with raw(lambda connection: connection.sendall(long)) as there, warnings.catch_warnings():
        warnings.simplefilter("error")
        poster = Poster(there, timeout=PATIENCE)
        assert len(poster.post("/", b"body").body) == MAX_ANSWER
        gc.collect()
        poster.close()


def test_a_server_that_never_answers_meets_the_timeout() -> None:
    """Neither silence nor one byte at a time holds longer than ``timeout``."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.wait(0.05):
            connection.sendall(b"y")

    for serve in (lambda connection: over.wait(PATIENCE), drip):
        with raw(serve) as there:
            poster = Poster(there, timeout=0.5)
            start = time.monotonic()
            try:
                with pytest.raises(TimeoutError):
                    poster.post("/", b"")
            finally:
                over.set()
            assert time.monotonic() - start < PATIENCE
        over.clear()
        poster.close()


def test_https_is_verified() -> None:
    """A server without a certificate that is trusted gets nothing."""
    with raw(lambda connection: connection.sendall(b"plain")) as there:
        poster = Poster(there.replace("http:", "https:"))
        with pytest.raises((ssl.SSLError, OSError)):
            poster.post("/", b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:8086",
        "ftp://x",
        "http://",
        "http://a b",
        "http://u:p@x",
        "http://x?y=1",
        "http://x:99999",
        "http://x#y",
        "http://gr\u00fc.example",
        5,
    ],
)
def test_urls_that_can_not_be_are_refused(text: object) -> None:
    """What is no plain http or https URL says what was expected."""
    with pytest.raises(ValueError, match="a URL such as"):
        url(text)


def test_urls_lose_the_slash_at_their_end() -> None:
    """So that a path can follow."""
    assert url(" https://x:1/a/ ") == "https://x:1/a"
    assert url("http://[::1]:8086/") == "http://[::1]:8086"
