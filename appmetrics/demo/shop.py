"""A small web shop, instrumented as any WSGI application would be.

It says what is measured and nothing of where the numbers go: that is shop.ini's.
Its database is made up, with slow queries and an outage every minute, so that
there is something to see.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import appmetrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PRICES = {"tea": 4.50, "coffee": 7.90, "cocoa": 3.20, "mug": 12.00}
COUNTRIES = ("de", "fr", "pl")
PAGES = {"/": "front", "/search": "search", "/order": "order"}
FULL = 200

meter = appmetrics.get_meter("shop")

requests = meter.timer("requests", "Time to answer a request", labels=("page", "status"))
answering = meter.gauge("answering", "Requests that are being answered")
sizes = meter.histogram("page.size", "Size of the pages sent", unit="bytes")
orders = meter.counter("orders", "Orders placed", labels=("country",))
revenue = meter.counter("revenue", "Worth of the orders placed", unit="euros")
database = meter.state("database", "How the database is doing", ttl=60)
queries = appmetrics.get_meter("shop.db").timer(
    "query", "Time that the database takes", labels=("table", "outcome"), level=appmetrics.DEBUG
)

_lock = threading.Lock()
_pieces = dict.fromkeys(PRICES, FULL)

meter.gauge("stock", "Pieces in stock", labels=("product",), callback=lambda: dict(_pieces))


class DatabaseDown(Exception):
    """Raised by a query while the database is away."""


class NotSold(Exception):
    """Raised for what is not in the catalogue, and for where we don't deliver."""


def query(table: str) -> None:
    """Ask the database: a few milliseconds; once a minute it is away for some seconds."""
    with queries.time().labels(table=table):
        if time.time() % 60 > 56:
            database.set("critical", "no route to host")
            raise DatabaseDown(table)
        seconds = random.expovariate(1 / 0.004)
        time.sleep(min(seconds, 0.1))
    if seconds > 0.015:
        database.set("warning", f"a query took {seconds * 1000:.0f} ms")
    else:
        database.set("ok")


@meter.timed("search", "Time to search the catalogue")
@meter.count_exceptions("search.errors", help="Searches that failed")
def search(words: str) -> list[str]:
    """The products whose names hold the words."""
    query("products")
    return [product for product in PRICES if words in product]


def order(product: str, country: str) -> float:
    """Sell one piece; returns its price."""
    # Also for the metrics: a label's value is one of few, never what a visitor typed.
    if product not in PRICES or country not in COUNTRIES:
        raise NotSold(f"{product} to {country}")
    query("orders")
    with _lock:
        _pieces[product] -= 1
        empty = not _pieces[product]
        if empty:
            _pieces[product] = FULL
    if empty:
        meter.event("delivery", f"{FULL} pieces of {product}", attributes={"product": product})
    orders.labels(country).inc()
    revenue.inc(PRICES[product])
    return PRICES[product]


def answer(page: str, form: dict[str, str]) -> str:
    """The text of a page."""
    if page == "front":
        return "Welcome. We sell " + ", ".join(search("")) + "."
    if page == "search":
        return "Found: " + ", ".join(search(form.get("words", "")))
    if page == "order":
        price = order(form.get("product", ""), form.get("country", ""))
        return f"Thank you. That makes {price:.2f} euros."
    raise NotSold("that")


@answering.track()
def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The shop as a WSGI application."""
    with requests.time() as span:
        path = environ.get("PATH_INFO", "/")
        page = PAGES.get(path, "unknown")
        status = "200 OK"
        try:
            text = answer(page, dict(parse_qsl(environ.get("QUERY_STRING", ""))))
        except NotSold as error:
            status, text = "404 Not Found", f"We don't sell {error}."
        except DatabaseDown:
            status, text = "503 Service Unavailable", "Please come back in a minute."
        span.labels(page=page, status=status[:3])
        body = f"<!doctype html><title>Shop</title><h1>Shop</h1><p>{escape(text)}\n".encode()
        sizes.observe(len(body))
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(body))),
        ]
        start_response(status, headers)
        return [body]
