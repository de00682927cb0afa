"""The JSON renderings: the tree by dotted name, and the flat list of series."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appmetrics.buckets import Distribution
from appmetrics.exposition.tree import (
    CHUNK_READINGS,
    series_json,
    series_text,
    stats_tree,
    tree_text,
)
from appmetrics.sample import (
    COUNTER,
    EVENT,
    GAUGE,
    HISTOGRAM,
    KINDS,
    MAX_DEPTH,
    STATE,
    STATES,
    TIMER,
    Event,
    Series,
    StateValue,
    sorted_labels,
)

Pairs = list[tuple[Series, Any]]
DEPLOY = (Series("deploy", (), EVENT), Event("1.4.2", "", {}, (), None, None))
ON_FIRE = StateValue("unknown", "second floor", 3, "on fire", None)


def strict(text: str) -> Any:
    """JSON as browsers read it: NaN and Infinity are errors."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_tree_has_a_dict_for_each_dot() -> None:
    """Counters and gauges are numbers in nested dicts, states their text, events absent."""
    pairs: Pairs = [
        (Series("shop.orders", (), COUNTER), 12),
        (Series("shop.queue.depth", (), GAUGE), 0.5),
        (Series("shop.database", (), STATE, states=STATES), ON_FIRE),
        (Series("shop.gone"), None),
        DEPLOY,
    ]
    assert stats_tree(pairs) == {
        "shop": {"orders": 12, "queue": {"depth": 0.5}, "database": "on fire", "gone": None}
    }


def test_a_timer_has_the_keys_of_scales() -> None:
    """A timer or histogram is a dict with the keys that scales gives its own."""
    values = Distribution.of(range(1, 1001))
    tree = stats_tree([(Series("a", (), TIMER), values), (Series("b", (), HISTOGRAM), values)])
    assert tree["a"] == tree["b"]
    assert list(tree["a"]) == [
        "count",
        "min",
        "max",
        "mean",
        "median",
        "75percentile",
        "95percentile",
        "98percentile",
        "99percentile",
        "999percentile",
    ]
    assert tree["a"]["count"] == 1000
    assert tree["a"]["mean"] == 500.5
    assert tree["a"]["999percentile"] == values.percentile(99.9)
    assert tree["a"]["min"] == values.min


def test_labelled_children_sit_under_their_labels() -> None:
    """Children are keyed by their labels; what would make two keys equal is escaped."""
    pairs: Pairs = [
        (Series("orders", (("at", "de"), ("by", "x")), COUNTER), 1),
        (Series("orders", (("at", "de,by=x"),), COUNTER), 2),
        (Series("orders", (("at", "\\"),), COUNTER), 3),
    ]
    assert stats_tree(pairs) == {"orders": {"at=de,by=x": 1, "at=de\\,by\\=x": 2, "at=\\\\": 3}}


def test_a_name_can_be_a_prefix_too() -> None:
    """An instrument whose name others continue keeps its own value under ``value``."""
    parent, child = (Series("orders", (), COUNTER), 1), (Series("orders.failed", (), COUNTER), 2)
    labelled = (Series("orders", (("at", "de"),), COUNTER), 3)
    expected = {"orders": {"value": 1, "failed": 2, "at=de": 3}}
    assert stats_tree([parent, child, labelled]) == expected
    assert stats_tree([labelled, child, parent]) == expected


def test_a_timer_can_be_a_prefix_too() -> None:
    """A timer's dict is a value: names below the timer do not mix with its keys."""
    timer = (Series("a", (), TIMER), Distribution.of([1.0]))
    tree = stats_tree([timer, (Series("a.count", (), COUNTER), 7)])
    assert tree["a"]["count"] == 7
    assert tree["a"]["value"]["count"] == 1


def test_a_taken_key_loses_nothing() -> None:
    """Names that want the same place all appear, the later ones with an underscore."""
    pairs: Pairs = [
        (Series("a"), 1),
        (Series("a.value"), 2),
        (Series("a"), 3),
        (Series("a.value.b"), 4),
    ]
    assert stats_tree(pairs) == {"a": {"value": {"value": 1, "b": 4}, "value_": 2, "value__": 3}}


def leaves(tree: Any) -> list[Any]:
    """All values in a tree of dicts."""
    if not isinstance(tree, dict):
        return [tree]
    return [leaf for value in tree.values() for leaf in leaves(value)]


def test_the_list_says_all_about_a_series() -> None:
    """Each entry of the flat list holds what is known of a series and its reading."""
    document = series_json(
        [
            (Series("shop.orders", (("shop", "de"),), COUNTER, help="Orders"), 12),
            (Series("shop.render", (), TIMER, "seconds"), Distribution.of([1.0, 1.0])),
            (Series("shop.database", (), STATE, states=STATES), ON_FIRE),
            DEPLOY,
        ],
        time=5.5,
        version="0.1.0",
        host="web1",
        pid=7,
        handlers=[{"name": "carbon", "sent": 3}],
    )
    orders, render, database = document.pop("series")
    assert document == {
        "time": 5.5,
        "version": "0.1.0",
        "host": "web1",
        "pid": 7,
        "handlers": [{"name": "carbon", "sent": 3}],
    }
    assert orders == {
        "name": "shop.orders",
        "kind": "counter",
        "unit": "",
        "help": "Orders",
        "level": "INFO",
        "labels": {"shop": "de"},
        "value": 12,
    }
    middle = Distribution.of([1.0]).percentile(50)
    assert (render["value"], render["sum"], render["mean"]) == (2, 2.0, 1.0)
    assert {render[key] for key in ("min", "p50", "p95", "p99")} == {middle}
    assert render["max"] == 1.0
    assert database["value"] == "unknown"
    assert database["number"] == 3
    assert database["text"] == "on fire"
    assert database["description"] == "second floor"
    assert database["states"] == list(STATES)


def test_no_reading_is_null() -> None:
    """A series without a reading, or with one that is no number, has the value None."""
    values = [None, math.nan, math.inf, "12", object()]
    pairs: Pairs = [(Series(f"a{n}"), value) for n, value in enumerate(values)]
    pairs += [(Series(kind, (), kind), None) for kind in (COUNTER, TIMER, HISTOGRAM, STATE)]
    assert {entry["value"] for entry in series_json(pairs, time=0.0)["series"]} == {None}
    assert set(stats_tree(pairs).values()) == {None}


def test_texts_come_in_bounded_chunks() -> None:
    """Thousands of series are many pieces of text, none of them large."""
    pairs: Pairs = [(Series(f"a.b{n}", (), COUNTER), n) for n in range(5000)]
    for chunks in (list(tree_text(pairs)), list(series_text(pairs, time=0.0))):
        assert len(chunks) >= 5000 / CHUNK_READINGS
        assert max(map(len, chunks)) < 100_000


def test_no_series_is_valid_json() -> None:
    """Without series both documents are complete."""
    assert strict("".join(tree_text([]))) == {}
    assert strict("".join(series_text([], time=0.0)))["series"] == []


def test_a_name_of_many_dots_does_no_harm() -> None:
    """Beyond a depth that any decoder can take, the rest of a name is one key."""
    node = strict("".join(tree_text([(Series("a." * 5000 + "b"), 1)])))
    for _ in range(MAX_DEPTH):
        node = node["a"]
    assert node == {"a." * (5000 - MAX_DEPTH) + "b": 1}


TEXTS = st.text(
    st.sampled_from('ab.,=\\"\n<\x00\u2028\ud800') | st.characters(codec=None), max_size=6
)
PAIRS = st.lists(
    st.builds(
        Series,
        name=st.sampled_from(["a", "a.b", "a.value", "a.b.value", "a..", "."]) | TEXTS,
        labels=st.dictionaries(TEXTS, TEXTS, max_size=2).map(sorted_labels),
        kind=st.sampled_from([kind for kind in KINDS if kind != EVENT]),
        unit=TEXTS,
        help=TEXTS,
        states=st.just(STATES),
    ),
    max_size=8,
)


@given(series=PAIRS, value=st.floats() | st.integers() | st.just(10**400))
def test_any_name_and_value_is_valid_json(series: list[Series], value: float) -> None:
    """Hostile texts and numbers make valid JSON that says the same as the data, nothing lost."""
    # A sum is finite: no timer takes anything else.
    total = abs(float(min(value, 1e300))) if math.isfinite(float(min(value, 1e300))) else 0.0
    values: dict[str, Any] = {
        COUNTER: value,
        GAUGE: value,
        TIMER: Distribution(special=(1, 0, 0), sum=total),
        HISTOGRAM: Distribution.of([1.0]),
        STATE: StateValue("ok", "\ud800", 0, "\ud800\n", None),
    }
    pairs = [(one, values[one.kind]) for one in series]
    tree = stats_tree(pairs)
    assert strict("".join(tree_text(pairs))) == tree
    about = {"time": 1.0, "host": "\ud800"}
    assert strict("".join(series_text(pairs, **about))) == series_json(pairs, **about)
    distributions = sum(one.kind in (TIMER, HISTOGRAM) for one in series)
    assert len(leaves(tree)) == len(series) + 9 * distributions
