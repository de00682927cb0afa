"""The smallest whole program: it counts, it times, and prints what it has measured."""

import time

import appmetrics

meter = appmetrics.get_meter("hello")
greetings = meter.counter("greetings", "How often somebody was greeted")

appmetrics.basic_config(handlers="stream", interval=1)

with meter.timed("working"):
    for _ in range(3):
        greetings.inc()
        time.sleep(0.5)
