"""Visitors: they make the shop's traffic, over loopback and at a bounded rate."""

from __future__ import annotations

import random
import threading
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from urllib.parse import urlencode

from .shop import COUNTRIES, PRICES

#: Visitors at the same time, and how many pages each of them asks for in a second.
VISITORS = 3
PAGES_PER_SECOND = 7.0
#: Seconds for an answer: a visitor that gave up would not know what the shop still does.
ANSWER_SECONDS = 30.0


class Traffic:
    """Visits the shop at an address from entering until leaving the ``with`` block."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._visit, name=f"visitor-{number}", daemon=True)
            for number in range(VISITORS)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """When it returns, every request that was made has been answered."""
        self._over.set()
        for thread in self._threads:
            thread.join(2 * ANSWER_SECONDS)

    def _visit(self) -> None:
        connection = HTTPConnection(*self._address, timeout=ANSWER_SECONDS)
        while not self._over.wait(random.uniform(0, 2 / PAGES_PER_SECOND)):
            try:
                connection.request("GET", _somewhere())
                connection.getresponse().read()
            except (OSError, HTTPException):
                connection.close()
        connection.close()


def _somewhere() -> str:
    """Where a visitor goes next; now and then to a page or product that isn't there."""
    dice = random.random()
    if dice < 0.4:
        return "/"
    if dice < 0.7:
        return "/search?" + urlencode({"words": random.choice(["tea", "co", "mug", "milk"])})
    if dice < 0.95:
        product = random.choice(list(PRICES))
        return "/order?" + urlencode({"product": product, "country": random.choice(COUNTRIES)})
    return "/impressum"
