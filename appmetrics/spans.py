"""Context managers that record, and the decorators made of them.

Each recorder is used in a ``with`` statement or as a decorator. It records also
when the body raises. A recorder holds its instrument, never the cells behind it,
so that an instrument can be pointed elsewhere while a span is open. Written as
classes: a generator-based context manager costs three times as much.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Generator
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from .wrapping import COUNTED, COUNTED_EXCEPTIONS, TIMED, TRACKED, wrapped

if TYPE_CHECKING:
    from typing_extensions import Self

F = TypeVar("F", bound=Callable[..., Any])

#: The class of the exception that ends a block.
Kind = type[BaseException] | None


def outcome(error: Kind) -> str:
    """The value of an ``outcome`` label: ok, error or cancelled.

    Cancelled is everything that isn't an ``Exception``: a cancelled task, a
    generator closed early, an interpreter that exits.
    """
    if error is None:
        return "ok"
    return "error" if issubclass(error, Exception) else "cancelled"


class _Automatic(dict[str, str]):
    """The labels that are filled in; all others are empty."""

    def __missing__(self, name: str) -> str:
        return ""


_ENDED_WELL = _Automatic(outcome="ok")


class Recorder:
    """What all recorders share: labels set in the block, use as a decorator."""

    __slots__ = ("_instrument", "_labels")
    _steps: tuple[str, str]
    _types: tuple[type[BaseException], ...] = ()

    def __init__(self, instrument: Any) -> None:
        self._instrument = instrument
        self._labels: dict[str, object] | None = None

    def labels(self, /, **labels: object) -> Self:
        """Set labels of what is being recorded; may be called several times.

        Labels that are not set by the end of the block are empty, except
        ``outcome`` and ``exception``, which are filled in. One that the instrument
        doesn't have is rejected.
        """
        known = self._instrument.known(labels)
        self._labels = {**self._labels, **known} if self._labels else known
        return self

    def again(self) -> Self:
        """A fresh recorder like this one."""
        fresh = self._fresh()
        fresh._labels = self._labels
        return fresh

    def _fresh(self) -> Self:
        return type(self)(self._instrument)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Kind, error: object, traceback: object) -> None:
        raise NotImplementedError

    def __call__(self, function: F) -> F:
        """Decorate a function of any kind: plain, async, generator, async
        generator, method, static or class method."""
        return decorate(function, self)

    def wrap(self, function: Callable[..., Any], waits: bool) -> Callable[..., Any]:
        """The decorated form of a plain function; if it ``waits``, of a coroutine function."""
        instrument = self._instrument
        if not instrument.label_names:
            return wrapped(function, waits, self._steps, instrument, self._types)
        again = self.again
        if waits:

            async def wait(*args: Any, **kwargs: Any) -> Any:
                with again():
                    return await function(*args, **kwargs)

            return wait

        def call(*args: Any, **kwargs: Any) -> Any:
            with again():
                return function(*args, **kwargs)

        return call

    def _bound(self, kind: Kind) -> Any:
        """The instrument, or its child for the labels known at the end."""
        instrument = self._instrument
        if not instrument.label_names:
            return instrument
        automatic = _ENDED_WELL
        if kind is not None:
            automatic = _Automatic(outcome=outcome(kind), exception=kind.__name__)
        return instrument.resolve(self._labels, automatic)


class Span(Recorder):
    """Times its block into a timer, in seconds; ``Timer.time`` makes it."""

    __slots__ = ("_start",)
    _steps = TIMED

    # None outside, the time of entry in the block, and where the span was entered
    # again inside itself (that time, what it was before).
    _start: Any

    # Made in pieces: a Python __init__ takes as long as the two clocks.
    __init__ = object.__init__

    def again(self) -> Self:
        span: Self = self._instrument.time()
        span._labels = self._labels
        return span

    def __enter__(self) -> Self:
        outer = self._start
        self._start = perf_counter() if outer is None else (perf_counter(), outer)
        return self

    def __exit__(self, kind: Kind, error: object, traceback: object) -> None:
        self._end(perf_counter(), kind)

    def _end(self, end: float, kind: Kind) -> None:
        start = self._start
        if type(start) is float:
            self._start = None
        else:
            # Threads that share a span mix up their times, or find none, and yet count right.
            start, self._start = start or (end, None)
        self._bound(kind).observe(end - start if end > start else 0.0)


class Counting(Recorder):
    """Counts each time its block ends."""

    __slots__ = ()
    _steps = COUNTED

    def __exit__(self, kind: Kind, error: object, traceback: object) -> None:
        self._bound(kind).inc()


class CountingExceptions(Recorder):
    """Counts the exceptions that leave its block."""

    __slots__ = ("_types",)
    _steps = COUNTED_EXCEPTIONS

    def __init__(
        self,
        instrument: Any,
        types: tuple[type[BaseException], ...] = (Exception,),
    ) -> None:
        super().__init__(instrument)
        self._types = types

    def _fresh(self) -> Self:
        return type(self)(self._instrument, self._types)

    def __exit__(self, kind: Kind, error: object, traceback: object) -> None:
        if kind is not None and issubclass(kind, self._types):
            self._bound(kind).inc()


class Tracking(Recorder):
    """Adds one to a gauge while inside its block."""

    __slots__ = ("_inside",)
    _steps = TRACKED

    def __init__(self, instrument: Any) -> None:
        super().__init__(instrument)
        # A list, whose steps can't be interrupted: threads may share this.
        self._inside: list[Any] = []

    def __enter__(self) -> Self:
        # Where it was counted in, there it is counted out, whatever labels() says later.
        gauge = self._bound(None)
        self._inside.append(gauge)
        gauge.inc()
        return self

    def __exit__(self, kind: Kind, error: object, traceback: object) -> None:
        self._inside.pop().dec()


def decorate(function: F, recorder: Recorder) -> F:
    """A function that runs inside a fresh recorder each time it is called.

    A generator is recorded from its first step until it is exhausted or closed,
    a coroutine from its first step until it returns.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(decorate(function.__func__, recorder))
    given: Any = function
    if isinstance(given, property):
        getter, setter = given.fget, given.fset
        both = getter and decorate(getter, recorder), setter and decorate(setter, recorder)
        return property(*both, given.fdel, given.__doc__)  # type: ignore[return-value]
    if not callable(function):
        raise TypeError(f"only functions and methods can be recorded, not {function!r}")
    import inspect  # late: it is a tenth of the whole import, and not all decorate

    again = recorder.again
    call: Callable[..., Any]
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004
    ):
        call = recorder.wrap(function, waits=True)
    elif inspect.isasyncgenfunction(function):

        async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            with again():
                steps = function(*args, **kwargs)
                try:
                    item = await steps.__anext__()
                    while True:
                        try:
                            sent = yield item
                        except GeneratorExit:
                            raise
                        except BaseException as error:
                            item = await steps.athrow(error)
                        else:
                            item = await steps.asend(sent)
                except StopAsyncIteration:
                    pass
                finally:
                    await steps.aclose()

    elif inspect.isgeneratorfunction(function):

        def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with again():
                result = yield from function(*args, **kwargs)
            return result

    else:
        call = recorder.wrap(function, waits=False)
    return functools.wraps(function)(call)  # type: ignore[return-value]
