"""Every name that the library itself emits, against a file: none changes by accident.

The names are those that really come out of a configured hierarchy with a carbon, a
page and a file. ``python tests/test_golden_names.py`` writes the file anew.
"""

from __future__ import annotations

import difflib
import json
import re
import socket
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from appmetrics import testing
from appmetrics.config import Configurator
from appmetrics.handlers.riemann import RiemannHandler
from appmetrics.hierarchy import Hierarchy
from appmetrics.meter import Meter
from appmetrics.registry import Registry
from appmetrics.reporter import Reporter
from appmetrics.wsgi import MetricsApp
from riemann_server import RiemannServer
from servers import PATIENCE, wait_for

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden" / "names.txt"
#: The demo is an application, with names of its own.
SOURCES = [p for p in (ROOT / "appmetrics").rglob("*.py") if "demo" not in p.parts]


def test_names_are_as_ever() -> None:
    """The names are those of the golden file."""
    old, new = GOLDEN.read_text("utf-8"), emitted()
    changes = difflib.unified_diff(old.splitlines(), new.splitlines(), "golden", "now", lineterm="")
    how = "If that is meant, tell it in CHANGELOG.md and run: python tests/test_golden_names.py"
    assert new == old, "names that others may rely on have changed\n" + "\n".join([*changes, how])


def test_self_metrics_are_documented() -> None:
    """Each self-metric of the golden file stands on the page about routing."""
    page = (ROOT / "docs" / "routing.md").read_text("utf-8")
    names = GOLDEN.read_text("utf-8").partition("[self-metrics]\n")[2].partition("\n\n")[0]
    for line in names.splitlines():
        name, kind = line.split()[:2]
        documented = re.sub(r"\.handler\.\w+\.", ".handler.NAME.", name)
        assert f"| `{documented}` | {kind} |" in page, name


def emitted() -> str:
    """All names, in sections."""
    with tempfile.TemporaryDirectory() as folder:
        return World(Path(folder)).told()


class World:
    """A hierarchy with handlers that ran for a moment, and all that came out of it."""

    def __init__(self, folder: Path) -> None:
        self.hierarchy = Hierarchy(Registry())
        self.reporter = Reporter(self.hierarchy)
        self.lines = folder / "lines"
        self.others = set(threading.enumerate())
        self.threads: set[str] = set()
        with socket.create_server(("127.0.0.1", 0)) as self.carbon:
            self._run()
            self.paths = self._received()

    def _run(self) -> None:
        Configurator(self.hierarchy, self.reporter).dict_config(
            {
                "metrics": {"interval": 3600, "handlers": ["carbon", "page", "lines"]},
                "handlers": {
                    "carbon": {
                        "class": "graphite",
                        "port": self.carbon.getsockname()[1],
                        "timeout": PATIENCE,
                    },
                    "page": {"class": "http", "listen": "127.0.0.1:0"},
                    "lines": {"class": "file", "path": str(self.lines)},
                },
            }
        )
        one_of_each_kind(self.hierarchy.get_meter("sample"), self._look)
        self.reporter.start()
        try:
            page = next(h for h in self.hierarchy.handlers() if h.name == "page")
            wait_for(self._listens, "the page listens")
            # Not over its port: there it shows the process' own metrics.
            app = MetricsApp(page, reporter=self.reporter)
            self.text = asked(app, "format=prometheus")
            self.series = json.loads(asked(app, "format=series"))
            self._look()
        finally:
            stopped = self.reporter.stop(PATIENCE)
        assert stopped

    def _listens(self) -> bool:
        self._look()
        return "appmetrics-page-listener" in self.threads

    def _look(self) -> float:
        """Note the threads of now; as a gauge's callback it sees the callbacks' own."""
        self.threads |= {thread.name for thread in set(threading.enumerate()) - self.others}
        return 0.0

    def _received(self) -> list[str]:
        """The paths that carbon got."""
        data = b""
        self.carbon.settimeout(0)
        while True:
            try:
                connection, _ = self.carbon.accept()
            except BlockingIOError:
                break
            with connection:
                connection.settimeout(PATIENCE)
                while chunk := connection.recv(1 << 16):
                    data += chunk
        return [line.split()[0] for line in data.decode().splitlines()]

    def told(self) -> str:
        """The golden file's text."""
        own = [entry for entry in self.series["series"] if not is_sample(entry["name"])]
        listed = (f"{e['name']} {e['kind']} {e['unit']}".strip() for e in own)
        families = re.findall(r"^# TYPE (\w+) (\w+)$", self.text, re.MULTILINE)
        sections = {
            "self-metrics": listed,
            "self-metrics at Prometheus": (
                f"{name} {kind}" for name, kind in families if not is_sample(name)
            ),
            "self-metrics at Graphite": (path for path in self.paths if not is_sample(path)),
            "one of each kind at Prometheus": {
                re.sub(r'le="[0-9.]+"', 'le="N"', line.rpartition(" ")[0])
                for line in self.text.splitlines()
                if is_sample(line)
            },
            "one of each kind at Graphite": filter(is_sample, self.paths),
            "one of each kind at Riemann": riemann_events(),
            "fields of a JSON line": self._fields(),
            "keys of ?format=series": {
                *self.series,
                *(f"handlers[].{key}" for each in self.series["handlers"] for key in each),
                *(f"series[].{key}" for each in self.series["series"] for key in each),
            },
            "threads": {re.sub(r"\d+", "N", name) for name in self.threads},
            "loggers": in_sources(r'getLogger\("([^"]*)"\)'),
            "environment": in_sources(r'"(APPMETRICS_\w+)"'),
            "label values": in_sources(r'OVERFLOW = "(\w+)"'),
        }
        return "\n".join(f"[{title}]\n{column(names)}" for title, names in sections.items())

    def _fields(self) -> set[str]:
        lines = map(json.loads, self.lines.read_text("utf-8").splitlines())
        return {f"{line['kind']}: {', '.join(line)}" for line in lines if is_sample(line["metric"])}


def asked(app: MetricsApp, query: str) -> str:
    """What a WSGI application answers."""
    environ = {"REQUEST_METHOD": "GET", "QUERY_STRING": query}
    return b"".join(app(environ, lambda status, headers: None)).decode()  # type: ignore


def one_of_each_kind(meter: Meter, callback: Any) -> None:
    """An instrument of each kind, updated once, and an event."""
    meter.counter("counter", unit="bytes", labels=("shop",)).labels("de").inc()
    meter.gauge("gauge", callback=callback)
    meter.histogram("histogram", unit="bytes").observe(1)
    meter.timer("timer").observe(1)
    meter.state("state").set("ok")
    meter.event("event", "1.4.2", metric=1)


def riemann_events() -> list[str]:
    """Host and service of each event that Riemann gets of one of each kind."""
    world = testing.World()
    with RiemannServer(clock=world.clock.time) as riemann:
        handler = RiemannHandler(port=riemann.port, timeout=PATIENCE, event_host="web1")
        world.meter("sample").add_handler(handler)
        one_of_each_kind(world.meter("sample"), lambda: 0.0)
        world.advance(10)
        world.stop()
        return sorted({f"{event.host}: {event.service}" for event in riemann.events})


def is_sample(name: str) -> bool:
    """Whether a name is of those that `one_of_each_kind` made."""
    return name.startswith("sample")


def in_sources(pattern: str) -> set[str]:
    """What a pattern finds in the code."""
    return {found for path in SOURCES for found in re.findall(pattern, path.read_text("utf-8"))}


def column(names: Iterable[str]) -> str:
    """Sorted, one a line."""
    return "".join(f"{name}\n" for name in sorted(names))


if __name__ == "__main__":
    GOLDEN.write_text(emitted(), "utf-8")
