"""A real Prometheus reads both formats of an exposition, and computes with them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import servers
from appmetrics.buckets import Distribution
from appmetrics.exposition.families import BOUNDS
from appmetrics.exposition.prometheus import Exposition
from appmetrics.sample import (
    COUNTER,
    GAUGE,
    HISTOGRAM,
    STATE,
    STATES,
    TIMER,
    Series,
    StateValue,
    sorted_labels,
)
from servers import wait_for

RENDERED = Distribution.of([0.003 * n for n in range(1, 200)] + [100.0])
CRITICAL = StateValue("critical", "no route", 2, "critical", None)
WORST = ['a"b', "a\nb 1\nc", "\\", "{}", "#", "\x00\r", "\ud800", "é\u2028", " ", "", "x" * 10_000]

#: All readings: (series, value).
PAIRS: list[tuple[Series, Any]] = [
    (Series("shop.orders", (("shop", "de"),), COUNTER, help='"Orders"\n\\ placed'), 12),
    (Series("shop.orders", (("shop", "fr"),), COUNTER), 30),
    (Series("shop.load", (), GAUGE, "ratio"), 0.1),
    (Series("shop.debt", (), GAUGE), -(10**20)),
    (Series("shop.render", (), TIMER, "seconds"), RENDERED),
    (Series("shop.database", (), STATE, states=STATES), CRITICAL),
    *((Series("odd", (("text", text),), COUNTER), n) for n, text in enumerate(WORST)),
    *(
        (
            Series(f"worst.{text}", sorted_labels({text: text, "le": text}), kind, text, 0, text),
            value,
        )
        for text in WORST
        for kind, value in ((GAUGE, 1), (HISTOGRAM, RENDERED), (STATE, CRITICAL))
    ),
]


def document(*, openmetrics: bool) -> tuple[str, bytes]:
    """(content type, body) of all readings."""
    exposition = Exposition(openmetrics=openmetrics)
    for series, _ in PAIRS:
        exposition.add(series)
    body = "".join(exposition.render([value for _, value in PAIRS]))
    return exposition.content_type, body.encode()


#: What the server answers, by path.
DOCUMENTS = {"/text": document(openmetrics=False), "/openmetrics": document(openmetrics=True)}


class _Request(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content_type, body = DOCUMENTS[self.path]
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Be quiet."""


@pytest.fixture
def website() -> Iterator[str]:
    """host:port of a server with one path for each format."""
    with ThreadingHTTPServer((servers.HOST, 0), _Request) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"{servers.HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def quantile(percent: float) -> float:
    """histogram_quantile of `RENDERED`, by the rule in Prometheus' documentation."""
    bounds = (0.0, *BOUNDS["seconds"])
    counts = [0, *RENDERED.below(bounds[1:])]
    rank = percent * RENDERED.count
    upper = next(n for n, count in enumerate(counts) if count >= rank)
    share = (rank - counts[upper - 1]) / (counts[upper] - counts[upper - 1])
    return bounds[upper - 1] + (bounds[upper] - bounds[upper - 1]) * share


def test_prometheus_reads_both_formats(
    start_prometheus: Callable[..., servers.Prometheus], website: str
) -> None:
    """Both formats are scraped without an error and whole, and give the right values."""
    jobs = [
        {
            "job_name": name,
            "metrics_path": f"/{name}",
            "static_configs": [{"targets": [website]}],
        }
        for name in ("text", "openmetrics")
    ]
    prometheus = start_prometheus(scrape_configs=jobs)
    prometheus.wait_until_scraped()

    def values(expression: str) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for labels, value in prometheus.query(expression):
            found.setdefault(labels["job"], []).append(value)
        return {job: sorted(numbers) for job, numbers in found.items()}

    def both(*numbers: float) -> dict[str, list[float]]:
        return {"text": list(numbers), "openmetrics": list(numbers)}

    _, body = DOCUMENTS["/text"]
    lines = [line for line in body.split(b"\n") if line and not line.startswith(b"#")]

    def right() -> bool:
        assert values("up") == both(1)
        assert values("scrape_samples_scraped") == both(len(lines))
        assert values("scrape_samples_post_metric_relabeling") == both(len(lines))
        assert values('shop_orders_total{shop="de"}') == both(12)
        assert values("shop_orders_total") == both(12, 30)
        assert values("shop_load_ratio") == both(0.1)
        assert values("shop_debt") == both(-1e20)
        assert values("shop_render_seconds_count") == both(200)
        assert values("shop_render_seconds_sum") == both(RENDERED.sum)
        assert values('shop_render_seconds_bucket{le="+Inf"}') == both(200)
        assert values('shop_render_seconds_bucket{le="0.25"}') == both(*RENDERED.below([0.25]))
        assert values("shop_database == 1") == both(1)
        assert values('shop_database{shop_database="critical"}') == both(1)
        assert values("count(odd_total) by (job)") == both(len(WORST))
        assert values('odd_total{text=~"(?s)a.b 1.c"}') == both(1)
        for percent in (0.5, 0.9, 0.99):
            found = values(f"histogram_quantile({percent}, shop_render_seconds_bucket)")
            assert found == {
                job: [pytest.approx(quantile(percent))] for job in ("text", "openmetrics")
            }
            assert math.isfinite(quantile(percent))
        return True

    # A scrape that was too slow, on a busy machine, takes all away for a second.
    wait_for(right, "the values of both scrapes")
