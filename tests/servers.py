"""Real servers for tests: loopback only, free ports, a temporary folder each.

Owns how carbon, Prometheus, promtool, syslog-ng, Chromium and the WSGI servers are
found, started, asked and ended (by process id, with all that they started). Most
fixtures that hand them to tests are in ``conftest.py``; nothing here knows appmetrics.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib.util
import json
import os
import random
import shutil
import signal
import site
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

T = TypeVar("T")
HOST = "127.0.0.1"
#: Seconds that a test waits, at the most, for what is to happen. Nothing takes so long but
#: a failure, or a machine that is busy with much else: it is no measure of anything.
PATIENCE = 60.0

HOW_TO_INSTALL = {
    "carbon": "pip install carbon whisper (from Python 3.12 on: apt-get install graphite-carbon)",
    "graphite-web": "apt-get install graphite-web",
    "prometheus": "apt-get install prometheus",
    "promtool": "apt-get install prometheus",
    "syslog-ng": "apt-get install syslog-ng-core",
    "victoria-metrics": "apt-get install victoria-metrics",
    "influxd": "apt-get install influxdb",
    "statsd": "apt-get install nodejs npm, and npm install --prefix .servers/npm statsd@0.9.0"
    " (or set APPMETRICS_NPM to a folder that has it)",
    "syslog-ng's riemann destination": "apt-get install syslog-ng-mod-riemann",
    "riemann-client": "apt-get install riemann-c-client",
    "bernhard and protobuf": "pip must reach a package index, for their oldest and newest versions",
    "openssl": "apt-get install openssl",
    "chromium": "apt-get install chromium, and pip install playwright",
    "waitress": "pip install waitress",
    "gunicorn": "pip install gunicorn",
    "gevent": "pip install gevent",
    "uwsgi-debian": "apt-get install uwsgi-core uwsgi-plugin-python3",
    "wrk": "apt-get install wrk",
    "uwsgi": "pip install uwsgi (needs a C compiler)",
    "zope": "pip install 'Zope[wsgi]'",
}


class MissingServer(Exception):
    """A server that is not installed here; the message says how to get it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not installed: {HOW_TO_INSTALL[name]}")


def find_program(server: str, *names: str) -> str:
    """The path of a server's program, by the first of its names that is found.

    Looks beside this interpreter, on PATH, and in the sbin folders, which users
    have not on PATH. Raises MissingServer.
    """
    folders = (str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin")
    for name in names or (server,):
        found = shutil.which(name, path=os.pathsep.join(folders))
        if found is not None:
            return found
    raise MissingServer(server)


#: Ports that `free_port` has given out: a server may take its time to bind one.
_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that neither TCP nor UDP uses, and that nobody else gets here.

    Taken from below the range from which the kernel gives ports to clients, so
    that no connection of a parallel test can take it before the server does. Each
    worker of pytest-xdist has ports of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = random.randrange(15000 + worker % workers, 32000, workers)
        if port in _given:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind((HOST, port))
        except OSError:
            continue
        _given.add(port)
        return port


def wait_for(condition: Callable[[], T], what: str = "", timeout: float = PATIENCE) -> T:
    """Call ``condition`` until it returns something true, and return that.

    An OSError or AssertionError counts as not yet. Raises AssertionError after
    ``timeout`` seconds, naming ``what`` and the last result or error.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            result = condition()
            if result:
                return result
            last = result
        except (OSError, AssertionError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition}; last: {last!r}")
        time.sleep(0.02)


def listening(port: int) -> bool:
    """Whether something accepts TCP connections on this port."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def get(url: str, form: bytes | None = None) -> bytes:
    """The body at a URL, to which a form may be sent. Raises OSError, for an error status
    with its body."""
    try:
        with urllib.request.urlopen(url, form, timeout=PATIENCE) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:  # which holds the connection open
            raise OSError(f"{url}: {error}: {error.read(500)!r}") from None
    except http.client.HTTPException as error:  # whoever answered ended meanwhile
        raise OSError(f"{url}: {error!r}") from None


def whole_lines(file: Path) -> list[str]:
    """The lines of a file that are written to their end; none without a file."""
    data = file.read_bytes() if file.exists() else b""
    return data[: data.rfind(b"\n") + 1].decode().splitlines()


def send_line(port: int, text: str) -> None:
    """Send text over one TCP connection and close it."""
    with socket.create_connection((HOST, port), timeout=PATIENCE) as connection:
        connection.sendall(text.encode())


def untraced() -> dict[str, str]:
    """The environment for a program that forks among threads: without coverage's tracer,
    in which other threads are when it does."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


class Server:
    """A process that is started, asked whether it is ready, and ended.

    A subclass sets ``command`` and says in `ready` when it can be used. It may be
    stopped and started again on the same ports and folder, to play an outage.
    """

    command: Sequence[str]
    #: Added to the environment of the process.
    environ: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def ready(self) -> bool:
        """Whether the server can be used; asked over and over after the start."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        with self.log.open("ab") as log:
            # A session of its own: what the server starts is ended with it.
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = self.process
        try:
            wait_for(lambda: process.poll() is not None or self.ready(), "ready")
            assert process.poll() is None, f"ended at once with {process.returncode}"
        except AssertionError as error:
            self.stop(kill=True)
            tail = self.log.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{self.command[0]} did not start: {error}\n{tail}") from error

    def stop(self, *, kill: bool = False) -> None:
        """End the process: politely, after `PATIENCE` or with ``kill`` by force.

        What it has started is killed in any case. Twice is harmless.
        """
        process, self.process = self.process, None
        if process is None:
            return
        if not kill:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)

    def __enter__(self: ServerT) -> ServerT:
        """Start."""
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop, by force: nobody needs what it would still write."""
        self.stop(kill=True)


ServerT = TypeVar("ServerT", bound=Server)


class Carbon(Server):
    """carbon-cache: lines over TCP and UDP on ``port``, kept by the second for an hour.

    Writes to disk within about a second: wait for `points` with `wait_for`.
    """

    # Carbon's generated protobuf code needs this with every protobuf from 4 on.
    environ: ClassVar = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}

    def __init__(self, folder: Path) -> None:
        # PyPI's script is named carbon-cache.py, Debian's carbon-cache.
        program = find_program("carbon", "carbon-cache.py", "carbon-cache")
        if importlib.util.find_spec("whisper") is None:
            raise MissingServer("carbon")
        super().__init__(folder)
        self.host = HOST
        self.port = free_port()
        self.pickle_port = free_port()
        self.query_port = free_port()
        self.whisper = folder / "storage" / "whisper"
        config = folder / "conf" / "carbon.conf"
        for path in (config.parent, self.whisper, folder / "log", folder / "run"):
            path.mkdir(parents=True)
        settings = {
            "CONF_DIR": f"{config.parent}/",
            "STORAGE_DIR": f"{folder}/storage/",
            "LOCAL_DATA_DIR": f"{self.whisper}/",
            "WHITELISTS_DIR": f"{folder}/storage/lists/",
            "LOG_DIR": f"{folder}/log/",
            "PID_DIR": f"{folder}/run/",
            "USER": "",
            "DATABASE": "whisper",
            "ENABLE_LOGROTATION": False,
            "MAX_CACHE_SIZE": "inf",
            "MAX_UPDATES_PER_SECOND": "inf",
            "MAX_CREATES_PER_MINUTE": "inf",
            "WHISPER_AUTOFLUSH": True,
            "LINE_RECEIVER_INTERFACE": HOST,
            "LINE_RECEIVER_PORT": self.port,
            "ENABLE_UDP_LISTENER": True,
            "UDP_RECEIVER_INTERFACE": HOST,
            "UDP_RECEIVER_PORT": self.port,
            "PICKLE_RECEIVER_INTERFACE": HOST,
            "PICKLE_RECEIVER_PORT": self.pickle_port,
            "CACHE_QUERY_INTERFACE": HOST,
            "CACHE_QUERY_PORT": self.query_port,
            "CARBON_METRIC_INTERVAL": 0,
            "ENABLE_TAGS": False,
        }
        lines = (f"{name} = {value}" for name, value in settings.items())
        config.write_text("\n".join(("[cache]", *lines, "")))
        (config.parent / "storage-schemas.conf").write_text(
            "[default]\npattern = .*\nretentions = 1s:1h\n"
        )
        (config.parent / "storage-aggregation.conf").write_text(
            "[default]\npattern = .*\nxFilesFactor = 0\naggregationMethod = average\n"
        )
        self.command = [
            *([sys.executable] if program.endswith(".py") else []),
            program,
            f"--config={config}",
            "--nodaemon",
            f"--logdir={folder}/log",
            "start",
        ]

    def ready(self) -> bool:
        """Whether it takes lines and answers queries."""
        return listening(self.port) and listening(self.query_port)

    def stop(self, *, kill: bool = False) -> None:
        """End carbon; unless killed, what it had not yet written is on disk then."""
        super().stop(kill=kill)
        for pid_file in (self.folder / "run").glob("*.pid"):
            pid_file.unlink()

    def file(self, path: str) -> Path:
        """The whisper file of a dotted path, or of ``name;tag=value`` in any order of tags."""
        name, *tags = path.split(";")
        if tags:
            full = ";".join((name, *sorted(tags)))
            digest = hashlib.sha256(full.encode()).hexdigest()
            return self.whisper / "_tagged" / digest[:3] / digest[3:6] / f"{digest}.wsp"
        return self.whisper / f"{name.replace('.', '/')}.wsp"

    def points(self, path: str) -> dict[int, float]:
        """All points of a path that are on disk: second -> value; empty without a file."""
        import whisper  # no condition for the other servers

        file = self.file(path)
        if not file.exists() or not file.stat().st_size:
            return {}
        try:
            fetched = whisper.fetch(str(file), 0)
        except (whisper.CorruptWhisperFile, struct.error):
            return {}  # carbon has just made it, and not finished
        if fetched is None:
            return {}
        (start, end, step), values = fetched
        return {
            second: value
            for second, value in zip(range(start, end, step), values, strict=True)
            if value is not None
        }

    def rolled_up(self, path: str, second: int, step: int) -> float | None:
        """The point of the archive with this step, None if there is none."""
        import whisper

        file = self.file(path)
        if not file.exists() or not file.stat().st_size:
            return None
        # Whisper answers from the finest archive that reaches back far enough.
        try:
            fetched = whisper.fetch(str(file), second - 1, second + 2 * step, archiveToSelect=step)
        except (whisper.CorruptWhisperFile, struct.error):
            return None  # as above
        (start, end, found), values = fetched
        assert found == step
        return dict(zip(range(start, end, step), values))[second]

    def paths(self) -> list[str]:
        """The dotted paths that have a file (not the tagged ones), sorted."""
        files = (file.relative_to(self.whisper) for file in self.whisper.rglob("*.wsp"))
        return sorted(
            ".".join(file.with_suffix("").parts) for file in files if file.parts[0] != "_tagged"
        )

    def refused(self) -> list[str]:
        """The lines of carbon's own log about lines that it did not understand."""
        return [line for line in self.log.read_text().splitlines() if "invalid line" in line]


class GraphiteWeb(Server):
    """graphite-web with a database of its own; here for its events.

    From Debian's package, or a virtual environment that APPMETRICS_GRAPHITE_WEB names:
    from PyPI it wants an old Django, which must not get among what the tests use.
    """

    def __init__(self, folder: Path) -> None:
        own = os.environ.get("APPMETRICS_GRAPHITE_WEB", "")
        if own:
            manage = [f"{own}/bin/django-admin"]
        else:
            manage = [find_program("graphite-web", "graphite-manage")]
        super().__init__(folder)
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        parts = ("storage", "log", "conf", "static", "whisper")
        for part in parts:
            (folder / part).mkdir()
        conf, storage, log, static, whisper = (str(folder / part) for part in parts)
        settings = {
            "SECRET_KEY": "test",
            "TIME_ZONE": "UTC",
            "ALLOWED_HOSTS": ["*"],
            "CONF_DIR": conf,
            "STORAGE_DIR": storage,
            "LOG_DIR": log,
            "STATIC_ROOT": static,
            "WHISPER_DIR": whisper,
            "CARBONLINK_HOSTS": [],
            "DATABASES": {
                "default": {
                    "NAME": f"{storage}/graphite.db",
                    "ENGINE": "django.db.backends.sqlite3",
                }
            },
        }
        text = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
        (folder / "local_settings.py").write_text(text)
        self.environ = {
            "PYTHONPATH": str(folder),
            "DJANGO_SETTINGS_MODULE": "graphite.settings",
            "GRAPHITE_SETTINGS_MODULE": "local_settings",
        }
        subprocess.run(
            [*manage, "migrate", "--run-syncdb"],
            env={**os.environ, **self.environ},
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=2 * PATIENCE,
        )
        self.command = [*manage, "runserver", "--noreload", "--insecure", f"{HOST}:{self.port}"]

    def ready(self) -> bool:
        """Whether it answers."""
        return bool(get(f"{self.url}/events/get_data"))

    def events(self, tag: str) -> list[dict[str, Any]]:
        """The events with a tag."""
        query = urllib.parse.urlencode({"tags": tag})
        found: list[dict[str, Any]] = json.loads(get(f"{self.url}/events/get_data?{query}"))
        return found


class Prometheus(Server):
    """Prometheus, scraping every second; its first scrape comes about five seconds after start.

    ``scrape_configs`` is what the configuration file has under that key.
    """

    def __init__(self, folder: Path, scrape_configs: Sequence[dict[str, Any]]) -> None:
        program = find_program("prometheus")
        super().__init__(folder)
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        config = folder / "prometheus.json"  # JSON is YAML
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "900ms"},
                    "scrape_configs": list(scrape_configs),
                }
            )
        )
        self.command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
        ]

    def ready(self) -> bool:
        """Whether it answers; it may not have scraped yet."""
        return bool(get(f"{self.url}/-/ready"))

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What a PromQL expression gives now: pairs of labels and value."""
        query = urllib.parse.urlencode({"query": expression})
        answer = json.loads(get(f"{self.url}/api/v1/query?{query}"))
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def targets(self) -> list[dict[str, Any]]:
        """Its targets as it sees them; ``health`` is up, down or unknown."""
        return list(json.loads(get(f"{self.url}/api/v1/targets"))["data"]["activeTargets"])

    def wait_until_scraped(self) -> None:
        """Wait until every target is up; raises AssertionError with a target's error.

        A target that is too slow for once, on a busy machine, may be up the next time.
        """

        def scraped() -> bool:
            targets = self.targets()
            errors = [target["lastError"] for target in targets if target["lastError"]]
            assert not errors, errors
            return bool(targets) and all(target["health"] == "up" for target in targets)

        wait_for(scraped, "every target is up")


class VictoriaMetrics(Server):
    """VictoriaMetrics: Graphite lines on ``graphite_port``, OpenTSDB over HTTP on
    ``opentsdb_url``, influx lines and everything else on ``url``."""

    def __init__(self, folder: Path) -> None:
        program = find_program("victoria-metrics")
        super().__init__(folder)
        self.port = free_port()
        self.graphite_port = free_port()
        opentsdb_port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.opentsdb_url = f"http://{HOST}:{opentsdb_port}"
        self.command = [
            program,
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr={HOST}:{self.port}",
            f"-graphiteListenAddr={HOST}:{self.graphite_port}",
            f"-opentsdbHTTPListenAddr={HOST}:{opentsdb_port}",
            "-search.latencyOffset=0s",
            "-memory.allowedBytes=128MB",
            "-retentionPeriod=100y",
        ]

    def ready(self) -> bool:
        """Whether it answers."""
        return get(f"{self.url}/health") == b"OK"

    def series(self, match: str = '{__name__!=""}') -> list[tuple[dict[str, str], list[float]]]:
        """All series that a selector finds: pairs of labels, ``__name__`` among them, and
        the values in the order of time."""
        get(f"{self.url}/internal/force_flush")
        query = urllib.parse.urlencode({"match[]": match})
        lines = get(f"{self.url}/api/v1/export?{query}&start=1").splitlines()
        rows = [json.loads(line) for line in lines]
        return [(row["metric"], [float(value) for value in row["values"]]) for row in rows]

    def values(self, name: str, **labels: str) -> list[float]:
        """The values of one series, which has exactly these labels."""
        wanted = {"__name__": name, **labels}
        return next((values for found, values in self.series() if found == wanted), [])


class Influxd(Server):
    """InfluxDB 1, with an empty database ``test``."""

    def __init__(self, folder: Path) -> None:
        program = find_program("influxd")
        super().__init__(folder)
        port, self.rpc_port = free_port(), free_port()
        self.url = f"http://{HOST}:{port}"
        config = folder / "influxdb.conf"
        config.write_text(
            f"""reporting-disabled = true
bind-address = "{HOST}:{self.rpc_port}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[http]
bind-address = "{HOST}:{port}"
log-enabled = false
"""
        )
        self.command = [program, "run", "-config", str(config)]

    def ready(self) -> bool:
        """Whether it answers; then it has the database."""
        with contextlib.suppress(OSError):
            self.ask("CREATE DATABASE test")
            return True
        return False

    def ask(self, query: str, database: str = "test") -> Any:
        """The answer to an InfluxQL query, times in milliseconds."""
        form = urllib.parse.urlencode({"q": query, "db": database, "epoch": "ms"}).encode()
        return json.loads(get(f"{self.url}/query", form))["results"][0]

    def points(self, measurement: str, database: str = "test") -> list[dict[str, Any]]:
        """All points of a measurement as dicts: ``time``, its fields and its tags."""
        quoted = measurement.replace("\\", "\\\\").replace('"', '\\"')
        answer = self.ask(f'SELECT * FROM "{quoted}"', database)
        return [
            {column: v for column, v in zip(series["columns"], row, strict=True) if v is not None}
            for series in answer.get("series", ())
            for row in series["values"]
        ]

    def measurements(self) -> list[str]:
        """The names of all measurements."""
        answer = self.ask("SHOW MEASUREMENTS")
        return [row[0] for series in answer.get("series", ()) for row in series["values"]]


class Statsd(Server):
    """Etsy's statsd: lines over UDP and TCP on ``port``, flushed to a carbon every second.

    Idle series are not flushed. npm's folder is $APPMETRICS_NPM or .servers/npm.
    """

    def __init__(self, folder: Path, carbon_port: int | None = None) -> None:
        root = os.environ.get("APPMETRICS_NPM") or Path(__file__).parent.parent / ".servers" / "npm"
        script = Path(root) / "node_modules" / "statsd" / "stats.js"
        node = shutil.which("node")
        if node is None or not script.exists():
            raise MissingServer("statsd")
        super().__init__(folder)
        self.port = free_port()
        self.management = free_port()
        config = {
            "servers": [
                {"server": "./servers/udp", "address": HOST, "port": self.port},
                {"server": "./servers/tcp", "address": HOST, "port": self.port},
            ],
            "mgmt_address": HOST,
            "mgmt_port": self.management,
            "flushInterval": 1000,
            "deleteIdleStats": True,
            "percentThreshold": [90],
            "graphite": {"legacyNamespace": False},
            "backends": ["./backends/graphite"],
        }
        if carbon_port is not None:
            config |= {"graphiteHost": HOST, "graphitePort": carbon_port}
        else:
            # Nothing is flushed while a test looks.
            config["flushInterval"] = 3_600_000
        file = folder / "config.js"
        file.write_text(json.dumps(config))
        self.command = [node, str(script), str(file)]

    def ready(self) -> bool:
        """Whether it says that it is up."""
        return "health: up" in self.ask("health")

    def ask(self, verb: str) -> str:
        """The answer of the management port to ``counters``, ``timers``, ``gauges``, ``stats``."""
        with socket.create_connection((HOST, self.management), timeout=PATIENCE) as connection:
            connection.sendall(f"{verb}\n".encode())
            text = b""
            while not text.endswith((b"END\n\n", b"up\n", b"down\n")):
                piece = connection.recv(65536)
                if not piece:
                    break
                text += piece
        return text.decode()

    def kept(self, verb: str) -> dict[str, Any]:
        """``counters``, ``timers`` or ``gauges`` by name, as they are now."""
        text = self.ask(verb).removesuffix("\n\n").removesuffix("END")
        # What it prints is JavaScript's notation of an object, not JSON.
        shown = subprocess.run(
            [self.command[0], "-p", f"JSON.stringify({text})"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        kept: dict[str, Any] = json.loads(shown.stdout)
        return kept


class SyslogNg(Server):
    """syslog-ng as the consumer of JSON lines over TCP on ``port``.

    What its JSON parser takes is in `documents`, any other line in `refused`.
    """

    def __init__(self, folder: Path) -> None:
        program = find_program("syslog-ng")
        super().__init__(folder)
        self.host = HOST
        self.port = free_port()
        self._taken = folder / "taken.json"
        self._refused = folder / "refused.txt"
        config = folder / "syslog-ng.conf"
        config.write_text(
            f"""@version: 3.35
options {{ keep-hostname(yes); stats-freq(0); log-msg-size(1048576); }};
source s_tcp {{ network(ip({HOST}) port({self.port}) transport(tcp) flags(no-parse)); }};
parser p_json {{ json-parser(prefix(".j.")); }};
destination d_taken {{ file("{self._taken}" template("$MESSAGE\\n")); }};
destination d_refused {{ file("{self._refused}" template("$MESSAGE\\n")); }};
log {{
    source(s_tcp);
    log {{ parser(p_json); destination(d_taken); flags(final); }};
    log {{ destination(d_refused); flags(fallback); }};
}};
"""
        )
        self.command = [program, "--foreground", "--no-caps", "--stderr", f"--cfgfile={config}"]
        for option, name in (("persist-file", "persist"), ("control", "ctl"), ("pidfile", "pid")):
            self.command.append(f"--{option}={folder / name}")

    def ready(self) -> bool:
        """Whether it takes connections."""
        return listening(self.port)

    def documents(self) -> list[dict[str, Any]]:
        """The JSON documents taken so far, in order of arrival."""
        return [json.loads(line) for line in whole_lines(self._taken)]

    def refused(self) -> list[str]:
        """The lines that were no JSON."""
        return whole_lines(self._refused)


class WsgiServer(Server):
    """A server of a WSGI application on ``port``, with one process for requests.

    ``application`` is ``module:name``, found in one of the folders ``path``;
    ``options`` go to the server's command line.
    """

    def __init__(
        self, folder: Path, application: str, *options: str, path: Sequence[Path] = ()
    ) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.application = application
        search = [*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])]
        # gunicorn puts a control socket into HOME.
        self.environ = {"PYTHONPATH": os.pathsep.join(search), "HOME": str(folder)}
        self.command = [*self.program(), *options]

    def program(self) -> list[str]:
        """The command line without further options. Raises MissingServer."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether it takes connections."""
        return listening(self.port)


class Waitress(WsgiServer):
    """waitress: threads, no processes."""

    def program(self) -> list[str]:
        """waitress-serve of this interpreter."""
        return [*_module("waitress"), f"--listen={HOST}:{self.port}", self.application]


class Gunicorn(WsgiServer):
    """gunicorn: one sync worker, unless ``options`` say otherwise."""

    def program(self) -> list[str]:
        """gunicorn of this interpreter."""
        bind = f"--bind={HOST}:{self.port}"
        return [*_module("gunicorn"), bind, "--graceful-timeout=1", self.application]


class UWSGI(WsgiServer):
    """uWSGI: one worker, forked off a master that has loaded the application, its default."""

    def program(self) -> list[str]:
        """uwsgi, built for this version of Python."""
        program = find_program("uwsgi")
        version = subprocess.run([program, "--python-version"], capture_output=True, text=True)
        if version.stdout.strip() != sys.version.split()[0]:
            raise MissingServer("uwsgi")
        home = [] if sys.prefix == sys.base_prefix else [f"--home={sys.prefix}"]
        http = [f"--http-socket={HOST}:{self.port}", "--master", "--need-app", "--die-on-term"]
        return [program, *home, *http, f"--module={self.application}"]


class DebianUWSGI(WsgiServer):
    """uWSGI 2.0.21 as Debian 12 has it: its workers run no threads unless told to.

    It brings the system's Python, which is given this interpreter's pure packages.
    """

    def program(self) -> list[str]:
        """/usr/bin/uwsgi with its plugin for Python 3."""
        program = shutil.which("uwsgi", path="/usr/bin")
        if program is None or not list(Path("/usr/lib/uwsgi/plugins").glob("python3*_plugin.so")):
            raise MissingServer("uwsgi-debian")
        packages = [f"--pythonpath={folder}" for folder in site.getsitepackages()]
        http = [f"--http-socket={HOST}:{self.port}", "--master", "--need-app", "--die-on-term"]
        return [program, "--plugin=python3", *packages, *http, f"--module={self.application}"]


class Zope(Server):
    """A stock Zope in an instance folder of its own, with four threads of waitress.

    `make` writes the instance; what is to be changed in it is changed before the
    start. ``path`` are folders of further modules.
    """

    def __init__(self, folder: Path, path: Sequence[Path] = ()) -> None:
        # Its programs begin with the path of their interpreter: this one.
        programs = [find_program("zope", name) for name in ("mkwsgiinstance", "runwsgi")]
        if importlib.util.find_spec("Zope2") is None:
            raise MissingServer("zope")
        super().__init__(folder)
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.instance = folder / "instance"
        self.ini = self.instance / "etc" / "zope.ini"
        self.environ = {"PYTHONPATH": os.pathsep.join(map(str, path))}
        self.command = [programs[1], str(self.ini)]
        self._make = [programs[0], "-d", str(self.instance), "-u", "admin:admin"]

    def make(self) -> None:
        """Make the instance, at a free port."""
        subprocess.run(self._make, check=True, capture_output=True, timeout=PATIENCE)
        text = self.ini.read_text()
        assert text.count("port = 8080\n") == 1
        self.ini.write_text(text.replace("port = 8080\n", f"port = {self.port}\n"))

    def script(self, text: str) -> str:
        """What a script prints that ``zconsole run`` runs, which must end well."""
        (self.folder / "script.py").write_text(text)
        conf = self.ini.with_name("zope.conf")
        done = subprocess.run(
            [*_module("Zope2.utilities.zconsole"), "run", str(conf), "script.py"],
            cwd=self.folder,
            env={**os.environ, **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ready(self) -> bool:
        """Whether it takes connections, which it does when all is loaded."""
        return listening(self.port)


def _module(name: str) -> list[str]:
    need_module(name)
    return [sys.executable, "-m", name]


def need_module(name: str) -> None:
    """Raises MissingServer for a server's module that is not installed."""
    if importlib.util.find_spec(name) is None:
        raise MissingServer(name)


def promtool_complaints(text: str) -> list[str]:
    """What ``promtool check metrics`` says against a Prometheus text; empty is good."""
    program = find_program("promtool")
    done = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, text=True, timeout=PATIENCE
    )
    lines = (done.stdout + done.stderr).splitlines()
    return lines or ([f"promtool ended with {done.returncode}"] if done.returncode else [])


@contextlib.contextmanager
def chromium_browser() -> Iterator[Any]:
    """A headless Chromium, as Playwright's synchronous ``Browser``."""
    program = find_program("chromium", "chromium", "chromium-browser", "google-chrome")
    if importlib.util.find_spec("playwright") is None:
        raise MissingServer("chromium")
    from playwright.sync_api import sync_playwright  # no condition for the other servers

    # Quiet on the network, and without the sandbox, which does not work for root.
    options = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run"
        " --disable-background-networking --disable-component-update --disable-sync"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=options.split(), timeout=PATIENCE * 1000
        )
        try:
            yield browser
        finally:
            browser.close()


class Certificates(NamedTuple):
    """The files of one side of a TLS connection: who signs, who it is, its key."""

    cafile: str
    certfile: str
    keyfile: str


def make_certificates(folder: Path) -> Callable[..., Certificates]:
    """Certificates as a function: ``make("client")``, ``make("server", "DNS:localhost")``.

    All are signed by one authority that is made here; the second argument is whom they
    are good for. Raises MissingServer without openssl.
    """
    openssl = find_program("openssl")
    folder.mkdir(parents=True, exist_ok=True)

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout")
    authority = ("-days", "2", "-subj", "/CN=ca", "-addext", "keyUsage=critical,keyCertSign")
    run("req", "-x509", *key, "ca.key", "-out", "ca.crt", *authority)

    def make(name: str, good_for: str = f"DNS:localhost,IP:{HOST}") -> Certificates:
        (folder / f"{name}.ext").write_text(
            # Python 3.13 takes no certificate that doesn't say who signed it.
            f"subjectAltName={good_for}\nauthorityKeyIdentifier=keyid\n"
        )
        run("req", *key, f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        paths = ("-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", f"{name}.ext")
        run("x509", "-req", *signed, *paths)
        return Certificates(
            *(str(folder / each) for each in ("ca.crt", f"{name}.crt", f"{name}.key"))
        )

    return make
