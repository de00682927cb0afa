"""Context managers and decorators, on every kind of function."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from appmetrics import rejection
from appmetrics.levels import DEBUG, INFO
from appmetrics.meter import Meter
from appmetrics.testing import World


@pytest.fixture
def meter() -> Meter:
    """A meter of a world of its own."""
    return World().meter("shop")


def by_label(instrument: Any, label: str) -> dict[str, Any]:
    """Counts by the value of one label."""
    found: dict[str, Any] = {}
    for child in instrument.own_points():
        value = child.series.label(label)
        reading = child.value
        found[value] = found.get(value, 0) + getattr(reading, "count", reading)
    return found


def outcomes(instrument: Any) -> dict[str, Any]:
    """Counts by outcome."""
    return by_label(instrument, "outcome")


async def collected(steps: AsyncIterator[Any]) -> list[Any]:
    """All items of an asynchronous iterator."""
    return [item async for item in steps]


# -- with ----------------------------------------------------------------------


def test_a_span_times_its_block(meter: Meter) -> None:
    """One observation, in seconds, also when the block raises."""
    render = meter.timer("render")
    with render.time():
        pass
    with pytest.raises(KeyError), render.time():
        raise KeyError
    assert render.value.count == 2
    assert 0 < render.value.sum < 10


def test_a_span_can_be_entered_inside_itself(meter: Meter) -> None:
    """One span object is re-entrant: each entry is timed from its own start."""
    render = meter.timer("render")
    span = render.time()
    with span, span, span:
        pass
    assert render.value.count == 3
    assert render.value.sum < 10


def test_labels_can_be_set_before_and_in_the_block(meter: Meter) -> None:
    """time(...) and span.labels(...) together, the later one winning."""
    requests = meter.timer("requests", labels=("method", "status"))
    with requests.time().labels(method="GET", status="?") as span:
        span.labels(status=200)
    assert [child.series.labels for child in requests.own_points()] == [
        (("method", "GET"), ("status", "200"))
    ]


def test_labels_that_are_not_set_are_empty(meter: Meter) -> None:
    """A block that forgot a label is recorded all the same."""
    requests = meter.timer("requests", labels=("method", "status"))
    with requests.time() as span:
        span.labels(method="GET")
    assert [child.series.labels for child in requests.own_points()] == [
        (("method", "GET"), ("status", ""))
    ]


def test_an_unknown_label_is_rejected_and_the_rest_recorded(meter: Meter) -> None:
    """The application goes on, and so does the measurement."""
    requests = meter.timer("requests", labels=("status",))
    before = rejection.counts.get("shop.requests", 0)
    with requests.time() as span:
        span.labels(status=200, statsu=1)
    assert by_label(requests, "status") == {"200": 1}
    assert rejection.counts["shop.requests"] == before + 1


def test_labels_on_an_instrument_without_any_are_rejected(meter: Meter) -> None:
    """Recorded without them, as a block and as a decorator alike."""
    plain = meter.timer("plain")
    before = rejection.counts.get("shop.plain", 0)
    with plain.time().labels(status=1):
        pass
    assert rejection.counts["shop.plain"] == before + 1
    plain.time().labels(status=1)(lambda: None)()
    assert rejection.counts["shop.plain"] == before + 2
    assert plain.value.count == 2


def test_outcome_and_exception_are_filled_in_where_declared(meter: Meter) -> None:
    """ok, error or cancelled, and the exception's class; empty without one."""
    jobs = meter.timer("jobs", labels=("outcome", "exception"))
    with jobs.time():
        pass
    with pytest.raises(KeyError), jobs.time():
        raise KeyError
    with pytest.raises(SystemExit), jobs.time():
        raise SystemExit
    assert [tuple(value for _, value in child.series.labels) for child in jobs.own_points()] == [
        ("", "ok"),
        ("KeyError", "error"),
        ("SystemExit", "cancelled"),
    ]


def test_an_outcome_can_be_set_by_hand(meter: Meter) -> None:
    """What the application says wins over what happened."""
    jobs = meter.timer("jobs", labels=("outcome",))
    with jobs.time() as span:
        span.labels(outcome="skipped")
    assert outcomes(jobs) == {"skipped": 1}


def test_counted_counts_blocks(meter: Meter) -> None:
    """Each end of the block, by outcome if asked for."""
    searches = meter.counter("searches", labels=("outcome", "kind"))
    with searches.counted().labels(kind="a"):
        pass
    with pytest.raises(KeyError), searches.counted().labels(kind="a") as counting:
        counting.labels(kind="b")
        raise KeyError
    assert outcomes(searches) == {"ok": 1, "error": 1}
    assert by_label(searches, "kind") == {"a": 1, "b": 1}


def test_exceptions_are_counted(meter: Meter) -> None:
    """Exception and below by default; BaseExceptions only if named."""
    errors = meter.counter("errors")
    for error in (KeyError, ValueError, SystemExit):
        with pytest.raises(error), errors.count_exceptions():
            raise error
    with errors.count_exceptions():
        pass
    assert errors.value == 2


def test_named_exceptions_are_counted(meter: Meter) -> None:
    """Only those and their subclasses, labelled by class where declared."""
    errors = meter.counter("errors", labels=("exception",))
    for error in (KeyError, IndexError, ValueError):
        with pytest.raises(error), errors.count_exceptions(LookupError):
            raise error
    assert by_label(errors, "exception") == {"KeyError": 1, "IndexError": 1}


def test_a_gauge_tracks_who_is_inside(meter: Meter) -> None:
    """One more while inside, also nested and when it raises."""
    inside = meter.gauge("inside")
    track = inside.track()
    with track:
        with track, inside.track():
            assert inside.value == 3
        assert inside.value == 1
        with pytest.raises(KeyError), track:
            raise KeyError
    assert inside.value == 0


def test_tracking_counts_out_where_it_counted_in(meter: Meter) -> None:
    """Labels set in the block don't move the decrement to another child."""
    inside = meter.gauge("inside", labels=("kind",))
    with inside.track().labels(kind="a") as tracking:
        tracking.labels(kind="b")
    assert by_label(inside, "kind") == {"a": 0}


def test_a_span_can_be_opened_on_a_child(meter: Meter) -> None:
    """Labels given first need not be given again."""
    child = meter.timer("requests", labels=("status",)).labels(200)
    with child.time():
        pass
    child.time()(lambda: None)()
    assert child.value.count == 2


# -- decorators: what is left of the function ------------------------------------


def make_functions() -> dict[str, Callable[..., Any]]:
    """One function of each kind, all with the same signature and docstring."""

    def plain(a: int, *, b: str = "x") -> Any:
        """Doc."""
        return a, b

    async def coroutine(a: int, *, b: str = "x") -> Any:
        """Doc."""
        return a, b

    def generator(a: int, *, b: str = "x") -> Any:
        """Doc."""
        yield a, b

    async def async_generator(a: int, *, b: str = "x") -> Any:
        """Doc."""
        yield a, b

    return {f.__name__: f for f in (plain, coroutine, generator, async_generator)}


RECORDERS: dict[str, Callable[[Meter], Any]] = {
    "timed": lambda meter: meter.timed("it"),
    "timed with labels": lambda meter: meter.timed("it", labels=("outcome",)),
    "counted": lambda meter: meter.counted("it"),
    "count_exceptions": lambda meter: meter.count_exceptions("it"),
    "track": lambda meter: meter.track("it"),
}


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("kind", make_functions())
def test_a_decorated_function_looks_the_same(meter: Meter, kind: str, recorder: str) -> None:
    """Name, docstring, signature, annotations and kind survive."""
    function = make_functions()[kind]
    decorated = RECORDERS[recorder](meter)(function)
    assert decorated is not function
    assert decorated.__name__ == kind
    assert decorated.__doc__ == "Doc."
    assert decorated.__wrapped__ is function
    assert inspect.signature(decorated) == inspect.signature(function)
    for question in (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isfunction,
    ):
        assert question(decorated) == question(function)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_decorated_function_does_the_same(meter: Meter, recorder: str) -> None:
    """Arguments go in and results come out, whatever the kind."""
    functions = {
        name: RECORDERS[recorder](meter)(function) for name, function in make_functions().items()
    }
    assert functions["plain"](1, b="y") == (1, "y")
    assert asyncio.run(functions["coroutine"](1, b="y")) == (1, "y")
    assert list(functions["generator"](1, b="y")) == [(1, "y")]
    assert asyncio.run(collected(functions["async_generator"](1, b="y"))) == [(1, "y")]


def test_the_decorator_returned_is_typed_and_reusable(meter: Meter) -> None:
    """One recorder can decorate several functions."""
    timed = meter.timed("it")
    first, second = timed(len), timed(lambda: 3)
    assert first("ab") + second() == 5
    assert meter.timer("it").value.count == 2


# -- decorators: methods --------------------------------------------------------


def test_methods_of_all_kinds_are_recorded(meter: Meter) -> None:
    """Instance, static and class methods, the decorator above or below the other one."""
    calls = meter.counter("calls")
    counted = calls.counted()

    class Shop:
        @counted
        def plain(self) -> Any:
            return self

        @counted
        @staticmethod
        def static_above(x: int) -> int:
            return x

        @staticmethod
        @counted
        def static_below(x: int) -> int:
            return x

        @counted
        @classmethod
        def class_above(cls) -> Any:
            return cls

        @classmethod
        @counted
        def class_below(cls) -> Any:
            return cls

        @property
        @counted
        def prop(self) -> int:
            return 7

        @counted
        @staticmethod
        async def static_async() -> int:
            return 8

        @counted
        @classmethod
        def class_generator(cls) -> Iterator[Any]:
            yield cls

    class Branch(Shop):
        pass

    branch = Branch()
    assert branch.plain() is branch
    assert Shop.static_above(1) == branch.static_above(1) == 1
    assert Shop.static_below(1) == branch.static_below(1) == 1
    assert Branch.class_above() is branch.class_above() is Branch
    assert Branch.class_below() is branch.class_below() is Branch
    assert branch.prop == 7
    assert asyncio.run(Shop.static_async()) == 8
    assert list(Branch.class_generator()) == [Branch]
    assert calls.value == 12
    assert inspect.iscoroutinefunction(Shop.static_async)


def test_partials_and_builtins_can_be_decorated(meter: Meter) -> None:
    """Whatever is callable, also without a name or a signature."""
    calls = meter.counter("calls")

    class Callable_:
        def __call__(self) -> int:
            return 3

    assert calls.counted()(functools.partial(int, "3"))() == 3
    assert calls.counted()(max)(1, 3) == 3
    assert calls.counted()(Callable_())() == 3
    assert calls.value == 3


def test_a_partial_of_a_coroutine_function_is_timed_to_its_end(meter: Meter) -> None:
    """Not just the creation of the coroutine."""

    async def work(x: int) -> int:
        raise KeyError(x)

    jobs = meter.timer("jobs", labels=("outcome",))
    with pytest.raises(KeyError):
        asyncio.run(jobs.time()(functools.partial(work, 1))())
    assert outcomes(jobs) == {"error": 1}


# -- decorators: plain functions --------------------------------------------------


def test_a_call_is_timed_also_when_it_raises(meter: Meter) -> None:
    """The exception comes out unchanged."""

    @meter.timed("work")
    def work(fail: bool) -> None:
        if fail:
            raise KeyError("x")

    work(False)
    with pytest.raises(KeyError, match="x"):
        work(True)
    assert meter.timer("work").value.count == 2


def test_recursive_calls_are_each_recorded(meter: Meter) -> None:
    """Every level of a recursion is a call of its own."""
    inside = meter.gauge("inside")
    depths: list[Any] = []

    @meter.timed("work")
    @meter.counted("calls", labels=("outcome",))
    @inside.track()
    def work(n: int) -> int:
        depths.append(inside.value)
        return 1 if n == 0 else n * work(n - 1)

    assert work(4) == 24
    assert meter.timer("work").value.count == 5
    assert outcomes(meter.counter("calls", labels=("outcome",))) == {"ok": 5}
    assert depths == [1, 2, 3, 4, 5]
    assert inside.value == 0


def test_the_outcome_of_a_call_is_a_label_on_request(meter: Meter) -> None:
    """Decorated functions fill in outcome and exception like blocks."""

    @meter.timed("work", labels=("outcome",))
    @meter.count_exceptions("errors", labels=("exception",))
    def work(error: type[BaseException] | None) -> None:
        if error:
            raise error

    work(None)
    for error in (KeyError, KeyboardInterrupt):
        with pytest.raises(error):
            work(error)
    assert outcomes(meter.timer("work", labels=("outcome",))) == {
        "ok": 1,
        "error": 1,
        "cancelled": 1,
    }
    assert by_label(meter.counter("errors", labels=("exception",)), "exception") == {"KeyError": 1}


def test_decorators_of_meters_and_instruments_are_the_same(meter: Meter) -> None:
    """meter.timed(name) declares the timer that meter.timer(name) gives."""
    meter.timed("t", "Help")(lambda: None)()
    meter.counted("c")(lambda: None)()
    meter.track("g", merge="max")(lambda: None)()
    with pytest.raises(KeyError), meter.count_exceptions("e", KeyError, help="Errors"):
        raise KeyError
    assert meter.timer("t").value.count == 1
    assert meter.timer("t").series.help == "Help"
    assert meter.counter("c").value == 1
    assert meter.counter("e").value == 1
    assert meter.gauge("g").series.merge == "max"


def test_a_level_decides_when_the_function_is_called(meter: Meter) -> None:
    """Not when it is decorated: switching on and off works for existing decorators."""

    @meter.timed("work", level=DEBUG)
    def work() -> int:
        return 1

    timer = meter.timer("work")
    work()
    assert timer.value.count == 0
    meter.level = DEBUG
    work()
    assert timer.value.count == 1
    meter.level = INFO
    assert work() == 1
    assert timer.value.count == 1


# -- decorators: coroutines -------------------------------------------------------


def test_a_coroutine_is_timed_until_it_returns(meter: Meter) -> None:
    """Its creation records nothing; awaiting counts into the time."""

    @meter.timed("work", labels=("outcome",))
    async def work() -> int:
        await asyncio.sleep(0.02)
        return 5

    async def main() -> None:
        waiting = work()
        assert outcomes(timer) == {}
        assert await waiting == 5

    timer = meter.timer("work", labels=("outcome",))
    asyncio.run(main())
    assert outcomes(timer) == {"ok": 1}
    assert timer.labels("ok").value.sum >= 0.02


def test_coroutines_at_the_same_time_are_recorded_apart(meter: Meter) -> None:
    """Each has its own start and its own labels."""
    inside = meter.gauge("inside")
    most: list[Any] = []

    @meter.timed("work")
    @inside.track()
    async def work() -> None:
        most.append(inside.value)
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(5)))

    asyncio.run(main())
    assert max(most) == 5
    assert inside.value == 0
    assert meter.timer("work").value.count == 5


def test_a_cancelled_coroutine_is_cancelled(meter: Meter) -> None:
    """Its outcome is not an error, and the cancellation goes on."""

    @meter.timed("work", labels=("outcome",))
    @meter.count_exceptions("errors")
    async def work() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert outcomes(meter.timer("work", labels=("outcome",))) == {"cancelled": 1}
    assert meter.counter("errors").value == 0


# -- decorators: generators -------------------------------------------------------


def test_a_generator_is_recorded_when_it_is_exhausted(meter: Meter) -> None:
    """Neither its creation nor a step records, its end does; the return value survives."""
    timer = meter.timer("work", labels=("outcome",))

    @timer.time()
    def work() -> Iterator[int]:
        yield 1
        yield 2
        return "done"

    def delegate() -> Any:
        return (yield from work())

    steps = delegate()
    assert outcomes(timer) == {}
    assert [next(steps), next(steps)] == [1, 2]
    assert outcomes(timer) == {}
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == "done"
    assert outcomes(timer) == {"ok": 1}


def test_a_generator_that_is_closed_is_cancelled(meter: Meter) -> None:
    """close() reaches the body, and the time ends there; unstarted ones don't count."""
    timer = meter.timer("work", labels=("outcome",))
    cleaned: list[bool] = []

    @timer.time()
    def work() -> Iterator[int]:
        try:
            yield 1
        finally:
            cleaned.append(True)

    steps = work()
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    work().close()  # type: ignore[attr-defined]
    assert cleaned == [True]
    assert outcomes(timer) == {"cancelled": 1}


def test_values_and_exceptions_reach_a_generators_body(meter: Meter) -> None:
    """send() and throw() work as without the decorator."""
    timer = meter.timer("work", labels=("outcome",))

    @timer.time()
    def echo() -> Any:
        got = None
        while True:
            try:
                got = yield got
            except KeyError:
                got = "caught"

    steps = echo()
    next(steps)
    assert steps.send("a") == "a"
    assert steps.throw(KeyError) == "caught"
    with pytest.raises(ZeroDivisionError):
        steps.throw(ZeroDivisionError)
    assert outcomes(timer) == {"error": 1}


# -- decorators: async generators --------------------------------------------------


def test_an_async_generator_is_recorded_when_it_is_exhausted(meter: Meter) -> None:
    """All items come through, then one recording."""
    timer = meter.timer("work", labels=("outcome",))

    @timer.time()
    async def work() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    async def main() -> None:
        steps = work()
        assert await steps.__anext__() == 1
        assert outcomes(timer) == {}
        assert await collected(steps) == [2]
        assert outcomes(timer) == {"ok": 1}

    asyncio.run(main())


def test_an_async_generator_can_be_empty_or_fail(meter: Meter) -> None:
    """No item at all is ok; an error in the body comes out and is an error."""
    timer = meter.timer("work", labels=("outcome",))

    @timer.time()
    async def work(fail: bool) -> AsyncIterator[int]:
        if fail:
            raise KeyError
        return
        yield

    assert asyncio.run(collected(work(False))) == []
    with pytest.raises(KeyError):
        asyncio.run(collected(work(True)))
    assert outcomes(timer) == {"ok": 1, "error": 1}


def test_values_and_exceptions_reach_an_async_generators_body(meter: Meter) -> None:
    """asend() and athrow() work as without the decorator."""
    timer = meter.timer("work", labels=("outcome",))

    @timer.time()
    async def echo() -> Any:
        got = None
        while True:
            try:
                got = yield got
            except KeyError:
                got = "caught"

    async def main() -> None:
        steps = echo()
        await steps.asend(None)
        assert await steps.asend("a") == "a"
        assert await steps.athrow(KeyError) == "caught"
        assert await steps.asend("b") == "b"
        with pytest.raises(ZeroDivisionError):
            await steps.athrow(ZeroDivisionError)

    asyncio.run(main())
    assert outcomes(timer) == {"error": 1}


def test_an_async_generator_that_is_closed_is_cancelled(meter: Meter) -> None:
    """aclose() reaches the body at once, and the time ends there."""
    timer = meter.timer("work", labels=("outcome",))
    cleaned: list[str] = []

    @timer.time()
    async def work() -> Any:
        try:
            yield 1
            yield 2
        except GeneratorExit:
            cleaned.append("exit")
            raise
        finally:
            await asyncio.sleep(0)
            cleaned.append("finally")

    async def main() -> None:
        steps = work()
        await steps.asend(None)
        await steps.aclose()
        assert cleaned == ["exit", "finally"]

    asyncio.run(main())
    assert outcomes(timer) == {"cancelled": 1}


def test_an_async_generator_left_behind_is_closed_by_the_loop(meter: Meter) -> None:
    """A consumer that breaks off leaves nothing unrecorded."""
    timer = meter.timer("work", labels=("outcome",))

    @timer.time()
    async def work() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> None:
        async for _ in work():
            break

    asyncio.run(main())
    assert outcomes(timer) == {"cancelled": 1}


# -- hostile --------------------------------------------------------------------


def test_a_recorder_survives_a_reset_and_a_level_change_in_its_block(meter: Meter) -> None:
    """A recorder holds its instrument, never the cells behind it."""
    render = meter.timer("render")
    depth = meter.gauge("depth")
    with render.time(), depth.track():
        meter.hierarchy.reset()
    assert render.value.count == 1


@pytest.mark.parametrize("labels", [{"status": object()}, {"other": 1}, {"status": [1]}])
def test_odd_labels_never_break_the_block(meter: Meter, labels: dict[str, Any]) -> None:
    """Neither the body's result nor its exception is lost to a label."""
    requests = meter.timer("requests", labels=("status",))
    with pytest.raises(KeyError), requests.time() as span:
        span.labels(**labels)
        raise KeyError
    assert sum(by_label(requests, "status").values()) == 1


@pytest.mark.usefixtures("hectic")
def test_threads_that_share_a_span_count_right(meter: Meter) -> None:
    """Their times are mixed up; no count is lost and nothing is raised or left inside."""
    span = meter.timer("render").time()
    inside = meter.gauge("inside")
    tracking = inside.track()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(3_000):
                with span, tracking:
                    pass
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert meter.timer("render").value.count == 12_000
    assert inside.value == 0


def test_a_property_is_recorded(meter: Meter) -> None:
    """Reading and setting it are."""

    class Basket:
        @meter.counted("touched")
        @property
        def size(self) -> int:
            """How many."""
            return 3

        @size.setter
        def size(self, size: int) -> None: ...

    basket = Basket()
    assert basket.size == 3
    assert Basket.size.__doc__ == "How many."
    assert meter.counter("touched").value == 1


@pytest.mark.parametrize("thing", [5, None, object()])
def test_what_can_not_be_called_can_not_be_decorated(meter: Meter, thing: Any) -> None:
    """An error at once, not when it is used."""
    with pytest.raises(TypeError, match="only functions and methods can be recorded"):
        meter.timed("render")(thing)


def test_exceptions_to_count_must_be_classes(meter: Meter) -> None:
    """An error at once, not one that takes the place of the exception in the block."""
    with pytest.raises(TypeError):
        meter.count_exceptions("errors", "ValueError")  # type: ignore[arg-type]


def test_a_label_may_be_called_self(meter: Meter) -> None:
    """As any other name."""
    times = meter.timer("render", labels=("self", "values"))
    with times.time().labels(self="a") as span:
        span.labels(values="b")
    counter = meter.counter("orders", labels=("self",))
    counter.labels(self="a").inc()
    with (
        counter.counted().labels(self="a"),
        meter.gauge("in", labels=("self",)).track().labels(self="a"),
    ):
        pass
    with pytest.raises(KeyError), counter.count_exceptions().labels(self="a"):
        raise KeyError
    assert times.labels("a", "b").value.count == 1
    assert counter.labels("a").value == 3


def test_an_object_that_is_called_and_awaited_is_timed_to_its_end(meter: Meter) -> None:
    """An ``async def __call__`` is recorded when it returns, not when it is called."""

    class Fetch:
        async def __call__(self, url: str) -> str:
            await asyncio.sleep(0)
            raise LookupError(url)

    fetch = meter.timed("fetch", labels=("outcome",))(Fetch())
    with pytest.raises(LookupError):
        asyncio.run(fetch("x"))
    assert by_label(meter.timer("fetch", labels=("outcome",)), "outcome") == {"error": 1}
