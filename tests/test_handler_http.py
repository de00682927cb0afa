"""The http handler: a listener of its own for /metrics."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from appmetrics.handlers.http import HttpHandler
from appmetrics.testing import World
from appmetrics.wsgi import listener
from appmetrics.wsgi.listener import MAX_REQUESTS
from servers import PATIENCE, free_port, wait_for


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., HttpHandler]]:
    """Starts handlers on free ports, each in a world of its own."""
    # No client of a test is cut off because the machine is slow.
    monkeypatch.setattr(listener._Request, "timeout", PATIENCE)
    started: list[HttpHandler] = []

    def start(listen: tuple[str, int] = ("127.0.0.1", 0)) -> HttpHandler:
        world = World()
        handler = HttpHandler(name="http", listen=listen)
        world.meter().add_handler(handler)
        world.reporter.routes()
        started.append(handler)
        handler.start()
        assert handler.flush(PATIENCE)
        return handler

    yield start
    for handler in started:
        handler.stop(PATIENCE)


def fetch(url: str) -> str:
    """What a URL answers."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


def test_it_serves_metrics_on_a_port_of_its_own(serve: Callable[..., HttpHandler]) -> None:
    """/metrics answers as soon as the handler has started; the target is its address."""
    handler = serve()
    assert "appmetrics_rejected_total" in fetch(handler.target())
    assert "appmetrics_rejected_total" in fetch(handler.target().removesuffix("metrics"))


def test_other_paths_are_not_found(serve: Callable[..., HttpHandler]) -> None:
    """Only / and /metrics exist."""
    with pytest.raises(urllib.error.HTTPError, match="404") as error:
        fetch(serve().target() + "/secret")
    error.value.close()


def test_a_taken_port_is_tried_again_and_harms_nobody(
    serve: Callable[..., HttpHandler], caplog: pytest.LogCaptureFixture
) -> None:
    """A port in use is one warning; the handler listens once the port is free."""
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        handler = serve(taken.getsockname()[:2])
        assert handler.flush(PATIENCE)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "can't listen" in handler.stats.last_error
    assert handler.flush(PATIENCE)  # wakes the worker, which tries again
    assert "appmetrics" in fetch(handler.target())


def test_check_says_whether_the_port_is_free(serve: Callable[..., HttpHandler]) -> None:
    """check() raises OSError where the port is taken, and leaves it alone where not."""
    handler = serve()
    port = int(handler.target().rpartition(":")[2].removesuffix("/metrics"))
    HttpHandler(listen=("127.0.0.1", free_port())).check()
    with pytest.raises(OSError, match="in use"):
        HttpHandler(listen=("127.0.0.1", port)).check()


def test_clients_that_say_nothing_leave_room_for_others(
    serve: Callable[..., HttpHandler],
) -> None:
    """Silent connections below the limit don't keep a scrape from being answered."""
    handler = serve()
    host, port = handler.target().removeprefix("http://").removesuffix("/metrics").split(":")
    with contextlib.ExitStack() as silent:
        for _ in range(MAX_REQUESTS - 1):
            silent.enter_context(socket.create_connection((host, int(port)), PATIENCE))
        assert "appmetrics" in fetch(handler.target())


def test_it_gets_only_what_is_routed_to_it() -> None:
    """Filters, levels and propagate decide what the page shows."""
    world = World()
    handler = HttpHandler(name="http", listen=("127.0.0.1", 0), level=20)
    world.meter("shop").add_handler(handler)
    world.meter("shop").counter("orders").inc()
    world.meter("bank").counter("transfers").inc()
    world.reporter.start()
    try:
        assert handler.flush(PATIENCE)
        text = fetch(handler.target())
    finally:
        world.reporter.stop(PATIENCE)
    assert "shop_orders_total 1" in text
    assert "bank_transfers" not in text


def test_a_restarted_handler_listens_again(serve: Callable[..., HttpHandler]) -> None:
    """stop() frees the port, start() takes it again."""
    handler = serve()
    assert handler.stop(PATIENCE)
    handler.start()
    assert handler.flush(PATIENCE)
    assert "appmetrics" in fetch(handler.target())


def test_stop_ends_the_listening_thread(serve: Callable[..., HttpHandler]) -> None:
    """No thread of the handler is left behind."""
    before = set(threading.enumerate())
    handler = serve()
    assert handler.stop(PATIENCE)

    def left() -> list[str]:
        new = set(threading.enumerate()) - before
        return [thread.name for thread in new if thread.name.startswith("appmetrics-http")]

    wait_for(lambda: not left(), "the end of its threads")


@contextlib.contextmanager
def connected(handler: HttpHandler, number: int = 1) -> Iterator[socket.socket]:
    """So many clients that have sent half a request; gives the last."""
    assert handler._server is not None
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            address = handler._server.server_address[:2]
            client = stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
            client.sendall(b"GET /metrics HTTP/1.0\r\n")
        yield client


def test_slow_clients_do_not_shut_out_the_others(
    serve: Callable[..., HttpHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all are taken by clients that never finish, those that took too long are cut off."""
    handler = serve()
    with connected(handler, MAX_REQUESTS):
        wait_for(lambda: handler._server and len(handler._server._open) == MAX_REQUESTS)
        monkeypatch.setattr(listener, "CLIENT_TIMEOUT", 0.0)
        assert "appmetrics_rejected" in fetch(handler.target())


def test_it_ends_although_slow_clients_hold_all_it_has(serve: Callable[..., HttpHandler]) -> None:
    """The port is free, and no request is left."""
    handler = serve()
    server = handler._server
    assert server is not None
    with connected(handler, MAX_REQUESTS + 1):
        wait_for(lambda: len(server._open) == MAX_REQUESTS)
        assert handler.stop(PATIENCE)
        wait_for(lambda: not server._open)
        again = serve((str(server.server_address[0]), int(server.server_address[1])))
        assert "appmetrics_rejected" in fetch(again.target())


def test_a_machine_without_threads_answers_again_when_there_are_some(
    serve: Callable[..., HttpHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that finds none takes no place away."""
    handler = serve()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more_threads)
        for _ in range(MAX_REQUESTS + 1):
            with contextlib.suppress(ConnectionError), connected(handler) as client:
                assert client.recv(1) == b""
    assert "appmetrics_rejected" in fetch(handler.target())


def no_more_threads(thread: threading.Thread) -> None:
    """What a machine at its limits answers."""
    raise RuntimeError("can't start new thread")


def test_a_forked_child_does_not_keep_the_port() -> None:
    """It closes its copy of the listening socket."""
    handler = HttpHandler(name="http", listen=("127.0.0.1", 0))
    handler._server = listener.listen_on(handler.listen, handler.app)
    listening = handler._server.socket
    handler.after_fork()
    assert handler._server is None
    assert listening.fileno() == -1
