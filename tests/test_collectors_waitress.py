"""How busy waitress is, on a real one."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from appmetrics import collectors
from appmetrics.testing import World
from servers import PATIENCE, wait_for

waitress = pytest.importorskip("waitress")
wasyncore = pytest.importorskip("waitress.wasyncore")


class Gate:
    """An application whose requests wait until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.open.wait(PATIENCE)
        start_response("200 OK", [("Content-Length", "3")])
        return [b"Hi\n"]


@contextmanager
def serving(app: Any, threads: int) -> Iterator[int]:
    """A waitress with so many threads; its port."""
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=threads)
    loop = threading.Thread(target=server.run)
    loop.start()
    try:
        yield int(server.effective_port)
    finally:
        server.task_dispatcher.shutdown(timeout=PATIENCE)
        # In the loop's own thread, which would select among closed ones. It ends then:
        # nothing is left in its map.
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
        loop.join(PATIENCE)


@pytest.fixture
def world() -> Iterator[World]:
    """A world with the collector in it."""
    world = World()
    collectors.install(["waitress"], world.hierarchy)
    yield world
    collectors.uninstall(hierarchy=world.hierarchy)


def test_waiting_requests_are_seen(world: World) -> None:
    """With two threads and five slow requests, two are worked on and three wait."""
    gate = Gate()
    with ExitStack() as stack, world.capture() as captured:
        port = stack.enter_context(serving(gate, threads=2))
        stack.callback(gate.open.set)  # whatever happens, or the threads would stay

        def numbers() -> list[float]:
            return [captured.value(f"waitress.{name}") for name in ("queue", "busy", "threads")]

        # A thread that has not begun to wait yet would let the first requests wait, too.
        wait_for(lambda: numbers() == [0, 0, 2], "idle threads")
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            for _ in range(5)
        ]
        for client in clients:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        # Three may wait already while both threads are still about to wake.
        wait_for(lambda: numbers() == [3, 2, 2], "two busy threads and three waiting requests")
        gate.open.set()
        for client in clients:
            with client.makefile("rb") as answer:
                assert b"Hi" in answer.read()
        wait_for(lambda: numbers() == [0, 0, 2], "idle threads")
    assert captured.value("waitress.waited") == 3


def test_without_waitress_there_is_nothing_to_wait_for(world: World) -> None:
    """In a process that runs no waitress all numbers are 0."""
    with world.capture() as captured:
        # Another test's may have threads yet that are about to end.
        wait_for(lambda: captured.value("waitress.threads") == 0, "no other waitress")
        assert captured.value("waitress.queue") == 0


def test_the_warning_still_reaches_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """waitress' own warning goes where it went before."""
    with world.capture() as captured, caplog.at_level(logging.WARNING):
        logging.getLogger("waitress.queue").warning("Task queue depth is %d", 4)
    assert "Task queue depth is 4" in caplog.text
    assert captured.value("waitress.waited") == 1
