"""What every test can use: the real servers as fixtures, and what happens without them.

A server that is not installed skips the test and is listed at the end of the run
with the command that installs it; with APPMETRICS_REQUIRE_SERVERS=1 it fails the
test instead. Tests that use a server fixture are marked ``server`` by themselves.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest

import servers
from appmetrics import reporter
from appmetrics.sharing.folder import default_folder
from appmetrics.testing import World
from appmetrics.testing.contract import HandlerContract
from riemann_server import RiemannServer

T = TypeVar("T")
SERVER_FIXTURES = {
    "carbon",
    "chromium",
    "graphite_web",
    "influxd",
    "promtool",
    "start_prometheus",
    "statsd",
    "statsd_to_carbon",
    "syslog_ng",
    "victoria_metrics",
}
NOT_HERE = "no real server: "

# A busy machine must not fail a property, and a run must not depend on an earlier one.
hypothesis.settings.register_profile(
    "here",
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("here")
# Nor a round: a callback's thread may have to wait for its turn.
reporter.CALLBACK_TIMEOUT = servers.PATIENCE
HandlerContract.wait = servers.PATIENCE


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a server fixture."""
    for item in items:
        if SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("server")


@pytest.hookimpl(wrapper=True, tryfirst=True)  # below pytest's own summary
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """List the servers that were missing, loudly."""
    yield
    missing: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else "")
        if NOT_HERE in reason:
            sentence = reason.partition(NOT_HERE)[2]
            missing[sentence] = missing.get(sentence, 0) + 1
    if missing:
        terminalreporter.section("SERVERS THAT WERE NOT TESTED AGAINST", sep="!", red=True)
        for sentence, count in sorted(missing.items()):
            terminalreporter.line(f"{sentence}  ({count} skipped)")


def _or_skip(make: Callable[..., T], *arguments: Any) -> T:
    """Make a server; a missing one skips, or fails where that is asked for."""
    try:
        return make(*arguments)
    except servers.MissingServer as error:
        missing = error
    if os.environ.get("APPMETRICS_REQUIRE_SERVERS", "0") not in ("", "0"):
        pytest.fail(f"{missing} (APPMETRICS_REQUIRE_SERVERS is set)", pytrace=False)
    pytest.skip(f"{NOT_HERE}{missing}")


@pytest.fixture(autouse=True)
def _no_shared_files_stay(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove what killed processes have shared that read a configuration in ``tmp_path``."""
    # Asked for before the servers are, so that they have ended by then.
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        for config in [*folder.glob("*.ini"), *folder.glob("*/*.ini")]:
            shutil.rmtree(default_folder(os.path.realpath(config)), ignore_errors=True)


@pytest.fixture
def world() -> World:
    """Meters, a clock and rounds of the test's own."""
    return World()


@pytest.fixture
def hectic() -> Iterator[None]:
    """Threads are switched as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def carbon(tmp_path: Path) -> Iterator[servers.Carbon]:
    """A running carbon-cache with one-second retention, and its whisper files."""
    with _or_skip(servers.Carbon, tmp_path / "carbon") as server:
        yield server


@pytest.fixture
def graphite_web(tmp_path: Path) -> Iterator[servers.GraphiteWeb]:
    """A running graphite-web, for its events API."""
    with _or_skip(servers.GraphiteWeb, tmp_path / "graphite-web") as server:
        yield server


@pytest.fixture
def start_prometheus(tmp_path: Path) -> Iterator[Callable[..., servers.Prometheus]]:
    """Start a Prometheus: ``start_prometheus("127.0.0.1:9464", ...)``, one job named ``test``.

    Further keyword arguments are keys of that job; ``scrape_configs=[...]`` replaces it.
    """
    with contextlib.ExitStack() as stack:

        def start(
            *targets: str, scrape_configs: Sequence[dict[str, Any]] | None = None, **job: Any
        ) -> servers.Prometheus:
            if scrape_configs is None:
                job = {"job_name": "test", "static_configs": [{"targets": list(targets)}], **job}
                scrape_configs = [job]
            folder = tmp_path / f"prometheus-{servers.free_port()}"
            return stack.enter_context(servers.Prometheus(folder, scrape_configs))

        _or_skip(servers.find_program, "prometheus")
        yield start


@pytest.fixture
def promtool() -> Callable[[str], list[str]]:
    """``promtool check metrics`` as a function: text in, complaints out."""
    _or_skip(servers.find_program, "promtool")
    return servers.promtool_complaints


@pytest.fixture
def syslog_ng(tmp_path: Path) -> Iterator[servers.SyslogNg]:
    """A running syslog-ng that takes JSON lines over TCP."""
    with _or_skip(servers.SyslogNg, tmp_path / "syslog-ng") as server:
        yield server


@pytest.fixture
def victoria_metrics(tmp_path: Path) -> Iterator[servers.VictoriaMetrics]:
    """A running VictoriaMetrics: Graphite, OpenTSDB and influx in one."""
    with _or_skip(servers.VictoriaMetrics, tmp_path / "victoria-metrics") as server:
        yield server


@pytest.fixture
def influxd(tmp_path: Path) -> Iterator[servers.Influxd]:
    """A running InfluxDB 1 with a database ``test``."""
    with _or_skip(servers.Influxd, tmp_path / "influxd") as server:
        yield server


@pytest.fixture
def statsd(tmp_path: Path) -> Iterator[servers.Statsd]:
    """A running statsd, which keeps what it gets and flushes nothing."""
    with _or_skip(servers.Statsd, tmp_path / "statsd") as server:
        yield server


@pytest.fixture
def statsd_to_carbon(tmp_path: Path, carbon: servers.Carbon) -> Iterator[servers.Statsd]:
    """A running statsd that flushes to the fixture ``carbon`` every second."""
    with _or_skip(servers.Statsd, tmp_path / "statsd", carbon.port) as server:
        yield server


@pytest.fixture
def chromium() -> Iterator[Any]:
    """A headless Chromium: Playwright's synchronous ``Browser``.

    One per test: while Playwright's loop runs, nothing else in the thread can run
    an asyncio loop, so it must not outlive the test.
    """
    with contextlib.ExitStack() as stack:
        yield _or_skip(stack.enter_context, servers.chromium_browser())


@pytest.fixture
def riemann() -> Iterator[RiemannServer]:
    """A peer that is as strict as Riemann, over TCP and UDP on one port."""
    with RiemannServer() as server:
        yield server


@pytest.fixture
def certificates(tmp_path: Path) -> Callable[..., servers.Certificates]:
    """Certificates of one authority: ``certificates("client")``."""
    return _or_skip(servers.make_certificates, tmp_path / "certificates")
