"""Tests of riemann_server.py, the peer in Riemann's place: independent clients agree with it."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import servers
from appmetrics.riemann import messages
from conftest import _or_skip
from riemann_server import RiemannServer, Taken, parsed
from servers import HOST, wait_for


@pytest.fixture
def riemann_client() -> Callable[..., str]:
    """`riemann-client` as a function: its arguments in, what it printed out."""
    program = _or_skip(servers.find_program, "riemann-client")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=servers.PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    return run


class Relay(servers.Server):
    """syslog-ng, which sends each JSON line that it gets on ``port`` to a Riemann."""

    def __init__(self, folder: Path, riemann: int) -> None:
        program = servers.find_program("syslog-ng")
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        if "riemann" not in version.stdout:
            raise servers.MissingServer("syslog-ng's riemann destination")
        super().__init__(folder)
        self.port = servers.free_port()
        config = folder / "syslog-ng.conf"
        config.write_text(
            f"""@version: 3.35
source s_tcp {{ network(ip({HOST}) port({self.port}) transport(tcp) flags(no-parse)); }};
parser p_json {{ json-parser(prefix(".j.")); }};
destination d_riemann {{
    riemann(server("{HOST}") port({riemann}) type("tcp") host("${{.j.host}}")
        service("${{.j.service}}") state("${{.j.state}}") metric(double("${{.j.metric}}"))
        ttl("60") tags("relayed") attributes(scope(none) pair("app" "${{.j.app}}")) batch-lines(1));
}};
log {{ source(s_tcp); parser(p_json); destination(d_riemann); }};
"""
        )
        self.command = [program, "--foreground", "--no-caps", "--stderr", f"--cfgfile={config}"]
        for option, name in (("persist-file", "persist"), ("control", "ctl"), ("pidfile", "pid")):
            self.command.append(f"--{option}={folder / name}")

    def ready(self) -> bool:
        return servers.listening(self.port)


@pytest.fixture
def relay(tmp_path: Path, riemann: RiemannServer) -> Iterator[Relay]:
    """A syslog-ng that sends to ``riemann``."""
    with _or_skip(Relay, tmp_path / "relay", riemann.port) as server:
        yield server


@pytest.mark.server
def test_riemann_client_sends_and_asks(
    riemann: RiemannServer, riemann_client: Callable[..., str]
) -> None:
    """What the C client sends over TCP and UDP is understood, and it understands the index."""
    to = (HOST, str(riemann.port))
    event = ("-h", "h1", "-S", "one", "-s", "ok", "-d", "hello", "-t", "a", "-a", "k=v")
    riemann_client("send", *event, "-i", "42", "-L", "60", *to)
    riemann_client("send", "-h", "h1", "-S", "two", "-s", "warning", "-f", "2.5", "-U", *to)
    wait_for(lambda: "two" in riemann.services, "the datagram")
    one, two = riemann.event("one"), riemann.event("two")
    assert (one.host, one.state, one.metric, one.ttl, one.tags) == ("h1", "ok", 42, 60, ("a",))
    assert one.attributes["k"] == "v"
    assert (two.metric, two.how) == (2.5, "udp")
    (found,) = json.loads(riemann_client("query", "-j", 'service = "one"', *to))
    assert (found["service"], found["metric_sint64"]) == ("one", 42)


@pytest.mark.server
def test_riemann_client_over_tls(
    certificates: Callable[..., servers.Certificates], riemann_client: Callable[..., str]
) -> None:
    """The C client, which uses GnuTLS, gets in with its certificate."""
    with RiemannServer(tls=certificates("server")) as riemann:
        own = certificates("client")._asdict()
        files = [part for name, path in own.items() for part in ("-o", f"{name}={path}")]
        riemann_client(
            "send", "-G", *files, "-S", "secret", "-i", "1", "localhost", str(riemann.port)
        )
        assert riemann.event("secret").how == "tls"


@pytest.mark.server
def test_syslog_ng_sends(riemann: RiemannServer, relay: Relay) -> None:
    """What syslog-ng's riemann destination sends is understood."""
    line = {"host": "h9", "service": "req.rate", "state": "warning", "metric": 12.5, "app": "shop"}
    servers.send_line(relay.port, json.dumps(line) + "\n")
    wait_for(lambda: riemann.services, "the event")
    event = riemann.event("req.rate")
    assert (event.host, event.state, event.metric, event.ttl) == ("h9", "warning", 12.5, 60)
    assert (event.tags, event.attributes["app"]) == (("relayed",), "shop")


def test_what_is_no_message_ends_the_connection(riemann: RiemannServer) -> None:
    """As in Riemann there is no answer then."""
    with socket.create_connection((HOST, riemann.port), timeout=servers.PATIENCE) as connection:
        connection.sendall(struct.pack("!I", 3) + b"\xff\xff\xff")
        assert connection.recv(1) == b""
    assert len(riemann.unreadable) == 1


EVENT = Taken(
    "web1", "api in", "ok", 2, 5.0, 60.0, 'say "hi"', ("a", "b c"), {"shop-id": "7"}, None, "tcp"
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("true", True),
        ("false", False),
        ("nil", False),
        ("host", True),
        ("nosuch", False),
        ('host = "web1"', True),
        ('"web1" = host', True),
        ('host != "web1"', False),
        ("nosuch = nil", True),
        ("metric = 2", True),
        ("metric = 2.0", False),
        ("metric > 1.5", True),
        ("metric <= -1.2e-5", False),
        ("host > 1", False),
        ("metric>2", False),
        ('service =~ "api %"', True),
        ('service =~ "pi %"', False),
        ('service ~= "^a.i"', True),
        ('metric =~ "2"', False),
        ('tagged "b c"', True),
        ('not tagged "x"', True),
        ('shop-id = "7"', True),
        (r'description = "say \"hi\""', True),
        ('host = "x" or host = "web1" and metric = 2', True),
        ('(host = "web1" or metric = 9) and metric = 9', False),
        ('not ((host = nil or state = "ok") and tagged "a")', False),
    ],
)
def test_queries(query: str, expected: bool) -> None:
    """A query finds an event or doesn't, by Riemann's rules."""
    assert parsed(query)(EVENT) is expected


@pytest.mark.parametrize(
    "query", ['host="a"', "", "(true", "true)", "metric > host", "host =~ 1", "a b", "host =", "%"]
)
def test_queries_that_are_none(query: str) -> None:
    """What Riemann can't parse isn't parsed here."""
    with pytest.raises(ValueError, match=r"."):
        parsed(query)


def test_what_outlived_its_ttl_is_gone() -> None:
    """The index forgets by the time of the event, strictly after its TTL."""
    now = [100.0]
    riemann = RiemannServer(clock=lambda: now[0])
    event = messages.Event(service="x", time=100, ttl=30)
    riemann.answered(messages.Msg(events=[event]).SerializeToString(), "tcp")
    now[0] = 130.0
    assert riemann.alive()
    now[0] = 130.1
    assert not riemann.alive()
