"""The page for people, in a real Chromium, fed by a small server with the page's own contract."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import appmetrics
import servers

PAGE = Path(appmetrics.__file__).parent / "exposition" / "page.html"
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
)
#: Milliseconds; the page asks every two seconds.
PATIENCE = servers.PATIENCE * 1000
IN_SIGHT = "#rows .row:not([hidden])"
#: How the page shows that there is no reading.
NOTHING = "\N{EN DASH}"


def series(name: str, value: Any = 0, kind: str = "counter", **more: Any) -> dict[str, Any]:
    """One entry of the answer to ``?format=series``."""
    entry = {"name": name, "kind": kind, "unit": "", "help": "", "level": "INFO", "labels": {}}
    if kind == "state":
        entry["states"] = ["ok", "warning", "critical", "unknown"]
    return entry | {"value": value} | more


def timer(name: str, count: int, **more: Any) -> dict[str, Any]:
    """A timer whose statistics are all different."""
    statistics = {"sum": 9.0, "mean": 0.0421, "min": 2e-6, "p50": 0.000321, "p95": 0.75, "p99": 1.5}
    return series(name, count, "timer", unit="seconds", **statistics | {"max": 75.0} | more)


class MetricsServer:
    """Serves the page, and ``series`` (a list, or a function that gives one) as its numbers."""

    def __init__(self) -> None:
        self.series: list[dict[str, Any]] | Callable[[], list[dict[str, Any]]] = []
        self.more: dict[str, Any] = {}
        self.failing = False
        #: How many polls are answered; the next one waits for a `release`.
        self.polls = threading.Semaphore(1_000_000)
        self.asked: list[str] = []
        ours = self

        class Request(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                status, kind, body = ours._answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        if query.get("format") != ["series"]:
            return 200, "text/html; charset=utf-8", PAGE.read_bytes()
        self.asked.append(path)
        self.polls.acquire(timeout=servers.PATIENCE)
        if self.failing:
            return 503, "text/plain", b"no"
        about = {"time": time.time(), "version": "0.1.0", "host": "web1", "pid": 4711}
        shown = self.series() if callable(self.series) else self.series
        answer = json.dumps(about | self.more | {"series": shown})
        return 200, "application/json", answer.encode()

    def close(self) -> None:
        """Stop serving."""
        self.polls.release(1000)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    """A server for the page; set its ``series`` before the page is opened."""
    server = MetricsServer()
    yield server
    server.close()


@pytest.fixture
def browser_page(chromium: Any) -> Iterator[Any]:
    """A tab of a real Chromium in which no script may fail and no dialog may open."""
    trouble: list[str] = []
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: trouble.append(str(error)))

    def dismiss(dialog: Any) -> None:
        trouble.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    yield page
    page.close()
    assert trouble == []


def open_page(page: Any, server: MetricsServer, address: str = "") -> None:
    """Open the page and wait for its first rows."""
    page.goto(server.url + address)
    page.locator(IN_SIGHT).first.wait_for()


def names(page: Any) -> list[str]:
    """The names and labels of the rows in sight, from top to bottom."""
    rows: list[str] = page.evaluate(
        """(sight) => [...document.querySelectorAll(sight)]
            .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
            .map((row) => ["text", "labels"].map((part) => row.querySelector("." + part).innerText)
                .filter(Boolean).join(" "))""",
        IN_SIGHT,
    )
    return rows


def wait_for_names(page: Any, expected: list[str]) -> None:
    """Wait until exactly these rows are in sight."""
    deadline = time.monotonic() + PATIENCE / 1000
    while (now := names(page)) != expected and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert now == expected


def cell(page: Any, row: str, column: str) -> Any:
    """A cell by the text of its row's name and the name of its column."""
    by_name = page.locator(IN_SIGHT).filter(
        has=page.locator(".text, .labels").get_by_text(row, exact=True)
    )
    return by_name.locator(f"> .{column}")


def wait_for_text(locator: Any, pattern: str) -> None:
    """Wait until an element's whole text matches."""
    from playwright.sync_api import expect

    expect(locator).to_have_text(re.compile(f"^{pattern}$"), timeout=PATIENCE)


def test_rows_form_a_tree_by_dotted_name(server: MetricsServer, browser_page: Any) -> None:
    """Groups hold the names below them, tell how many, and a lone path takes one row."""
    server.series = [
        series("shop.orders", 7, labels={"shop": "de"}),
        series("shop.orders", 5, labels={"shop": "at"}),
        series("shop.orders.failed", 1),
        series("shop.cart", 2, "gauge", help="Carts in use", level="DEBUG"),
        series("a.long.way.down", 3),
    ]
    open_page(browser_page, server)
    assert names(browser_page) == [
        "a.long.way.down", "shop", "cart", "orders", "shop=at", "shop=de", "failed",
    ]  # fmt: skip
    assert cell(browser_page, "shop", "name").locator(".count").inner_text() == "4 series"
    assert cell(browser_page, "shop=de", "value").inner_text() == "7"
    assert cell(browser_page, "cart", "level").inner_text() == "DEBUG"
    assert cell(browser_page, "cart", "help").inner_text() == "Carts in use"


def test_header_says_who_answered(server: MetricsServer, browser_page: Any) -> None:
    """Host, pid, version and the number of series are told, and when they were read."""
    server.series = [series(f"n{i}") for i in range(1234)]
    open_page(browser_page, server)
    facts = " ".join(browser_page.locator("#facts").inner_text().split())
    expected = r"host web1 pid 4711 version 0\.1\.0 series 1,234 updated \d\d:\d\d:\d\d"
    assert re.fullmatch(expected, facts)
    assert browser_page.title() == "web1 · appmetrics"


def test_values_are_formatted_by_unit(server: MetricsServer, browser_page: Any) -> None:
    """Seconds and bytes get a readable unit, large numbers separators, no reading a dash."""
    shown: dict[str, list[tuple[Any, str]]] = {
        "seconds": [(2.5e-7, "250 ns"), (0.00042, "420 µs"), (0.0421, "42.1 ms"), (75, "75.0 s"),
                    (93784, "26 h 3 min"), (0, "0 s")],
        "bytes": [(512, "512 B"), (20480, "20.5 kB"), (183_500_000, "184 MB")],
        "ratio": [(0.934, "93.4 %")],
        "euros": [(83.42, "83.42 euros")],
        "": [(1234567, "1,234,567"), (0.1234567, "0.12346"), (-5, "-5"), (1.5e300, "1.50e+300"),
             (None, NOTHING), ("odd", "odd")],
    }  # fmt: skip
    values = [(unit, value, text) for unit, pairs in shown.items() for value, text in pairs]
    server.series = [
        series(f"n{i:02}", value, "gauge", unit=unit) for i, (unit, value, _) in enumerate(values)
    ]
    open_page(browser_page, server)
    for i, (_, _, text) in enumerate(values):
        assert cell(browser_page, f"n{i:02}", "value").inner_text() == text


def test_timer_shows_its_statistics(server: MetricsServer, browser_page: Any) -> None:
    """A timer's row has count, mean, median, high percentiles and maximum; an idle one's dashes."""
    server.series = [timer("shop.render", 1234), timer("shop.idle", 0, mean=0.0, max=0.0)]
    open_page(browser_page, server)
    columns = ("value", "mean", "p50", "p95", "p99", "max")
    shown = [cell(browser_page, "render", column).inner_text() for column in columns]
    assert shown == ["1,234", "42.1 ms", "321 µs", "750 ms", "1.50 s", "75.0 s"]
    shown = [cell(browser_page, "idle", column).inner_text() for column in columns]
    assert shown == ["0"] + 5 * [NOTHING]


def test_states_have_a_word_a_symbol_and_a_colour(server: MetricsServer, browser_page: Any) -> None:
    """A state never speaks by colour alone; its group shows the worst one inside."""
    server.series = [
        series("db.a", "ok", "state", number=0, text="ok", description=""),
        series("db.b", "warning", "state", number=1, text="warning", description="slow"),
        series("db.c", "critical", "state", number=2, text="critical", description="no route"),
        series("db.d", "unknown", "state", number=3, text="dancing", description="who knows"),
        series("db.e", None, "state"),
    ]
    open_page(browser_page, server)
    words = [cell(browser_page, name, "value").inner_text() for name in ("db", *"abcde")]
    assert words == ["✖ critical", "✔ ok", "▲ warning", "✖ critical", "? unknown", NOTHING]
    notes = [cell(browser_page, name, "mean").inner_text() for name in "bcd"]
    assert notes == ["slow", "no route", "dancing: who knows"]
    colours = {
        cell(browser_page, name, "value").evaluate("(node) => getComputedStyle(node).color")
        for name in "abcde"
    }
    assert len(colours) == 5


def test_values_rates_and_curves_follow_the_polls(server: MetricsServer, browser_page: Any) -> None:
    """The next reading changes the value, gives both rates and draws the curve."""
    start = time.time()
    server.series = lambda: [
        series("shop.orders", int(5000 * (time.time() - start))),
        series("shop.idle", 7),
        series("shop.depth", time.time() - start, "gauge"),
    ]
    server.polls = threading.Semaphore(1)
    open_page(browser_page, server)
    first = cell(browser_page, "orders", "value").inner_text()
    assert cell(browser_page, "orders", "now").inner_text() == ""
    server.polls.release(1000)
    wait_for_text(cell(browser_page, "orders", "now"), r"(4,[5-9]|5,[0-4])\d\d")
    wait_for_text(cell(browser_page, "orders", "avg"), r"(4,[5-9]|5,[0-4])\d\d")
    assert cell(browser_page, "orders", "value").inner_text() != first
    assert cell(browser_page, "idle", "now").inner_text() == "0"
    assert cell(browser_page, "depth", "now").inner_text() == ""
    for name in ("orders", "depth"):
        path = cell(browser_page, name, "spark").locator("path.curve").get_attribute("d")
        assert path.startswith("M")


def test_counts_that_fell_began_anew(server: MetricsServer, browser_page: Any) -> None:
    """After a restart of the application no rate is negative."""
    counts = iter((1_000_000, 1000))
    server.series = lambda: [series("shop.orders", next(counts, 1000))]
    server.polls = threading.Semaphore(2)
    open_page(browser_page, server)
    wait_for_text(cell(browser_page, "shop.orders", "value"), "1,000")
    assert 0 < float(cell(browser_page, "shop.orders", "now").inner_text().replace(",", "")) <= 1000


def test_poll_touches_only_what_changed(server: MetricsServer, browser_page: Any) -> None:
    """A poll changes text in the rows that changed and leaves every element in place."""
    counts = {"shop.a": 1, "shop.b": 1}
    server.series = lambda: [series(name, value, "gauge") for name, value in counts.items()]
    open_page(browser_page, server)
    browser_page.evaluate(
        """() => {
            window.changes = [];
            const note = (record) => window.changes.push([
                record.target.closest(".row")?.querySelector(".text").textContent,
                [...record.addedNodes].some((node) => node.nodeType === 1)]);
            new MutationObserver((records) => records.forEach(note)).observe(
                document.getElementById("rows"), { childList: true, subtree: true });
        }"""
    )
    counts["shop.a"] = 2
    wait_for_text(cell(browser_page, "a", "value"), "2")
    assert browser_page.evaluate("window.changes") == [["a", False]]


def test_series_come_and_go(server: MetricsServer, browser_page: Any) -> None:
    """New series appear in their place, those that are no longer told disappear."""
    server.series = [series("shop.b"), series("shop.c")]
    open_page(browser_page, server)
    server.series = [series("shop.a"), series("shop.c"), series("other")]
    wait_for_names(browser_page, ["other", "shop", "a", "c"])


def test_filter_by_part_glob_and_label(server: MetricsServer, browser_page: Any) -> None:
    """The filter takes part of a name, a glob of the whole name, a label, or all of them."""
    server.series = [
        series("shop.orders", labels={"shop": "de", "way": "web"}),
        series("shop.orders", labels={"shop": "at", "way": "web"}),
        series("shop.render", labels={"shop": "de"}),
        series("api.orders"),
    ]
    open_page(browser_page, server)
    for text, rows in {
        "RENDER": ["shop.render shop=de"],
        "*.orders": ["api.orders", "shop.orders", "shop=at way=web", "shop=de way=web"],
        "orders": ["api.orders", "shop.orders", "shop=at way=web", "shop=de way=web"],
        "*.order": [],
        "s*r?nder": ["shop.render shop=de"],
        "shop=at": ["shop.orders shop=at way=web"],
        "shop=d*": ["shop", "orders shop=de way=web", "render shop=de"],
        "shop=d": [],
        "orders shop=de": ["shop.orders shop=de way=web"],
        "(": [],
    }.items():
        browser_page.fill("#filter", text)
        wait_for_names(browser_page, rows)
    wait_for_text(browser_page.locator("#empty"), r"No series matches “\(”\.")
    assert browser_page.locator("#shown").inner_text() == "0 of 4 series"


def test_filter_is_remembered_in_the_address(server: MetricsServer, browser_page: Any) -> None:
    """An address that is copied or loaded again shows the same rows."""
    server.series = [series("shop.orders"), series("shop.render"), series("a=b & #c")]
    open_page(browser_page, server)
    browser_page.fill("#filter", "a=b & #c")
    browser_page.wait_for_url("**#filter=*")
    browser_page.fill("#filter", "b & #c")
    browser_page.wait_for_url("**#filter=b*")
    browser_page.reload()
    wait_for_names(browser_page, ["a=b & #c"])
    assert browser_page.input_value("#filter") == "b & #c"


def test_groups_fold(server: MetricsServer, browser_page: Any) -> None:
    """A click folds a group, the buttons fold and unfold all of them."""
    server.series = [series(f"{a}.{b}") for a in ("api", "shop") for b in ("x", "y")]
    open_page(browser_page, server)
    browser_page.get_by_text("api", exact=True).click()
    wait_for_names(browser_page, ["api", "shop", "x", "y"])
    browser_page.click("#collapse")
    wait_for_names(browser_page, ["api", "shop"])
    browser_page.click("#expand")
    wait_for_names(browser_page, ["api", "x", "y", "shop", "x", "y"])


def test_many_label_sets_start_folded_with_their_sum(
    server: MetricsServer, browser_page: Any
) -> None:
    """An instrument with many label sets takes one row, with the sum if it counts."""
    server.series = [series("shop.orders", 10, labels={"i": str(i)}) for i in range(50)]
    server.series.append(series("shop.x"))
    open_page(browser_page, server)
    assert names(browser_page) == ["shop", "orders", "x"]
    assert cell(browser_page, "orders", "value").inner_text() == "500"


def test_keyboard_reaches_everything(server: MetricsServer, browser_page: Any) -> None:
    """``/`` goes to the filter, arrows walk and fold the tree, Enter shows a series."""
    server.series = [series("api.x"), series("api.y"), series("shop", help="The shop itself")]
    open_page(browser_page, server)
    press = browser_page.keyboard.press
    press("/")
    browser_page.keyboard.type("o/")
    assert browser_page.input_value("#filter") == "o/"
    press("Escape")
    wait_for_names(browser_page, ["api", "x", "y", "shop"])
    press("ArrowDown")
    press("ArrowLeft")
    wait_for_names(browser_page, ["api", "shop"])
    press("End")
    press("Enter")
    detail = browser_page.locator("#detail")
    detail.get_by_text("The shop itself").wait_for()
    active = browser_page.locator("#grid").get_attribute("aria-activedescendant")
    assert browser_page.locator(f"#{active} .text").inner_text() == "shop"
    press("Escape")
    detail.wait_for(state="hidden")


def test_sort_by_rate_puts_the_busiest_first(server: MetricsServer, browser_page: Any) -> None:
    """Sorted by rate the rows are one list of full names; the name brings the tree back."""
    start = time.time()
    server.series = lambda: [
        series(f"shop.{name}", int(pace * (time.time() - start)))
        for name, pace in (("a", 10), ("b", 1000), ("c", 100))
    ]
    open_page(browser_page, server)
    browser_page.get_by_role("button", name="/s now").click()
    wait_for_names(browser_page, ["shop.b", "shop.c", "shop.a"])
    assert browser_page.locator("#head .now").get_attribute("aria-sort") == "descending"
    browser_page.get_by_role("button", name="Name").click()
    wait_for_names(browser_page, ["shop", "a", "b", "c"])


def test_pause_stops_asking(server: MetricsServer, browser_page: Any) -> None:
    """A paused page asks no more until it is resumed, then at once."""
    server.series = [series("shop.orders", 1)]
    browser_page.clock.install()
    browser_page.goto(server.url)
    browser_page.clock.run_for(100)
    browser_page.locator(IN_SIGHT).first.wait_for()
    browser_page.click("#pause")
    asked = len(server.asked)
    browser_page.clock.run_for(60_000)
    assert len(server.asked) == asked
    assert browser_page.locator("#pause").get_attribute("aria-pressed") == "true"
    with browser_page.expect_response("**format=series**"):
        browser_page.click("#pause")


def test_failure_is_said_and_recovery_too(server: MetricsServer, browser_page: Any) -> None:
    """A page that gets no answer says since when, keeps its rows, and says when it is over."""
    server.series = [series("shop.orders", 1)]
    open_page(browser_page, server)
    notice = browser_page.locator("#notice")
    assert notice.is_hidden()
    server.failing = True
    wait_for_text(notice, r"▲ Not reachable since \d\d:\d\d:\d\d, trying again .*\(HTTP 503\)")
    assert names(browser_page) == ["shop.orders"]
    server.failing = False
    server.series = [series("shop.orders", 2)]
    wait_for_text(notice, r"✔ Reachable again since \d\d:\d\d:\d\d, after .* s")
    wait_for_text(cell(browser_page, "shop.orders", "value"), "2")


def test_five_thousand_series_stay_fluid(server: MetricsServer, browser_page: Any) -> None:
    """Of 5,000 series only the rows in sight exist; filter and scrolling reach all of them."""
    server.series = [
        series(f"shop.part{i // 10:03}.orders{i % 10}", i, labels={"i": str(i)})
        for i in range(5000)
    ]
    open_page(browser_page, server)
    assert browser_page.locator("#rows .row").count() < 100
    browser_page.fill("#filter", "i=4321")
    wait_for_names(browser_page, ["shop.part432.orders1 i=4321"])
    assert browser_page.locator("#shown").inner_text() == "1 of 5,000 series"
    browser_page.fill("#filter", "")
    cell(browser_page, "i=0", "value").wait_for()  # or there is nothing to scroll yet
    browser_page.locator("#grid").evaluate("(grid) => grid.scrollTo(0, grid.scrollHeight)")
    cell(browser_page, "i=4999", "value").wait_for()
    assert cell(browser_page, "i=4999", "value").inner_text() == "4,999"
    assert browser_page.locator("#rows .row").count() < 100


HOSTILE = [
    "<script>window.pwned = 1; alert(1)</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "quo\"te's &lt; \\",
    "new\nline",
    "\u202etfel ot thgir",
    "x" * 10_000,
    "d." * 5_000,
    "",
    "..",
    "__proto__",
    "constructor",
    "Zürich 日本語 🙂",
]


def test_hostile_texts_stay_text(server: MetricsServer, browser_page: Any) -> None:
    """Whatever a name, label, unit, help or state holds is shown as text and runs nowhere."""
    server.series = [
        series(text, i, unit=text, help=text, labels={"l": text, text or "empty": ""})
        for i, text in enumerate(HOSTILE)
    ]
    server.series += [
        series(f"state.{i}", text, "state", number=None, text=text, description=text)
        for i, text in enumerate(HOSTILE)
    ]
    server.more = {"host": HOSTILE[0], "version": HOSTILE[1]}
    open_page(browser_page, server)
    browser_page.click("#expand")
    count = len({text.rstrip(".") for text in HOSTILE})
    browser_page.locator(IN_SIGHT).nth(count).wait_for()
    for row in browser_page.locator(IN_SIGHT).all():
        row.click()
        row.click()
    shown = "\n".join(names(browser_page))
    for text in (*HOSTILE[:2], HOSTILE[-1], "new\\nline", "\\u202etfel", "(empty)"):
        assert text in shown
    assert browser_page.evaluate("window.pwned") is None
    assert browser_page.locator("img, #rows script, #detail script").count() == 0
    heights = browser_page.evaluate(
        "(sight) => [...document.querySelectorAll(sight)].map((row) => row.offsetHeight)", IN_SIGHT
    )
    assert len(set(heights)) == 1


def test_selected_series_is_shown_in_full(server: MetricsServer, browser_page: Any) -> None:
    """A click on a row shows the whole name, labels, help and every statistic."""
    long = "shop." + "very." * 20 + "long" + "e" * 900
    server.series = [timer(long, 12, labels={"shop": "de"}, help="Time to render " * 40)]
    open_page(browser_page, server)
    browser_page.locator(IN_SIGHT).first.click()
    detail = browser_page.locator("#detail")
    assert detail.locator("h2").inner_text() == long
    assert detail.locator(".labels").inner_text() == "shop=de"
    assert detail.locator(".help").inner_text().count("Time to render") == 40
    facts = dict(
        zip(detail.locator("dt").all_inner_texts(), detail.locator("dd").all_inner_texts())
    )
    assert facts["Kind"] == "timer"
    assert facts["Count"] == "12"
    assert facts["sum"] == "9.00 s"
    assert facts["min"] == "2.00 µs"


def test_labels_of_all_series_are_in_the_header_only(
    server: MetricsServer, browser_page: Any
) -> None:
    """What all series share is told once above, and in full where one series is shown."""
    server.series = [
        series("shop.cart", labels={"env": "demo"}),
        series("shop.orders", labels={"env": "demo", "shop": "de"}),
        series("shop.orders", labels={"env": "demo", "shop": "at"}),
    ]
    open_page(browser_page, server)
    assert names(browser_page) == ["shop", "cart", "orders", "shop=at", "shop=de"]
    assert "all series env=demo" in " ".join(browser_page.locator("#facts").inner_text().split())
    browser_page.get_by_text("shop=de", exact=True).click()
    assert browser_page.locator("#detail .labels").inner_text() == "env=demo shop=de"
    browser_page.fill("#filter", "env=demo shop=at")
    wait_for_names(browser_page, ["shop.orders shop=at"])
    server.series = [*server.series, series("new")]
    browser_page.fill("#filter", "")
    wait_for_names(
        browser_page,
        ["new", "shop", "cart env=demo", "orders", "shop=at env=demo", "shop=de env=demo"],
    )
    assert "all series" not in browser_page.locator("#facts").inner_text()


def test_row_begins_with_the_labels_that_differ(server: MetricsServer, browser_page: Any) -> None:
    """What differs within a name comes first, the longest last; then what fewer series have."""
    long = "shop.views." + "catalogue." * 5
    server.series = [
        series("http.answers", labels={"app": "web", "path": path, "status": status})
        for path in ("/", long)
        for status in ("2xx", "5xx")
    ]
    server.series += [series("http.lost", labels={"app": "web", "reason": "gone"}), series("x")]
    open_page(browser_page, server)
    assert names(browser_page) == [
        "http", "answers", "status=2xx path=/ app=web", f"status=2xx path={long} app=web",
        "status=5xx path=/ app=web", f"status=5xx path={long} app=web", "lost reason=gone app=web",
        "x",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [400, 700, 1200])
@pytest.mark.parametrize("order", ["name", "now"])
def test_rows_are_told_apart_in_narrow_windows(
    server: MetricsServer, browser_page: Any, width: int, order: str
) -> None:
    """Both a name and its first labels are in sight, however long the rest of them is."""
    labels = [
        {"env": "demo-in-a-far-region", "team": "payments", "way": way} for way in ("web", "app")
    ]
    server.series = [
        series(name, labels=each | ({} if name == "shop" else {"zone": 100 * "z"}))
        for name in ("shop", "shop.orders", "shop." + 9 * "very.long.")
        for each in labels
    ]
    browser_page.set_viewport_size({"width": width, "height": 900})
    open_page(browser_page, server, f"#sort={order}")
    in_sight = browser_page.evaluate(
        """(sight) => [...document.querySelectorAll(sight)].map((row) => {
            const all = ["name", "text", "labels"].map((part) => row.querySelector("." + part));
            const [end, , last] = all.map((part) => part.getBoundingClientRect().right);
            const [, text, labels] = all.map((part) => part.innerText);
            const [, wide, wider] = all.map((part) => part.offsetWidth);
            const whole = text.length > 11 || all[1].scrollWidth <= wide;
            return [last <= end, whole && wide >= text.slice(0, 5).length * 6,
                !labels || labels.startsWith("way=") && wider >= 50];
        })""",
        IN_SIGHT,
    )
    assert in_sight == [[True, True, True]] * len(in_sight)


def test_curve_fills_its_cell_from_the_second_reading(
    server: MetricsServer, browser_page: Any
) -> None:
    """Two readings already are a line from the left edge of the curve's cell to its right."""
    counts = iter((0, 7))

    def shown() -> list[dict[str, Any]]:
        count = next(counts, 7)
        return [series("depth", count, "gauge"), series("orders", count)]

    server.series = shown
    server.polls = threading.Semaphore(2)
    open_page(browser_page, server)
    wait_for_text(cell(browser_page, "depth", "value"), "7")
    for name in ("depth", "orders"):
        curve = cell(browser_page, name, "spark").locator("path.curve")
        across = curve.evaluate("(path) => [path.getBBox().x, path.getBBox().width]")
        assert across == [0, 100]


def test_handlers_are_listed_with_their_state(server: MetricsServer, browser_page: Any) -> None:
    """Handlers in the answer become a table; one whose last error is the newest is failing."""
    now = time.time()
    common = {"class": "graphite", "interval": 10, "dropped": 0, "queue": 3}
    server.series = [series("x")]
    server.more["handlers"] = [
        common | {"name": "carbon", "target": "127.0.0.1:2003", "sent": 182044, "errors": 1}
        | {"last_sent": now - 3, "last_error": now - 60},
        common | {"name": "backup", "target": "10.0.0.1:2003", "sent": 0, "errors": 2}
        | {"last_sent": None, "last_error": "refused", "last_error_time": now - 1},
    ]  # fmt: skip
    open_page(browser_page, server)
    summary = browser_page.locator("#handlers summary")
    assert summary.inner_text() == "2 handlers: ▲ 1 failing"
    summary.click()
    rows = [row.inner_text().split("\t") for row in browser_page.locator("#handlers tr").all()]
    assert rows[1][:6] == ["✔ well", "carbon", "graphite", "127.0.0.1:2003", "10.0 s", "182,044"]
    assert rows[2][0] == "▲ failing"
    assert rows[2][-1].endswith("refused")


def test_a_handler_tells_what_it_keeps_and_for_how_long(
    server: MetricsServer, browser_page: Any
) -> None:
    """What waits, also on disk, how long that can go on, and requests instead of samples."""
    server.series = [series("x")]
    common = {"sent": 0, "dropped": 0, "errors": 0, "interval": 10, "last_error": ""}
    server.more["handlers"] = [
        common | {"name": "carbon", "queue": 1234, "spooled": 1200, "time_left": 2400, "lag": 0.25},
        common | {"name": "page", "queue": 0, "served": 42, "interval": None},
    ]
    open_page(browser_page, server)
    browser_page.locator("#handlers summary").click()
    head, carbon, page = table(browser_page)
    assert dict(zip(head, carbon)) | {
        "Queue": "1,234", "Spooled": "1,200", "Time left": "40 min 0 s", "Lag": "250 ms"
    } == dict(zip(head, carbon))  # fmt: skip
    assert dict(zip(head, page))["Sent"] == "42 requests"
    assert dict(zip(head, page))["Spooled"] == NOTHING
    assert "Process" not in head
    assert not browser_page.locator("#handlers p").is_visible()


def test_processes_that_share_are_named(server: MetricsServer, browser_page: Any) -> None:
    """And which of them sends, whose handlers the page then shows."""
    server.series = [series("x")]
    server.more["sharing"] = {"processes": [11, 12, 13], "leader": 12, "told": time.time() - 2}
    server.more["handlers"] = [{"name": "carbon", "pid": 12, "sent": 5, "errors": 0}]
    open_page(browser_page, server)
    browser_page.locator("#handlers summary").click()
    text = browser_page.locator("#handlers p").inner_text()
    assert text.startswith("3 processes share these numbers: 11, 12, 13. Process 12 sends for all")
    assert "; its handlers as of " in text
    head, carbon = table(browser_page)
    assert dict(zip(head, carbon))["Process"] == "12"
    server.more = {"sharing": {"processes": [11, 12, 13], "leader": 0}}
    summary = browser_page.locator("#handlers summary", has_text="No handlers")
    summary.wait_for()
    assert browser_page.locator("#handlers p").inner_text().endswith("11, 12, 13.")
    assert table(browser_page) == []


def test_series_that_are_left_out_are_a_line_of_their_own(
    server: MetricsServer, browser_page: Any
) -> None:
    """Above the table, as long as there are any."""
    server.series = [series("x")]
    server.more["left_out"] = "5 series left out, as a page has at most 10 (max_series)"
    open_page(browser_page, server)
    assert browser_page.locator("#beyond").inner_text() == f"▲ {server.more['left_out']}"
    server.more["left_out"] = ""
    browser_page.locator("#beyond").wait_for(state="hidden")


def table(page: Any) -> list[list[str]]:
    """The handlers' table."""
    return [row.inner_text().split("\t") for row in page.locator("#handlers tr").all()]


def test_query_of_the_address_is_kept(server: MetricsServer, browser_page: Any) -> None:
    """The page asks with the query that it was opened with, and so do its links."""
    server.series = [series("shop.x")]
    open_page(browser_page, server, "?format=html&query=shop.*")
    assert {urllib.parse.unquote(path) for path in server.asked} == {
        "/metrics?format=series&query=shop.*"
    }
    links = [
        urllib.parse.unquote(link.evaluate("(a) => a.href"))
        for link in browser_page.locator("nav a").all()
    ]
    assert links == [
        f"{server.url}?format={kind}&query=shop.*" for kind in ("prometheus", "openmetrics", "json")
    ]


def test_without_javascript_the_text_formats_are_linked(
    server: MetricsServer, chromium: Any
) -> None:
    """Who has JavaScript switched off finds the same numbers as text."""
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    links = page.locator("noscript a")
    assert [link.get_attribute("href") for link in links.all()] == [
        "?format=prometheus",
        "?format=json",
    ]
    assert all(link.is_visible() for link in links.all())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast(server: MetricsServer, chromium: Any, scheme: str) -> None:
    """In both colour schemes every text colour has WCAG AA's contrast on every background."""
    page = chromium.new_page(color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)

    def luminance(name: str) -> float:
        text = page.evaluate(
            "(name) => getComputedStyle(document.documentElement).getPropertyValue(name)",
            f"--{name}",
        ).strip()[1:]
        text = text if len(text) == 6 else "".join(2 * digit for digit in text)
        parts = [int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    backs = {name: luminance(name) for name in ("back", "paper", "band", "hover")}
    assert (backs["paper"] > 0.5) == (scheme == "light")
    for text in ("text", "dim", "accent", "ok", "warning", "critical", "unknown"):
        for back, value in backs.items():
            low, high = sorted((luminance(text), value))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, back)


def test_page_is_one_file() -> None:
    """The page loads nothing from elsewhere and never makes markup or code from text."""
    text = PAGE.read_text(encoding="utf-8")
    for word in ("//cdn", "http:", "https:", "url(", "@import", "src=", "<link"):
        assert word not in text
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function"):
        assert word not in text
