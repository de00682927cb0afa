"""Workers of real servers count together: sums, kills, leaders, a sidecar."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import _or_skip
from line_listener import Listener
from servers import (
    HOST,
    UWSGI,
    Carbon,
    DebianUWSGI,
    Gunicorn,
    Server,
    WsgiServer,
    find_program,
    get,
    wait_for,
)

TESTS = Path(__file__).parent
PATH = (TESTS, TESTS.parent)
PROVE = os.environ.get("APPMETRICS_PROVE", "") not in ("", "0")
pytestmark = pytest.mark.server


class Site:
    """`sharing_site` on a server with several workers, and what is known from outside."""

    def __init__(self, folder: Path, kind: type[WsgiServer], *options: str, ini: str = "") -> None:
        self.folder = folder
        self.shared = folder / "shared"
        self.witnesses = folder / "witnesses"
        self.witnesses.mkdir(parents=True)
        self.config = folder / "metrics.ini"
        self.config.write_text(ini or f"[metrics]\nprocesses = {self.shared}\n")
        self.server = _or_skip(
            lambda: kind(folder, "sharing_site:application", *options, path=PATH)
        )
        self.server.environ = {
            **self.server.environ,
            "WITNESSES": str(self.witnesses),
            "APPMETRICS_CONFIG": str(self.config),
        }

    def __enter__(self) -> Site:
        self.server.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.server.__exit__(*error)

    @property
    def url(self) -> str:
        return self.server.url

    def ask(self, number: int, path: str = "/", at_once: int = 8) -> list[dict[str, Any]]:
        """So many requests; who answered them."""
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            return [json.loads(a) for a in pool.map(get, [f"{self.url}{path}"] * number)]

    def series(self, name: str) -> list[dict[str, Any]]:
        """What the page says of a name."""
        data = json.loads(get(f"{self.url}/metrics?format=series"))
        return [each for each in data["series"] if each["name"] == name]

    def value(self, name: str) -> Any:
        """The value of the one series of this name."""
        found = self.series(name)
        assert len(found) == 1, found
        return found[0]["value"]

    def witnessed(self) -> int:
        """How many increments were certainly made."""
        return sum(path.stat().st_size for path in self.witnesses.iterdir())

    def counting(self) -> set[int]:
        """The process ids of all that ever counted."""
        return {int(path.name) for path in self.witnesses.iterdir()}

    def workers(self) -> list[int]:
        """The process ids of the server's workers."""
        assert self.server.process is not None
        children = psutil.Process(self.server.process.pid).children(recursive=True)
        return [child.pid for child in children]

    def wait_for_all(self, workers: int) -> set[int]:
        """Ask until each worker has answered, and counts with the others; their process ids."""
        seen: set[int] = set()

        def complete() -> bool:
            answers = self.ask(workers * 4)
            seen.update(answer["pid"] for answer in answers if answer["joined"])
            return len(seen) >= workers

        wait_for(complete, "an answer of each worker")
        return seen


GUNICORN = [
    ("--workers=4",),
    ("--workers=4", "--preload"),
    ("--workers=2", "--worker-class=gthread", "--threads=4"),
    ("--workers=2", "--worker-class=gevent"),
]


@pytest.mark.parametrize("options", GUNICORN, ids=" ".join)
def test_gunicorn_workers_count_together(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Any worker's page shows the sums over all of them, and all gauges and states."""
    workers = int(options[0].removeprefix("--workers="))
    with Site(tmp_path, Gunicorn, *options) as site:
        site.wait_for_all(workers)
        site.ask(1, "/critical")
        site.ask(40)
        total = site.witnessed()

        def told() -> bool:
            # While others claim, a page may show those as alive that were before.
            assert site.value("site.hits") == total
            assert sum(each["value"] for each in site.series("site.sizes")) == total
            assert site.value("site.condition") == "critical"
            return len(site.series("site.seen")) == workers

        wait_for(told, "the numbers of all")
        assert len(list(site.shared.glob("*/slot-*.lock"))) == workers


def test_without_any_setting_the_sums_are_right(tmp_path: Path, carbon: Carbon) -> None:
    """Four gunicorn workers, a handler, no word of processes: one series each, at both ends."""
    ini = (
        "[metrics]\ninterval = 1\nhandlers = carbon\n"
        f"[metrics.handler.carbon]\nclass = graphite\nhost = {HOST}\nport = {carbon.port}\n"
    )
    with Site(tmp_path, Gunicorn, "--workers=4", ini=ini) as site:
        site.wait_for_all(4)
        site.ask(100)
        total = site.witnessed()
        wait_for(lambda: site.value("site.hits") == total)
        wait_for(lambda: newest(carbon, "site.hits.total") == total)
        wait_for(lambda: newest(carbon, "site.answer") == 4 * 42)
        wait_for(lambda: sum(carbon.points("site.hits.count").values()) == total)
        assert not [path for path in carbon.paths() if "w1" in path]

        def pages() -> list[dict[str, Any]]:
            return [json.loads(get(f"{site.url}/metrics?format=series")) for _ in range(20)]

        # Whoever answers shows the handlers of the one that sends.
        def told() -> bool:
            return all(any(row["sent"] for row in page["handlers"]) for page in pages())

        def of_several() -> list[dict[str, Any]]:
            found = pages()
            return found if len({page["pid"] for page in found}) > 1 else []

        wait_for(told)
        answers = wait_for(of_several, "pages of more than one worker")
        (leader,) = {page["sharing"]["leader"] for page in answers}
        assert {len(page["sharing"]["processes"]) for page in answers} == {4}
        assert leader in answers[0]["sharing"]["processes"]
        for page in answers:
            (handler,) = page["handlers"]
            assert (handler["name"], handler["pid"]) == ("carbon", leader)
            assert (page["sharing"]["told"] is None) == (page["pid"] == leader)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A listener of UDP, which is closed in any case."""
    with contextlib.closing(Listener()) as listening:
        yield listening


def test_every_worker_tells_its_own_observations(tmp_path: Path, listener: Listener) -> None:
    """One worker sends the sums to statsd, and each one its own single values, once."""
    ini = (
        "[metrics]\ninterval = 1\nhandlers = statsd\nprocesses = shared\n"
        f"[metrics.handler.statsd]\nclass = statsd\nhost = {HOST}\nport = {listener.port}\n"
    ).replace("shared", str(tmp_path / "shared"))

    def counted(start: str) -> float:
        found = (
            line.partition(":")[2].split("|") for line in listener.lines if line.startswith(start)
        )
        return sum(float(value) if kind == "c" else 1 for value, kind in found)

    with Site(tmp_path, Gunicorn, "--workers=4", ini=ini) as site:
        site.wait_for_all(4)
        site.ask(100)
        assert len(site.counting()) == 4
        total = site.witnessed()
        wait_for(lambda: counted("site.hits:") == total, "the sums")
        wait_for(lambda: counted("site.sizes.") == total, "the single values")


def newest(carbon: Carbon, path: str) -> float | None:
    """The newest value that carbon has of a path."""
    points = carbon.points(path)
    return points[max(points)] if points else None


@contextlib.contextmanager
def load(site: Site, connections: int = 8) -> Iterator[None]:
    """wrk asks for pages, and doesn't mind what becomes of them, as long as this lasts."""
    wrk = _or_skip(find_program, "wrk")
    options = ("-t1", f"-c{connections}", "-d300s", "--timeout=2s", "-HConnection: close")
    command = [wrk, *options, f"{site.url}/"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "workers", "threads"),
    [
        (("--workers=4",), 4, 1),
        (("--workers=2", "--worker-class=gthread", "--threads=4"), 2, 4),
    ],
    ids=["sync", "gthread"],
)
def test_killed_workers_lose_nothing(
    tmp_path: Path, options: tuple[str, ...], workers: int, threads: int
) -> None:
    """kill -9 at random under load: no increment is lost, and no file is left for the dead."""
    kills = 100 if PROVE else 10
    with Site(tmp_path, Gunicorn, *options) as site:
        site.wait_for_all(workers)
        most = workers
        with load(site):
            for _ in range(kills):
                before = site.counting()
                os.kill(random.choice(site.workers()), signal.SIGKILL)
                # Were all of them dead at one moment, the counts would start anew.
                wait_for(lambda before=before: site.counting() - before, "a new worker")  # type: ignore[misc]
                most = max(most, len(site.workers()))
        site.wait_for_all(workers)
        # In this order: some of the last requests may still be counted meanwhile.
        witnessed, total = site.witnessed(), site.value("site.hits")
        assert witnessed <= total <= witnessed + kills * threads
        # A new worker may come while the kernel has not yet buried the old one.
        assert len(list(site.shared.glob("*/slot-*.cells"))) <= most + 2
        print(f"{kills} kills: {total} counted, {witnessed} witnessed")


def leaders(site: Site, workers: int) -> set[int]:
    """The workers that send, of all that answer."""
    return {answer["pid"] for answer in site.ask(workers * 8) if answer["sends"]}


@pytest.mark.parametrize(
    "server",
    [(Gunicorn, "--workers=3"), (UWSGI, "--processes=3"), (UWSGI, "--processes=3", "--lazy-apps")],
    ids=lambda server: " ".join([server[0].__name__.lower(), *server[1:]]),
)
def test_when_the_leader_dies_another_one_goes_on(
    tmp_path: Path, carbon: Carbon, server: tuple[Any, ...]
) -> None:
    """After kill -9 of the leader at most an interval is lost or repeated, totals are exact."""
    kind, *options = server
    shared = tmp_path / "shared"
    ini = (
        f"[metrics]\ninterval = 1\nhandlers = carbon\nprocesses = {shared}\n"
        f"[metrics.handler.carbon]\nclass = graphite\nhost = {HOST}\nport = {carbon.port}\n"
    )
    with Site(tmp_path, kind, *options, ini=ini) as site:
        site.wait_for_all(3)
        leader = wait_for(lambda: leaders(site, 3), "a leader")
        assert len(leader) == 1
        before = site.witnessed()
        wait_for(lambda: (newest(carbon, "site.hits.total") or 0) >= before)
        os.kill(leader.pop(), signal.SIGKILL)
        site.wait_for_all(3)
        assert len(wait_for(lambda: leaders(site, 3), "another leader")) == 1
        site.ask(50)
        total = site.value("site.hits")
        assert site.witnessed() <= total <= site.witnessed() + 1
        wait_for(lambda: newest(carbon, "site.hits.total") == total)
        totals = [value for _, value in sorted(carbon.points("site.hits.total").items())]
        assert totals == sorted(totals)
        counts = carbon.points("site.hits.count")
        # The interval in flight: what was sent when the leader died, and not noted.
        assert abs(sum(counts.values()) - total) <= max(before, total - before)
        assert not [path for path in carbon.paths() if ".w" in path]


@pytest.mark.parametrize("threads", [False, True], ids=["no threads", "threads"])
def test_a_sidecar_sends_for_workers_without_threads(
    tmp_path: Path, carbon: Carbon, threads: bool
) -> None:
    """Debian's uWSGI runs no threads: its numbers reach carbon through `appmetrics ship`."""
    shared = tmp_path / "shared"
    ini = (
        f"[metrics]\ninterval = 1\nhandlers = carbon\nprocesses = {shared}\n"
        f"[metrics.handler.carbon]\nclass = graphite\nhost = {HOST}\nport = {carbon.port}\n"
    )
    options = ("--processes=4", *(["--enable-threads"] if threads else []))
    with Site(tmp_path, DebianUWSGI, *options, ini=ini) as site, Ship(site) as ship:
        site.wait_for_all(4)
        site.ask(100)
        site.ask(1, "/event")
        total = site.witnessed()
        wait_for(lambda: site.value("site.hits") == total)
        wait_for(lambda: newest(carbon, "site.hits.total") == total)
        assert not leaders(site, 4)
        wait_for(lambda: not site.ask(4) or newest(carbon, "site.answer") == 4 * 42)
        before = site.value("site.hits")
        ship.stop(kill=True)
        site.ask(20)
        total = site.value("site.hits")
        ship.start()
        wait_for(lambda: newest(carbon, "site.hits.total") == site.value("site.hits"))
        counts = carbon.points("site.hits.count")
        total = site.value("site.hits")
        assert abs(sum(counts.values()) - total) <= max(before, total - before)


class Ship(Server):
    """`appmetrics ship` beside a site."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.folder / "ship")
        self.environ = site.server.environ
        self.command = [sys.executable, "-m", "appmetrics", "ship", str(site.config)]

    def ready(self) -> bool:
        """Whether it has configured itself."""
        return "configured from" in self.log.read_text()
