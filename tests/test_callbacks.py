"""Callbacks that answer, raise, hang, and come back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from appmetrics.callbacks import Callbacks
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.testing import World
from servers import PATIENCE, wait_for


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets hanging callbacks return; set at the end in any case."""
    event = threading.Event()
    yield event
    event.set()


class Prompt(Callbacks):
    """Its time is over as soon as a callback hangs in `hang`, and no earlier."""

    def __init__(self, release: threading.Event) -> None:
        super().__init__()
        self._release = release
        self._hangs: SimpleQueue[None] = SimpleQueue()

    def hang(self) -> None:
        """Say so, and wait until released."""
        self._hangs.put(None)
        self._release.wait()

    def _wait(self, number: int, done: SimpleQueue[str], deadline: float) -> None:  # type: ignore[override]
        wait_for(lambda: done.qsize() == number or not self._hangs.empty(), "an end of the round")
        if not self._hangs.empty():
            self._hangs.get()


def test_all_callbacks_are_asked_on_one_further_thread() -> None:
    """Not on the caller's, and one after the other."""
    threads: list[threading.Thread] = []
    callbacks = Callbacks()
    callbacks.ask(
        {name: lambda: threads.append(threading.current_thread()) for name in "abc"}, PATIENCE
    )
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    assert (callbacks.failed, callbacks.missed) == (0, 0)


def test_a_callback_that_raises_is_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its siblings are asked all the same, every time."""
    asked: list[str] = []

    def broken() -> None:
        raise ZeroDivisionError("no")

    callbacks = Callbacks()
    for _ in range(3):
        callbacks.ask({"broken": broken, "sound": lambda: asked.append("sound")}, PATIENCE)
    assert asked == ["sound"] * 3
    assert callbacks.failed == 3
    assert [r.getMessage() for r in caplog.records if r.name == "appmetrics"] == [
        "the callback of broken failed: ZeroDivisionError: no"
    ]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_callback_that_exits_does_not_end_the_asking(error: type[BaseException]) -> None:
    """sys.exit() in a callback is a failure like any other; it is asked again."""
    asked: list[str] = []

    def leave() -> None:
        asked.append("leave")
        raise error

    callbacks = Callbacks()
    for _ in range(2):
        callbacks.ask({"leave": leave, "sound": lambda: asked.append("sound")}, PATIENCE)
    assert asked == ["leave", "sound"] * 2
    assert (callbacks.failed, callbacks.missed) == (2, 0)


def test_an_error_that_cannot_be_told_is_a_failure_too() -> None:
    """An exception whose text raises stops nobody."""
    asked: list[str] = []

    class Evil(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def broken() -> None:
        raise Evil

    callbacks = Callbacks()
    logging.raiseExceptions, before = False, logging.raiseExceptions
    try:
        callbacks.ask({"broken": broken, "sound": lambda: asked.append("sound")}, PATIENCE)
    finally:
        logging.raiseExceptions = before
    assert asked == ["sound"]
    assert callbacks.failed == 1


def test_a_callback_that_hangs_holds_up_nobody(release: threading.Event) -> None:
    """Those behind it are asked in the same round."""
    asked: list[str] = []
    callbacks = Prompt(release)
    began = time.monotonic()
    callbacks.ask(
        {
            "first": lambda: asked.append("first"),
            "hanging": callbacks.hang,
            "behind": lambda: asked.append("behind"),
        },
        PATIENCE,
    )
    assert time.monotonic() - began < PATIENCE / 2
    assert asked == ["first", "behind"]
    assert callbacks.missed == 1


def test_a_hanging_callback_is_not_asked_again_before_it_returned(
    release: threading.Event,
) -> None:
    """It counts as missed in each round meanwhile; afterwards it is asked as before."""
    calls: list[int] = []

    def hanging() -> None:
        calls.append(1)
        release.wait()

    callbacks = Callbacks()
    for _ in range(3):
        callbacks.ask({"hanging": hanging}, 0.02)
    wait_for(lambda: calls, "the one call, whose thread may come late")
    assert len(calls) == 1
    assert callbacks.missed == 3
    release.set()

    def asked_again() -> bool:
        callbacks.ask({"hanging": hanging}, PATIENCE)
        return len(calls) > 1

    wait_for(asked_again)
    missed = callbacks.missed
    callbacks.ask({"hanging": hanging}, PATIENCE)
    assert callbacks.missed == missed


def test_several_hanging_callbacks_each_keep_their_own_thread(release: threading.Event) -> None:
    """The rest is still asked."""
    asked: list[str] = []
    callbacks = Prompt(release)
    callbacks.ask(
        {
            "one": callbacks.hang,
            "two": callbacks.hang,
            "sound": lambda: asked.append("sound"),
        },
        PATIENCE,
    )
    assert asked == ["sound"]
    assert callbacks.missed == 2


class JustTooLate(Callbacks):
    """Gives up in the very moment in which the callback has returned."""

    @staticmethod
    def _wait(number: int, done: SimpleQueue[str], deadline: float) -> None:
        wait_for(lambda: done.qsize() == number, "its return")


def test_a_callback_that_returns_just_when_it_is_given_up_is_asked_again() -> None:
    """It counts as missed in that round, and does not pass for a hanging one for ever."""
    asked: list[str] = []
    callbacks = JustTooLate()
    for _ in range(2):
        callbacks.ask({"late": lambda: asked.append("late")}, 0.01)
    assert asked == ["late", "late"]


def test_a_world_ships_what_callbacks_say() -> None:
    """A gauge whose callback raises or gives no number is missing from the round."""
    world = World()
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    answers: list[object] = [7, None, 8]

    def answer() -> object:
        return 1 / 0 if not answers else answers.pop(0)

    world.meter("shop").gauge("depth", callback=answer)
    found = []
    for _ in range(4):
        memory.clear()
        world.advance(10)
        sample = memory.last("shop.depth")
        found.append(None if sample is None else sample.value)
    assert found == [7, None, 8, None]


def test_a_gauge_that_hangs_is_missing_and_comes_back(release: threading.Event) -> None:
    """The round goes out without it, at its time; it is counted."""
    world = World()
    callbacks = world.reporter.callbacks = Prompt(release)
    memory = MemoryHandler()
    world.meter().add_handler(memory)

    def answer() -> int:
        if not release.is_set():
            callbacks.hang()
        return 5

    world.meter("shop").gauge("depth", callback=answer)
    world.meter("shop").gauge("other", callback=lambda: 6)
    world.advance(10)
    assert memory.last("shop.depth") is None
    assert memory.last("shop.other") is not None
    failed = memory.last("appmetrics.callbacks.failed")
    assert failed is not None
    assert failed.value == 1
    release.set()

    def came_back() -> bool:
        world.advance(10)
        return memory.last("shop.depth") is not None

    wait_for(came_back)


def test_a_gauge_that_is_off_is_not_asked() -> None:
    """A level that is off spares the application its callback."""
    world = World()
    world.meter().add_handler(MemoryHandler())
    asked: list[int] = []
    world.meter("shop").gauge("depth", callback=lambda: asked.append(1), level="DEBUG")
    world.advance(20)
    assert asked == []


def test_very_many_hanging_callbacks_do_not_add_up(release: threading.Event) -> None:
    """Those whose turn has not come when time is over are missing, and asked again."""
    asked: list[str] = []
    callbacks = Callbacks()
    todo: dict[str, Callable[[], object]] = {str(i): release.wait for i in range(100)}
    todo["last"] = lambda: asked.append("last")
    began = time.monotonic()
    callbacks.ask(todo, 0.01)
    assert time.monotonic() - began < PATIENCE
    assert callbacks.missed == 101
    assert not asked
    release.set()
    wait_for(lambda: not callbacks._hanging)
    callbacks.ask(todo, PATIENCE)
    assert asked == ["last"]
