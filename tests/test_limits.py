"""Limits of names, label values and pages: what is beyond them is refused, cut or left out."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmetrics import rejection
from appmetrics.config import Configurator
from appmetrics.errors import InstrumentError
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.limits import MAX_LABEL_NAME, MAX_NAME, cut
from appmetrics.testing import World

# -- names ---------------------------------------------------------------------


def test_a_name_that_is_too_long_is_an_error_that_says_so(world: World) -> None:
    """With the meter's name it counts as a whole; the longest one that may be is taken."""
    meter = world.meter("shop")
    meter.counter("x" * (MAX_NAME - len("shop.")))
    with pytest.raises(InstrumentError, match=r"full name of a timer has at most 500 .* not 505"):
        meter.timer("x" * MAX_NAME)


def test_a_label_name_that_is_too_long_is_an_error(world: World) -> None:
    """Where it is declared."""
    meter = world.meter("shop")
    meter.counter("a", labels=("x" * MAX_LABEL_NAME,))
    with pytest.raises(InstrumentError, match="a label name has at most 100 characters, not 101"):
        meter.counter("b", labels=("x" * (MAX_LABEL_NAME + 1),))


def test_an_event_with_a_name_that_is_too_long_has_it_cut(world: World) -> None:
    """An event never raises."""
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    world.meter("shop").event("x" * 10_000, "still told")
    world.advance()
    (event,) = [sample for sample in memory.samples if sample.series.kind == "event"]
    assert len(event.series.name) == MAX_NAME
    assert event.value.description == "still told"


def test_names_of_rejected_updates_do_not_pile_up(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond ten thousand they are counted as one, and told of once."""
    before = dict(rejection.counts)
    try:
        rejection.counts.clear()
        for number in range(rejection.MOST + 50):
            rejection.reject(f"{number}{'x' * 1000}", "no good")
        assert len(rejection.counts) == rejection.MOST + 1
        assert rejection.counts[rejection.OTHERS] == 50
        assert max(map(len, rejection.counts)) == rejection.LONGEST
        assert len(caplog.records) == rejection.MOST + 1
    finally:
        rejection.counts.clear()
        rejection.counts.update(before)


# -- label values ----------------------------------------------------------------


def test_a_label_value_that_is_too_long_is_cut_counted_and_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Values that begin alike stay apart, and one value is always the same child."""
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    pages = world.meter("shop").counter("pages", labels=("shop", "path"))
    for end in ("a", "b", "a"):
        pages.labels("de", "/" * 300 + end).inc()
        pages.labels(shop="de", path="/" * 300 + end).inc()
    assert sorted(child.value for child in pages.own_points()) == [2, 4]
    for child in pages.own_points():
        path = child.series.label("path")
        assert len(path) == 256
        assert path.startswith("/" * 243 + "~")
    world.advance(10)
    sample = memory.last("appmetrics.cut")
    assert sample is not None
    assert sample.value == 6
    (line,) = [record.getMessage() for record in caplog.records]
    assert "shop.pages: a value of label path has 301 characters; those beyond 256" in line


def test_the_longest_label_value_is_an_option(world: World) -> None:
    """Also for instruments that are there already."""
    early = world.meter("shop").counter("early", labels=("path",))
    Configurator(world.hierarchy, world.reporter).dict_config({"metrics": {"max_label_length": 40}})
    late = world.meter("shop").counter("late", labels=("path",))
    for counter in (early, late):
        counter.labels("x" * 41).inc()
        counter.labels("y" * 40).inc()
        lengths = [len(child.series.label("path")) for child in counter.own_points()]
        assert lengths == [40, 40]
        assert counter.labels("y" * 40).value == 1


@given(st.text(st.characters(), max_size=80), st.integers(32, 60))
def test_any_text_can_be_cut(text: str, most: int) -> None:
    """Also lone surrogates; what is short enough stays as it is."""
    result = cut(text, most)
    assert len(result) <= most
    assert (result == text) == (len(text) <= most)
    assert cut(text + "x", most) != result


# -- the cap of children, whole -------------------------------------------------


def test_a_flood_of_label_values_ends_in_one_child(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Of every kind of instrument, also by name and where the values are long as well."""
    world.hierarchy.max_children = 10
    meter = world.meter("shop")
    updates: list[tuple[Any, Any]] = [
        (meter.counter("c", labels=("id",)), lambda child: child.inc()),
        (meter.gauge("g", labels=("id",)), lambda child: child.set(1)),
        (meter.histogram("h", labels=("id",)), lambda child: child.observe(1)),
        (meter.timer("t", labels=("id",)), lambda child: child.observe(1)),
        (meter.state("s", labels=("id",)), lambda child: child.set("ok")),
    ]
    with caplog.at_level(logging.WARNING):
        for instrument, update in updates:
            for number in range(100):
                update(instrument.labels(id=f"{number:0500}" if number % 2 else number))
            assert len(instrument.own_points()) == 11
            assert instrument.declaration.overflowed == 90
            said = [
                r.getMessage()
                for r in caplog.records
                if f"shop.{instrument.name[-1]}" in r.getMessage()
            ]
            assert len(said) == 2
    assert updates[0][0].labels("_overflow_").value == 90
