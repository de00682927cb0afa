"""A site configured by $APPMETRICS_CONFIG, whose pages hang, for tests on real servers.

``/hang`` never answers, ``/calm`` does at once; their views are their names. Servers
import ``application``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import appmetrics
from appmetrics.wsgi import Middleware

appmetrics.configure()


def hang() -> None:
    """Wait for what never comes, in steps, so that greenlets can do it, too."""
    while True:
        time.sleep(60)  # here it hangs


def pages(environ: Any, start_response: Any) -> Iterable[bytes]:
    """The page of the path."""
    name = environ["PATH_INFO"].strip("/")
    environ["appmetrics.request"].view = name
    if name == "hang":
        hang()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"calm"]


application = Middleware(pages)
