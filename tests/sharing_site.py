"""A site whose workers count together, for tests on pre-fork servers.

Each increment of ``site.hits`` is followed by one byte in a file of the process' own in
$WITNESSES: whoever is killed has counted no less than that, and at most one more for each
of its threads. Configured by $APPMETRICS_CONFIG; servers import ``application``.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from typing import Any

import appmetrics
from appmetrics.reporter import reporter
from appmetrics.sharing import slot
from appmetrics.wsgi import Middleware

#: However busy the machine is: before a worker is killed, all is shared.
slot.ADOPTING = 60.0
meter = appmetrics.get_meter("site")
hits = meter.counter("hits", "Requests for a page")
sizes = meter.histogram("sizes", "Something that is spread", labels=("page",))
answer = meter.gauge("answer", "What a callback says in each process", callback=lambda: 42)
seen = meter.gauge("seen", "Set by each process", merge="worker")
condition = meter.state("condition", "What each process says of itself")
appmetrics.configure()
_witnesses = threading.local()


def witness() -> None:
    """A byte that outlives the process."""
    if getattr(_witnesses, "pid", 0) != os.getpid():
        _witnesses.pid = os.getpid()
        path = os.path.join(os.environ["WITNESSES"], str(_witnesses.pid))
        _witnesses.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_witnesses.file, b".")


def page(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Count, and say who did."""
    path = environ["PATH_INFO"]
    if path == "/event":
        meter.event("deployed", f"by {os.getpid()}")
    if path == "/critical":
        condition.set("critical", f"said by {os.getpid()}")
    hits.inc()
    witness()
    seen.set(1)
    sizes.labels(path).observe(len(path))
    sharing = reporter.sharing
    who = {"pid": os.getpid(), "joined": sharing.joined, "sends": sharing.sends}
    body = json.dumps(who).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


application = Middleware(page, metrics="/metrics")
