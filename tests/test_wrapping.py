"""Wrappers with their function's own parameters."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

from appmetrics.meter import Meter
from appmetrics.testing import World


@pytest.fixture
def meter() -> Meter:
    """A meter of a world of its own."""
    return World().meter("shop")


class Shop:
    """Holds a method with a mangled parameter."""

    def mangled(self, __secret: int) -> Any:
        """The name is _Shop__secret inside."""
        return __secret


def local(a: int) -> Any:
    """Locals with the names of the wrapper's own."""
    _function = _start = a
    return _function, _start


default: list[int] = []

FUNCTIONS: list[Any] = [
    lambda: (),
    lambda a, b=default: (a, b),
    lambda a, b=2, /, c=3, *d, e, f=6, **g: (a, b, c, d, e, f, g),
    lambda *, function, timer=1: (function, timer),
    lambda _function, _start=1: (_function, _start),
    lambda *a: a,
    lambda **a: a,
    lambda a, /: a,
    lambda instrument, call=1, make=2: (instrument, call, make),
    Shop.mangled,
    local,
]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, 3, 4, 5), {"e": 6, "z": 7}),
    ((), {"a": 1}),
    ((), {"function": 1}),
    ((), {"_function": 1}),
    ((), {"instrument": 1, "make": 3}),
    ((1,), {"a": 2}),
    ((1,), {"e": 2, "a": 3}),
]


def outcome(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What a call returns or raises."""
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        return str(error)


@pytest.mark.parametrize("recorder", ["timed", "counted", "count_exceptions", "track"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_wrapper_takes_what_its_function_takes(
    meter: Meter, function: FunctionType, recorder: str
) -> None:
    """The same arguments, the same defaults, the same complaint about wrong ones."""
    wrapped = getattr(meter, recorder)("work")(function)
    assert inspect.signature(wrapped) == inspect.signature(function)
    for args, kwargs in CALLS:
        assert outcome(wrapped, args, kwargs) == outcome(function, args, kwargs)


def test_a_mutable_default_stays_the_same_object(meter: Meter) -> None:
    """As without the decorator."""
    timed = meter.timed("work")(lambda a, b=default: b)
    assert timed(1) is default


def test_a_function_that_claims_another_signature(meter: Meter) -> None:
    """What counts is what it takes, not what it says."""

    def work(*args: Any) -> Any:
        return args

    work.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
    assert meter.timed("work")(work)(1, 2) == (1, 2)


def test_a_coroutine_function_keeps_its_parameters(meter: Meter) -> None:
    """It is one still, and awaits the other."""

    @meter.timed("work")
    async def work(a: int, *, b: int = 2) -> Any:
        await asyncio.sleep(0)
        return a, b

    assert inspect.iscoroutinefunction(work)
    assert asyncio.run(work(1, b=3)) == (1, 3)
    assert meter.timer("work").value.count == 1


def test_a_wrong_call_is_not_recorded(meter: Meter) -> None:
    """Nothing has begun that could be timed."""
    work = meter.timed("work")(lambda a: a)
    with pytest.raises(TypeError, match=r"<lambda>\(\) missing 1 required positional argument"):
        work()
    assert meter.timer("work").value.count == 0


def test_the_traceback_leads_to_the_function(meter: Meter) -> None:
    """One frame of ours, and then the body that raised."""

    @meter.timed("work")
    def work() -> None:
        raise KeyError

    with pytest.raises(KeyError) as raised:
        work()
    assert [entry.name for entry in raised.traceback] == [
        "test_the_traceback_leads_to_the_function",
        "call",
        "work",
    ]
