"""statsd: every operation is a datagram, here to a port of this machine that nobody reads."""

from __future__ import annotations

import socket

from statsd import StatsClient

from ..harness import Statement
from ..ours import nothing


def unread() -> socket.socket:
    """A bound socket, so that sending to it is neither refused nor read."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    return receiver


def statements() -> dict[str, Statement]:
    """Its equivalents, by our names."""
    receiver = unread()
    client = StatsClient("127.0.0.1", receiver.getsockname()[1])
    names = {"client": client, "keep_open": receiver}
    return {
        "counter.inc()": Statement("client.incr('c')", names),
        "gauge.set(v)": Statement("client.gauge('g', 1.5)", names),
        "histogram.observe(v)": Statement("client.timing('h', 300)", names),
        "with timer.time()": Statement("with client.timer('t'): pass", names),
        "@timed, the call": Statement("work()", {**names, "work": client.timer("t")(nothing)}),
    }
