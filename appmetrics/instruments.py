"""Counter, Gauge, Histogram, Timer and State: where a value enters.

An update never raises into the application, whatever it is given. It computes
first, then loads the cell and stores, with no call in between (see ``cells``).

Numbers are written out here (2.0**63 is BIG, 16.0 is SCALE): a global name costs as
much as a comparison. And two comparisons with ``and`` cost less than a chained one.
"""

from __future__ import annotations

from math import ceil, log2, nan
from time import perf_counter
from typing import Any

from . import spans
from .buckets import MAX, Distribution
from .cells import LOCK_FREE, guarded
from .instrument import Declaration, Instrument, number, plain_text, reject_unlabelled, shown
from .observing import Told
from .octaves import BUCKETS, TOTAL, distribution, make_room, new_cells, where
from .rejection import reject
from .sample import COUNTER, GAUGE, HISTOGRAM, STATE, STATES, TIMER, UNKNOWN, StateValue

#: The amount that is added most often, recognized as what it is: an object.
_ONE: float = 1

#: How often a new octave is asked for; more often only if its cells keep moving.
_ATTEMPTS = 100


def _add(instrument: Instrument, amount: float) -> None:
    """Add what may be very large; the sum stays finite."""
    # Given the instrument, not the cell: without a call between load and store.
    cell = instrument._cell
    total = cell[0] + amount
    if total > MAX:
        total = MAX
    elif total < -MAX:
        total = -MAX
    cell[0] = total


@guarded("inc", "move", "drain")
class Counter(Instrument):
    """A total that only grows: requests, orders, bytes sent."""

    __slots__ = ()
    kind = COUNTER

    def inc(self, amount: float | None = None) -> None:
        """Add one, or a finite amount that isn't negative."""
        if amount is None:
            self._cell[0] += 1
            return
        kind = type(amount)
        if (kind is int or kind is float) and amount >= 0.0 and amount <= 2.0**63:
            self._cell[0] += amount
            return
        plain = number(amount)
        if plain is None or plain < 0:
            reject(self.name, f"a counter needs a finite number >= 0, not {shown(amount)}")
        else:
            _add(self, plain)

    def read(self) -> Any:
        return self._kept[0]

    def drain(self, old: Any) -> None:
        amount = old[0]
        old[0] -= amount
        self._kept[0] += amount

    @property
    def value(self) -> float:
        """The total so far."""
        return self.read()  # type: ignore[no-any-return]

    def counted(self) -> spans.Counting:
        """Context manager and decorator: count each time the block ends."""
        return spans.Counting(self)

    def count_exceptions(self, *types: type[BaseException]) -> spans.CountingExceptions:
        """Context manager and decorator: count exceptions that leave the block.

        ``types`` defaults to ``Exception``. A label ``exception`` that isn't set
        gets the exception's class name.
        """
        for type in types:
            issubclass(type, BaseException)  # raises TypeError now, not in the block
        return spans.CountingExceptions(self, types or (Exception,))


@guarded("inc", "dec", "set", "move", "drain")
class Gauge(Instrument):
    """A number that goes up and down: a queue's length, a temperature."""

    # Also while its level is off it is kept up to date, and only not shipped:
    # what is set once, or counted up and down, must be right when it comes on.
    __slots__ = ()
    kind = GAUGE

    def _bit_bucket(self) -> Any:
        return self._kept

    def renew(self, keep: bool = False) -> None:
        value = self._kept[0] if keep else 0
        self._kept = self._cell = [value]

    def move(self, cell: Any) -> Any:
        # Without a call, so that no thread sets the old cell in between.
        old = self._kept
        cell[0] = old[0]
        self._kept = self._cell = cell
        return old

    def drain(self, old: Any) -> None:
        pass

    def set(self, value: float) -> None:
        """Set to a finite number."""
        kind = type(value)
        if (kind is int or kind is float) and value >= -(2.0**63) and value <= 2.0**63:
            self._cell[0] = value
            return
        plain = number(value)
        if plain is None:
            reject(self.name, f"a gauge needs a finite number, not {shown(value)}")
        else:
            self._cell[0] = plain

    def inc(self, amount: float = _ONE) -> None:
        """Add one, or a finite number."""
        if amount is _ONE:
            self._cell[0] += 1
            return
        kind = type(amount)
        if (kind is int or kind is float) and amount >= -(2.0**63) and amount <= 2.0**63:
            self._cell[0] += amount
            return
        plain = number(amount)
        if plain is None:
            reject(self.name, f"a gauge needs a finite number, not {shown(amount)}")
        else:
            _add(self, plain)

    def dec(self, amount: float = _ONE) -> None:
        """Subtract one, or a finite number."""
        if amount is _ONE:
            self._cell[0] -= 1
            return
        kind = type(amount)
        if (kind is int or kind is float) and amount >= -(2.0**63) and amount <= 2.0**63:
            self._cell[0] -= amount
            return
        plain = number(amount)
        if plain is None:
            reject(self.name, f"a gauge needs a finite number, not {shown(amount)}")
        else:
            _add(self, -plain)

    def track(self) -> spans.Tracking:
        """Context manager and decorator: one more while inside."""
        return spans.Tracking(self)

    def read(self) -> Any:
        declared = self.declaration
        if declared.callback is not None and self._values not in declared.answered:
            return None
        return self._kept[0]

    @property
    def value(self) -> float | None:
        """The number now; None for a callback that hasn't answered."""
        return self.read()  # type: ignore[no-any-return]

    def show(self) -> None:
        """In shared cells, leave nothing that a callback has not answered."""
        if self.read() is None:
            self._kept[0] = nan

    def refresh(self) -> None:
        """Ask the callback, if there is one. May raise what the callback raises.

        A callback of a gauge with labels returns a mapping from the label value
        (or the tuple of them) to the number.
        """
        callback = self.declaration.callback
        if callback is None:
            return
        self.declaration.answered = frozenset()
        answer = callback()
        answers = dict(answer) if self.label_names else {(): answer}
        answered = set()
        for values, value in answers.items():
            gauge = self
            if self.label_names:
                gauge = self.labels(*(values if isinstance(values, tuple) else (values,)))
            if number(value) is not None:
                answered.add(gauge._values)
            gauge.set(value)
        self.declaration.answered = frozenset(answered)


#: Where values go while a histogram's level is off. Nobody reads it.
_BUCKET_OF_BUCKETS = new_cells()


@guarded("observe", "move", "drain")
class Histogram(Instrument):
    """How values are spread: sizes, ages, amounts. Not negative, in base units."""

    __slots__ = ()
    kind = HISTOGRAM

    def _new_cell(self) -> Any:
        return new_cells()

    def _bit_bucket(self) -> Any:
        return _BUCKET_OF_BUCKETS

    def _no_cell(self) -> Any:
        return new_cells()  # never gets an octave, so that every update is a rare one

    def aim(self) -> None:
        declared = self.declaration
        sinks = declared.sinks(self) if declared.enabled else ()
        if sinks:
            self._cell = Told(self._kept, sinks)
        else:
            super().aim()

    def observe(self, value: float) -> None:
        """Record one value: finite and not negative."""
        kind = type(value)
        if (kind is float or kind is int) and value > 0.0:
            try:
                edge, place, sub = BUCKETS[ceil(log2(value) * 16.0 + 17183.999999999)]
                if value <= edge:
                    cells = self._cell
                    cells[place][sub] += 1
                    cells[TOTAL][0] += value
                    return
            except (LookupError, OverflowError):  # a new octave, or beyond the highest
                pass
        self._observe_rare(value)

    def _observe_rare(self, value: Any) -> None:
        if self.label_names:
            reject_unlabelled(self.declaration)
            return
        plain = number(value)
        if plain is None or plain < 0:
            reject(self.name, f"a {self.kind} needs a finite number >= 0, not {shown(value)}")
            return
        place, index = where(plain)
        for _ in range(_ATTEMPTS):
            make_room(self._cell, place)
            if self._put(place, index, plain):
                return

    def _put(self, place: int, index: int, amount: float) -> bool:
        cells = self._cell
        try:
            cells[place][index] += 1
        except LookupError:
            return False  # other cells, since a moment ago
        total = cells[TOTAL][0] + amount
        if total > MAX:
            total = MAX
        cells[TOTAL][0] = total
        return True

    def read(self) -> Distribution:
        return distribution(self._kept)

    def drain(self, old: Any) -> None:
        cells = self._kept
        for place, numbers in enumerate(list(old)):
            if not numbers:
                continue
            make_room(cells, place)
            mine = cells[place]
            for index in range(len(numbers)):
                amount = numbers[index]
                if amount:
                    numbers[index] -= amount
                    mine[index] += amount

    @property
    def value(self) -> Distribution:
        """Everything so far."""
        return self.read()


class Timing(spans.Span):
    """A span that does by itself what `Histogram.observe` would, and so is a tenth faster.

    Only for a timer that has the `observe` of `Histogram`, no lock, and no labels to be given.
    """

    __slots__ = ()

    def __exit__(self, kind: spans.Kind, error: object, traceback: object) -> None:
        end = perf_counter()
        try:
            # Entered again inside itself, it has a tuple there; never entered, nothing.
            value = end - self._start
            edge, place, sub = BUCKETS[ceil(log2(value) * 16.0 + 17183.999999999)]
            if value <= edge:
                cells = self._instrument._cell
                cells[place][sub] += 1
                cells[TOTAL][0] += value
                self._start = None
                return
        except (ValueError, LookupError, TypeError):
            pass
        self._end(end, kind)


class Timer(Histogram):
    """How long something takes, in seconds."""

    __slots__ = ("_span",)
    kind = TIMER

    def __init__(self, declaration: Declaration, values: tuple[str, ...] = ()) -> None:
        super().__init__(declaration, values)
        plain = LOCK_FREE and type(self).observe is Histogram.observe and not self.label_names
        self._span: type[spans.Span] = Timing if plain else spans.Span

    def time(self) -> spans.Span:
        """Context manager and decorator: time the block."""
        make = self._span
        span: spans.Span = make()
        span._instrument = self
        span._labels = span._start = None
        return span


def state_value(
    kept: tuple[str, str, float], states: tuple[str, ...], ttl: float | None
) -> StateValue:
    """The reading of what a state's cell holds; a state not declared counts as unknown."""
    text, description, _ = kept
    states = states or STATES
    state = text
    if text not in states:
        state = UNKNOWN if UNKNOWN in states else states[-1]
        description = f"{text}: {description}" if description else text
    return StateValue(state, description, states.index(state), text, ttl)


@guarded("set", "move", "drain")
class State(Instrument):
    """What condition something is in: ok, warning, critical, unknown, or your own states."""

    __slots__ = ()
    kind = STATE

    def _new_cell(self) -> Any:
        return [None]

    def _bit_bucket(self) -> Any:
        return self._kept  # for the same reason as a gauge

    def renew(self, keep: bool = False) -> None:
        value = self._kept[0] if keep else None
        self._kept = self._cell = [value]

    def drain(self, old: Any) -> None:
        value, mine = old[0], self._kept[0]
        if value is not None and (mine is None or value[2] > mine[2]):
            self._kept[0] = value

    def set(self, state: str, description: str = "") -> None:
        """Set the state, with a description for people.

        A state that wasn't declared counts as unknown, with its text kept.
        """
        now = self.declaration.clock.monotonic()
        try:
            new = (
                plain_text(state) if isinstance(state, str) else "",
                plain_text(description),
                now,
            )
        except Exception:
            new = ("", "", now)
        if new[0]:
            self._cell[0] = new
        else:
            reject(
                self.name,
                "a state is a word such as 'ok' and a description is text,"
                f" not {shown(state)} and {shown(description)}",
            )

    def read(self) -> StateValue | None:
        """The state; None if it was never set or its ``ttl`` has passed."""
        kept = self._kept[0]
        declared = self.declaration
        if kept is None:
            return None
        if declared.ttl is not None and declared.clock.monotonic() - kept[2] > declared.ttl:
            return None
        return state_value(kept, declared.states, declared.ttl)

    @property
    def value(self) -> str:
        """The state's text; ``unknown`` if it was never set or has expired."""
        reading = self.read()
        return reading.text if reading else UNKNOWN
