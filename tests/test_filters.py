"""Tests of filters.py."""

from __future__ import annotations

import pytest

from appmetrics.filters import (
    FILTERS,
    KindFilter,
    LabelFilter,
    LabelsFilter,
    LevelFilter,
    NameFilter,
    RenameFilter,
    kinds,
    pattern,
)
from appmetrics.sample import Series

ORDERS = Series("shop.orders", (("shop", "de"), ("status", "200")), "counter", level=20)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_options_are_the_arguments(name: str) -> None:
    """Every filter is made with its options by name, and says what each of them means."""
    made = FILTERS[name]
    values = {"label": "shop", "match": "a"}
    given = {
        option.name: option.convert(values[option.name]) if option.required else option.default
        for option in made.OPTIONS  # type: ignore[attr-defined]
    }
    assert made(**given)(ORDERS) == ORDERS or name == "rename"
    assert all(option.help and option.expects for option in made.OPTIONS)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("include", "exclude", "passes"),
    [
        ((), (), True),
        (("shop.*",), (), True),
        (("other.*", "*.orders"), (), True),
        (("shop",), (), False),
        (("SHOP.*",), (), False),
        ((), ("*.orders",), False),
        (("shop.*",), ("shop.o*",), False),
        (("shop.*",), ("shop.render",), True),
    ],
)
def test_name(include: tuple[str, ...], exclude: tuple[str, ...], passes: bool) -> None:
    """Names pass that match a pattern of include, if there is any, and none of exclude."""
    expected = ORDERS if passes else None
    assert NameFilter(include=include, exclude=exclude)(ORDERS) is expected


def test_name_with_a_line_end() -> None:
    """A pattern's star matches everything, line ends too."""
    assert NameFilter(exclude=("evil*",))(Series("evil\nname")) is None


def test_kind() -> None:
    """Kinds pass or don't by their names."""
    assert KindFilter(include=("counter", "timer"))(ORDERS) is ORDERS
    assert KindFilter(include=("gauge",))(ORDERS) is None
    assert KindFilter(exclude=("counter",))(ORDERS) is None


def test_unknown_kinds_are_refused() -> None:
    """A kind that doesn't exist is an error that names those that do."""
    assert kinds("counter, state") == ("counter", "state")
    with pytest.raises(ValueError, match="counter, gauge, histogram"):
        kinds("counters")


@pytest.mark.parametrize(
    ("low", "high", "passes"),
    [(0, None, True), (20, 20, True), (21, None, False), (0, 19, False), (10, 30, True)],
)
def test_level(low: int, high: int | None, passes: bool) -> None:
    """Levels pass that lie between the two, both included."""
    assert LevelFilter(min=low, max=high)(ORDERS) is (ORDERS if passes else None)


def test_label() -> None:
    """Series pass by the value of one label."""
    assert LabelFilter(label="shop", include=("d?",))(ORDERS) is ORDERS
    assert LabelFilter(label="shop", include=("fr",))(ORDERS) is None
    assert LabelFilter(label="shop", exclude=("de",))(ORDERS) is None


def test_label_that_is_missing() -> None:
    """A series without the label passes unless values to include are given."""
    assert LabelFilter(label="host", exclude=("*",))(ORDERS) is ORDERS
    assert LabelFilter(label="host", include=("*",))(ORDERS) is None


def test_rename() -> None:
    """Every match in the name is replaced; nothing else changes."""
    renamed = RenameFilter(match=r"^shop\.(\w+)", replace=r"store.\1.all")(ORDERS)
    assert renamed == ORDERS._replace(name="store.orders.all")
    assert RenameFilter(match="x", replace="y")(ORDERS) == ORDERS


def test_rename_to_nothing_drops() -> None:
    """A series whose name would become empty is dropped."""
    assert RenameFilter(match=".*", replace="")(ORDERS) is None


@pytest.mark.parametrize("replace", [r"\2", r"\g<other>", "\\"])
def test_rename_with_an_unknown_group(replace: str) -> None:
    """A reference to a group that isn't there is an error at once, not at the first match."""
    with pytest.raises(ValueError, match="replace: "):
        RenameFilter(match="(a)", replace=replace)


def test_what_is_no_regular_expression_is_refused() -> None:
    """A broken pattern is a ValueError, as for every option."""
    with pytest.raises(ValueError, match="expected a regular expression"):
        pattern("(")
    with pytest.raises(ValueError, match="expected a regular expression"):
        pattern(3)


def test_labels() -> None:
    """Labels are kept, dropped and added, and stay sorted."""
    assert LabelsFilter(drop=("sta*",))(ORDERS) == ORDERS._replace(labels=(("shop", "de"),))
    assert LabelsFilter(keep=("status",))(ORDERS) == ORDERS._replace(labels=(("status", "200"),))
    added = LabelsFilter(keep=("*",), drop=("shop",), add={"env": "prod", "status": "any"})(ORDERS)
    assert added is not None
    assert added.labels == (("env", "prod"), ("status", "any"))
    assert added.common == {"env"}
