"""Counter, Gauge, Histogram, Timer and State: what they record, and what they refuse."""

from __future__ import annotations

import copy
import enum
import json
import logging
import math
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmetrics import rejection
from appmetrics.buckets import Distribution
from appmetrics.cells import locked
from appmetrics.errors import InstrumentError
from appmetrics.instrument import Declaration, number
from appmetrics.instruments import Counter, Gauge, Histogram, State, Timer
from appmetrics.levels import DEBUG, INFO
from appmetrics.meter import Meter
from appmetrics.sample import UNKNOWN
from appmetrics.testing import ManualClock, World


@pytest.fixture
def meter(world: World) -> Meter:
    """A meter in it."""
    return world.meter("shop")


# -- recording -----------------------------------------------------------------


def test_a_counter_adds_up(meter: Meter) -> None:
    """inc() adds one, inc(n) n; ints stay ints."""
    orders = meter.counter("orders")
    assert orders.value == 0
    orders.inc()
    orders.inc(2)
    assert orders.value == 3
    assert type(orders.value) is int
    orders.inc(0.5)
    assert orders.value == 3.5


def test_a_gauge_goes_up_and_down(meter: Meter) -> None:
    """set, inc and dec, each with its default."""
    depth = meter.gauge("depth")
    depth.set(10)
    depth.inc()
    depth.inc(2.5)
    depth.dec()
    depth.dec(0.5)
    assert depth.value == 12
    depth.set(-1)
    assert depth.value == -1


def test_a_histogram_keeps_its_values_spread(meter: Meter) -> None:
    """A histogram reads as the distribution of what was observed."""
    values = [0, 1, 2.5, 1024, 1e-300, 1e300, 5]
    sizes = meter.histogram("sizes", unit="bytes")
    for value in values:
        sizes.observe(value)
    assert sizes.value == Distribution.of(values)


@given(st.lists(st.floats(0, 1e18) | st.integers(0, 10**18), max_size=50))
def test_observing_is_what_distributions_say(values: list[float]) -> None:
    """The hot path and Distribution.of put every value into the same bucket."""
    sizes = Histogram(Declaration("sizes"))
    for value in values:
        sizes.observe(value)
    found, expected = sizes.value, Distribution.of(values)
    assert dict(found.octaves) == {o: tuple(c) for o, c in expected.octaves.items()}
    assert found.sum == pytest.approx(expected.sum)


def test_a_timer_is_a_histogram_of_seconds(meter: Meter) -> None:
    """Its unit is seconds, its kind timer."""
    render = meter.timer("render")
    render.observe(0.25)
    assert render.value.sum == 0.25
    assert render.series.unit == "seconds"
    assert render.series.kind == "timer"


def test_a_state_has_its_declared_states(meter: Meter) -> None:
    """A declared state reads as itself with its number; the default ones are Riemann's."""
    database = meter.state("database")
    assert (database.value, database.read()) == (UNKNOWN, None)
    for expected, state in enumerate(("ok", "warning", "critical", "unknown")):
        database.set(state, "why")
        reading = database.read()
        assert reading is not None
        assert reading[:4] == (state, "why", expected, state)


def test_a_state_that_was_not_declared_is_unknown_with_its_text(meter: Meter) -> None:
    """The text stays readable and goes into the description."""
    database = meter.state("database")
    database.set("on fire")
    reading = database.read()
    assert reading is not None
    assert (reading.state, reading.number, reading.text) == ("unknown", 3, "on fire")
    assert reading.description == "on fire"
    database.set("on fire", "rack 7")
    assert database.read().description == "on fire: rack 7"  # type: ignore[union-attr]
    assert database.value == "on fire"


def test_a_state_of_other_states_without_unknown_falls_to_the_last(meter: Meter) -> None:
    """Where ``unknown`` isn't declared, the last declared state stands for it."""
    lamp = meter.state("lamp", states=("green", "red"))
    lamp.set("blue")
    assert lamp.read().state == "red"  # type: ignore[union-attr]
    lamp.set("green")
    assert lamp.read().number == 0  # type: ignore[union-attr]


def test_a_state_expires_after_its_ttl(world: World, meter: Meter) -> None:
    """Then it has no reading and is unknown, until it is set again."""
    database = meter.state("database", ttl=30)
    database.set("ok")
    world.clock.advance(30)
    assert database.value == "ok"
    world.clock.advance(1)
    assert (database.value, database.read()) == (UNKNOWN, None)
    database.set("warning")
    assert database.value == "warning"


def test_a_states_text_is_plain_text(meter: Meter) -> None:
    """A member of a str enumeration is its text, not a thing with a repr of its own."""

    class Health(str, enum.Enum):
        BAD = "critical"

    database = meter.state("database")
    database.set(Health.BAD)
    assert type(database.value) is str
    assert f"{database.value}" == "critical"


# -- callbacks -----------------------------------------------------------------


def test_a_callback_gauge_has_no_value_before_it_answered(meter: Meter) -> None:
    """None, not 0; then what the callback said last."""
    depth = meter.gauge("depth", callback=lambda: 7)
    assert depth.value is None
    depth.refresh()
    assert depth.value == 7


def test_a_callback_that_raises_leaves_no_value(meter: Meter) -> None:
    """The old number doesn't pass for a new one; the error is the asker's."""
    answers = iter([1, 0])
    depth = meter.gauge("depth", callback=lambda: 1 / next(answers))
    depth.refresh()
    with pytest.raises(ZeroDivisionError):
        depth.refresh()
    assert depth.value is None


@pytest.mark.parametrize("answer", [None, "7", math.nan, math.inf, [1]])
def test_a_callback_whose_answer_is_no_number_leaves_no_value(meter: Meter, answer: object) -> None:
    """Neither 0 nor the number before passes for a reading."""
    answers = [answer, 5]
    depth = meter.gauge("depth", callback=lambda: answers[-1])
    depth.refresh()
    assert depth.value == 5
    answers.pop()
    depth.refresh()
    assert depth.value is None


def test_a_callback_of_a_gauge_with_labels_gives_a_mapping(meter: Meter) -> None:
    """From the label value, or the tuple of them, to the number."""
    one = meter.gauge("one", labels=("pool",), callback=lambda: {"a": 1, 2: 3})
    one.refresh()
    assert {child.series.label("pool"): child.value for child in one.own_points()} == {
        "a": 1,
        "2": 3,
    }
    two = meter.gauge("two", labels=("pool", "kind"), callback=lambda: {("a", "x"): 1})
    two.refresh()
    assert two.labels("a", "x").value == 1


def test_labels_a_callback_no_longer_names_have_no_value(meter: Meter) -> None:
    """What is gone from the mapping is gone from the output."""
    answers = [{"b": 2}, {"a": 1, "b": 1}]
    pools = meter.gauge("pools", labels=("pool",), callback=lambda: answers.pop())
    pools.refresh()
    pools.refresh()
    assert pools.labels("b").value == 2
    assert pools.labels("a").value is None


# -- labels --------------------------------------------------------------------


def test_a_child_is_the_same_object_for_the_same_labels(meter: Meter) -> None:
    """By position, by name, mixed, as text or as what becomes that text."""
    orders = meter.counter("orders", labels=("shop", "status"))
    child = orders.labels("de", 200)
    assert orders.labels("de", "200") is child
    assert orders.labels(shop="de", status=200) is child
    assert orders.labels("de", status="200") is child
    assert orders.labels("de", 404) is not child
    assert child.series.labels == (("shop", "de"), ("status", "200"))


def test_label_values_become_text_before_the_lookup(meter: Meter) -> None:
    """1, True and 1.0 are different texts and so different children."""
    orders = meter.counter("orders", labels=("flag",))
    children = [orders.labels(value) for value in (1, True, 1.0, "1")]
    assert children[0] is children[3]
    assert len({id(child) for child in children}) == 3
    assert orders.labels(None).series.label("flag") == "None"


def test_a_str_enumeration_is_one_child_in_any_order(meter: Meter) -> None:
    """A member and its text are the same child, whichever comes first."""

    class Shop(str, enum.Enum):
        DE = "de"

    for name, values in (("a", (Shop.DE, "de")), ("b", ("de", Shop.DE))):
        orders = meter.counter(name, labels=("shop",))
        for value in (*values, *values):
            orders.labels(value).inc()
        assert [(c.series.labels, c.value) for c in orders.own_points()] == [((("shop", "de"),), 4)]


def test_children_are_counted_apart(meter: Meter) -> None:
    """Each label set has its own number."""
    orders = meter.counter("orders", labels=("shop",))
    orders.labels("de").inc()
    orders.labels("fr").inc(2)
    assert [child.value for child in orders.own_points()] == [1, 2]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), {}),
        (("de", "x"), {}),
        ((), {"chop": "de"}),
        (("de",), {"shop": "de"}),
        ((), {"shop": "de", "more": 1}),
    ],
)
def test_labels_that_do_not_fit_are_rejected(
    world: World, meter: Meter, args: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """The update is left out and counted; nothing is raised, no child appears."""
    before = dict(rejection.counts)
    orders = meter.counter("unfitting", labels=("shop",))
    orders.labels(*args, **named).inc()
    assert rejection.counts["shop.unfitting"] > before.get("shop.unfitting", 0)
    assert orders.own_points() == []


def test_a_child_takes_no_more_labels(meter: Meter) -> None:
    """labels() of a child, or of an instrument without labels, is rejected."""
    orders = meter.counter("orders", labels=("shop",))
    child = orders.labels("de")
    child.labels("fr").inc()
    meter.counter("plain").labels("fr").inc()
    assert child.value == 0
    assert [point.value for point in orders.own_points()] == [0]


@pytest.mark.parametrize(
    "update",
    [
        lambda meter: meter.counter("c", labels=("x",)).inc(),
        lambda meter: meter.counter("c", labels=("x",)).inc(2),
        lambda meter: meter.gauge("g", labels=("x",)).set(1),
        lambda meter: meter.gauge("g", labels=("x",)).inc(),
        lambda meter: meter.gauge("g", labels=("x",)).dec(),
        lambda meter: meter.histogram("h", labels=("x",)).observe(1),
        lambda meter: meter.histogram("h", labels=("x",)).observe(0),
        lambda meter: meter.timer("t", labels=("x",)).observe(1),
        lambda meter: meter.state("s", labels=("x",)).set("ok"),
    ],
)
def test_an_update_without_its_labels_is_rejected_once(
    meter: Meter, update: Callable[[Meter], None]
) -> None:
    """It counts as one rejected update and changes nothing."""
    before = sum(rejection.counts.values())
    update(meter)
    assert sum(rejection.counts.values()) == before + 1
    for instrument in meter.hierarchy.registry.instruments.values():
        assert instrument.own_points() == []


@pytest.mark.parametrize("kind", ["counter", "gauge", "histogram", "timer", "state"])
def test_an_instrument_with_labels_can_be_looked_at(meter: Meter, kind: str) -> None:
    """value and repr() of the parent of labelled children are no error."""
    instrument = getattr(meter, kind)("it", labels=("x",))
    repr(instrument)
    repr(instrument.value)


def test_beyond_the_cap_one_child_takes_the_rest(
    world: World, meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    """Counts stay complete under a visible value, and one warning names the instrument."""
    world.hierarchy.max_children = 3
    users = meter.counter("users", labels=("user", "shop"))
    for user in range(10):
        users.labels(user, "de").inc()
    children = {child.series.label("user"): child.value for child in users.own_points()}
    assert children == {"0": 1, "1": 1, "2": 1, "_overflow_": 7}
    warnings = [r.getMessage() for r in caplog.records if "shop.users" in r.getMessage()]
    assert len(warnings) == 1


def test_children_that_are_known_go_on_beyond_the_cap(world: World, meter: Meter) -> None:
    """The cap stops new label sets only."""
    world.hierarchy.max_children = 1
    users = meter.counter("users", labels=("user",))
    for user in ("a", "b", "a"):
        users.labels(user).inc()
    assert users.labels("a").value == 2


# -- levels --------------------------------------------------------------------


def test_below_its_level_nothing_is_counted(meter: Meter) -> None:
    """Held instruments, bound methods and children go quiet and come alive again."""
    counter = meter.counter("c", level=DEBUG)
    inc = counter.inc
    child = meter.counter("d", labels=("x",), level=DEBUG).labels("y")
    histogram = meter.histogram("h", level=DEBUG)

    def update() -> tuple[Any, ...]:
        inc()
        child.inc()
        histogram.observe(1)
        histogram.observe(0)
        return counter.value, child.value, histogram.value.count

    assert update() == (0, 0, 0)
    meter.level = DEBUG
    assert update() == (1, 1, 2)
    meter.level = INFO
    assert update() == (1, 1, 2)
    meter.level = DEBUG
    assert update() == (2, 2, 4)


def test_gauges_and_states_are_right_when_they_are_switched_on(meter: Meter) -> None:
    """What was set while they were off, perhaps once and for all, is what they are."""
    size, depth = meter.gauge("size", level=DEBUG), meter.gauge("depth", level=DEBUG)
    state = meter.state("state", level=DEBUG)
    size.set(5)
    depth.inc()
    state.set("critical")
    meter.level = DEBUG
    depth.dec()
    assert (size.value, depth.value, state.value) == (5, 0, "critical")


def test_a_child_born_while_off_comes_alive_with_the_rest(meter: Meter) -> None:
    """Switching on reaches children that were made meanwhile."""
    orders = meter.counter("orders", labels=("shop",), level=DEBUG)
    child = orders.labels("de")
    child.inc()
    meter.level = DEBUG
    child.inc()
    assert child.value == 1


def test_a_tracking_gauge_survives_a_change_of_level(meter: Meter) -> None:
    """What was counted in is counted out, although the level changed in between."""
    inside = meter.gauge("inside", level=DEBUG)
    with inside.track():
        meter.level = DEBUG
    assert inside.value == 0
    with inside.track():
        meter.level = INFO
    meter.level = DEBUG
    assert inside.value == 0


# -- hostile values ------------------------------------------------------------


class Evil:
    """Whatever is done with it raises."""

    def _raise(self, *args: object) -> Any:
        raise RuntimeError("evil")

    __float__ = __index__ = __int__ = __str__ = __repr__ = __bool__ = _raise
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _raise  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __neg__ = __len__ = __iter__ = _raise


class EvilInt(int):
    """An int whose every operation raises."""

    __float__ = __index__ = __int__ = __str__ = __repr__ = __bool__ = Evil._raise
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = Evil._raise  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = Evil._raise


class EvilFloat(float):
    """A float whose every operation raises."""

    __float__ = __int__ = __str__ = __repr__ = __bool__ = Evil._raise
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = Evil._raise  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = Evil._raise


class EvilStr(str):
    """A str whose every operation raises."""

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = Evil._raise  # type: ignore[assignment]
    __lt__ = __gt__ = __format__ = __iter__ = Evil._raise  # type: ignore[assignment]


class FloatsToNaN:
    """Says it is a number, and isn't."""

    def __float__(self) -> float:
        return math.nan


NUMBERS = [
    1,
    1.5,
    True,
    Decimal("1.5"),
    Fraction(3, 2),
    numpy.int64(3),
    numpy.uint8(3),
    numpy.float32(1.5),
    numpy.float64(1.5),
    numpy.bool_(True),
    numpy.array(2.5),
    2**64,
    10**300,
    0,
    0.0,
    -0.0,
    5e-324,
    sys.float_info.max,
]
NEGATIVE = [-1, -1.5, Decimal(-1), Fraction(-1, 2), numpy.float64(-1), numpy.int8(-1), -(10**300)]
NO_NUMBERS = [
    None,
    "1",
    "",
    b"1",
    bytearray(b"1"),
    memoryview(b"1"),
    math.nan,
    math.inf,
    -math.inf,
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    numpy.float64("nan"),
    numpy.float32("inf"),
    numpy.datetime64("2020-01-01"),
    numpy.array([1, 2]),
    numpy.complex128(1 + 2j),
    10**400,
    -(10**400),
    10**5000,
    1j,
    [],
    [1],
    {},
    object(),
    int,
    len,
    Evil(),
    EvilFloat(1),
    FloatsToNaN(),
    EvilStr("1"),
]


def _named(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


UPDATES: dict[str, Callable[[Meter], Callable[[Any], object]]] = {
    "counter.inc": lambda meter: meter.counter("c").inc,
    "gauge.set": lambda meter: meter.gauge("g").set,
    "gauge.inc": lambda meter: meter.gauge("g").inc,
    "gauge.dec": lambda meter: meter.gauge("g").dec,
    "histogram.observe": lambda meter: meter.histogram("h").observe,
    "timer.observe": lambda meter: meter.timer("t").observe,
}


def readings(meter: Meter) -> list[Any]:
    """All numbers in a meter's world, after a check that each is a plain finite one."""
    result: list[Any] = []
    for point in meter.hierarchy.registry.points:
        value = point.read()
        if isinstance(value, Distribution):
            result += [value.count, value.sum, *value.percentiles((0, 50, 100))]
        elif value is not None:
            result.append(value)
    for value in result:
        assert type(value) in (int, float)
        assert math.isfinite(value)
        json.dumps(value, allow_nan=False)
    return result


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("value", NUMBERS, ids=_named)
def test_what_means_a_number_is_recorded(meter: Meter, update: str, value: Any) -> None:
    """Decimals, fractions, numpy's scalars, bools and huge ints become plain numbers."""
    before = sum(rejection.counts.values())
    record = UPDATES[update](meter)
    record(value)
    record(1)
    assert sum(rejection.counts.values()) == before
    readings(meter)


@pytest.mark.parametrize("update", [u for u in UPDATES if not u.startswith("gauge")])
@pytest.mark.parametrize("value", NEGATIVE, ids=_named)
def test_counters_and_histograms_reject_what_is_negative(
    meter: Meter, update: str, value: Any
) -> None:
    """Counted as rejected, and nothing else happens."""
    record = UPDATES[update](meter)
    record(1)
    untouched = readings(meter)
    before = sum(rejection.counts.values())
    record(value)
    assert sum(rejection.counts.values()) == before + 1
    assert readings(meter)[1:] == untouched[1:]


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=_named)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Casting complex")
def test_what_is_no_number_is_rejected(meter: Meter, update: str, value: Any) -> None:
    """Never an exception, never a poisoned value: the number stays what it was."""
    record = UPDATES[update](meter)
    record(1)
    untouched = readings(meter)
    before = sum(rejection.counts.values())
    record(value)
    if update == "counter.inc" and value is None:
        return  # inc(None) is inc()
    assert sum(rejection.counts.values()) == before + 1
    assert readings(meter)[1:] == untouched[1:]
    record(1)
    readings(meter)


@pytest.mark.parametrize("value", [EvilInt(1), EvilFloat(1)], ids=_named)
@pytest.mark.parametrize("update", UPDATES)
def test_a_number_that_raises_is_recorded_or_rejected(
    meter: Meter, update: str, value: Any
) -> None:
    """Either way without an exception and without keeping the thing itself."""
    UPDATES[update](meter)(value)
    readings(meter)


@pytest.mark.parametrize("update", UPDATES)
def test_adding_up_beyond_the_largest_float_is_cut_off(meter: Meter, update: str) -> None:
    """Every reading stays finite."""
    record = UPDATES[update](meter)
    for _ in range(3):
        record(sys.float_info.max)
    readings(meter)


def test_a_gauge_comes_back_from_the_largest_floats(meter: Meter) -> None:
    """After an overflow it can be counted down, and set again."""
    depth = meter.gauge("depth")
    depth.inc(1.7e308)
    depth.inc(1.7e308)
    depth.dec(1.7e308)
    readings(meter)
    assert depth.value < 1e308  # type: ignore[operator]
    depth.set(1)
    assert depth.value == 1


@pytest.mark.parametrize("value", [*NUMBERS, *NO_NUMBERS, EvilInt(1), "", EvilStr("x")], ids=_named)
def test_any_label_value_is_harmless(meter: Meter, value: Any) -> None:
    """It becomes text or is rejected; label values of children are plain text."""
    orders = meter.counter("orders", labels=("shop",))
    orders.labels(value).inc()
    orders.labels(shop=value).inc()
    orders.counted().labels(shop=value)(lambda: None)()
    for child in orders.own_points():
        assert all(type(text) is str for _, text in child.series.labels)
    readings(meter)


@pytest.mark.parametrize(
    "value", [None, 1, "", b"ok", [], Evil(), EvilStr("ok"), "\ud800", "x" * 10_000], ids=_named
)
def test_any_state_is_harmless(meter: Meter, value: Any) -> None:
    """A state that is no word is rejected, and any description becomes text."""
    database = meter.state("database")
    database.set(value)
    database.set("critical", value)
    reading = database.read()
    assert reading is None or all(
        type(text) is str for text in (reading.state, reading.text, reading.description)
    )


def test_a_rejected_update_is_logged_once(meter: Meter, caplog: pytest.LogCaptureFixture) -> None:
    """The first of each instrument; all are counted."""
    orders = meter.counter("logged.once")
    with caplog.at_level(logging.WARNING, logger="appmetrics"):
        orders.inc(-1)
        orders.inc("x")  # type: ignore[arg-type]
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["shop.logged.once"]
    assert "-1" in caplog.records[0].getMessage()
    assert rejection.counts["shop.logged.once"] == 2


@pytest.mark.parametrize("value", NUMBERS, ids=_named)
def test_number_gives_plain_numbers(value: Any) -> None:
    """number() gives exactly int or float, equal to what it was given."""
    plain = number(value)
    assert type(plain) in (int, float)
    assert plain == pytest.approx(float(value))


# -- with locks ----------------------------------------------------------------


LOCKED = {
    Counter: ("inc",),
    Gauge: ("inc", "dec", "set"),
    Histogram: ("observe",),
    Timer: ("observe",),
    State: ("set",),
}


@pytest.mark.parametrize("cls", LOCKED, ids=lambda cls: cls.__name__)
def test_the_locked_variant_is_the_same_instrument(cls: Any) -> None:
    """Where updates take a lock, name, docstrings, children and numbers are the same."""
    variant = locked(cls, *LOCKED[cls])
    assert variant.__name__ == cls.__name__
    instrument = variant(Declaration("it", clock=ManualClock()))
    parent = variant(Declaration("them", labels=("x",), clock=ManualClock()))
    for method in LOCKED[cls]:
        assert getattr(variant, method).__doc__ == getattr(cls, method).__doc__
        argument: Any = "ok" if cls is State else 2
        getattr(instrument, method)(argument)
        getattr(parent.labels("y"), method)(argument)
        getattr(instrument, method)(None)
    assert type(parent.labels("y")) is variant
    assert instrument.read() is not None


# -- declarations --------------------------------------------------------------


def test_a_series_tells_all_about_its_instrument(meter: Meter) -> None:
    """Name, kind, unit, level and help are those of the declaration."""
    series = meter.histogram("sizes", "How large", unit="bytes", level=DEBUG).series
    assert series[:6] == ("shop.sizes", (), "histogram", "bytes", DEBUG, "How large")
    assert meter.gauge("g", merge="max").series.merge == "max"
    assert meter.state("s", states=("a", "b")).series.states == ("a", "b")


@pytest.mark.parametrize("labels", [("",), (1,), ("a", "a"), (None,)])
def test_bad_label_names_are_refused(meter: Meter, labels: Any) -> None:
    """At the declaration, as an InstrumentError."""
    with pytest.raises(InstrumentError):
        meter.counter("orders", labels=labels)


def test_one_label_may_be_given_as_text(meter: Meter) -> None:
    """labels="shop" is the label shop, not four labels."""
    assert meter.counter("orders", labels="shop").label_names == ("shop",)


def test_a_copy_of_what_holds_an_instrument_holds_the_same_one(meter: Meter) -> None:
    """There is one instrument of a name; a deep copy does not take the registry along."""
    orders = meter.counter("orders", labels=("shop",))
    page = {"meter": meter, "orders": orders, "de": orders.labels("de")}
    for copied in (copy.copy(page), copy.deepcopy(page)):
        assert all(copied[key] is page[key] for key in page)
    assert copy.copy(orders) is orders


@pytest.mark.usefixtures("hectic")
def test_rejected_updates_are_counted_exactly(meter: Meter) -> None:
    """Also those of many threads at once."""
    orders = meter.counter("counted_exactly")

    def work() -> None:
        for _ in range(2_000):
            orders.inc(-1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rejection.counts[orders.name] == 8_000


def test_a_locked_class_is_known_as_the_one_it_stands_for() -> None:
    """To documentation, to people and to pickle."""
    twin = locked(Counter, "inc")
    assert (twin.__module__, twin.__name__, twin.__doc__) == (
        Counter.__module__,
        Counter.__name__,
        Counter.__doc__,
    )
