"""`HandlerContract`: what every handler must do, as tests to inherit.

A handler's own tests subclass it and say how to make the handler and how to look
at what arrived::

    class TestMyHandler(HandlerContract):
        def make_handler(self, tmp_path):
            return MyHandler(path=str(tmp_path / "out"))

        def received(self):
            return self.handler.path.read_text().splitlines()

Nothing here knows a particular handler. Without pytest these are plain methods
that raise AssertionError (and unittest.SkipTest).
"""

from __future__ import annotations

import inspect
import logging
import re
import threading
import time
import unittest
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..handlers.base import COMMON, LEFT_OUT, Handler
from ..options import REQUIRED
from ..sample import HISTOGRAM, TIMER, Event, Sample, Series
from .rounds import HOSTILE, batch, one_of_each_kind


class HandlerContract:
    """The behaviour that all handlers share; inherit it, in a class ``Test...``.

    ``wait`` is the longest that a target may take to show what was sent, in seconds.
    """

    wait = 10.0
    handler: Any

    # -- to override ---------------------------------------------------------

    def make_handler(self, tmp_path: Path) -> Handler:
        """A new handler whose target works. Also called several times in a test."""
        raise NotImplementedError

    def received(self) -> Sequence[str]:
        """What has arrived so far, one text for each line, record or datagram."""
        raise NotImplementedError

    # -- helpers -------------------------------------------------------------

    def made(self, tmp_path: Path) -> Handler:
        """A new handler, also as ``self.handler``."""
        tmp_path.mkdir(exist_ok=True)
        self.handler = self.make_handler(tmp_path)
        handler: Handler = self.handler
        return handler

    def pushed(self, tmp_path: Path) -> Handler:
        """A new handler that takes rounds; skips the test if it takes none."""
        handler = self.made(tmp_path)
        if handler.pull:
            raise unittest.SkipTest("it is asked, and takes no rounds")
        return handler

    def shows(self, name: str) -> bool:
        """Whether a name has arrived, however the target writes its dots."""
        plain = re.sub(r"\W|_", "", name)
        return any(plain in re.sub(r"\W|_", "", text) for text in self.received())

    def await_(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds; fails after ``wait`` seconds."""
        deadline = time.monotonic() + self.wait
        while not condition():
            assert time.monotonic() < deadline, f"{what}; arrived: {list(self.received())[-5:]}"
            time.sleep(0.01)

    def observed(self, handler: Handler, pairs: Sequence[tuple[Series, Any]]) -> int:
        """Tell a handler that ``observes`` one value of each timer and histogram, as an
        application would; returns how many that were."""
        kinds = (TIMER, HISTOGRAM) if handler.observes else ()
        series = [series for series, _ in pairs if series.kind in kinds]
        sinks = [sink for sink in map(handler.observer, series) if sink is not None]
        for sink in sinks:
            sink(0.5)
        return len(sinks)

    # -- the contract: construction and options ------------------------------

    def test_is_a_handler(self, tmp_path: Path) -> None:
        """It is a Handler and overrides what is meant to be overridden, not the mechanism."""
        handler = self.made(tmp_path)
        assert isinstance(handler, Handler)
        for name in ("handle", "put", "put_event", "start", "stop", "flush"):
            assert getattr(type(handler), name) is getattr(Handler, name), name
        assert handler.pull or type(handler).emit is not Handler.emit

    def test_options_are_constructor_arguments(self, tmp_path: Path) -> None:
        """Every option is a keyword argument of the constructor, with the same default."""
        kind = type(self.made(tmp_path))
        taken = {
            name: parameter
            for base in kind.__mro__
            if "__init__" in vars(base)
            for name, parameter in inspect.signature(base).parameters.items()
        }
        for option in kind.OPTIONS:
            assert option.name in taken, f"the constructor doesn't take {option.name!r}"
            if not option.required:
                default = taken[option.name].default
                assert default == option.default or not (default or option.default), option.name
        for option in COMMON:
            assert option.name in taken, f"the constructor must pass {option.name!r} on"

    def test_options_are_documented(self, tmp_path: Path) -> None:
        """Every option says what it means and what it expects, under a name of its own."""
        kind = type(self.made(tmp_path))
        assert inspect.getdoc(kind), "the class needs a docstring"
        names = [option.name for option in (*kind.OPTIONS, *COMMON)]
        assert len(names) == len(set(names)), "an option's name is taken"
        for option in kind.OPTIONS:
            assert option.help, f"{option.name} needs a help text"
            assert option.expects, f"{option.name}'s converter needs `expects`"

    def test_default_values_convert_to_themselves(self, tmp_path: Path) -> None:
        """What an option has by default can also be given."""
        for option in type(self.made(tmp_path)).OPTIONS:
            if option.default is not REQUIRED and option.default is not None:
                assert option.convert(option.default) == option.default, option.name

    def test_takes_the_common_options(self, tmp_path: Path) -> None:
        """It has a name, a level, an interval and filters."""
        handler = self.made(tmp_path)
        assert isinstance(handler.name, str)
        assert handler.name
        assert handler.level >= 0
        assert handler.interval is None or handler.interval > 0
        assert isinstance(handler.filters, tuple)

    def test_making_one_starts_nothing(self, tmp_path: Path) -> None:
        """Making a handler starts no thread: threads die in a fork."""
        before = set(threading.enumerate())
        handler = self.made(tmp_path)
        ours = [t for t in threading.enumerate() if t not in before and handler.name in t.name]
        assert not ours

    def test_stopping_is_harmless(self, tmp_path: Path) -> None:
        """A handler that was never started can be stopped, twice."""
        handler = self.made(tmp_path)
        assert handler.stop(5)
        assert handler.stop(5)

    # -- the contract: looking at it -----------------------------------------

    def test_says_where_it_sends(self, tmp_path: Path) -> None:
        """Its target and its repr are one line."""
        handler = self.made(tmp_path)
        assert "\n" not in handler.target()
        assert "\n" not in repr(handler)

    def test_describes_series(self, tmp_path: Path) -> None:
        """It tells the paths or lines of any series, whatever its name."""
        handler = self.made(tmp_path)
        for series, _ in one_of_each_kind():
            assert handler.describe(series)
        for text in HOSTILE:
            lines = handler.describe(Series(text, (("label", text),), "counter"))
            assert isinstance(lines, list)
            assert all(isinstance(line, str) for line in lines)

    def test_check_accepts_a_working_target(self, tmp_path: Path) -> None:
        """Checking a target that works raises nothing, and leaves no thread."""
        handler = self.made(tmp_path)
        before = threading.active_count()
        handler.check()
        self.await_(lambda: threading.active_count() <= before, "a thread was left")

    # -- the contract: rounds ------------------------------------------------

    def test_a_round_arrives(self, tmp_path: Path) -> None:
        """What is put before stop() arrives, whatever kind it is, and is counted."""
        handler = self.pushed(tmp_path)
        pairs = one_of_each_kind()
        handler.start()
        observed = self.observed(handler, pairs)
        handler.put(batch(pairs))
        assert handler.stop(self.wait)
        for series, _ in pairs:
            self.await_(partial(self.shows, series.name), f"{series.name} is missing")
        assert handler.stats.errors == 0, handler.stats.last_error
        assert handler.stats.sent == len(pairs) + observed
        assert handler.stats.dropped == 0

    def test_flush_delivers(self, tmp_path: Path) -> None:
        """After flush() everything that was put has been worked off, and it goes on."""
        handler = self.pushed(tmp_path)
        handler.start()
        try:
            for number in range(3):
                handler.put(batch([(Series(f"contract.flush.{number}"), number)]))
                assert handler.flush(self.wait)
                self.await_(partial(self.shows, f"contract.flush.{number}"), "nothing came")
        finally:
            assert handler.stop(self.wait)

    def test_can_be_started_again(self, tmp_path: Path) -> None:
        """A stopped handler that is started again delivers again."""
        handler = self.pushed(tmp_path)
        for number in range(2):
            handler.start()
            handler.put(batch([(Series(f"contract.again.{number}"), number)]))
            assert handler.stop(self.wait)
            self.await_(partial(self.shows, f"contract.again.{number}"), "nothing came")

    def test_takes_events(self, tmp_path: Path) -> None:
        """An event is delivered or left out, and is never an error."""
        handler = self.pushed(tmp_path)
        event = Event("1.4.2\nevil 1 1", "ok", {"by": "ci\nevil"}, ("a b", "\n"), None, 60.0)
        handler.start()
        handler.put_event(Sample(Series("contract.deploy", kind="event"), 1_600_000_000.0, event))
        handler.put(batch([(Series("contract.after"), 1)]))
        assert handler.stop(self.wait)
        self.await_(lambda: self.shows("contract.after"), "the round after it is missing")
        assert handler.stats.errors == 0, handler.stats.last_error
        assert self.injected() == []

    def test_repeated_rounds_prepare_once(self, tmp_path: Path) -> None:
        """What never changes is prepared once for each series, not in every round."""
        handler = self.pushed(tmp_path)
        calls: list[Series] = []
        prepare = handler.prepare

        def counting(series: Series) -> Any:
            calls.append(series)
            return prepare(series)

        handler.prepare = counting  # type: ignore[method-assign]
        first = batch([(Series("contract.once"), 1)])
        for number in range(3):
            handler.handle(first._replace(time=first.time + number))
        handler.stop(self.wait)
        assert len(calls) == 1

    def test_preparing_twice_is_the_same(self, tmp_path: Path) -> None:
        """A new selection prepares the same series again, and it is not refused."""
        handler = self.pushed(tmp_path)
        for series, _ in one_of_each_kind():
            assert handler.prepare(series) is not LEFT_OUT
            assert handler.prepare(series) is not LEFT_OUT

    # -- the contract: hostile text, failures --------------------------------

    def injected(self) -> list[str]:
        """Texts that arrived and are not what was sent but what was hidden in it."""
        return [text for text in self.received() if text.lstrip().startswith("evil")]

    def test_hostile_names_break_nothing(self, tmp_path: Path) -> None:
        """Whatever is in a name or label, it arrives as itself or not at all."""
        handler = self.pushed(tmp_path)
        fine = [
            (Series(f"contract.fine{index}", (("label", f"v{index}"),)), index)
            for index in range(2 * len(HOSTILE))
        ]
        handler.start()
        handler.put(batch([*fine, (Series("contract.end1"), 1)]))
        assert handler.stop(self.wait)
        self.await_(lambda: self.shows("contract.end1"), "harmless series did not come")
        usual = len(self.received())

        handler = self.made(tmp_path / "hostile")
        before = len(self.received())
        hostile = [
            *((Series(text, (("label", "v"),)), 1) for text in HOSTILE),
            *((Series("contract.hostile", (("label", text),)), 1) for text in HOSTILE),
        ]
        handler.start()
        handler.put(batch([*hostile, (Series("contract.end2"), 1)]))
        assert handler.stop(self.wait)
        self.await_(lambda: self.shows("contract.end2"), "hostile names stopped the rest")
        assert handler.stats.errors == 0, handler.stats.last_error
        assert self.injected() == []
        assert len(self.received()) - before <= usual, "there are more lines than series"

    def test_a_failing_emit_is_counted(self, tmp_path: Path) -> None:
        """A failure raises nothing, is counted and logged once, and the next round comes."""
        handler = self.pushed(tmp_path)
        emit = handler.emit
        fail = [True, True]

        def failing(samples: Sequence[Sample]) -> int | None:
            if fail:
                fail.pop()
                raise ConnectionResetError("for the test")
            return emit(samples)

        handler.emit = failing  # type: ignore[method-assign]
        logged: list[logging.LogRecord] = []
        listener = logging.Handler(logging.WARNING)
        setattr(listener, "emit", logged.append)  # noqa: B010
        logger = logging.getLogger("appmetrics")
        logger.addHandler(listener)
        try:
            handler.start()
            for number in range(3):
                handler.put(batch([(Series(f"contract.failing.{number}"), number)]))
                assert handler.flush(self.wait)
        finally:
            logger.removeHandler(listener)
            assert handler.stop(self.wait)
        self.await_(lambda: self.shows("contract.failing.2"), "it did not recover")
        assert handler.stats.errors == 2
        assert handler.stats.dropped == 2
        assert "for the test" in handler.stats.last_error
        ours = [record for record in logged if handler.name in record.getMessage()]
        assert len(ours) == 1
