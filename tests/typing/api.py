"""The public interface as mypy --strict sees it in somebody's application.

Not run: ``make types`` checks it. What stands here must go on type-checking.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import appmetrics
from appmetrics import Counter, Gauge, Handler, Histogram, Sample, Series, State, Timer
from appmetrics.contrib.prometheus import Collector
from appmetrics.contrib.statsd import StatsClient
from appmetrics.riemann import Client
from appmetrics.riemann import Event as RiemannEvent
from appmetrics.testing import ManualClock, World, capture
from appmetrics.wsgi import MetricsApp

meter: appmetrics.Meter = appmetrics.get_meter(__name__)

orders: Counter = meter.counter("orders", "Orders placed", labels=("shop",))
orders.labels("de").inc()
orders.labels(shop="de").inc(2.5)
depth: Gauge = meter.gauge("depth", callback=lambda: 3, unit="items", merge="max")
depth.set(1)
depth.dec()
sizes: Histogram = meter.histogram("size", unit="bytes", level="DEBUG")
sizes.observe(512)
render: Timer = meter.timer("render", labels=("status",))
database: State = meter.state("database", ttl=30, states=("up", "down"))
database.set("down", "no route to host")
meter.event("deploy", "1.4.2", attributes={"by": "ci"}, tags=["web"], metric=1.5)

with render.time() as span:
    span.labels(status=200)
with depth.track(), orders.counted().labels(shop="fr"), orders.count_exceptions(ValueError):
    pass


@meter.timed("search")
@meter.count_exceptions("search.errors", KeyError)
def search(words: str) -> list[str]:
    return words.split()


@meter.timed("fetch", labels=("outcome",))
async def fetch(url: str) -> bytes:
    return url.encode()


@meter.counted("steps")
def steps(number: int) -> Iterator[int]:
    yield from range(number)


@meter.track("streams")
async def stream(number: int) -> AsyncIterator[int]:
    yield number


class Cart:
    @meter.timed("add")
    def add(self, item: str) -> int:
        return len(item)

    @classmethod
    @meter.timed("make")
    def make(cls) -> Cart:
        return cls()


# Decorated functions keep their types.
found: list[str] = search("a b")
added: int = Cart.make().add("book")


class Printing(Handler):
    def emit(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            series: Series = sample.series
            rate: float = sample.rate
            print(series.name, dict(series.labels), sample.value, rate, sample.time)


def only_ours(series: Series) -> Series | None:
    return series if series.name.startswith("shop.") else None


meter.add_handler(Printing(name="printing", level=appmetrics.INFO, filters=[only_ours]))
meter.add_filter(only_ours)
meter.level = "DEBUG"
configured: bool = appmetrics.configure()
appmetrics.basic_config(handlers="stream", interval=1)
appmetrics.dict_config({"metrics": {"handlers": ["a"]}, "handlers": {"a": {"class": "null"}}})
appmetrics.file_config("metrics.ini", {"env": "test"})
appmetrics.start()
flushed: bool = appmetrics.flush(1) and appmetrics.stop(1)
app = MetricsApp(token="secret", allow=["10.0.0.0/8"])

with capture() as changes:
    orders.labels("de").inc()
total = changes.value("orders", shop="de")
world = World(ManualClock())
world.advance(10)


client = StatsClient("localhost", prefix="shop")
client.incr("orders", 2, rate=0.5)
with client.timer("search") as timed, client.pipeline() as pipe:
    pipe.gauge("depth", -1, delta=True)
elapsed: float | None = timed.ms


@client.timer("double")
def double(number: int) -> int:
    return 2 * number


bounded = Collector(bounds=[0.1, 1])


def services(address: str) -> list[str | None]:
    with Client(address, timeout=2) as riemann:
        riemann.send(RiemannEvent("web1", "deploy", metric=1), {"service": "deploy"})
        return [event.service for event in riemann.query("true")]
