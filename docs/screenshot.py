"""Make ``metrics-page.png``: the page at /metrics with 5,000 live series, in Chromium.

Run ``python docs/screenshot.py [SECONDS]`` from the repository. Needs the extra
``servers`` and Debian's chromium.
"""

from __future__ import annotations

import random
import shutil
import sys
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

import appmetrics
from appmetrics.handlers.http import HttpHandler

TARGET = Path(__file__).with_name("metrics-page.png")
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync""".split()


def traffic(stop: threading.Event) -> None:
    """Record what a shop with many warehouses would, about 50 times a second."""
    shop, stock = appmetrics.get_meter("shop"), appmetrics.get_meter("stock")
    orders = shop.counter("orders", "Orders placed", labels=("country",))
    render = shop.timer("render", "Time to render a page", labels=("view",))
    size = shop.histogram("page.size", "Bytes sent", unit="bytes")
    carts = shop.gauge("carts", "Carts that are open")
    errors = shop.counter("errors", "Requests that failed")
    shop.state("database", "Whether the database answers").set("ok")
    shop.state("payment", "Whether payments go through").set("warning", "2 of 3 providers")
    shop.state("search", "Whether the search answers").set("critical", "no route to host")
    shelves = []
    for house in ("berlin", "lyon", "lodz", "porto", "turin"):
        taken = stock.counter(f"{house}.taken", "Items taken from a shelf", labels=("shelf",))
        level = stock.gauge(f"{house}.level", "Items on a shelf", labels=("shelf",))
        for number in range(500):
            level.labels(number).set(random.randrange(1000))
            shelves.append(taken.labels(number))
    while not stop.wait(0.02):
        wave = 1 + 0.8 * random.random() * abs(time.time() % 20 - 10) / 10
        for country, share in (("de", 0.5), ("fr", 0.3), ("pl", 0.2)):
            if random.random() < share * wave / 2:
                orders.labels(country).inc()
        for view in ("front", "search", "cart"):
            if random.random() < 0.6 * wave:
                render.labels(view).observe(random.lognormvariate(-4, 0.6))
                size.observe(random.lognormvariate(10, 0.5))
        carts.set(40 + 30 * wave + random.randrange(4))
        if random.random() < 0.02:
            errors.inc()
        for shelf in random.sample(shelves, 60):
            shelf.inc(random.randrange(1, 4))


def main(seconds: float = 60) -> None:
    """Let the page watch the traffic for a while, and take its picture."""
    page = HttpHandler(name="page", listen=("127.0.0.1", 0))
    appmetrics.basic_config(handlers=[page])
    appmetrics.flush()
    stop = threading.Event()
    threading.Thread(target=traffic, args=(stop,), daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), headless=True, args=FLAGS
        )
        tab = browser.new_page(viewport={"width": 1180, "height": 720})
        tab.goto(page.target())
        tab.wait_for_timeout(seconds * 1000)
        tab.screenshot(path=TARGET)
        print(f"{TARGET}: {tab.locator('header').inner_text()!r}")
        browser.close()
    stop.set()


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
