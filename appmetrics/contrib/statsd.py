"""`StatsClient`: the interface of the package ``statsd``, recorded here instead of sent.

A program that was written for it changes its import. What becomes of a name is here;
nothing here opens a socket, and where the numbers go is in the ini file.
"""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from ..hierarchy import Hierarchy, hierarchy
from ..instrument import number, shown
from .statsd_names import names_of

if TYPE_CHECKING:
    from typing_extensions import Self

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["Pipeline", "StatsClient", "TCPStatsClient", "Timer", "UnixSocketStatsClient"]


class StatsClient:
    """Takes the calls of ``statsd.StatsClient`` (version 4), and records them.

    ``prefix`` and the name make the dotted name of an instrument. ``host``, ``port``,
    ``maxudpsize`` and ``ipv6`` are taken and mean nothing. So do the ``rate`` of each
    call: a call costs little, and all are recorded. Nothing raises for what can't be
    recorded; it is rejected as everywhere, counted and logged once.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8125,
        prefix: str | None = None,
        maxudpsize: int = 512,
        ipv6: bool = False,
        *,
        hierarchy: Hierarchy = hierarchy,
    ) -> None:
        self._prefix = prefix
        self._names = names_of(hierarchy)

    def incr(self, stat: str, count: float = 1, rate: float = 1) -> None:
        """Count up; a negative ``count`` counts up ``stat.decr``, see `decr`."""
        plain = number(count)
        if plain is not None and plain < 0:
            self._record(f"{stat}.decr", "counter", "inc", -plain)
        else:
            # None would be one more.
            self._record(stat, "counter", "inc", shown(count) if count is None else count)

    def decr(self, stat: str, count: float = 1, rate: float = 1) -> None:
        """Count up ``stat.decr``: a counter here never falls, and the difference of the
        two is what statsd would have."""
        plain = number(count)
        self.incr(stat, count if plain is None else -plain)

    def gauge(self, stat: str, value: float, rate: float = 1, delta: bool = False) -> None:
        """Set a gauge, or change it by ``value``."""
        self._record(stat, "gauge", "inc" if delta else "set", value)

    def timing(self, stat: str, delta: float | timedelta, rate: float = 1) -> None:
        """Record how long something took: milliseconds, or a timedelta."""
        if isinstance(delta, timedelta):
            seconds: Any = delta.total_seconds()
        else:
            plain = number(delta)
            seconds = delta if plain is None else plain / 1000
        self._record(stat, "timer", "observe", seconds)

    def set(self, stat: str, value: object, rate: float = 1) -> None:
        """Count how many different values there are in each interval; see ``uniques``."""
        self._record(stat, "uniques", "add", value)

    def timer(self, stat: str, rate: float = 1) -> Timer:
        """A context manager and decorator that times its block."""
        return Timer(self, stat, rate)

    def pipeline(self) -> Pipeline:
        """A client that keeps its calls until it is told to ``send``, or its block ends."""
        return Pipeline(self)

    def close(self) -> None:
        """Nothing is open."""

    def _record(self, stat: str, kind: str, method: str, value: Any) -> None:
        """Where all calls end."""
        instrument = self._names.find(kind, f"{self._prefix}.{stat}" if self._prefix else stat)
        if instrument is not None:
            getattr(instrument, method)(value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class TCPStatsClient(StatsClient):
    """Takes the arguments of ``statsd.TCPStatsClient``."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8125,
        prefix: str | None = None,
        timeout: float | None = None,
        ipv6: bool = False,
        *,
        hierarchy: Hierarchy = hierarchy,
    ) -> None:
        super().__init__(prefix=prefix, hierarchy=hierarchy)

    def connect(self) -> None:
        """Nothing is connected."""

    def reconnect(self) -> None:
        """Nothing is connected."""


class UnixSocketStatsClient(TCPStatsClient):
    """Takes the arguments of ``statsd.UnixSocketStatsClient``."""

    def __init__(
        self,
        socket_path: str,
        prefix: str | None = None,
        timeout: float | None = None,
        *,
        hierarchy: Hierarchy = hierarchy,
    ) -> None:
        super().__init__(prefix=prefix, hierarchy=hierarchy)


class Pipeline(StatsClient):
    """Keeps calls until `send`."""

    def __init__(self, client: StatsClient) -> None:
        self._client = client
        self._prefix = client._prefix
        self._names = client._names
        self._calls: deque[tuple[str, str, str, Any]] = deque()

    def _record(self, stat: str, kind: str, method: str, value: Any) -> None:
        self._calls.append((stat, kind, method, value))

    def send(self) -> None:
        """Hand all calls to the client that this was made from, in their order."""
        while self._calls:
            self._client._record(*self._calls.popleft())

    def __exit__(self, *exc_info: object) -> None:
        self.send()


class Timer:
    """Times a block, or each call of a function; ``ms`` is the last time, in milliseconds.

    Raises RuntimeError where ``statsd.Timer`` does: on stopping what was never
    started, and on sending nothing, or twice.
    """

    def __init__(self, client: StatsClient, stat: str, rate: float = 1) -> None:
        self.client = client
        self.stat = stat
        self.rate = rate
        self.ms: float | None = None
        self._sent = False
        self._started: float | None = None

    def __call__(self, function: F) -> F:
        call: Callable[..., Any]
        if inspect.iscoroutinefunction(function):

            async def call(*args: Any, **kwargs: Any) -> Any:
                start = perf_counter()
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._tell(start)

        else:

            def call(*args: Any, **kwargs: Any) -> Any:
                start = perf_counter()
                try:
                    return function(*args, **kwargs)
                finally:
                    self._tell(start)

        wrapped: Any = function
        while isinstance(wrapped, functools.partial):
            wrapped = wrapped.func
        return functools.wraps(wrapped)(call)  # type: ignore[return-value]

    def _tell(self, start: float) -> None:
        self.client.timing(self.stat, 1000 * (perf_counter() - start), self.rate)

    def start(self) -> Self:
        """Begin, or begin anew."""
        self.ms = None
        self._sent = False
        self._started = perf_counter()
        return self

    def stop(self, send: bool = True) -> Self:
        """End; the time is in ``ms``, and recorded unless ``send`` is false."""
        if self._started is None:
            raise RuntimeError("this timer has not been started")
        self.ms = 1000 * (perf_counter() - self._started)
        if send:
            self.send()
        return self

    def send(self) -> None:
        """Record the time."""
        if self.ms is None:
            raise RuntimeError("this timer has nothing to send")
        if self._sent:
            raise RuntimeError("this timer has sent its time already")
        self._sent = True
        self.client.timing(self.stat, self.ms, self.rate)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
