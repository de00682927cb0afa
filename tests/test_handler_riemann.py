"""Tests of handlers/riemann.py: what becomes of series, and what arrives when things fail."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appmetrics.buckets import Distribution
from appmetrics.config import Configurator
from appmetrics.errors import ConfigError
from appmetrics.handlers.base import LEFT_OUT
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.handlers.riemann import MAX_IDENTITY, RiemannHandler
from appmetrics.reporter import Reporter
from appmetrics.riemann.thresholds import thresholds
from appmetrics.sample import Series, StateValue
from appmetrics.sharing import LEADER, Sharing
from appmetrics.testing import World
from appmetrics.testing.contract import HandlerContract
from appmetrics.testing.rounds import HOSTILE, batch
from fault_proxy import FAULTS, SILENT, FaultProxy
from riemann_server import RiemannServer, Taken
from servers import HOST, PATIENCE, Certificates

LABELS = (("shop", "de"), ("status", "200"))
ORDERS = Series("shop.orders", LABELS, "counter")
QUEUE = Series("shop.queue", LABELS)
RENDER = Series("shop.render", (), "timer", "seconds")
DATABASE = Series("shop.database", (), "state")


class TestTcp(HandlerContract):
    """The contract of all handlers, over TCP.

    Without goodbyes, which are no samples: they have tests of their own.
    """

    protocol = "tcp"

    @pytest.fixture(autouse=True)
    def _server(self, riemann: RiemannServer) -> None:
        self.server = riemann

    def make_handler(self, tmp_path: Path) -> RiemannHandler:
        return RiemannHandler(
            port=self.server.port,
            protocol=self.protocol,
            timeout=PATIENCE,
            leaving=False,
            ttl=10**9,
        )

    def received(self) -> list[str]:
        assert self.server.unreadable == []
        return self.server.services


class TestUdp(TestTcp):
    """The contract of all handlers, over UDP."""

    protocol = "udp"


class TestTls(TestTcp):
    """The contract of all handlers, over TLS."""

    @pytest.fixture(autouse=True)
    def _tls(self, certificates: Callable[..., Certificates]) -> Iterator[None]:
        self.own = certificates("client")._asdict()
        with RiemannServer(tls=certificates("server")) as self.server:
            yield

    def make_handler(self, tmp_path: Path) -> RiemannHandler:
        options = {"timeout": PATIENCE, "leaving": False, "ttl": 10**9, **self.own}
        return RiemannHandler(port=self.server.port, tls=True, **options)


@pytest.fixture
def world() -> Iterator[World]:
    """Meters under a clock moved by hand; handlers work in the test's own thread."""
    made = World()
    yield made
    for handler in made.meter().handlers:
        if isinstance(handler, RiemannHandler):
            handler.hang_up()


@pytest.fixture
def server(world: World) -> Iterator[RiemannServer]:
    """A Riemann that lives by the same clock."""
    with RiemannServer(clock=world.clock.time) as riemann:
        yield riemann


@pytest.fixture
def handler(world: World, server: RiemannServer) -> RiemannHandler:
    """The handler that ships all of this world to that Riemann."""
    return attached(world, server)


def attached(world: World, server: RiemannServer, **options: Any) -> RiemannHandler:
    """A handler that ships all of a world but appmetrics' own metrics."""
    usual = {"event_host": "web1", "port": server.port, "timeout": PATIENCE, "jitter": lambda: 0.0}
    made = RiemannHandler(filters=[_not_ours], **usual | options)
    world.meter().add_handler(made)
    world.advance()
    server.events.clear()
    return made


def _not_ours(series: Series) -> Series | None:
    return None if series.name.startswith("appmetrics") else series


def put(handler: RiemannHandler, *pairs: tuple[Series, Any]) -> None:
    """One round, worked off at once."""
    handler.handle(batch(pairs, handler.clock.time()))


# -- what becomes of a series


@pytest.mark.parametrize(
    ("series", "value", "expected"),
    [
        (QUEUE, 7, {"shop queue de 200": 7}),
        (QUEUE, 2.0, {"shop queue de 200": 2.0}),
        (QUEUE, float("nan"), {}),
        (ORDERS, 20, {"shop orders de 200 rate": 2.0, "shop orders de 200 total": 20}),
        (DATABASE, StateValue("critical", "", 2, "critical", None), {"shop database": 2}),
    ],
)
def test_events_of_a_series(
    handler: RiemannHandler,
    server: RiemannServer,
    series: Series,
    value: Any,
    expected: dict[str, float],
) -> None:
    """A gauge and a state are one event, a counter one for each statistic."""
    put(handler, (series, value))
    assert {event.service: event.metric for event in server.events} == expected
    assert all(type(e.metric) is type(expected[e.service or ""]) for e in server.events)
    assert {event.host for event in server.events} <= {"web1"}


def test_events_of_a_timer(handler: RiemannHandler, server: RiemannServer) -> None:
    """Its statistics, of the interval; an idle one has a rate and nothing else."""
    put(handler, (RENDER, Distribution.of([0.5] * 20)))
    words = {str(event.service).rpartition(" ")[2]: event.metric for event in server.events}
    assert list(words) == ["rate", "mean", "p50", "p95", "p99", "max"]
    assert words["rate"] == 2.0
    assert words["mean"] == 0.5
    server.events.clear()
    put(handler, (RENDER, Distribution()))
    assert [(event.service, event.metric) for event in server.events] == [("shop render rate", 0)]


def test_labels_are_attributes(world: World, server: RiemannServer) -> None:
    """Common ones too, beside what is configured; what Riemann would take for a field has a
    name of its own."""
    handler = attached(world, server, attributes={"team": "web", "time": "7"}, tags=("prod", "x"))
    series = Series("q", (("env", "t"), ("host", "h"), ("state", "s")), common=frozenset(["env"]))
    put(handler, (series, 1))
    event = server.event("q h s")
    assert event.attributes == {
        "team": "web", "time_": "7", "env": "t", "host_": "h", "state_": "s"
    }  # fmt: skip
    assert (event.host, event.tags) == ("web1", ("prod", "x"))


def test_times_are_in_microseconds(handler: RiemannHandler, server: RiemannServer) -> None:
    """And in whole seconds for those who know no other."""
    handler.clock.advance(0.123456)  # type: ignore[attr-defined]
    put(handler, (QUEUE, 1))
    (event,) = server.events
    assert event.message.time_micros == round(handler.clock.time() * 1e6)
    assert event.message.time == int(handler.clock.time())


@pytest.mark.parametrize("value", [2**53 - 1, 0.1, -1e-300, 1e300])
def test_precision(world: World, server: RiemannServer, value: float) -> None:
    """What an application sets is what Riemann has, to the last digit."""
    attached(world, server)
    gauge = world.meter().gauge("exact")
    gauge.set(value)
    world.advance(10)
    assert repr(server.event("exact").metric) == repr(value)


def test_states_are_states(world: World, server: RiemannServer) -> None:
    """With description; one that was not declared is unknown, and told in the description."""
    attached(world, server)
    state = world.meter("shop").state("database")
    state.set("critical", "no route to host")
    world.advance(10)
    event = server.event("shop database")
    assert (event.state, event.description, event.metric) == ("critical", "no route to host", 2)
    state.set("melting", "it drips")
    world.advance(10)
    event = server.event("shop database")
    assert (event.state, event.description, event.metric) == ("unknown", "melting: it drips", 3)
    state.set("ok")
    world.advance(10)
    event = server.event("shop database")
    assert (event.state, event.description, event.metric) == ("ok", None, 0)


def test_events_are_sent_as_they_are(world: World, server: RiemannServer) -> None:
    """At once, with all that was recorded."""
    attached(world, server, tags=("prod",), attributes={"team": "web"})
    world.meter("shop").event(
        "deploy",
        "1.4.2",
        state="ok",
        attributes={"by": "ci", "host": "build7"},
        tags=["release", "prod"],
        metric=142,
        ttl=300,
    )
    world.meter("shop").event("failover")
    world.advance()
    deploy, failover = server.events
    assert deploy[:8] == (
        "web1", "shop deploy", "ok", 142, world.clock.time(), 300, "1.4.2", ("prod", "release")
    )  # fmt: skip
    assert deploy.attributes == {"team": "web", "by": "ci", "host_": "build7"}
    assert failover[:8] == (
        "web1", "shop failover", None, None, world.clock.time(), None, None, ("prod",)
    )  # fmt: skip


def test_the_ttl_is_three_intervals(world: World, server: RiemannServer) -> None:
    """Of the handler's own interval, or the general one, unless it is given."""
    gauge = world.meter().gauge("q")
    gauge.set(1)
    for options, expected in (({}, 30), ({"interval": 7.0}, 21), ({"ttl": 300.0}, 300)):
        handler = attached(world, server, **options)
        world.advance(20)
        assert server.event("q").ttl == expected
        world.meter().remove_handler(handler)
        handler.hang_up()
    world.reporter.interval = 60
    attached(world, server)
    world.advance(60)
    assert server.event("q").ttl == 180


def test_thresholds_give_the_state(world: World, server: RiemannServer) -> None:
    """The first rule that fits judges; a series without a rule has no state."""
    rules = "shop.queue > 10 100, shop.render max > 0.1 1, shop.* rate > 5, shop.queue > 0"
    handler = attached(world, server, thresholds=thresholds(rules))

    def states(*pairs: tuple[Series, Any]) -> dict[str | None, str | None]:
        server.events.clear()
        put(handler, *pairs)
        return {event.service: event.state for event in server.events}

    assert states((QUEUE, 10)) == {"shop queue de 200": "ok"}
    assert states((QUEUE, 11)) == {"shop queue de 200": "warning"}
    assert states((QUEUE, 101)) == {"shop queue de 200": "critical"}
    assert states((ORDERS, 60)) == {
        "shop orders de 200 rate": "warning", "shop orders de 200 total": None
    }  # fmt: skip
    timer = states((RENDER, Distribution.of([2.0])))
    assert (timer["shop render max"], timer["shop render p50"]) == ("critical", None)
    assert states((Series("other"), 1000)) == {"other": None}
    assert states((DATABASE, StateValue("ok", "", 0, "ok", None))) == {"shop database": "ok"}


# -- identities


def test_no_two_series_share_an_identity(handler: RiemannHandler) -> None:
    """Of two that would, the first keeps it; the other is left out, and both are named."""
    first = Series("shop.orders", (("a", "x y"), ("b", "z")))
    second = Series("shop.orders", (("a", "x"), ("b", "y z")))
    assert handler.prepare(first) is not LEFT_OUT
    assert handler.prepare(second) is LEFT_OUT
    ((series, why),) = handler.left_out
    assert series == second
    assert why == (
        "its service 'shop orders x y z' on host 'web1' belongs to the gauge"
        ' shop.orders{a="x y", b="z"}'
    )


@pytest.mark.parametrize("gauge_first", [True, False])
def test_a_statistic_can_collide_with_a_name(handler: RiemannHandler, gauge_first: bool) -> None:
    """The gauge orders.rate and the rate of the counter orders are one service."""
    pair = [Series("orders.rate"), Series("orders", (), "counter")]
    if not gauge_first:
        pair.reverse()
    assert handler.prepare(pair[0]) is not LEFT_OUT
    assert handler.prepare(pair[1]) is LEFT_OUT
    # The one that was left out owns nothing.
    assert handler.prepare(Series("orders.total")) is LEFT_OUT or gauge_first


def test_identities_are_free_again_after_a_change_of_routing(handler: RiemannHandler) -> None:
    """Who keeps an identity is found anew."""
    first, second = Series("a b"), Series("a.b")
    handler.prepare(first)
    handler.rerouted()
    assert handler.prepare(second) is not LEFT_OUT
    assert handler.left_out == []


def test_too_long_a_service_is_left_out(handler: RiemannHandler) -> None:
    """Nobody could read it."""
    assert handler.prepare(Series("x" * MAX_IDENTITY)) is LEFT_OUT
    assert f"longer than {MAX_IDENTITY} bytes" in handler.left_out[0][1]


def test_hosts_tell_instances_apart(world: World, server: RiemannServer) -> None:
    """Two processes of a machine that both send don't overwrite each other."""
    handler = attached(world, server)
    handler.instance = "2"
    handler.served_by(world.reporter)
    put(handler, (QUEUE, 1))
    assert server.event("shop queue de 200").host == "web1/2"
    assert handler.describe(QUEUE) == ["web1/2: shop queue de 200"]


def test_templates_are_the_operators(world: World, server: RiemannServer) -> None:
    """Labels may go to the host, text to the service."""
    handler = attached(
        world, server, event_host="{shop}.example", service="myapp {statistic} {name} {labels}"
    )
    put(handler, (ORDERS, 1))
    event = server.event("myapp total shop orders 200")
    assert event.host == "de.example"


# -- options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"service": "{name} {labels}"},
            "service: without {statistic}, the rate and the total of one counter would have",
        ),
        (
            {"service": "{name} {labels}", "counter_statistics": ["rate"]},
            "service: without {statistic}, the rate and the mean of one timer",
        ),
        ({"cafile": "ca.pem"}, "cafile: has no effect without tls = yes"),
        ({"tls": True, "keyfile": "k.pem"}, "keyfile: there is no certfile that it belongs to"),
        ({"tls": True, "protocol": "udp"}, "protocol: TLS needs tcp"),
        ({"event_host": "{"}, "event_host: braces"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], says: str) -> None:
    """A contradiction is an error that names the option, and both that would collide."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        RiemannHandler(**options)
    assert str(caught.value).startswith(says)


def test_without_statistics_in_the_service_there_is_one(
    world: World, server: RiemannServer
) -> None:
    """A template without {statistic} goes with one statistic each."""
    handler = attached(
        world, server, service="{name}", counter_statistics=["rate"], statistics=["p95"]
    )
    put(handler, (ORDERS, 1), (RENDER, Distribution.of([1])))
    assert server.services == ["shop orders", "shop render"]


def test_what_is_surely_not_meant_is_told(tmp_path: Path) -> None:
    """Files that aren't there, and thresholds on statistics that aren't sent."""
    missing = str(tmp_path / "missing.pem")
    handler = RiemannHandler(tls=True, cafile=missing, thresholds=thresholds("a p42 > 1, b > 1"))
    assert handler.warnings() == [
        f"there is no file {missing}",
        "threshold a p42 > 1: p42 is not among the statistics, so it never applies",
    ]
    assert RiemannHandler(ttl=10, interval=10).warnings() == [
        "with a ttl of 10 s, events expire from one round to the next"
    ]
    assert RiemannHandler(interval=10).warnings() == []


def test_targets() -> None:
    """Address, port, and how, if that isn't TCP."""
    targets = [
        RiemannHandler(host="::1").target(),
        RiemannHandler(protocol="udp").target(),
        RiemannHandler(tls=True, port=1).target(),
    ]
    assert targets == ["[::1]:5555", "127.0.0.1:5555 (udp)", "127.0.0.1:1 (tls)"]


def test_checking_finds_out_whether_it_is_a_riemann(riemann: RiemannServer) -> None:
    """Something else that listens is told; nothing is sent."""
    RiemannHandler(port=riemann.port, timeout=PATIENCE).check()
    RiemannHandler(port=riemann.port, protocol="udp").check()
    assert riemann.events == []
    with faulty(garbage) as port, pytest.raises(ConnectionError, match="no Riemann"):
        RiemannHandler(port=port, timeout=PATIENCE).check()


# -- the end


def test_a_clean_end_says_goodbye(world: World, server: RiemannServer) -> None:
    """Each identity that is alive is `leaving`, with its TTL; what expired is left in peace."""
    attached(world, server)
    meter = world.meter()
    meter.counter("orders").inc(3)
    meter.gauge("queue").set(2)
    meter.state("old", ttl=15).set("ok")
    meter.state("new", ttl=15)
    world.advance(10)
    meter.state("new", ttl=15).set("warning")
    world.advance(10)
    assert "old" not in server.services[-4:]
    server.events.clear()
    world.clock.advance(1)
    world.stop()
    goodbyes = [event for event in server.events if event.state == "leaving"]
    assert {event.service for event in goodbyes} == {
        "orders rate", "orders total", "queue", "new"
    }  # fmt: skip
    assert {(event.host, event.ttl, event.metric) for event in goodbyes} == {("web1", 30, None)}
    # What had expired here before is left to expire there.
    assert [e.service for e in server.alive().values() if e.state != "leaving"] == ["old"]


def test_goodbyes_are_no_samples(world: World, server: RiemannServer) -> None:
    """They don't count as sent."""
    handler = attached(world, server)
    world.meter().gauge("queue").set(2)
    world.advance(10)
    world.stop()
    assert handler.stats.sent == len([e for e in server.events if e.state != "leaving"])
    assert server.events[-1].state == "leaving"


def test_goodbyes_can_be_switched_off(world: World, server: RiemannServer) -> None:
    """Then the last round is the last that is heard."""
    attached(world, server, leaving=False)
    world.meter().gauge("queue").set(2)
    world.advance(10)
    world.stop()
    assert {event.state for event in server.events} == {None}


def test_a_reload_is_no_goodbye(world: World, server: RiemannServer) -> None:
    """A handler that is replaced by another one leaves nothing."""
    handler = attached(world, server)
    world.meter().gauge("queue").set(2)
    world.advance(10)
    handler.successor = RiemannHandler(port=server.port)
    handler.stop()
    assert {event.state for event in server.events} == {None}


def test_only_the_last_of_a_group_says_goodbye(tmp_path: Path, riemann: RiemannServer) -> None:
    """While another process goes on telling of the same series, nothing leaves."""
    members = []
    for _ in range(2):
        world = World()
        sharing = Sharing(world.hierarchy, str(tmp_path / "shared"), LEADER)
        world.reporter = Reporter(world.hierarchy, sharing)
        handler = RiemannHandler(port=riemann.port, timeout=PATIENCE, filters=[_not_ours])
        world.meter().add_handler(handler)
        world.meter().counter("orders").inc()
        world.advance(10)
        members.append(world)
    first, second = members
    first.stop()
    assert riemann.events
    assert {event.state for event in riemann.events} == {None}
    second.stop()
    assert {event.service for event in riemann.events if event.state == "leaving"} == {
        "orders rate", "orders total"
    }  # fmt: skip


# -- when things fail


def test_after_an_outage_only_the_newest_arrives(world: World, server: RiemannServer) -> None:
    """An hour later each identity has one event, of now; what outlived its TTL stays dead."""
    handler = attached(world, server)
    meter = world.meter()
    queue, orders = meter.gauge("queue"), meter.counter("orders")
    dead = meter.state("dead", ttl=60)
    dead.set("ok", "before the outage")
    world.advance(10)
    assert server.event("dead").state == "ok"
    server.stop()
    server.events.clear()
    server.index.clear()
    meter.event("deploy", "old news", ttl=60)
    meter.event("audit", "still good", ttl=7200)
    for minute in range(60):
        queue.set(minute)
        orders.inc()
        world.advance(60)
    assert handler.waiting < 10
    stale: list[Taken] = []

    def look(event: Taken) -> str:
        if world.clock.time() - event.time > (event.ttl or 60):
            stale.append(event)
        return ""

    server.refuse = look
    server.start()
    while not server.events:
        world.advance(1)
    assert sorted(server.services) == ["audit", "orders rate", "orders total", "queue"]
    assert (server.event("queue").metric, server.event("orders total").metric) == (59, 60)
    world.advance(60)
    assert stale == []
    assert not {"dead", "deploy"} & set(server.services)


def test_a_round_that_outlived_its_ttl_is_never_sent(world: World, server: RiemannServer) -> None:
    """If the process itself slept through the outage, its last words are not news."""
    handler = attached(world, server)
    server.stop()
    put(handler, (QUEUE, 1))
    world.clock.advance(31)
    server.start()
    handler.idle()
    assert server.events == []
    assert handler.stats.dropped == 1


def test_what_riemann_refuses_is_dropped_and_told(
    world: World, server: RiemannServer, caplog: pytest.LogCaptureFixture
) -> None:
    """With Riemann's own text; what follows arrives."""
    handler = attached(world, server)
    server.refuse = lambda event: "exception in stream: no such team"
    put(handler, (QUEUE, 1))
    server.refuse = lambda event: ""
    put(handler, (QUEUE, 2))
    assert [event.metric for event in server.events] == [2]
    assert (handler.stats.dropped, handler.stats.sent, handler.waiting) == (1, 1, 0)
    assert "exception in stream: no such team" in handler.stats.last_error
    assert any("no such team" in message for message in caplog.messages)


def test_a_new_certificate_needs_no_restart(
    world: World, certificates: Callable[..., Certificates]
) -> None:
    """Files are read anew for each connection."""
    server_files, own = certificates("server"), certificates("client")
    certfile = Path(own.certfile)
    good = certfile.read_text()
    certfile.write_text("not yet renewed")
    with RiemannServer(tls=server_files, clock=world.clock.time) as riemann:
        handler = attached(world, riemann, tls=True, **own._asdict())
        put(handler, (QUEUE, 1))
        assert (riemann.events, handler.waiting) == ([], 1)
        certfile.write_text(good)
        world.clock.advance(1)
        put(handler, (QUEUE, 2))
        assert [event.metric for event in riemann.events] == [2]


Behaviour = Callable[[socket.socket], None]


def silent(connection: socket.socket) -> None:
    """Read, and never answer."""
    while connection.recv(65536):
        pass


def half_an_answer(connection: socket.socket) -> None:
    """Answer, and die in the middle of it."""
    connection.recv(65536)
    connection.sendall(b"\0\0\0\2\x10")


def garbage(connection: socket.socket) -> None:
    """Be a web server."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


#: What a peer can do besides the faults of a network.
MISBEHAVIOURS = [silent, half_an_answer, garbage]


@contextlib.contextmanager
def faulty(behaviour: Behaviour, port: int = 0) -> Iterator[int]:
    """The port of a server that treats each connection so."""
    listener = socket.create_server((HOST, port))
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def treat(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            behaviour(connection)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=treat, args=(connection,)))
                threads[-1].start()

    accepting = threading.Thread(target=serve)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("behaviour", MISBEHAVIOURS, ids=lambda each: each.__name__)
def test_faults_lose_nothing_that_is_news(
    world: World, server: RiemannServer, behaviour: Behaviour
) -> None:
    """Whatever the target does, the newest is kept, and arrives when it is well again."""
    server.stop()
    handler = attached(world, server, timeout=0.2)
    server.clock = world.clock.time
    memory = MemoryHandler()
    world.meter().add_handler(memory)
    gauges = [world.meter().gauge(f"g{index}") for index in range(300)]
    with faulty(behaviour, server.port):
        for number in range(3):
            for gauge in gauges:
                gauge.set(number)
            world.advance(10)
    assert handler.waiting == 300
    assert handler.stats.errors >= 1
    assert handler.stats.dropped == 0
    assert memory.last("g0").value == 2
    server.start()
    handler.timeout = PATIENCE
    world.advance(10)
    assert [event.metric for event in server.events] == [2] * 300
    assert {event.time for event in server.events} == {world.clock.time()}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_network_lose_nothing_that_is_news(
    world: World, server: RiemannServer, fault: str
) -> None:
    """As with any target: what is newest arrives once the network is well again, and no older
    event of a series after a newer one."""
    gauges = [world.meter().gauge(f"g{index}") for index in range(50)]
    with FaultProxy(server.port) as proxy:
        handler = attached(world, server, port=proxy.port)
        for number in range(6):
            if number == 2:
                proxy.break_(fault)
                # What is passed on comes, on a busy machine slowly: it is not to be given up.
                handler.timeout = 0.2 if fault in SILENT else PATIENCE
            if number == 5:
                proxy.mend()
                handler.timeout = PATIENCE
            for gauge in gauges:
                gauge.set(number)
            world.advance(10)
        assert handler.stats.dropped == 0
        newest = [event for event in server.events if event.time == world.clock.time()]
        assert {event.service: event.metric for event in newest} == {
            f"g{index}": 5 for index in range(50)
        }  # fmt: skip
        for index in range(50):
            numbers = [e.metric for e in server.events if e.service == f"g{index}"]
            assert numbers == sorted(numbers)
        handler.hang_up()


def test_a_host_that_has_no_address_is_an_outage(world: World, server: RiemannServer) -> None:
    """Also a name that can't be one."""
    handler = attached(world, server, host="no..host")
    put(handler, (QUEUE, 1))
    assert (handler.waiting, handler.stats.dropped) == (1, 0)
    assert "no..host" in handler.stats.last_error


def test_answers_that_were_lost_cost_a_repetition_at_most(
    world: World, server: RiemannServer
) -> None:
    """What was acknowledged is not sent again; what wasn't is, with the same time."""
    handler = attached(world, server)
    acknowledged: list[bytes] = []

    def takes_one(connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack("!I", stream.read(4))
            acknowledged.append(stream.read(length))
        connection.sendall(b"\0\0\0\2\x10\1")
        connection.shutdown(socket.SHUT_WR)
        silent(connection)

    server.stop()
    series = [Series(f"s{index}" + "x" * 900) for index in range(400)]
    with faulty(takes_one, server.port):
        put(handler, *((each, 1) for each in series))
    taken = handler.stats.sent
    assert 0 < taken < 400
    assert handler.waiting == 400 - taken
    server.start()
    world.clock.advance(1)
    handler.idle()
    assert len(server.events) == 400 - taken
    assert server.services == [each.name for each in series[taken:]]


def test_a_hanging_riemann_holds_up_nobody() -> None:
    """While its worker waits for an answer, rounds are handed over and others get theirs."""
    world = World()
    memory = MemoryHandler()
    stopped: list[bool] = []
    with contextlib.ExitStack() as stack, faulty(silent) as port:
        handler = RiemannHandler(port=port, timeout=60.0, leaving=False, clock=world.clock)
        handler.start()
        # Its worker ends with the connection, since `faulty` closes it.
        stack.callback(lambda: stopped.append(handler.stop(PATIENCE)))
        gauge = world.meter().gauge("g")
        world.meter().add_handler(handler)
        world.meter().add_handler(memory)
        for number in range(20):
            gauge.set(number)
            world.clock.advance(10)
            world.reporter.run_due()
        assert memory.last("g").value == 19
        assert handler.queued
    assert stopped == [True]


def test_a_child_process_has_a_connection_of_its_own(world: World, server: RiemannServer) -> None:
    """After a fork the child neither uses nor ends its parent's connection."""
    handler = attached(world, server)
    put(handler, (QUEUE, 1))
    parents = handler._client._tcp.connection._socket.fileno()
    handler.after_fork()
    put(handler, (QUEUE, 2))
    assert server.connections == 2
    assert handler._client._tcp.connection is not None
    assert parents >= 0


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_events_are_taken(world: World, server: RiemannServer, text: str) -> None:
    """Whatever is in an event, it arrives and breaks nothing."""
    attached(world, server)
    world.meter().event("deploy", text, state=text, attributes={text: text}, tags=[text])
    world.advance()
    assert [event.service for event in server.events] == ["deploy"]
    assert server.unreadable == []


# -- from a file


INI = """
[metrics]
interval = 10
handlers = riemann

[metrics.handler.riemann]
class = riemann
host = {host}
port = {port}
timeout = 60
event_host = web1
tags = prod, web
attributes = team=shop
thresholds =
    shop.queue > 10 100
    shop.render p95 > 0.5
"""


def test_a_file_configures_it(tmp_path: Path, riemann: RiemannServer) -> None:
    """All of it by an ini file."""
    world = World()
    configurator = Configurator(world.hierarchy, world.reporter)
    file = tmp_path / "metrics.ini"
    file.write_text(INI.format(host=riemann.host, port=riemann.port))
    configurator.file_config(file)
    world.meter("shop").gauge("queue").set(50)
    world.advance(10)
    world.stop()
    event = [e for e in riemann.events if e.service == "shop queue" and e.state != "leaving"][-1]
    assert (event.state, event.tags) == ("warning", ("prod", "web"))
    assert event.attributes == {"team": "shop"}


def test_a_file_with_a_mistake_is_refused_by_name(world: World, tmp_path: Path) -> None:
    """The section, the option and what it should be."""
    file = tmp_path / "metrics.ini"
    file.write_text(INI.format(host=HOST, port=5555).replace("> 10 100", "above 10"))
    with pytest.raises(ConfigError, match="expected rules such as") as caught:
        Configurator(world.hierarchy, world.reporter).file_config(file)
    (problem,) = caught.value.problems
    assert (problem.section, problem.key) == ("metrics.handler.riemann", "thresholds")
