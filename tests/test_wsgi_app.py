"""MetricsApp: what it answers to which request."""

from __future__ import annotations

import base64
import gc
import json
import os
import threading
import weakref
from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from appmetrics.handlers.http import HttpHandler
from appmetrics.testing import World
from appmetrics.wsgi import MetricsApp
from servers import PATIENCE


@pytest.fixture
def world() -> World:
    """A shop with some numbers."""
    world = World()
    orders = world.meter("shop").counter("orders", "Orders placed", labels=("shop",))
    orders.labels("de").inc(3)
    with world.meter("shop").timer("render").time():
        pass
    world.meter("shop").state("database").set("critical", "no route")
    return world


def get(
    app: MetricsApp, query: str = "", *, method: str = "GET", **environ: str
) -> tuple[str, dict[str, str], str]:
    """Status, headers and body, with wsgiref's validator in between."""
    environment: dict[str, Any] = {"QUERY_STRING": query, "REQUEST_METHOD": method, **environ}
    setup_testing_defaults(environment)
    seen: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        seen[:] = [status, dict(headers)]
        return lambda data: None

    body: Iterable[bytes] = validator(app)(environment, start_response)
    try:
        text = b"".join(body).decode()
    finally:
        body.close()  # type: ignore[attr-defined]
    return seen[0], seen[1], text


def test_scrapers_get_prometheus_text(world: World) -> None:
    """Without a preference the answer is Prometheus text, readable by its own parser."""
    status, headers, text = get(MetricsApp(reporter=world.reporter))
    values = {s.name: s.value for f in prometheus(text) for s in f.samples if s.labels}
    assert status == "200 OK"
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert values["shop_orders_total"] == 3


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1", "application/o"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/json", "application/json"),
        ("text/plain;q=nonsense, application/json;q=0.1", "application/json"),
        ("image/png", "text/plain"),
    ],
)
def test_the_accept_header_decides(world: World, accept: str, content_type: str) -> None:
    """The format is the best one of those that the client accepts."""
    headers = get(MetricsApp(reporter=world.reporter), HTTP_ACCEPT=accept)[1]
    assert headers["Content-Type"].startswith(content_type)


def test_format_wins_over_accept(world: World) -> None:
    """``?format=`` decides whatever the client accepts."""
    text = get(MetricsApp(reporter=world.reporter), "format=openmetrics", HTTP_ACCEPT="*/*")[2]
    assert text.endswith("# EOF\n")
    assert "shop_orders" in {family.name for family in openmetrics(text)}


def test_an_unknown_format_is_refused_with_the_known_ones(world: World) -> None:
    """A wrong format is answered with the list of the right ones."""
    status, _, text = get(MetricsApp(reporter=world.reporter), "format=xml")
    assert status.startswith("400")
    assert "openmetrics" in text


def test_json_is_the_tree_by_dotted_name(world: World) -> None:
    """``?format=json`` shows numbers under their dotted names, as scales does."""
    shop = json.loads(get(MetricsApp(reporter=world.reporter), "format=json")[2])["shop"]
    assert shop["orders"] == {"shop=de": 3}
    assert shop["render"]["count"] == 1
    assert shop["database"] == "critical"


def test_series_are_listed_with_all_that_the_page_shows(world: World) -> None:
    """``?format=series`` tells kind, unit, labels and value of each series."""
    data = json.loads(get(MetricsApp(reporter=world.reporter), "format=series")[2])
    orders = next(entry for entry in data["series"] if entry["name"] == "shop.orders")
    assert (orders["kind"], orders["labels"], orders["value"]) == ("counter", {"shop": "de"}, 3)
    assert data["handlers"] == []


@pytest.mark.parametrize("format", ["prometheus", "openmetrics", "json", "series"])
def test_query_filters_by_glob_or_by_part_of_the_name(world: World, format: str) -> None:
    """``?query=`` is a glob on the dotted name; a plain word is looked for inside it."""
    app = MetricsApp(reporter=world.reporter)
    for query in ("shop.ord*", "orders"):
        text = get(app, f"format={format}&query={query}")[2]
        assert "orders" in text
        assert "render" not in text


def test_series_made_later_appear_in_the_next_answer(world: World) -> None:
    """The document follows instruments and labels that come into being."""
    app = MetricsApp(reporter=world.reporter)
    get(app)
    world.meter("shop").gauge("depth").set(7)
    world.meter("shop").counter("orders", labels=("shop",)).labels("fr").inc()
    world.meter("shop").level = "DEBUG"
    text = get(app)[2]
    assert "shop_depth 7" in text
    assert 'shop_orders_total{shop="fr"} 1' in text


def test_the_page_is_html_with_a_policy_that_forbids_other_sources(world: World) -> None:
    """The page may not load anything from anywhere else."""
    _, headers, text = get(MetricsApp(reporter=world.reporter), "format=html")
    assert text.startswith("<!doctype html>")
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_only_get_and_head_are_served(world: World, method: str) -> None:
    """Nothing can be changed through the application."""
    assert get(MetricsApp(reporter=world.reporter), method=method)[0].startswith("405")


def test_head_has_no_body(world: World) -> None:
    """HEAD answers as GET does, without the body."""
    status, _, text = get(MetricsApp(reporter=world.reporter), method="HEAD")
    assert (status, text) == ("200 OK", "")


def test_a_token_is_needed_where_one_is_set(world: World) -> None:
    """Requests without the right token are refused."""
    app = MetricsApp(token="sesame", reporter=world.reporter)
    status, headers, _ = get(app)
    assert status.startswith("401")
    assert headers["WWW-Authenticate"].startswith("Basic")
    for wrong in ("Bearer s\u00e9same", "Bearer", "sesame", "Basic !", "Basic c2VzYW1lOg=="):
        assert get(app, HTTP_AUTHORIZATION=wrong)[0].startswith("401")
    assert get(app, HTTP_AUTHORIZATION="Bearer sesame")[0].startswith("200")


def test_a_browser_gives_the_token_as_password(world: World) -> None:
    """So that people can open a protected page; the user's name doesn't matter."""
    app = MetricsApp(token="sesame", reporter=world.reporter)
    password = base64.b64encode(b"ada:sesame").decode()
    assert get(app, HTTP_AUTHORIZATION=f"Basic {password}")[0].startswith("200")


def test_the_allow_list_holds_and_a_proxy_does_not_get_around_it(world: World) -> None:
    """Only addresses of the allowed networks may ask, and none that a proxy hides."""
    app = MetricsApp(allow=["127.0.0.0/8", "::1/128"], reporter=world.reporter)
    assert get(app, REMOTE_ADDR="127.0.0.1")[0].startswith("200")
    assert get(app, REMOTE_ADDR="::1")[0].startswith("200")
    assert get(app, REMOTE_ADDR="192.0.2.1")[0].startswith("403")
    assert get(app, REMOTE_ADDR="")[0].startswith("403")
    forwarded = get(app, REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.1")
    assert forwarded[0].startswith("403")


def test_explain_answers_for_a_running_process(world: World) -> None:
    """``?explain=NAME`` is the explanation as JSON."""
    answer = json.loads(get(MetricsApp(reporter=world.reporter), "explain=shop.orders")[2])
    assert answer["name"] == "shop.orders"
    assert answer["steps"]


def test_a_forked_child_does_not_wait_for_a_scrape_of_its_parent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that another thread held at the fork is never released in the child."""
    app = MetricsApp(reporter=world.reporter)
    get(app)
    document = app._documents["prometheus"]
    with document._lock:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        thread = threading.Thread(target=get, args=(app,), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_apps_that_are_gone_leave_nothing_behind(world: World) -> None:
    """Whoever makes one for each request."""
    apps = weakref.WeakSet[MetricsApp]()
    readers = weakref.WeakSet[Any]()
    for _ in range(3):
        app = MetricsApp(reporter=world.reporter)
        get(app)
        apps.add(app)
        readers.add(app.handler)
    del app
    gc.collect()
    assert not list(apps)
    assert not list(readers)


# -- the size of a page ----------------------------------------------------------


def crowded(world: World, **more: Any) -> MetricsApp:
    """A page with room for twenty series, of a shop with a hundred more."""
    stock = world.meter("shop").counter("stock", "Items", labels=("shelf",))
    for shelf in range(100):
        stock.labels(shelf).inc(shelf)
    return MetricsApp(reporter=world.reporter, max_series=20, **more)


def test_beyond_max_series_a_scrape_is_whole_and_says_what_it_lacks(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Both of Prometheus' formats can be read; a self-metric and one log line tell of it."""
    app = crowded(world)
    for _ in range(2):
        text = get(app, "format=prometheus")[2]
        first = text.partition("\n")[0]
        left_out = int(first.split()[1])
        assert first == f"# {left_out} series left out, as a page has at most 20 (max_series)"
        samples = [s for family in prometheus(text) for s in family.samples]
        shelves = [s for s in samples if s.name == "shop_stock_total"]
        assert len(shelves) == 100 - left_out
        assert {s.name: s.value for s in samples}["appmetrics_scrape_left_out"] == left_out
        text = get(app, "format=openmetrics")[2]
        assert text.startswith("# TYPE")
        assert text.endswith("# EOF\n")
        again = [s for family in openmetrics(text) for s in family.samples]
        assert len([s for s in again if s.name == "shop_stock_total"]) == len(shelves)
    (line,) = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert line.startswith("metrics-app: ")


def test_the_series_that_came_first_stay(world: World) -> None:
    """The same ones in each scrape, also when more come; those of appmetrics always do."""
    app = crowded(world)
    before = names(get(app, "format=prometheus")[2])
    world.meter("shop").counter("more", labels=("x",)).labels("y").inc()
    handler = HttpHandler(name="late", listen=("127.0.0.1", 0))
    world.meter().add_handler(handler)
    after = names(get(app, "format=prometheus")[2])
    assert before < after
    assert {name.partition("{")[0] for name in after - before} == {
        "appmetrics_handler_late_errors_total", "appmetrics_handler_late_served_total"
    }  # fmt: skip


def names(text: str) -> set[str]:
    """The names and labels of a text's samples."""
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def test_the_page_says_what_it_lacks_and_finds_it_when_asked(world: World) -> None:
    """With a query that picks few enough series, none of them is left out."""
    app = crowded(world)
    data = json.loads(get(app, "format=series")[2])
    assert data["left_out"].endswith("series left out, as a page has at most 20 (max_series)")
    assert len([s for s in data["series"] if not s["name"].startswith("appmetrics.")]) <= 20
    world.meter("shop").counter("last").inc(7)
    found = json.loads(get(app, "format=series&query=shop.last")[2])["series"]
    assert [series["value"] for series in found] == [7]
    tree = json.loads(get(app, "format=json&query=shop.stock")[2])
    assert len(tree["shop"]["stock"]) == 20


def test_explain_says_why_a_series_is_not_on_the_page(world: World) -> None:
    """The limit is the reason."""
    app = crowded(world)
    reasons = {series.labels: why for series, why in app.left_out}
    assert "20 came before it" in reasons[(("shelf", "99"),)]


def test_within_the_limit_nothing_is_said(world: World) -> None:
    """No comment, no remark, and the self-metric is zero."""
    app = MetricsApp(reporter=world.reporter)
    text = get(app)[2]
    assert "left out" not in text.replace("leave", "").partition("# HELP")[0]
    assert "appmetrics_scrape_left_out 0\n" in text
    assert json.loads(get(app, "format=series")[2])["left_out"] == ""


def test_requests_that_were_answered_are_counted(world: World) -> None:
    """Those for numbers, in any format."""
    app = MetricsApp(reporter=world.reporter)
    for query in ("", "format=series", "format=html", "format=nonsense"):
        get(app, query)
    assert app.served == 2
