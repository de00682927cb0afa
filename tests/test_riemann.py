"""Tests of appmetrics.riemann: events as bytes, the client, its connections, names, rules."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmetrics.riemann import Client, Event, ProtocolError, Refused, _bernhard, events, messages
from appmetrics.riemann.client import packed
from appmetrics.riemann.naming import Naming, printable
from appmetrics.riemann.thresholds import Rule, thresholds
from appmetrics.riemann.transport import MAX_ACK, MAX_DATAGRAM, Tls
from appmetrics.sample import Series
from appmetrics.testing.rounds import HOSTILE
from riemann_server import RiemannServer
from servers import HOST, PATIENCE, Certificates, wait_for

TAKEN = struct.pack("!I", 2) + b"\x10\x01"

# -- events as bytes


def parsed(data: bytes) -> Any:
    """The one event of a message, by protobuf."""
    (event,) = messages.Msg.FromString(data).events
    return event


@pytest.mark.parametrize(
    "value", [2**53 - 1, 2**63 - 1, -(2**63), 0, -1, 63, 64, 0.1, -1e-300, 1e300, 0.0, 5e-324]
)
def test_numbers_arrive_unchanged(riemann: RiemannServer, value: float) -> None:
    """Integers of 64 bits and doubles are the same at the other end, of the same type."""
    with Client(port=riemann.port, timeout=PATIENCE) as client:
        client.send(Event("h", "s", metric=value))
        (found,) = client.query('service = "s"')
    for arrived in (riemann.event("s").metric, found.metric):
        assert repr(arrived) == repr(value)


def test_a_larger_integer_is_sent_as_a_float() -> None:
    """Beyond 64 bits the number keeps its size, not its last digits."""
    event = parsed(events.encoded(Event(metric=2**64)))
    assert (event.HasField("metric_sint64"), event.metric_d) == (False, 2.0**64)


TEXT = st.none() | st.text(st.characters(blacklist_categories=["Cs"]), max_size=200)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
EVENTS = st.builds(
    Event,
    host=TEXT,
    service=TEXT,
    state=TEXT,
    metric=st.none() | NUMBERS,
    time=st.none() | st.integers(-(2**33) * 1_000_000, 2**33 * 1_000_000).map(lambda n: n / 1e6),
    ttl=st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
    description=TEXT,
    tags=st.lists(st.text(st.characters(blacklist_categories=["Cs"])), max_size=4).map(tuple),
    attributes=st.dictionaries(st.text("abc", max_size=3), st.text("xyz\0é", max_size=200)),
)


@given(EVENTS)
def test_bytes_are_those_of_protobuf(event: Event) -> None:
    """What is written by hand is what protobuf reads, fields and values."""
    message = parsed(events.encoded(event))
    read = events.decoded(message)
    if type(event.metric) is int and not -(2**63) <= event.metric < 2**63:
        event = event._replace(metric=float(event.metric))
    assert read._replace(time=None) == event._replace(time=None)
    assert type(read.metric) is type(event.metric)
    if event.time is None:
        assert read.time is None
    else:
        assert message.time_micros == round(event.time * 1_000_000)
        assert message.time == message.time_micros // 1_000_000
    if event.metric is not None:
        single = messages.Event(metric_f=event.metric).metric_f
        assert message.metric_f == single


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_can_be_sent(text: str) -> None:
    """Lone surrogates are replaced; all else arrives as it is."""
    event = parsed(events.encoded(Event(text, text, text, attributes={text: text})))
    assert event.service == text.replace("\ud800", "\ufffd")


def test_an_integer_comes_before_a_double_before_a_float() -> None:
    """Of several numbers the most exact counts, and microseconds before seconds."""
    message = messages.Event(metric_f=1.0, time=5)
    assert events.decoded(message)[3:5] == (1.0, 5.0)
    message.metric_d, message.time_micros = 2.0, 6_500_000
    assert events.decoded(message)[3:5] == (2.0, 6.5)
    message.metric_sint64 = 3
    assert events.decoded(message).metric == 3


# -- the private bernhard


ASK = """
import sys
before = set(sys.modules)
import google.protobuf.descriptor_pool, google.protobuf.message_factory
import appmetrics.riemann
left = {name.partition(".")[0] for name in set(sys.modules) - before}
assert not left & {"bernhard", "pkg_resources", "proto_pb2"}, left
assert not set(left) - {"appmetrics", "google"} - set(sys.stdlib_module_names), left
from google.protobuf import descriptor_pool
try:
    descriptor_pool.Default().FindFileByName("riemann.proto")
except KeyError:
    print("clean")
"""


def test_nothing_stays_behind() -> None:
    """Neither bernhard nor a stand-in for pkg_resources is in sys.modules afterwards, and no
    message in protobuf's own pool."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "clean\n", done.stderr


def test_bernhards_own_client_works_with_our_messages(riemann: RiemannServer) -> None:
    """It is all of bernhard: its client sends and asks with its own transport."""
    client = _bernhard.Client(HOST, riemann.port)
    try:
        assert client.send({"host": "h", "service": "s", "metric": 1.5, "attributes": {"k": 1}})
        assert [event.metric for event in client.query("true")] == [1.5]
    finally:
        client.disconnect()


def test_a_missing_bernhard_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the error says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'appmetrics-routing\[riemann\]'"):
        _bernhard.load()


# -- the client


def test_events_and_mappings_are_sent(riemann: RiemannServer) -> None:
    """All fields arrive, whichever way an event is given."""
    event = Event("h", "s", "ok", 1, 5.25, 30.0, "text", ("a", "b"), {"k": "v"})
    with Client(port=riemann.port, timeout=PATIENCE) as client:
        client.send(event, event._replace(service="t")._asdict())
        client.send()
    assert riemann.services == ["s", "t"]
    assert riemann.events[0][:9] == ("h", "s", "ok", 1, 5.25, 30.0, "text", ("a", "b"), {"k": "v"})
    assert riemann.messages == 1


def test_queries_find_events(riemann: RiemannServer) -> None:
    """A query gives the events of the index as they are."""
    event = Event("h", "api in", "ok", 0.1, ttl=30.0, tags=("a",), attributes={"k": "v"})
    with Client(port=riemann.port, timeout=PATIENCE) as client:
        client.send(event, Event("h", "other"))
        (found,) = client.query('service =~ "api %" and tagged "a"')
        assert client.query("false") == []
    assert found.time is not None
    assert found._replace(time=None) == event


def test_a_bad_query_is_told_in_riemanns_words(riemann: RiemannServer) -> None:
    """And the connection goes on."""
    with Client(port=riemann.port, timeout=PATIENCE) as client:
        with pytest.raises(Refused, match="parse error"):
            client.query('host="a"')
        assert client.query("true") == []
    assert riemann.connections == 1


def test_a_refusal_is_an_error_with_its_text(riemann: RiemannServer) -> None:
    """Also among messages that are taken."""
    riemann.refuse = lambda event: "no such team" if event.service == "bad" else ""
    with Client(port=riemann.port, timeout=PATIENCE) as client:
        with pytest.raises(Refused, match="no such team"):
            client.send(Event(service="bad"))
        parts = [events.encoded(Event(service=name)) for name in ("a", "bad", "b")]
        assert list(client.send_messages(parts)) == ["", "no such team", ""]
    assert riemann.services == ["a", "b"]


def test_many_messages_are_under_way_at_once(riemann: RiemannServer) -> None:
    """More messages than fit the window are answered each, in order, over one connection."""
    with Client(port=riemann.port, timeout=PATIENCE) as client:
        parts = [events.encoded(Event(service=f"s{index}")) for index in range(100)]
        assert list(client.send_messages(parts)) == [""] * 100
    assert riemann.services == [f"s{index}" for index in range(100)]
    assert riemann.connections == 1


def test_a_connection_that_ended_meanwhile_is_made_anew(riemann: RiemannServer) -> None:
    """A Riemann that was restarted between two calls is no error."""
    with Client(port=riemann.port, timeout=PATIENCE) as client:
        client.send(Event(service="a"))
        riemann.stop()
        riemann.start()
        client.send(Event(service="b"))
    assert riemann.services == ["a", "b"]
    assert riemann.connections == 2


def test_exchanges_that_are_abandoned_leave_no_answers(riemann: RiemannServer) -> None:
    """Who stops in the middle closes the connection: the next answer is that of the next call."""
    riemann.refuse = lambda event: event.service or ""
    with Client(port=riemann.port, timeout=PATIENCE) as client:
        outcomes = client.send_messages([events.encoded(Event(service=n)) for n in "abc"])
        assert next(outcomes) == "a"
        outcomes.close()  # type: ignore[attr-defined]
        assert list(client.send_messages([events.encoded(Event(service="d"))])) == ["d"]


def test_datagrams_and_what_is_too_large_for_one(riemann: RiemannServer) -> None:
    """Over UDP, what does not fit a datagram goes over TCP."""
    large = Event(service="large", description="x" * MAX_DATAGRAM)
    with Client(port=riemann.port, protocol="udp", timeout=PATIENCE) as client:
        client.send(*(Event(service=f"small{index}") for index in range(100)), large)
        assert client.query('service = "large"')
    wait_for(lambda: len(riemann.events) == 101, "the datagrams")
    assert {event.how for event in riemann.events if event.service != "large"} == {"udp"}
    assert riemann.event("large").how == "tcp"
    assert riemann.unreadable == []


def test_messages_are_packed_up_to_a_limit() -> None:
    """Parts are joined in order; one that is too large alone stays alone."""
    assert packed([b"aa", b"bb", b"c", b"dddddd", b"e"], 5) == [b"aabbc", b"dddddd", b"e"]
    assert packed([], 5) == []


# -- connections that fail


@contextlib.contextmanager
def peer(behaviour: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that treats its only connection so, and then closes it."""
    with socket.create_server((HOST, 0)) as listener:
        open_ones = [listener]

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                open_ones.append(connection)
                with connection:
                    behaviour(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            # Closed alone, nobody who waits for them would wake.
            for each in open_ones:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            thread.join()


def answers(data: bytes) -> Callable[[socket.socket], None]:
    """To answer the first message so, and to hang up when the other side does."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)
        connection.recv(65536)

    return behave


def failing(port: int, **options: Any) -> Any:
    """The error of sending one event, after which the client works on another server."""
    with Client(port=port, **{"timeout": PATIENCE, **options}) as client:
        with pytest.raises(OSError, match=r".") as caught:
            client.send(Event(service="s"))
        assert client._tcp.connection is None
    return caught.value


def test_a_refused_connection_is_an_error(riemann: RiemannServer) -> None:
    """Nobody listens."""
    riemann.stop()
    assert isinstance(failing(riemann.port), ConnectionRefusedError)


def test_no_answer_in_time_is_an_error() -> None:
    """Neither silence nor an answer in drops lasts longer than the timeout."""

    def drops(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.settimeout(0.02)
        for byte in struct.pack("!I", 1000) + bytes(1000):
            connection.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1):
                    return

    for behaviour in (answers(b""), drops):
        with peer(behaviour) as port:
            error = failing(port, timeout=0.3)
        assert isinstance(error, TimeoutError)
        assert "no answer within 0.3 s" in str(error)


def test_a_timeout_can_be_changed() -> None:
    """It holds at once, also for a connection that stands."""

    def answer_once(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(TAKEN)
        while connection.recv(65536):
            pass

    with peer(answer_once) as port, Client(port=port, timeout=PATIENCE) as client:
        client.send(Event(service="a"))
        client.timeout = 0.2
        with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
            client.send(Event(service="b"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "this is no Riemann"),
        (struct.pack("!I", MAX_ACK + 1), "this is no Riemann"),
        (struct.pack("!I", 0), "this is no Riemann"),
        (struct.pack("!I", 2) + b"\x1a\x7f", "no message of Riemann's"),
    ],
)
def test_what_is_no_riemann_is_told(data: bytes, says: str) -> None:
    """An answer that makes no sense is an error, and takes no memory."""
    with peer(answers(data)) as port:
        error = failing(port)
    assert isinstance(error, ProtocolError)
    assert says in str(error)


def test_hanging_up_before_the_answer_is_an_error() -> None:
    """Whether the message was taken is unknown then."""
    with peer(lambda connection: None) as port:
        assert isinstance(failing(port), ConnectionError)


MESSAGES = st.builds(
    messages.Msg,
    ok=st.none() | st.booleans(),
    error=st.none() | st.text(max_size=20),
    events=st.lists(EVENTS.map(events.encoded).map(parsed), max_size=3),
).map(lambda message: message.SerializeToString())
BROKEN = st.tuples(MESSAGES, st.integers(0, 300), st.binary(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + len(parts[2]) :]
)


@given(st.lists(MESSAGES | BROKEN | st.binary(max_size=50), min_size=1, max_size=3), st.booleans())
def test_no_answer_of_any_kind_breaks_the_client(answered: list[bytes], query: bool) -> None:
    """Whatever comes back, it is an answer, a refusal or an OSError, and nothing else."""
    data = b"".join(struct.pack("!I", len(each)) + each for each in answered)

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)

    refusals = contextlib.suppress(OSError, Refused)
    with peer(behave) as port, Client(port=port, timeout=PATIENCE) as client, refusals:
        found = client.query("true") if query else client.send(Event(service="s"))
        assert not query or all(isinstance(event, Event) for event in found)


@given(st.binary(max_size=300))
def test_no_bytes_of_any_kind_break_the_client(data: bytes) -> None:
    """The same without frames."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)

    refusals = contextlib.suppress(OSError, Refused)
    with peer(behave) as port, Client(port=port, timeout=PATIENCE) as client, refusals:
        client.send(Event(service="s"))


# -- TLS


def test_tls_with_a_certificate_of_our_own(certificates: Callable[..., Certificates]) -> None:
    """Events and queries go over TLS, to the host that the certificate names."""
    own = Tls(*certificates("client"))
    with RiemannServer(tls=certificates("server")) as riemann:
        for host in ("localhost", HOST):
            with Client(host, riemann.port, tls=own, timeout=PATIENCE) as client:
                client.send(Event(service=host))
                client.send(Event(service="again"))
                assert client.query(f'service = "{host}"')
        assert {event.how for event in riemann.events} == {"tls"}
        assert riemann.connections == 2


def test_tls_checks_whose_certificate_it_is(certificates: Callable[..., Certificates]) -> None:
    """A certificate for another host, or of another authority, is refused."""
    own = Tls(*certificates("client"))
    with RiemannServer(tls=certificates("server", "DNS:elsewhere.example")) as riemann:
        for tls in (own, Tls(certfile=own.certfile, keyfile=own.keyfile)):
            with pytest.raises(ssl.SSLCertVerificationError):
                Client("localhost", riemann.port, tls=tls, timeout=PATIENCE).send(
                    Event(service="s")
                )
        assert riemann.events == []


def test_tls_without_a_certificate_is_refused(certificates: Callable[..., Certificates]) -> None:
    """Riemann asks for a client's certificate; without one nothing is taken."""
    authority = certificates("client").cafile
    with RiemannServer(tls=certificates("server")) as riemann:
        with pytest.raises(OSError, match=r"."):
            Client("localhost", riemann.port, tls=Tls(authority), timeout=PATIENCE).send(
                Event(service="s")
            )
        assert riemann.events == []


def test_options_that_contradict_each_other() -> None:
    """There is no TLS over UDP, and no third protocol."""
    with pytest.raises(ValueError, match="TLS needs tcp"):
        Client(protocol="udp", tls=Tls())
    with pytest.raises(ValueError, match="expected tcp or udp, not 'sctp'"):
        Client(protocol="sctp")
    assert (Client().port, Client(tls=Tls()).port) == (5555, 5554)


# -- names


ORDERS = Series("shop.orders", (("env", "prod"), ("shop", "de"), ("status", "2 x")), "counter")
ORDERS = ORDERS._replace(common=frozenset(["env"]))
QUEUE = Series("queue")


@pytest.mark.parametrize(
    ("host", "service", "expected"),
    [
        ("h", "{name} {labels} {statistic}", ("h", "shop orders de 2 x rate")),
        ("h", "app {env} {name} {statistic}", ("h", "app prod shop orders rate")),
        ("{env}-1", "{name} {labels} {statistic}", ("prod-1", "shop orders de 2 x rate")),
        ("{shop}", "{statistic} {name} {labels}", ("de", "rate shop orders 2 x")),
        ("h{nosuch}", "{nosuch} {name}({statistic})", ("h", "shop orders(rate)")),
    ],
)
def test_templates(host: str, service: str, expected: tuple[str, str]) -> None:
    """Fields are filled in, what is empty leaves no blank, named labels are named once."""
    assert Naming(host, service).identities(ORDERS, ["rate"]) == [expected]


def test_the_host_is_this_machine_and_the_instance() -> None:
    """A second process of a machine has a host of its own."""
    here = socket.gethostname()
    assert Naming().identities(QUEUE, ()) == [(here, "queue")]
    assert Naming().identities(QUEUE, (), "w2") == [(f"{here}/w2", "queue")]


@pytest.mark.parametrize(
    ("host", "service", "says"),
    [
        ("", "{name}", "event_host: it is empty"),
        ("h", " ", "service: it is empty"),
        ("h", "{name", "service: braces that hold no field such as {name}"),
        ("{}", "{name}", "event_host: braces"),
        ("h", "{labels}", "service: {name} is missing"),
        ("h", "{name} {name}", "service: {name} stands there twice"),
    ],
)
def test_templates_that_cannot_be_used(host: str, service: str, says: str) -> None:
    """What is wrong with a template is said with the option's name."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Naming(host, service)
    assert str(caught.value).startswith(says)


def test_names_are_one_line() -> None:
    """What can't be seen becomes an underscore; all else stays."""
    assert printable("größe 名前 a\nb\u2028c\0") == "größe 名前 a_b_c_"
    assert Naming("h").identities(Series(""), ()) == [("h", "_")]


# -- rules


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("q > 100 1000", {100: "ok", 101: "warning", 1000: "warning", 1001: "critical"}),
        ("q >= 100", {99: "ok", 100: "warning", 1e300: "warning"}),
        ("q < 10 5", {10: "ok", 9: "warning", 4: "critical"}),
        ("q <= 0.5 .25", {0.51: "ok", 0.5: "warning", 0.25: "critical"}),
        ("q > 5 5", {5: "ok", 6: "critical"}),
    ],
)
def test_rules_judge(rule: str, values: dict[float, str]) -> None:
    """A number is ok, a warning or critical, by its limits."""
    (found,) = thresholds(rule)
    assert {value: found.state(value) for value in values} == values
    assert thresholds(str(found)) == (found,)


def test_rules_match_by_name_and_statistic() -> None:
    """Without a statistic a rule is about gauges."""
    first, second = thresholds("shop.* > 1\n\n shop.render p99.9 < 1 0.5,")
    assert first == Rule("shop.*", "", ">", 1.0)
    assert first.matches("shop.queue", "")
    assert not first.matches("shop.render", "p95")
    assert second.matches("shop.render", "p99.9")
    assert thresholds("") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shop.queue", "'shop.queue' is none"),
        ("shop.queue > ", "is none"),
        ("shop.queue = 5", "is none"),
        ("shop.queue > 1 2 3", "is none"),
        ("shop.queue > many", "expected a number"),
        ("shop.queue fastest > 5", "percentiles such as p95"),
        ("shop.queue > 10 5", "critical would come before the warning"),
        ("shop.queue < 5 10", "critical would come before the warning"),
    ],
)
def test_rules_that_are_none(text: str, says: str) -> None:
    """A rule that can't be read is shown with what was expected."""
    with pytest.raises(ValueError, match="expected rules such as") as caught:
        thresholds(f"a > 1, {text}")
    assert says in str(caught.value)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_option_of_any_kind_breaks_a_parser(first: str, second: str) -> None:
    """Whatever an operator writes is taken or refused by a ValueError, and then works."""
    refusals = contextlib.suppress(ValueError)
    with refusals:
        assert all(rule.state(1.0) in ("ok", "warning", "critical") for rule in thresholds(first))
    with refusals:
        naming = Naming(first, f"{{name}} {second}")
        ((host, service),) = naming.identities(ORDERS, ["rate"], second)
        assert f"{host} {service}".isprintable()
