"""datadog's DogStatsd as it is by default: it adds counters up and sends from a thread."""

from __future__ import annotations

from datadog.dogstatsd.base import DogStatsd

from ..harness import Statement
from ..ours import nothing
from .statsd import unread


def statements() -> dict[str, Statement]:
    """Its equivalents, by our names."""
    receiver = unread()
    client = DogStatsd(host="127.0.0.1", port=receiver.getsockname()[1])
    names = {"client": client, "keep_open": receiver}
    return {
        "counter.inc()": Statement("client.increment('c')", names),
        "labels(a, b).inc()": Statement("client.increment('c', tags=['a:x', 'b:y'])", names),
        "gauge.set(v)": Statement("client.gauge('g', 1.5)", names),
        "histogram.observe(v)": Statement("client.histogram('h', 0.3)", names),
        "with timer.time()": Statement("with client.timed('t'): pass", names),
        "@timed, the call": Statement("work()", {**names, "work": client.timed("t")(nothing)}),
    }
