"""Whole processes: an application, its ini file, and the real thing at the other end."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

import servers
from appmetrics.config import Configurator
from appmetrics.testing import ManualClock, World
from appmetrics.testing.rounds import HOSTILE
from appmetrics.wsgi import MetricsApp
from servers import HOST, Carbon, Prometheus, SyslogNg, get, wait_for

ROOT = Path(__file__).parent.parent

#: An application that does what it is told on stdin, and whose last line of code is
#: the end of stdin: what then is still sent is appmetrics' doing.
APP = """
import json, logging, sys, threading, time
import appmetrics
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
meter = appmetrics.get_meter("shop")
scope = dict(globals())
for line in sys.stdin:
    exec(json.loads(line), scope)
    print(json.dumps(scope.pop("answer", None)), flush=True)
"""

#: Four threads that count until told to stop, each knowing what it has counted.
TRAFFIC = """
orders = meter.counter("orders", labels=("country",))
render = meter.timer("render")
made = [0, 0, 0, 0]
over = threading.Event()

def work(number):
    count = orders.labels(("de", "fr")[number % 2])
    while not over.is_set():
        for _ in range(50):
            count.inc()
            made[number] += 1
            with render.time():
                pass
        time.sleep(0.001)

threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
"""

#: Stops the threads; the answer is what they have made, by country.
STOP = """
over.set()
for thread in threads:
    thread.join()
answer = {"de": made[0] + made[2], "fr": made[1] + made[3]}
"""


class App:
    """A process that runs `APP` with a configuration; ends with the ``with`` block."""

    def __init__(self, folder: Path, ini: str) -> None:
        self.ini = folder / "metrics.ini"
        self.ini.write_text(ini)
        self._log = folder / "app.log"
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", APP],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def do(self, code: str) -> Any:
        """Run code in the process; returns what it leaves in ``answer``."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.log
        return json.loads(answer)

    def configure(self) -> None:
        """Put the ini file in force, and start."""
        self.do(f"appmetrics.file_config({str(self.ini)!r}); appmetrics.start()")

    def end(self) -> str:
        """Let it come to its end by itself; returns what it has logged."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(servers.PATIENCE) == 0, self.log
        assert "Traceback" not in self.log, self.log
        return self.log

    def has_read(self, versions: int) -> bool:
        """Whether it has looked at so many new versions of its file."""
        return len(re.findall("was read again|can't be used", self.log)) == versions

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    def __enter__(self) -> App:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            # What was written and not read yet is of no interest.
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def carbon_ini(port: int, metrics: str = "", handler: str = "") -> str:
    """A configuration that ships to a carbon every second, with further lines."""
    return f"""
[metrics]
interval = 1
handlers = carbon
{metrics}

[metrics.handler.carbon]
class = graphite
port = {port}
prefix = test
{handler}
"""


# -- carbon --------------------------------------------------------------------


def nearest_rank(values: list[float], percent: float) -> float:
    """The exact percentile by its definition."""
    return sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]


def test_every_interval_is_exact_in_carbon(carbon: Carbon, tmp_path: Path) -> None:
    """Whisper's files have each interval's own count, rate, mean, extremes and percentiles."""
    world = World(ManualClock(start := int(time.time()) - 60))
    ini = tmp_path / "metrics.ini"
    statistics = "count, rate, total, sum, mean, min, p50, p95, p99, max"
    ini.write_text(carbon_ini(carbon.port, "labels = env=test", f"statistics = {statistics}"))
    Configurator(world.hierarchy, world.reporter).file_config(ini)
    meter = world.meter("shop")
    orders = meter.counter("orders", labels=("country",))
    render = meter.timer("render")
    queue = meter.gauge("queue")
    database = meter.state("database")

    dice = random.Random(2)
    expected: dict[str, dict[int, float]] = {}

    def expect(path: str, second: int, value: float) -> None:
        expected.setdefault(path, {})[second] = value

    total = 0
    for second in range(start + 1, start + 21):
        # Nothing at all in every fifth interval.
        number = dice.randrange(1, 200) if second % 5 else 0
        seconds = [dice.lognormvariate(-4, 2) for _ in range(number)]
        orders.labels("de").inc(number // 3)
        for value in seconds:
            render.observe(value)
        queue.set(number)
        database.set("critical" if seconds else "ok")
        world.advance(1)

        total += number // 3
        expect("orders.de.count", second, number // 3)
        expect("orders.de.rate", second, number // 3)
        expect("orders.de.total", second, total)
        expect("queue", second, number)
        expect("database", second, 2 if seconds else 0)
        for path in ("render.count", "render.rate"):
            expect(path, second, number)
        expect("render.sum", second, sum(seconds))
        if seconds:
            expect("render.mean", second, sum(seconds) / number)
            for word, percent in (("min", 0), ("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
                expect(f"render.{word}", second, nearest_rank(seconds, percent))

    def differing() -> dict[str, object]:
        found = {path: carbon.points(f"test.shop.{path}") for path in expected}
        estimated = {f"render.{word}" for word in ("min", "p50", "p95", "p99", "max")}
        return {
            path: found[path]
            for path, points in expected.items()
            if found[path] != pytest.approx(points, rel=0.04 if path in estimated else 1e-9)
        }

    try:
        wait_for(lambda: not differing(), f"the same in whisper as in {expected}")
    finally:
        world.stop()
    # The last round, at the end of the process, is that of the interval begun.
    wait_for(lambda: carbon.points("test.shop.render.count").get(start + 21) == 0, "the last round")
    assert carbon.refused() == []


def kept_of(carbon: Carbon) -> dict[str, float]:
    """What carbon has of `TRAFFIC`, all intervals together."""
    paths = {"de": "orders.de", "fr": "orders.fr", "renders": "render"}
    return {
        what: sum(carbon.points(f"test.shop.{path}.count").values()) for what, path in paths.items()
    }


def test_nothing_is_lost_to_carbon(carbon: Carbon, tmp_path: Path) -> None:
    """Counts of several threads over several intervals and an uneven end arrive to the last one."""
    with App(tmp_path, carbon_ini(carbon.port)) as app:
        app.do(TRAFFIC)  # some of it before the configuration
        app.configure()
        wait_for(lambda: len(carbon.points("test.shop.orders.de.count")) >= 4, "four intervals")
        made = app.do(STOP)
        app.end()

    assert made["de"] > 1000
    wait_for(lambda: kept_of(carbon) == made | {"renders": sum(made.values())}, f"all of {made}")

    def totals() -> dict[str, float]:
        paths = {country: f"test.shop.orders.{country}.total" for country in made}
        points = {country: carbon.points(path).values() for country, path in paths.items()}
        return {country: max(found, default=0) for country, found in points.items()}

    wait_for(lambda: totals() == made, f"the totals of {made}")
    assert carbon.refused() == []


@pytest.mark.slow
def test_reloading_under_traffic_loses_no_count(carbon: Carbon, tmp_path: Path) -> None:
    """While the file is rewritten over and over, also wrongly, every count arrives once."""
    versions = [
        carbon_ini(carbon.port, "watch = yes", "statistics = count"),  # a changed handler
        carbon_ini(
            carbon.port, "watch = yes\nlabels = a=b", "statistics = count"
        ),  # changed labels
        carbon_ini(carbon.port, "watch = yes\nintervall = 1"),  # wrong
        carbon_ini(carbon.port, "watch = yes").replace("= carbon\n", "= carbon, file\n")
        + f"[metrics.handler.file]\nclass = file\npath = {tmp_path / 'lines.json'}\n",
    ]
    with App(tmp_path, carbon_ini(carbon.port, "watch = yes")) as app:
        app.do(TRAFFIC)
        app.configure()
        wait_for(lambda: carbon.points("test.shop.orders.de.count"), "the first interval")
        for number, text in enumerate(versions):
            # At once: one that is written while it is looked at may count as two.
            app.ini.with_suffix(".new").write_text(text)
            app.ini.with_suffix(".new").replace(app.ini)
            wait_for(partial(app.has_read, number + 1), f"version {number}")
        wait_for((tmp_path / "lines.json").exists, "the new handler")
        made = app.do(STOP)
        log = app.end()

    assert "intervall" in log
    assert "interval" in log
    wait_for(lambda: kept_of(carbon) == made | {"renders": sum(made.values())}, f"all of {made}")


# -- a carbon that is not well ---------------------------------------------------


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a server that accepts connections and never reads."""
    over = threading.Event()
    with socket.create_server((HOST, 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.settimeout(0.05)
        kept = []

        def accept() -> None:
            while not over.is_set():
                try:
                    kept.append(listener.accept()[0])
                except TimeoutError:
                    pass

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        thread.join()
        for connection in kept:
            connection.close()


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a server whose backlog is full: connecting to it hangs."""
    with socket.create_server((HOST, 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex((HOST, port))
        yield port
        for client in waiting:
            client.close()


@pytest.fixture
def absent() -> int:
    """A port on which nobody listens."""
    return servers.free_port()


@pytest.mark.parametrize("sick", ["deaf", "full", "absent"])
def test_the_last_flush_keeps_its_deadline(
    sick: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """However carbon is ill, the process ends when flush_timeout is over, and not in failure."""
    port = request.getfixturevalue(sick)
    # An attempt may take ten minutes, and the last flush half a second.
    ini = carbon_ini(port, "flush_timeout = 500ms", "timeout = 10m")
    with App(tmp_path, ini) as app:
        app.configure()
        app.do(
            "things = meter.counter('things', labels=('number',))\n"
            "for number in range(900): things.labels('x' * 150 + str(number)).inc()\n"
            "for number in range(20): meter.timer(f'timer{number}').observe(1)"
        )
        app.end()


# -- Prometheus ----------------------------------------------------------------

VALUES = """
orders = meter.counter("orders", "Orders placed", labels=("country",))
orders.labels("de").inc(3)
orders.labels('a "b"\\\\c\\nd').inc(2)
meter.counter("revenue", "Worth of the orders", unit="euros").inc(10.25)
meter.gauge("queue.depth", "Orders that wait").set(-7.5)
meter.gauge("stock", "Pieces in stock", callback=lambda: 12)
for size in (10, 200, 3000):
    meter.histogram("page.size", "Size of the pages", unit="bytes").observe(size)
for seconds in (0.125, 0.25, 0.5):
    meter.timer("render", "Time to render").observe(seconds)
meter.state("database", "How the database is").set("critical", "no route to host")
meter.counter("cart.line_items", "The first of two names").inc(1)
meter.counter("cart_line.items", "The second of two names").inc(2)
"""

#: What every reader must find; by name and labels as Prometheus has them.
EXPECTED = {
    ("shop_orders_total", ("country", "de")): 3,
    ("shop_orders_total", ("country", 'a "b"\\c\nd')): 2,
    ("shop_revenue_euros_total",): 10.25,
    ("shop_queue_depth",): -7.5,
    ("shop_stock",): 12,
    ("shop_page_size_bytes_count",): 3,
    ("shop_page_size_bytes_sum",): 3210,
    ("shop_page_size_bytes_bucket", ("le", "256")): 2,
    ("shop_render_seconds_count",): 3,
    ("shop_render_seconds_sum",): 0.875,
    ("shop_render_seconds_bucket", ("le", "0.25")): 2,
    ("shop_render_seconds_bucket", ("le", "+Inf")): 3,
    ("shop_database", ("shop_database", "critical")): 1,
    ("shop_database", ("shop_database", "ok")): 0,
    ("shop_cart_line_items_total",): 1,
}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """host:port of an application's page that shows `VALUES`."""
    port = servers.free_port()
    ini = f"""
[metrics]
handlers = page
[metrics.handler.page]
class = http
listen = {HOST}:{port}
"""
    with App(tmp_path, ini) as app:
        app.do(VALUES)
        app.configure()
        wait_for(lambda: servers.listening(port), "the page")
        yield f"{HOST}:{port}"
        app.end()


def read(families: Any) -> dict[tuple[Any, ...], float]:
    """All samples of prometheus_client's families, as `EXPECTED` has them."""
    found: dict[tuple[Any, ...], float] = {}
    for family in families:
        for sample in family.samples:
            labels = {k: _number(v) if k == "le" else v for k, v in sample.labels.items()}
            key = (sample.name, *sorted(labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def _number(bound: str) -> str:
    """A bound as Prometheus' own texts have it, for comparison."""
    return bound if bound == "+Inf" else f"{float(bound):g}"


def test_prometheus_reads_the_right_values(
    start_prometheus: Callable[..., Prometheus], page: str
) -> None:
    """A real Prometheus scrapes text and OpenMetrics without an error and returns the values."""
    targets = {"static_configs": [{"targets": [page]}]}
    prometheus = start_prometheus(
        scrape_configs=[
            {"job_name": "openmetrics", **targets},
            {"job_name": "text", "params": {"format": ["prometheus"]}, **targets},
        ]
    )
    prometheus.wait_until_scraped()

    def right(job: str) -> bool:
        assert prometheus.query(f'up{{job="{job}"}}')[0][1] == 1
        found = {}
        for labels, value in prometheus.query(f'{{job="{job}", __name__=~"shop_.*"}}'):
            name = labels.pop("__name__")
            for added in ("job", "instance"):
                del labels[added]
            if "le" in labels:
                labels["le"] = _number(labels["le"])
            found[(name, *sorted(labels.items()))] = value
        assert {key: found.get(key) for key in EXPECTED} == EXPECTED
        median = prometheus.query(
            f'histogram_quantile(0.5, shop_render_seconds_bucket{{job="{job}"}})'
        )
        assert [0.125 < value <= 0.25 for _, value in median] == [True]
        return not any(target["lastError"] for target in prometheus.targets())

    for job in ("openmetrics", "text"):
        wait_for(partial(right, job), job)


def test_promtool_has_no_complaint(promtool: Callable[[str], list[str]], page: str) -> None:
    """``promtool check metrics`` finds nothing to say against the page."""
    assert promtool(get(f"http://{page}/metrics").decode()) == []


def test_prometheus_clients_parsers_read_the_same(page: str) -> None:
    """Both of prometheus_client's parsers find the values, and the same in both formats."""
    text = read(parse_text(get(f"http://{page}/metrics?format=prometheus").decode()))
    metrics = read(parse_openmetrics(get(f"http://{page}/metrics?format=openmetrics").decode()))
    assert {key: text.get(key) for key in EXPECTED} == EXPECTED
    assert {key: metrics.get(key) for key in EXPECTED} == EXPECTED
    ours = {key for key in text if key[0].startswith("shop_")}
    assert ours == {key for key in metrics if key[0].startswith("shop_")}


def test_a_name_that_collides_is_left_out_and_counted(page: str) -> None:
    """Of two names that become one for Prometheus the first stays; JSON has both."""
    text = read(parse_text(get(f"http://{page}/metrics?format=prometheus").decode()))
    assert text[("shop_cart_line_items_total",)] == 1
    series = json.loads(get(f"http://{page}/metrics?format=series"))["series"]
    both = {s["name"]: s["value"] for s in series if s["name"].startswith("shop.cart")}
    assert both == {"shop.cart.line_items": 1, "shop.cart_line.items": 2}


# -- hostile names ---------------------------------------------------------------


def test_hostile_names_through_everything(
    carbon: Carbon,
    syslog_ng: SyslogNg,
    promtool: Callable[[str], list[str]],
    chromium: Any,
    tmp_path: Path,
) -> None:
    """Whatever names and labels hold, no target gets a broken line or a series that isn't there."""
    port = servers.free_port()
    out = tmp_path / "out"
    out.mkdir()
    handlers = {
        "carbon": f"class = graphite\nport = {carbon.port}\nprefix = dotted",
        "tagged": f"class = graphite\nport = {carbon.port}\nprefix = tagged\ntags = yes",
        "datagrams": f"class = graphite\nport = {carbon.port}\nprefix = udp\nprotocol = udp",
        "logstash": f"class = json\nto = tcp\narguments = host={HOST}, port={syslog_ng.port}",
        "applog": f"class = json\nto = file\narguments = filename={out / 'log.json'}",
        "lines": f"class = file\npath = {out / 'lines.json'}",
        "textfile": f"class = file\npath = {out / 'text.prom'}\nformatter = prometheus",
        "openmetrics": f"class = file\npath = {out / 'open.prom'}\nformatter = openmetrics",
        "people": "class = stream",
        "memory": "class = memory",
        "null": "class = null",
        "page": f"class = http\nlisten = {HOST}:{port}",
    }
    ini = f"[metrics]\ninterval = 1\nhandlers = {', '.join(handlers)}\n"
    ini += "".join(f"[metrics.handler.{name}]\n{text}\n" for name, text in handlers.items())
    with App(tmp_path, ini) as app:
        app.do(
            """
from appmetrics.testing.rounds import HOSTILE
from appmetrics.wsgi import MetricsApp
hostile = [text for text in HOSTILE if text]
counter = meter.counter("hostile", labels=("text",))
for text in HOSTILE:
    counter.labels(text).inc()
for text in hostile:
    for name in (text, "shop." + text):
        try:
            appmetrics.get_meter().counter(name, text, labels=("label",)).labels(text).inc()
        except appmetrics.InstrumentError:
            pass  # refused at the door
everything = {text: text for text in hostile}
meter.event("hostile", "".join(hostile), attributes=everything, tags=hostile)
"""
        )
        app.configure()
        wait_for(lambda: servers.listening(port), "the page")
        url = f"http://{HOST}:{port}/metrics"
        bodies = {
            format: get(f"{url}?format={format}").decode()
            for format in ("prometheus", "openmetrics", "series")
        }
        browser = chromium.new_page()
        browser.set_default_timeout(servers.PATIENCE * 1000)
        complaints: list[str] = []
        browser.on("pageerror", lambda error: complaints.append(str(error)))
        browser.on("dialog", lambda dialog: complaints.append(dialog.message))
        browser.goto(url)
        browser.locator("body", has_text="hostile").wait_for()
        assert complaints == []
        assert browser.evaluate("document.querySelectorAll('script').length") == 1
        app.do("meter.counter('end').inc()")
        wait_for(lambda: carbon.points("dotted.shop.end.total"), "the end in carbon")
        log = app.end()

    # JSON: each line an object, each with a name that was given.
    given = {*HOSTILE, *(f"shop.{text}" for text in HOSTILE), "shop.hostile", "shop.end"}
    # Half a surrogate pair is no character; the usual sign stands for it.
    given |= {re.sub("[\ud800-\udfff]", "\ufffd", text) for text in given}

    def known(name: str) -> bool:
        return name in given or name.startswith("appmetrics.")

    for file in ("log.json", "lines.json"):
        for line in (out / file).read_text().splitlines():
            assert known(json.loads(line)["metric"]), line
    wait_for(lambda: any(d["metric"] == "shop.end" for d in syslog_ng.documents()), "syslog-ng")
    assert all(known(document["metric"]) for document in syslog_ng.documents())
    assert syslog_ng.refused() == []
    assert all(known(series["name"]) for series in json.loads(bodies["series"])["series"])

    # Prometheus' formats: parsed by others, and as many series of the counter as labels.
    for text in (bodies["prometheus"], (out / "text.prom").read_bytes().decode()):
        samples = read(parse_text(text))
        assert sum(key[0] == "shop_hostile_total" for key in samples) == len(set(HOSTILE))
        assert not any(key[0].startswith("evil") for key in samples)
        # It doesn't like such names, but reads them.
        assert not [complaint for complaint in promtool(text) if complaint.startswith("error")]
    for text in (bodies["openmetrics"], (out / "open.prom").read_bytes().decode()):
        samples = read(parse_openmetrics(text))
        assert sum(key[0] == "shop_hostile_total" for key in samples) == len(set(HOSTILE))
        assert text.endswith("# EOF\n")

    # carbon: nothing refused, nothing outside its folder, no path that isn't ours.
    assert carbon.refused() == []
    assert {path.partition(".")[0] for path in carbon.paths()} <= {"dotted", "udp", "tagged"}
    assert not [
        path for path in carbon.folder.rglob("passwd*") if carbon.whisper not in path.parents
    ]

    # For people: one line each, with a time in front.
    lines = [line for line in log.splitlines() if not line.startswith(("INFO", "WARNING"))]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in lines)
    assert lines
    assert "\x1b" not in log


def test_names_of_very_many_parts_are_harmless() -> None:
    """Thousands of dots in a name give a meter, hundreds JSON that the standard parser reads."""
    world = World()
    assert world.meter("deep." * 5000).name == "deep." * 5000
    world.meter("d." * 200).counter("orders").inc()
    world.meter().counter("deeper" + "." * 494).inc()
    environ = {"REQUEST_METHOD": "GET", "QUERY_STRING": "format=json"}
    answer = MetricsApp(reporter=world.reporter)(environ, lambda *args: None)  # type: ignore
    assert "deeper" in str(json.loads(b"".join(answer)))
