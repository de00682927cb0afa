"""Middleware: what it counts of which exchange, and that neither side notices it."""

from __future__ import annotations

import gc
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from appmetrics.handlers.memory import MemoryHandler
from appmetrics.testing import Capture, UnknownMetric, World
from appmetrics.wsgi import Middleware, Request
from appmetrics.wsgi.middleware import queued
from servers import PATIENCE, free_port, get, untraced, wait_for

PLAIN = [("Content-Type", "text/plain")]
App = Callable[[Any, Any], Iterable[bytes]]


class Setting:
    """A world, a middleware in it, and a server of the simplest kind."""

    def __init__(self) -> None:
        self.world = World()
        self.world.meter().add_handler(MemoryHandler())
        self.now: Capture = self.world.capture()
        self.calls: list[tuple[Any, ...]] = []
        self.written: list[bytes] = []

    def wrap(self, app: App, **options: Any) -> Middleware:
        """The middleware around an application."""
        return Middleware(app, reporter=self.world.reporter, **options)

    def start_response(self, *arguments: Any) -> Callable[[bytes], Any]:
        """The server's; keeps what it is called with, by position."""
        self.calls.append(arguments)
        return self.written.append

    def begin(self, app: App, method: str = "GET", **environ: Any) -> Iterable[bytes]:
        """Call an application as a server does, and hand out what it returns."""
        setup_testing_defaults(environ := {"REQUEST_METHOD": method, **environ})
        return app(environ, self.start_response)

    def serve(self, app: App, method: str = "GET", **environ: Any) -> bytes:
        """The whole body, which is then closed."""
        body = self.begin(app, method, **environ)
        try:
            return b"".join(self.written) + b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()

    def value(self, name: str, **labels: object) -> Any:
        """What came into an instrument of the meter ``http``."""
        return self.now.value(f"http.{name}", **labels)


@pytest.fixture
def http() -> Iterator[Setting]:
    """A setting whose threads end with the test."""
    setting = Setting()
    with setting.now:
        yield setting
    setting.world.stop()


def hello(environ: Any, start_response: Any) -> list[bytes]:
    """Greets."""
    start_response("200 OK", PLAIN)
    return [b"hel", b"lo"]


class Closing:
    """A body that counts its closing, and may fail at one step."""

    def __init__(self, *pieces: bytes, error: BaseException | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.error:
            raise self.error

    def close(self) -> None:
        """Count."""
        self.closed += 1

    def app(self, environ: Any, start_response: Any) -> Closing:
        """An application that returns this."""
        start_response("200 OK", PLAIN)
        return self


# -- what is counted -----------------------------------------------------------


def test_a_request_is_counted_timed_and_measured(http: Setting) -> None:
    """Each instrument gets one request with its method, status class and view."""
    assert http.serve(http.wrap(hello)) == b"hello"
    labels = {"method": "GET", "status": "2xx", "view": "-"}
    for name in ("requests", "duration", "first_byte", "response.size"):
        assert http.value(name, **labels) == 1, name
    assert http.now.distribution("http.response.size").sum == 5
    assert http.value("errors") == http.value("aborted") == http.value("in_flight") == 0


@pytest.mark.parametrize(
    ("status", "label", "errors"),
    [
        ("101 Switching", "1xx", 0),
        ("204 No Content", "2xx", 0),
        ("302 Found", "3xx", 0),
        ("404 Not Found", "4xx", 0),
        ("503 Sorry", "5xx", 1),
        ("999 What", "-", 0),
        ("nonsense", "-", 0),
    ],
)
def test_the_status_is_a_class_and_only_5xx_are_errors(
    http: Setting, status: str, label: str, errors: int
) -> None:
    """Labels have few values; a 404 is no error."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, PLAIN)
        return []

    http.serve(http.wrap(app))
    assert http.value("requests", status=label) == 1
    assert http.value("errors") == errors


@pytest.mark.parametrize(("method", "label"), [("PUT", "PUT"), ("get", "OTHER"), ("X1", "OTHER")])
def test_methods_that_nobody_knows_are_one(http: Setting, method: str, label: str) -> None:
    """A client can't make series by inventing methods."""
    http.serve(http.wrap(hello), method)
    assert http.value("requests", method=label) == 1


def test_the_path_is_no_label(http: Setting) -> None:
    """A scanner that asks for a thousand paths makes no series."""
    app = http.wrap(hello)
    for number in range(10):
        http.serve(app, PATH_INFO=f"/{number}")
    assert http.value("requests", view="-") == 10


def test_duration_lasts_until_close_and_first_byte_until_start_response(
    http: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two times end at different moments of the request."""
    now = [100.0]
    for module in ("exchange", "middleware"):
        monkeypatch.setattr(f"appmetrics.wsgi.{module}.perf_counter", lambda: now[0])

    def app(environ: Any, start_response: Any) -> list[bytes]:
        now[0] += 0.5
        return hello(environ, start_response)

    body = http.begin(http.wrap(app))
    now[0] += 4
    list(body)
    assert http.value("requests") == http.value("duration") == 0
    body.close()  # type: ignore[attr-defined]
    assert http.now.distribution("http.first_byte").sum == 0.5
    assert http.now.distribution("http.duration").sum == 4.5


def test_requests_are_in_flight_until_they_are_closed(http: Setting) -> None:
    """The gauge goes up before the application is called and down with close()."""
    inside = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        inside.append(http.value("in_flight"))
        return hello(environ, start_response)

    body = http.begin(http.wrap(app))
    list(body)
    assert (inside, http.value("in_flight")) == ([1], 1)
    body.close()  # type: ignore[attr-defined]
    assert http.value("in_flight") == 0


@pytest.mark.parametrize(
    ("length", "count"), [("7", 1), ("0", 1), ("", 0), ("many", 0), ("-1", 0), ("9" * 50, 0)]
)
def test_the_size_of_a_request_is_its_content_length(
    http: Setting, length: str, count: int
) -> None:
    """Without one, as in chunked requests, there is no size; the input is not touched."""
    http.serve(http.wrap(hello), "POST", CONTENT_LENGTH=length)
    assert http.value("request.size", method="POST") == count


def test_another_meter_can_be_named(http: Setting) -> None:
    """``meter`` is the first part of all names."""
    http.serve(http.wrap(hello, meter="shop.http"))
    assert http.now.value("shop.http.requests") == 1


# -- views ---------------------------------------------------------------------


def test_a_framework_names_the_view(http: Setting) -> None:
    """What is in the request's ``view`` at the end is the label."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        environ["appmetrics.request"].view = "front"
        yield b""

    http.serve(http.wrap(app))
    assert http.value("requests", view="front") == 1


@pytest.mark.parametrize("nothing", ["-", "", None])
def test_a_view_that_is_forgotten_at_the_end_counts(http: Setting, nothing: Any) -> None:
    """Frameworks clear it when the body is over: then it is that of start_response."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        request = environ["appmetrics.request"]
        request.view = "front"
        start_response("200 OK", PLAIN)
        yield b""
        request.view = nothing

    http.serve(http.wrap(app))
    assert http.value("requests", view="front") == 1


def test_the_request_tells_what_is_going_on(http: Setting) -> None:
    """Method, path without query, thread and, once known, the status are in the environ."""
    seen: list[Request] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ["appmetrics.request"])
        assert seen[0].status is None
        return hello(environ, start_response)

    http.serve(http.wrap(app), SCRIPT_NAME="/shop", PATH_INFO="/cart", QUERY_STRING="card=1")
    request = seen[0]
    assert (request.method, request.path, request.status) == ("GET", "/shop/cart", 200)
    assert request.thread == threading.get_ident()
    assert request.finished


def test_a_request_is_measured_once(http: Setting) -> None:
    """A middleware inside another one, or asked again by the application, only passes on."""
    http.serve(http.wrap(http.wrap(hello)))
    assert http.value("requests") == 1
    assert http.value("in_flight") == 0


def test_an_environ_that_is_used_again_is_another_request(http: Setting) -> None:
    """What an earlier request left in the environ doesn't hide a later one."""
    app = http.wrap(hello)
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    for _ in range(2):
        body = app(environ, http.start_response)
        list(body)
        body.close()  # type: ignore[attr-defined]
    assert http.value("requests") == 2


# -- bodies --------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [[], [b"a"], [b"a", b"b"], (b"a",)])
def test_a_body_with_a_length_keeps_it(http: Setting, pieces: Any) -> None:
    """waitress makes a Content-Length of it, and keeps the connection."""
    body = http.begin(http.wrap(lambda environ, start_response: pieces))
    assert len(body) == len(pieces)  # type: ignore[arg-type]
    body.close()  # type: ignore[attr-defined]


def test_a_body_without_a_length_gets_none(http: Setting) -> None:
    """A generator doesn't know its length, and isn't read ahead."""
    body = http.begin(http.wrap(Closing(b"a").app))
    assert not hasattr(body, "__len__")
    body.close()  # type: ignore[attr-defined]


def test_files_pass_through_as_they_are(http: Setting) -> None:
    """The server gets its own file wrapper, unread; the size is the Content-Length."""
    file = FileWrapper(io.BytesIO(b"12345"))

    def app(environ: Any, start_response: Any) -> FileWrapper:
        start_response("200 OK", [("content-length", "5")])
        return file

    assert http.begin(http.wrap(app), **{"wsgi.file_wrapper": FileWrapper}) is file
    assert file.filelike.tell() == 0
    assert http.value("requests", status="2xx") == http.value("first_byte") == 1
    assert http.now.distribution("http.response.size").sum == 5
    assert http.value("aborted") == http.value("in_flight") == 0


def test_a_file_of_unknown_length_has_no_size(http: Setting) -> None:
    """Nothing is guessed."""

    def app(environ: Any, start_response: Any) -> FileWrapper:
        start_response("200 OK", PLAIN)
        return FileWrapper(io.BytesIO(b"12345"))

    http.begin(http.wrap(app), **{"wsgi.file_wrapper": FileWrapper})
    assert (http.value("requests"), http.value("response.size")) == (1, 0)


def test_a_file_wrapper_that_is_a_function_is_iterated(http: Setting) -> None:
    """uWSGI's can't be told from any other body."""
    app = Closing(b"12345").app
    assert http.serve(http.wrap(app), **{"wsgi.file_wrapper": lambda file: file}) == b"12345"
    assert http.now.distribution("http.response.size").sum == 5


def test_a_body_is_closed_and_counted_once(http: Setting) -> None:
    """However often the server calls close()."""
    inner = Closing(b"a")
    body = http.begin(http.wrap(inner.app))
    list(body)
    for _ in range(3):
        body.close()  # type: ignore[attr-defined]
    assert inner.closed == 1
    assert http.value("requests") == 1


def test_a_body_that_nobody_closes_is_over_when_it_is_gone(http: Setting) -> None:
    """A middleware in front that forgets close() leaves nothing in flight."""
    assert b"".join(http.begin(http.wrap(hello))) == b"hello"
    gc.collect()
    assert (http.value("requests"), http.value("in_flight")) == (1, 0)
    assert http.value("aborted") == 0


def test_what_a_request_leaves_is_freed_at_once(http: Setting) -> None:
    """No cycles: the garbage collector has nothing to do."""

    class Server:
        def run(self, app: App) -> None:
            setup_testing_defaults(environ := {"the server": self})
            self.environ = environ
            self.body = app(environ, self.start_response)
            list(self.body)
            self.body.close()  # type: ignore[attr-defined]
            del self.environ, self.body

        def start_response(self, *arguments: Any) -> None:
            pass

    app = http.wrap(hello)
    Server().run(app)
    gc.collect()
    gc.disable()
    try:
        left = []
        for _ in range(10):
            Server().run(app)
            left.append(gc.collect())
        # Threads of other tests may leave something meanwhile, but not each time.
        assert 0 in left
    finally:
        gc.enable()


# -- start_response and write() ------------------------------------------------


def test_start_response_may_come_with_the_first_piece(http: Setting) -> None:
    """The status of a generator is known only then."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("404 Not Found", PLAIN)
        yield b"no"

    assert http.serve(http.wrap(app)) == b"no"
    assert http.value("requests", status="4xx") == http.value("first_byte") == 1


def test_start_response_is_forwarded_by_position_and_the_last_one_counts(http: Setting) -> None:
    """With exc_info only where the application gives it, whatever way it does."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oh", [], exc_info=sys.exc_info())
        return [b"oh"]

    http.serve(http.wrap(app))
    first, second = http.calls
    assert first == ("200 OK", PLAIN)
    assert second[:2] == ("500 Oh", [])
    assert second[2][0] is ValueError
    assert http.value("requests", status="5xx") == http.value("errors") == 1
    assert http.value("requests") == 1


def test_a_server_that_raises_exc_info_again_may(http: Setting) -> None:
    """Headers have gone out: the status is the one that was sent, the response is aborted."""

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        if exc_info:
            raise exc_info[1]
        return http.written.append

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"a"
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Oh", PLAIN, sys.exc_info())

    setup_testing_defaults(environ := {})
    body = http.wrap(app)(environ, start_response)
    with pytest.raises(ValueError, match="too late"):
        list(body)
    body.close()  # type: ignore[attr-defined]
    assert http.value("requests", status="2xx") == http.value("aborted", reason="exception") == 1


def test_what_goes_through_write_is_counted(http: Setting) -> None:
    """write() hands on to the server's, and its bytes are of the response."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"hel")
        write(b"lo")
        return []

    assert http.serve(http.wrap(app)) == b"hello"
    assert http.now.distribution("http.response.size").sum == 5


class ClientDisconnected(Exception):
    """waitress has one of this name."""


@pytest.mark.parametrize("error", [BrokenPipeError(), ClientDisconnected()])
def test_a_write_that_fails_is_a_client_that_left(http: Setting, error: Exception) -> None:
    """The exception comes from the server: it is no error of the application."""

    def broken(data: bytes) -> None:
        raise error

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)(b"hello")
        return []

    setup_testing_defaults(environ := {})
    with pytest.raises(type(error)):
        http.wrap(app)(environ, lambda *arguments: broken)
    assert http.value("aborted", reason="client") == http.value("requests", status="2xx") == 1
    assert http.value("errors") == http.value("in_flight") == 0


# -- exceptions and clients that leave -----------------------------------------


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()]
)
def test_an_application_that_raises_has_answered_500(http: Setting, error: BaseException) -> None:
    """Any exception goes on as it is, is a 500 and an error, and ends the request."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise error

    with pytest.raises(type(error)) as raised:
        http.serve(http.wrap(app))
    assert raised.value is error
    assert http.value("requests", status="5xx") == http.value("errors") == 1
    assert http.value("in_flight") == http.value("aborted") == 0


def test_an_exception_before_anything_was_sent_is_a_500(http: Setting) -> None:
    """start_response alone sends nothing: the server's own 500 takes the place of the 200."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)
        raise ValueError("second thought")

    with pytest.raises(ValueError, match="second thought"):
        http.serve(http.wrap(app))
    with pytest.raises(ValueError, match="at once"):
        http.serve(http.wrap(Closing(b"", error=ValueError("at once")).app))
    assert http.value("requests", status="5xx") == http.value("errors") == 2
    assert http.value("aborted") == 0


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt()])
def test_an_exception_in_the_middle_is_an_aborted_200(http: Setting, error: BaseException) -> None:
    """The status is the one that was sent."""
    inner = Closing(b"a", error=error)
    with pytest.raises(type(error)) as raised:
        http.serve(http.wrap(inner.app))
    assert raised.value is error
    assert http.value("requests", status="2xx") == http.value("errors") == 1
    assert http.value("aborted", reason="exception") == http.value("aborted") == 1
    assert (http.value("in_flight"), inner.closed) == (0, 1)


def test_an_exception_in_close_is_an_error_of_a_whole_response(http: Setting) -> None:
    """The client has got everything."""

    class Stubborn(Closing):
        def close(self) -> None:
            raise ValueError("stubborn")

    with pytest.raises(ValueError, match="stubborn"):
        http.serve(http.wrap(Stubborn(b"a").app))
    assert http.value("requests", status="2xx") == http.value("errors") == 1
    assert http.value("aborted") == http.value("in_flight") == 0


def test_an_application_that_forgets_start_response_answers_500(http: Setting) -> None:
    """That is what every server makes of it."""
    http.serve(http.wrap(lambda environ, start_response: [b"a"]))
    assert http.value("requests", status="5xx") == http.value("errors") == 1


def test_what_is_no_body_fails_where_it_would_without_us(http: Setting) -> None:
    """None is handed on, in a way: it raises when the server iterates."""
    body = http.begin(http.wrap(lambda environ, start_response: None))  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="NoneType"):
        list(body)
    body.close()  # type: ignore[attr-defined]
    assert http.value("errors") == 1


def test_a_response_closed_before_its_end_was_aborted_by_the_client(http: Setting) -> None:
    """Nothing else tells; the body is closed, a generator ends, no error is counted."""
    ended = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        try:
            while True:
                yield b"a"
        except GeneratorExit:
            ended.append(True)
            raise

    body = http.begin(http.wrap(app))
    assert next(iter(body)) == b"a"
    body.close()  # type: ignore[attr-defined]
    assert ended == [True]
    assert http.value("requests", status="2xx") == http.value("aborted", reason="client") == 1
    assert http.value("errors") == http.value("in_flight") == 0


def test_a_client_that_leaves_before_there_is_a_status(http: Setting) -> None:
    """A generator that never began has no status: the label says so."""
    inner = Closing(b"a")

    def app(environ: Any, start_response: Any) -> Closing:
        return inner

    http.begin(http.wrap(app)).close()  # type: ignore[attr-defined]
    assert http.value("requests", status="-") == http.value("aborted", reason="client") == 1
    assert (http.value("errors"), inner.closed) == (0, 1)


def test_head_is_complete_without_a_body(http: Setting) -> None:
    """Servers that don't iterate after HEAD have not aborted it; it has no size."""
    http.begin(http.wrap(hello), "HEAD").close()  # type: ignore[attr-defined]
    assert http.value("requests", method="HEAD", status="2xx") == 1
    assert http.value("aborted") == http.value("response.size") == 0


# -- the validator on both sides -----------------------------------------------


def listed(environ: Any, start_response: Any) -> Iterable[bytes]:
    """A list."""
    return hello(environ, start_response)


def generated(environ: Any, start_response: Any) -> Iterator[bytes]:
    """A generator."""
    start_response("200 OK", PLAIN)
    yield b"hel"
    yield b"lo"


def written(environ: Any, start_response: Any) -> list[bytes]:
    """write()."""
    start_response("200 OK", PLAIN)(b"hello")
    return []


def twice(environ: Any, start_response: Any) -> list[bytes]:
    """Two times start_response."""
    start_response("200 OK", PLAIN)
    try:
        raise ValueError
    except ValueError:
        start_response("500 Oh", PLAIN, sys.exc_info())
    return [b"hello"]


def read(environ: Any, start_response: Any) -> list[bytes]:
    """Reads its input."""
    environ["wsgi.input"].read(5)
    return hello(environ, start_response)


@pytest.mark.parametrize("app", [listed, generated, written, twice, read])
@pytest.mark.parametrize("end", ["all", "early"])
def test_wsgirefs_validator_has_nothing_against_it(http: Setting, app: App, end: str) -> None:
    """Neither from the server's side nor from the application's, nor when all is freed."""
    both = validator(http.wrap(validator(app)))
    setup_testing_defaults(
        environ := {
            "REQUEST_METHOD": "POST",
            "QUERY_STRING": "",
            "wsgi.input": io.BytesIO(b"hello"),
        }
    )

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        return http.written.append

    body = both(environ, start_response)
    pieces = list(body) if end == "all" else []
    body.close()  # type: ignore[attr-defined]
    if end == "all":
        assert b"".join([*http.written, *pieces]) == b"hello"
    del body, pieces
    gc.collect()
    assert (http.value("requests"), http.value("in_flight")) == (1, 0)


# -- queue time ----------------------------------------------------------------

NOW = 1_700_000_010.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("t=1700000000.500", 9.5),
        ("1700000000", 10),
        ("1700000000500", 9.5),
        ("t=1700000000500000", 9.5),
        ("1700000000500000000", 9.5),
        ("t=1700000000, t=1700000009", 10),
        ("1700000011", 0),
        ("1600000000", 60),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-1700000000", None),
        ("12", None),
    ],
)
def test_queue_time_in_any_unit(header: str, seconds: float | None) -> None:
    """The unit is told by the size of the number; what can't be is clamped or ignored."""
    assert queued(header, NOW) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


def test_queue_time_is_recorded_from_the_header_that_is_named(http: Setting) -> None:
    """The time between the proxy's and ours, in seconds."""
    http.world.clock.advance(NOW - http.world.clock.time())
    app = http.wrap(hello, queue_header="X-Request-Start")
    http.serve(app, HTTP_X_REQUEST_START=f"t={NOW - 2:.3f}")
    http.serve(app)
    assert http.value("queue") == 1
    assert http.now.distribution("http.queue").sum == pytest.approx(2, abs=0.01)


def test_nobody_is_believed_unasked(http: Setting) -> None:
    """A client can send the header, too."""
    http.serve(http.wrap(hello), HTTP_X_REQUEST_START="t=1")
    with pytest.raises(UnknownMetric):
        http.value("queue")


# -- /metrics ------------------------------------------------------------------


def test_metrics_are_shown_where_it_is_asked_for(http: Setting) -> None:
    """``metrics="/metrics"`` answers there, unmeasured; all else is the application's."""
    app = http.wrap(hello, metrics="/metrics")
    assert http.serve(app) == b"hello"
    for path in ("/metrics", "/metrics/"):
        assert b"http_requests_total{" in http.serve(app, PATH_INFO=path)
    assert http.serve(app, PATH_INFO="/metrics/more") == b"hello"
    assert http.value("requests") == 2
    assert http.serve(http.wrap(hello), PATH_INFO="/metrics") == b"hello"


def test_metrics_are_protected_by_token_and_network(http: Setting) -> None:
    """The options are those of MetricsApp."""
    app = http.wrap(hello, metrics="metrics", token="sesame", allow=["127.0.0.0/8"])
    right = {"PATH_INFO": "/metrics", "HTTP_AUTHORIZATION": "Bearer sesame"}
    http.serve(app, REMOTE_ADDR="127.0.0.1", **right)
    http.serve(app, REMOTE_ADDR="192.0.2.1", **right)
    http.serve(app, REMOTE_ADDR="127.0.0.1", PATH_INFO="/metrics")
    assert [call[0][:3] for call in http.calls] == ["200", "403", "401"]


# -- starting, warning, failing ------------------------------------------------


def reporter_runs(http: Setting) -> bool:
    """Whether the thread of the world's reporter is there."""
    thread = http.world.reporter._thread
    return thread is not None and thread.is_alive()


def test_the_first_request_starts_the_reporter(http: Setting) -> None:
    """Not the making of the middleware; and once stopped it is not started again."""
    app = http.wrap(hello)
    assert not reporter_runs(http)
    http.serve(app)
    assert reporter_runs(http)
    http.world.stop()
    http.serve(app)
    assert not reporter_runs(http)


def test_without_a_handler_one_warning_says_what_to_do(
    http: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """At the first request, once for all middlewares of a reporter."""
    http.world = World()
    with caplog.at_level(logging.WARNING):
        apps = [http.wrap(hello), http.wrap(hello)]
        assert not caplog.records
        for app in apps * 2:
            http.serve(app)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("appmetrics", logging.WARNING)
    assert "no handler is configured" in record.message
    assert "APPMETRICS_CONFIG" in record.message


@pytest.mark.parametrize("how", ["handler", "metrics"])
def test_there_is_no_warning_where_the_numbers_are_seen(
    http: Setting, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """By a handler, or at the middleware's own /metrics."""
    if how == "metrics":
        http.world = World()
    http.serve(http.wrap(hello, metrics="/metrics" if how == "metrics" else None))
    http.world.stop()
    assert not caplog.records


def test_failures_of_ours_are_logged_once_and_harm_nobody(
    http: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever breaks in here, before or after, the request is answered."""

    class Unspeakable:
        def __bool__(self) -> bool:
            raise ZeroDivisionError

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if "appmetrics.request" in environ:
            environ["appmetrics.request"].view = Unspeakable()
        return hello(environ, start_response)

    wrapped = http.wrap(app)
    assert http.serve(wrapped) == b"hello"
    assert http.serve(wrapped, SCRIPT_NAME=None) == b"hello"
    (record,) = caplog.records
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError
    assert http.value("in_flight") == 0


def test_a_reporter_that_can_not_start_harms_nobody(
    http: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """No more threads, say: logged once, and requests go on."""

    class Tired(type(http.world.reporter)):  # type: ignore[misc]
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    app = Middleware(hello, reporter=Tired(http.world.hierarchy))
    assert http.serve(app) == http.serve(app) == b"hello"
    assert len(caplog.records) == 1
    assert "can't start new thread" in caplog.text
    assert http.value("requests") == 2


def test_a_child_forked_off_in_a_request_counts_nothing(tmp_path: Path) -> None:
    """The request is the parent's, wherever the child ends."""
    script = """
import os, sys
from appmetrics import get_meter
from appmetrics.wsgi import Middleware

def app(environ, start_response):
    start_response("200 OK", [])
    os.fork()
    return []

middleware = Middleware(app, metrics="/metrics")
body = middleware({"REQUEST_METHOD": "GET"}, lambda *a: None)
list(body)
body.close()
children = get_meter("http").counter("requests", labels=("method", "status", "view"))
count = sum(child.value for child in children.own_points())
flight = get_meter("http").gauge("in_flight").value
sys.stdout.write(f"{count} {flight}\\n")
sys.stdout.flush()
try:
    os.wait()
except ChildProcessError:
    os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path,
        env={**untraced(), "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    child, parent = sorted(done.stdout.splitlines())
    assert parent == "1 0"
    assert child.startswith("0 ")


def test_the_example_counts_its_requests(tmp_path: Path) -> None:
    """examples/wsgi_middleware.py greets, and shows that it did at /metrics."""
    root = Path(__file__).parent.parent
    port = free_port()
    script = (root / "examples" / "wsgi_middleware.py").read_text()
    assert script.count("8080") == 1
    (tmp_path / "greeter.py").write_text(script.replace("8080", str(port)))
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "greeter.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert wait_for(lambda: get(f"http://127.0.0.1:{port}/"), "the site") == b"Hello.\n"
            text = get(f"http://127.0.0.1:{port}/metrics").decode()
        finally:
            process.kill()
    assert 'http_requests_total{method="GET",status="2xx",view="hello"} 1' in text
