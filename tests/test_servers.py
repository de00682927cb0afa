"""The test servers do what the tests rely on, each shown once by itself."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import servers
from servers import HOST, MissingServer, send_line, wait_for

TEXT = "# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 7\n"
PAGE = """<!doctype html><h1>loading</h1>
<script>document.querySelector("h1").textContent = 1 + 1</script>"""


@pytest.fixture
def website() -> Iterator[str]:
    """host:port of a site with a text at /metrics and a page everywhere else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plain = self.path == "/metrics"
            body = (TEXT if plain else PAGE).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain" if plain else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"{HOST}:{site.server_address[1]}"
        site.shutdown()
        thread.join()


def test_carbon_keeps_what_it_is_sent(carbon: servers.Carbon) -> None:
    """A line over TCP, one over UDP and a tagged one come back from their whisper files."""
    now = int(time.time())
    send_line(carbon.port, f"a.tcp 1.5 {now}\na.tcp 2 {now - 7}\nm;host=y;dc=x 4 {now}\nnonsense\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(f"a.udp 2 {now}\n".encode(), (carbon.host, carbon.port))
    wait_for(lambda: carbon.points("a.tcp") == {now - 7: 2.0, now: 1.5}, "a.tcp")
    wait_for(lambda: carbon.points("a.udp") == {now: 2.0}, "a.udp")
    wait_for(lambda: carbon.points("m;host=y;dc=x") == {now: 4.0}, "m")
    assert carbon.paths() == ["a.tcp", "a.udp"]
    assert len(wait_for(carbon.refused)) == 1
    assert carbon.points("never.sent") == {}


def test_carbon_survives_an_outage(carbon: servers.Carbon) -> None:
    """Stopped and started again, carbon has its old points and takes new ones."""
    now = int(time.time())
    send_line(carbon.port, f"a.b 1 {now - 1}\n")
    wait_for(lambda: carbon.points("a.b"), "before the outage")
    carbon.stop()
    assert not servers.listening(carbon.port)
    carbon.start()
    send_line(carbon.port, f"a.b 2 {now}\n")
    wait_for(lambda: carbon.points("a.b") == {now - 1: 1.0, now: 2.0}, "after the outage")


def test_prometheus_scrapes(
    start_prometheus: Callable[..., servers.Prometheus], website: str
) -> None:
    """Prometheus fetches a target's text and answers a query with the value."""
    prometheus = start_prometheus(website)
    prometheus.wait_until_scraped()
    labels = {"__name__": "hits_total", "instance": website, "job": "test"}
    wait_for(lambda: prometheus.query("hits_total") == [(labels, 7.0)], "the value")


def test_promtool_complains(promtool: Callable[[str], list[str]]) -> None:
    """promtool has nothing against a clean text and something against a careless one."""
    assert promtool(TEXT) == []
    assert promtool("# TYPE a counter\na 3\n")
    assert promtool('a{b="c} 1\n')


def test_syslog_ng_parses_json_lines(syslog_ng: servers.SyslogNg) -> None:
    """JSON lines arrive as documents, a broken line apart from them."""
    document = {"@timestamp": "2026-01-01T00:00:00.000Z", "name": 'a "b" \u00fc', "value": 1.5}
    send_line(syslog_ng.port, json.dumps(document) + "\n{broken\n" + '{"n": 2}\n')
    wait_for(lambda: syslog_ng.documents() == [document, {"n": 2}], "the documents")
    wait_for(lambda: syslog_ng.refused() == ["{broken"], "the broken line")


def test_chromium_renders(chromium: Any, website: str) -> None:
    """Chromium runs a page's script and shows the result."""
    page = chromium.new_page()
    page.set_default_timeout(servers.PATIENCE * 1000)
    page.goto(f"http://{website}/")
    assert page.inner_text("h1") == "2"


def test_a_missing_program_says_how_to_install_it() -> None:
    """A server that is not there is reported with the command that installs it."""
    with pytest.raises(MissingServer, match="prometheus is not installed: apt-get install"):
        servers.find_program("prometheus", "no-such-program")


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    """When a server fails to start, the failure holds what it printed."""

    class Broken(servers.Server):
        command = ("sh", "-c", "echo port is taken; exit 3")

        def ready(self) -> bool:
            return False

    with pytest.raises(AssertionError, match="ended at once with 3\nport is taken"):
        Broken(tmp_path / "broken").start()


def test_a_server_is_ended_with_its_children(tmp_path: Path) -> None:
    """Stopping a server also ends the processes that it started."""

    class Parent(servers.Server):
        command = ("sh", "-c", "sleep 60 & echo $! > child; wait")

        def ready(self) -> bool:
            return bool((self.folder / "child").read_text())

    with Parent(tmp_path / "parent") as parent:
        child = int((parent.folder / "child").read_text())
        os.kill(child, 0)

    def gone() -> bool:
        # A container without an init leaves the orphan as a zombie.
        status = Path(f"/proc/{child}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"

    wait_for(gone, "end of the child")
