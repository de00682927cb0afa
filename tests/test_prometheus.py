"""Prometheus text and OpenMetrics, judged by prometheus_client's parsers and promtool."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from appmetrics.buckets import EMPTY, SUBS, Distribution, upper_edge
from appmetrics.exposition.families import BOUNDS, OTHER_BOUNDS, exact_bounds
from appmetrics.exposition.prometheus import CHUNK_LINES, Exposition, describe, expose
from appmetrics.sample import (
    COUNTER,
    EVENT,
    GAUGE,
    HISTOGRAM,
    KINDS,
    STATE,
    STATES,
    TIMER,
    Event,
    Series,
    StateValue,
    sorted_labels,
)

Pairs = list[tuple[Series, Any]]
CRITICAL = StateValue("critical", "no route", 2, "critical", None)

SHOP: Pairs = [
    (Series("shop.orders", (("shop", "de"),), COUNTER, help="Orders placed"), 12),
    (Series("shop.queue-depth", (), GAUGE, help='Jobs\nin the "queue" \\o/'), 3.5),
    (Series("shop.render", (), TIMER, "seconds"), Distribution.of([0.25, 0.5, 3.0])),
    (Series("shop.orders", (("shop", 'f"r\n\\'),), COUNTER, help="Orders placed"), 3),
    (Series("shop.database", (("at", "x"),), STATE, states=STATES), CRITICAL),
    (Series("shop.sent", (), COUNTER, "bytes"), 7),
]

SHOP_TEXT = r"""# HELP shop_orders_total Orders placed
# TYPE shop_orders_total counter
shop_orders_total{shop="de"} 12
shop_orders_total{shop="f\"r\n\\"} 3
# HELP shop_queue_depth Jobs\nin the "queue" \\o/
# TYPE shop_queue_depth gauge
shop_queue_depth 3.5
# HELP shop_render_seconds timer shop.render
# TYPE shop_render_seconds histogram
shop_render_seconds_bucket{le="0.125"} 0
shop_render_seconds_bucket{le="0.5"} 2
shop_render_seconds_bucket{le="+Inf"} 3
shop_render_seconds_count 3
shop_render_seconds_sum 3.75
# HELP shop_database state shop.database
# TYPE shop_database gauge
shop_database{at="x",shop_database="ok"} 0
shop_database{at="x",shop_database="warning"} 0
shop_database{at="x",shop_database="critical"} 1
shop_database{at="x",shop_database="unknown"} 0
# HELP shop_sent_bytes_total counter shop.sent
# TYPE shop_sent_bytes_total counter
shop_sent_bytes_total 7
"""

SHOP_OPENMETRICS = r"""# TYPE shop_orders counter
# HELP shop_orders Orders placed
shop_orders_total{shop="de"} 12
shop_orders_total{shop="f\"r\n\\"} 3
# TYPE shop_queue_depth gauge
# HELP shop_queue_depth Jobs\nin the \"queue\" \\o/
shop_queue_depth 3.5
# TYPE shop_render_seconds histogram
# UNIT shop_render_seconds seconds
# HELP shop_render_seconds timer shop.render
shop_render_seconds_bucket{le="0.125"} 0
shop_render_seconds_bucket{le="0.5"} 2
shop_render_seconds_bucket{le="+Inf"} 3
shop_render_seconds_count 3
shop_render_seconds_sum 3.75
# TYPE shop_database stateset
# HELP shop_database state shop.database
shop_database{at="x",shop_database="ok"} 0
shop_database{at="x",shop_database="warning"} 0
shop_database{at="x",shop_database="critical"} 1
shop_database{at="x",shop_database="unknown"} 0
# TYPE shop_sent_bytes counter
# UNIT shop_sent_bytes bytes
# HELP shop_sent_bytes counter shop.sent
shop_sent_bytes_total 7
# EOF
"""


def exposed(*pairs: tuple[Series, Any], **options: Any) -> list[str]:
    """The lines of a document that are not comments."""
    return [line for line in expose(pairs, **options).split("\n") if line and line[0] != "#"]


def read(text: str, openmetrics: bool) -> list[tuple[str, dict[str, str], float]]:
    """(name, labels, value) of all samples, as prometheus_client reads them."""
    parse: Callable[[str], Iterable[Any]] = parse_openmetrics if openmetrics else parse_text
    return [
        (sample.name, sample.labels, sample.value)
        for family in parse(text)
        for sample in family.samples
    ]


def test_the_text_format_is_as_documented() -> None:
    """A small set of every kind renders as 0.0.4 text, families grouped in order of creation."""
    assert expose(SHOP, bounds=(0.125, 0.5)) == SHOP_TEXT


def test_openmetrics_is_as_documented() -> None:
    """The same set renders as OpenMetrics, with units and the end mark."""
    assert expose(SHOP, bounds=(0.125, 0.5), openmetrics=True) == SHOP_OPENMETRICS


def test_the_content_types_name_the_formats() -> None:
    """Each variant knows the content type it must be sent with."""
    assert Exposition().content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert Exposition(openmetrics=True).content_type.startswith(
        "application/openmetrics-text; version=1.0.0"
    )


def test_nothing_is_a_valid_document() -> None:
    """Without series there is no line, but OpenMetrics still ends properly."""
    assert expose([]) == ""
    assert expose([], openmetrics=True) == "# EOF\n"


@pytest.mark.parametrize(
    ("name", "kind", "unit", "line"),
    [
        ("a.b-c:d e", GAUGE, "", "a_b_c_d_e"),
        ("a..b", GAUGE, "", "a__b"),
        ("2xx", GAUGE, "", "_2xx"),
        ("", GAUGE, "", "_"),
        ("größe", GAUGE, "", "gr__e"),
        ("a.total", COUNTER, "", "a_total"),
        ("a_total.total", COUNTER, "", "a_total"),
        ("total", COUNTER, "", "total_total"),
        ("a.total", COUNTER, "bytes", "a_bytes_total"),
        ("a.bytes", COUNTER, "bytes", "a_bytes_total"),
        ("a.bytes.total", COUNTER, "bytes", "a_bytes_total"),
        ("a", GAUGE, "km/h", "a_km_h"),
        ("bytes", GAUGE, "bytes", "bytes_bytes"),
        ("a", COUNTER, "total", "a_total"),
    ],
)
def test_names_are_derived_by_rule(name: str, kind: str, unit: str, line: str) -> None:
    """Characters become underscores one for one; unit and _total are appended once."""
    assert exposed((Series(name, (), kind, unit), 1)) == [f"{line} 1"]


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({"le": "1"}, 'exported_le="1"'),
        ({"quantile": "1"}, 'exported_quantile="1"'),
        ({"__name__": "x"}, '_name__="x"'),
        ({"": "x"}, '_="x"'),
        ({"0": "x"}, '_0="x"'),
        ({"empty": ""}, 'empty=""'),
        ({"a.b": "1", "a_b": "2"}, 'a_b_2="1",a_b="2"'),
        ({"a-b": "1", "a.b": "2", "a b": "3"}, 'a_b="3",a_b_2="1",a_b_3="2"'),
        ({"le": "1", "exported_le": "2"}, 'exported_le="2",exported_le_2="1"'),
        ({"x": "\ud800\x00ü"}, 'x="\ufffd\x00ü"'),
    ],
)
def test_labels_are_made_valid_and_stay_apart(labels: dict[str, str], text: str) -> None:
    """Bad and reserved label names change by rule, and no two become one."""
    assert exposed((Series("a", sorted_labels(labels), GAUGE), 1)) == [f"a{{{text}}} 1"]


def test_a_states_own_label_is_kept_free() -> None:
    """A label named like a state's metric gives way to the state."""
    up = StateValue("up", "", 0, "up", None)
    series = Series("db", (("db", "main"),), STATE, states=("up", "down"))
    assert exposed((series, up)) == [
        'db{exported_db="main",db="up"} 1',
        'db{exported_db="main",db="down"} 0',
    ]


def test_what_has_no_reading_is_left_out_with_its_header() -> None:
    """None, infinity, not-a-number, a negative count and a strange object leave no line."""
    nothing: list[tuple[str, Any]] = [
        *((GAUGE, value) for value in (None, math.inf, -math.inf, math.nan, 10**400, "12")),
        *((COUNTER, value) for value in (None, -1)),
        *((kind, None) for kind in (STATE, TIMER, HISTOGRAM)),
        (STATE, StateValue("undeclared", "", 3, "undeclared", None)),
        (EVENT, Event("deploy", "", {}, (), None, None)),
    ]
    pairs = [(Series(f"a{n}", (), kind), value) for n, (kind, value) in enumerate(nothing)]
    assert expose(pairs) == ""


def test_numbers_are_printed_plainly() -> None:
    """Integers have no exponent, floats are exact, a boolean is a number."""
    values = [10**22, 0.1, 1e-300, -5, True, 2.0]
    lines = exposed(*((Series(f"a{n}"), value) for n, value in enumerate(values)))
    assert [line.split()[1] for line in lines] == [
        "10000000000000000000000",
        "0.1",
        "1e-300",
        "-5",
        "1",
        "2.0",
    ]


def test_an_overflown_sum_leaves_count_and_sum_out() -> None:
    """A histogram whose sum is infinite still shows its buckets, and stays valid."""
    broken = Distribution(special=(0, 0, 2), sum=math.inf)
    text = expose([(Series("a", (), HISTOGRAM), broken)], bounds=[1], openmetrics=True)
    assert read(text, True) == [
        ("a_bucket", {"le": "1.0"}, 0),
        ("a_bucket", {"le": "+Inf"}, 2),
    ]


def test_bounds_move_to_the_nearest_edge() -> None:
    """Configured bounds become exact bucket edges, sorted, each once."""
    edges = {upper_edge(octave, sub) for octave in range(-29, 35) for sub in range(SUBS)}
    bounds = exact_bounds([10, 0.1, 1, 0, 0.1001, math.inf, 1e-30, 1e30])
    assert bounds[0] == 0
    assert set(bounds[1:]) <= edges | {2.0**-30}
    assert bounds == pytest.approx((0, 2.0**-30, 0.1, 1, 10, 2.0**34), rel=0.022)
    assert exact_bounds(sorted(edges)) == tuple(sorted(edges))


@pytest.mark.parametrize("bound", [-1.0, math.nan])
def test_a_senseless_bound_is_refused(bound: float) -> None:
    """A negative bound or one that is no number is a ValueError that shows it."""
    with pytest.raises(ValueError, match=repr(bound)):
        Exposition(bounds=[bound])


@pytest.mark.parametrize("unit", ["seconds", "bytes", "ratio", "", "apples"])
def test_default_bounds_depend_on_the_unit_alone(unit: str) -> None:
    """Without configured bounds a histogram has its unit's, all of them exact edges."""
    expected = BOUNDS.get(unit, OTHER_BOUNDS)
    assert exact_bounds(expected) == expected
    lines = exposed((Series("a", (), HISTOGRAM, unit), EMPTY))
    found = [match[1] for line in lines if (match := re.search('le="(.*)"', line))]
    assert found == [*(repr(bound) for bound in expected), "+Inf"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Series("a.b_c", (), GAUGE), Series("a_b.c", (), GAUGE)),
        (Series("a", (), COUNTER), Series("a.total", (), GAUGE)),
        (Series("a.total", (), GAUGE), Series("a", (), COUNTER)),
        (Series("a", (), COUNTER), Series("a.created", (), GAUGE)),
        (Series("a", (), HISTOGRAM), Series("a.count", (), COUNTER)),
        (Series("a.bucket", (), GAUGE), Series("a", (), HISTOGRAM)),
        (Series("a", (), TIMER, "seconds"), Series("a.seconds", (), HISTOGRAM)),
        (Series("a", (), STATE), Series("a", (), GAUGE)),
        (Series("a", (), HISTOGRAM, "sum"), Series("a", (), HISTOGRAM)),
    ],
)
@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_first_registered_keeps_a_name(
    first: Series, second: Series, openmetrics: bool
) -> None:
    """The later of two that clash is left out, in both formats, and told with both names."""
    exposition = Exposition(openmetrics=openmetrics)
    values = {COUNTER: 1, GAUGE: 1, STATE: CRITICAL, HISTOGRAM: EMPTY, TIMER: EMPTY}
    exposition.add(first)
    alone = "".join(exposition.render([values[first.kind]]))
    exposition.add(second)
    assert "".join(exposition.render([values[first.kind], values[second.kind]])) == alone
    [(left, reason)] = exposition.left_out
    assert left == second
    assert f"{first.kind} {first.name}," in reason
    assert f"{second.kind} {second.name}:" in reason


def test_series_whose_labels_become_the_same_do_not_repeat() -> None:
    """If two label sets of one instrument read the same when made valid, the first stays."""
    exposition = Exposition()
    for labels in ({"a.b": "1"}, {"a_b": "1"}, {"a-b": "2"}, {"a_b": "\ud800"}, {"a_b": "\udfff"}):
        exposition.add(Series("x", sorted_labels(labels), COUNTER))
    text = "".join(exposition.render([1, 2, 3, 4, 5]))
    assert read(text, False) == [
        ("x_total", {"a_b": "1"}, 1),
        ("x_total", {"a_b": "2"}, 3),
        ("x_total", {"a_b": "\ufffd"}, 4),
    ]
    assert [dict(series.labels) for series, _ in exposition.left_out] == [
        {"a_b": "1"},
        {"a_b": "\udfff"},
    ]


def test_only_wanted_series_are_rendered() -> None:
    """A query picks series; families without one show no header."""
    exposition = Exposition()
    for series, _ in SHOP:
        exposition.add(series)
    values = [value for _, value in SHOP]
    text = "".join(exposition.render(values, lambda series: series.label("shop") == "de"))
    assert text.splitlines()[2:] == ['shop_orders_total{shop="de"} 12']


def test_a_series_added_during_a_scrape_is_not_in_it() -> None:
    """What has been added after the readings were taken comes with the next ones."""
    exposition = Exposition()
    names = [str(n) for n in range(CHUNK_LINES + 10)]
    for name in names:
        exposition.add(Series("a", (("n", name),), COUNTER))
    chunks = exposition.render([1] * len(names))
    first = next(chunks)
    exposition.add(Series("a", (("n", "late"),), COUNTER))
    exposition.add(Series("b", (), COUNTER))
    assert "late" not in (text := first + "".join(chunks))
    assert len(read(text, False)) == len(names)


def test_chunks_are_bounded() -> None:
    """Many series come as many chunks of about the same number of lines."""
    exposition = Exposition()
    for n in range(5000):
        exposition.add(Series("a", (("n", str(n)),), COUNTER))
    chunks = list(exposition.render(range(5000)))
    assert max(chunk.count("\n") for chunk in chunks) <= CHUNK_LINES + 2
    assert [value for *_, value in read("".join(chunks), False)] == list(range(5000))


def test_describe_shows_the_lines_without_values() -> None:
    """Every line that a series becomes is told; an event becomes none."""
    assert describe(Series("shop.orders", (("shop", "d e"),), COUNTER)) == [
        'shop_orders_total{shop="d e"}'
    ]
    assert describe(Series("a", (), TIMER, "seconds"), bounds=[1]) == [
        'a_seconds_bucket{le="1.0"}',
        'a_seconds_bucket{le="+Inf"}',
        "a_seconds_count",
        "a_seconds_sum",
    ]
    assert describe(Series("db", (), STATE, states=("up",))) == ['db{db="up"}']
    assert describe(Series("deploy", (), EVENT)) == []


# Any character, and often one that means something to a format.
HOSTILE = st.text(
    st.sampled_from('ab_.:-0 \n\r\t"\\{}=,;#%\x00\x85\u2028é\ud800\ufffe')
    | st.characters(codec=None),
    max_size=8,
)
NAMES = st.text(st.sampled_from("ab._-0:"), max_size=4) | st.sampled_from(
    ["a.total", "a_total", "a.count", "a_sum", "a.bucket", "a.created", "a.seconds"]
)
LABEL_NAMES = st.sampled_from(["le", "a", "a.b", "a_b", "__a", "quantile", "a_total", ""]) | HOSTILE
LABELS = st.dictionaries(LABEL_NAMES, HOSTILE, max_size=3).map(sorted_labels)
SERIES = st.builds(
    Series,
    name=NAMES | HOSTILE,
    labels=LABELS,
    kind=st.sampled_from(KINDS),
    unit=st.sampled_from(["", "seconds", "bytes", "total", "sum"]) | HOSTILE,
    help=HOSTILE,
    states=st.just(STATES) | st.lists(HOSTILE, min_size=1, max_size=3).map(tuple),
)


def with_unique_values(series: list[Series]) -> Pairs:
    """A reading for each series by which its lines can be told from all others."""
    pairs: Pairs = []
    for n, one in enumerate(series):
        value: Any = n + 0.5 if n % 2 else n
        if one.kind in (TIMER, HISTOGRAM):
            value = Distribution.of([0.25, 1.0, n + 1.5])
        elif one.kind == STATE:
            state = one.states[n % len(one.states)]
            value = StateValue(state, "", 0, state, None)
        pairs.append((one, value))
    return pairs


def printable(text: str) -> str:
    """Text as it must arrive: with U+FFFD for what can't be encoded."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def expected(pairs: Pairs, left_out: list[Series], bounds: tuple[float, ...]) -> list[Any]:
    """(value, label values) of every line, whatever it may be called, sorted."""
    lines: list[tuple[float, list[str]]] = []
    for series, value in pairs:
        labels = [printable(text) for _, text in series.labels]
        if series.kind == EVENT:
            continue
        if series in left_out:
            left_out.remove(series)
        elif isinstance(value, Distribution):
            lines += [(value.sum, labels), (value.count, labels), (value.count, [*labels, "+Inf"])]
            lines += [
                (number, [*labels, repr(bound)])
                for bound, number in zip(bounds, value.below(bounds), strict=True)
            ]
        elif isinstance(value, StateValue):
            states = dict.fromkeys(map(printable, series.states))
            lines += [(state == printable(value.state), [*labels, state]) for state in states]
        else:
            lines.append((value, labels))
    return sorted((float(value), sorted(labels)) for value, labels in lines)


@given(series=st.lists(SERIES, max_size=8, unique_by=lambda one: one.identity))
@pytest.mark.parametrize("openmetrics", [False, True])
def test_other_parsers_read_what_was_written(openmetrics: bool, series: list[Series]) -> None:
    """Whatever names, labels, helps and states hold, each value arrives once, with its labels."""
    bounds = (0.25, 1.0, 8.0)
    exposition = Exposition(openmetrics=openmetrics, bounds=bounds)
    # One state's declared states are the same for all its label sets.
    states = {one.name: one.states for one in reversed(series)}
    pairs = with_unique_values([one._replace(states=states[one.name]) for one in series])
    for one, _ in pairs:
        exposition.add(one)
    text = "".join(exposition.render([value for _, value in pairs]))
    text.encode()
    found = sorted(
        (float(value), sorted(labels.values())) for _, labels, value in read(text, openmetrics)
    )
    assert found == expected(pairs, [left for left, _ in exposition.left_out], bounds)


def test_promtool_has_no_complaint(promtool: Callable[[str], list[str]]) -> None:
    """``promtool check metrics`` accepts what an ordinary application exposes."""
    assert promtool(expose(SHOP)) == []


def test_promtool_can_read_the_hostile(promtool: Callable[[str], list[str]]) -> None:
    """The worst names and labels may be bad style, but never a syntax error."""
    worst = ['a"b', "a\nb 1\nc", "\\", "{}", "#", "\x00", "\ud800", "", "é", " ", "x" * 10_000]
    series = [
        Series(name, sorted_labels({name: text, "le": text}), kind, text, help=name, states=STATES)
        for kind in KINDS
        for name, text in zip(worst, reversed(worst), strict=True)
    ]
    complaints = promtool(expose(with_unique_values(series)))
    assert not [line for line in complaints if "error while linting" in line]
