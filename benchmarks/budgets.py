"""What is promised: the limits that the figures are held against.

``A`` is an empty method call and the goal on CPython 3.11; the ratio to prometheus_client
is meant for every interpreter.
"""

from __future__ import annotations

from .harness import Budget, at_least, at_most

#: Operation: (at most so many A, at least so many times as fast as prometheus_client).
HOT: dict[str, tuple[Budget | None, Budget | None]] = {
    "counter.inc()": (at_most(2.5), at_least(5)),
    "labels(a, b).inc()": (at_most(8), at_least(7)),
    "histogram.observe(v)": (at_most(9), at_least(3.5)),
    "with timer.time()": (at_most(22), at_least(2.5)),
    "@timed, the call": (at_most(17), at_least(4)),
    "off: counter.inc()": (at_most(2.5), None),
    "off: @timed, the call": (at_most(4), None),
}

#: The text of 100,000 counters, against prometheus_client.
TEXT = at_least(14)
#: Milliseconds that a request takes longer while 100,000 series are scraped.
LATENCY = at_most(20)
#: The first text of a process, which renders what never changes, against each of theirs.
FIRST_TEXT = at_least(1)
#: Bytes of a counter's child with two labels, what the first handler adds (with it comes
#: what all share), and what each further one adds, also one with names of its own.
CHILD, FIRST_HANDLER, PER_HANDLER = at_most(400), at_most(450), at_most(150)
#: Time of ``import appmetrics`` over that of prometheus_client, both without the interpreter's.
IMPORT = at_most(0.7)
#: An increment in shared memory: at most so many A, at least so many times as fast as
#: prometheus_client's multi-process mode; a scrape of many workers, over its time.
SHARED_INC = (at_most(5), at_least(8))
SHARED_SCRAPE = at_most(1 / 3)
