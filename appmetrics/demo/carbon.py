"""A carbon of one's own: from PyPI, in a folder of its own, on loopback.

Owns how carbon gets here, how it is started and ended, and how whisper's files
are read. It knows nothing of the shop.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

HOST = "127.0.0.1"
PACKAGES = ("carbon>=1.1.10", "whisper>=1.1.10")
#: carbon 1.1.10's setup.py calls ConfigParser.readfp, which Python 3.12 removed.
NEWEST_PYTHON = (3, 11)
#: Seconds that pip may take, that carbon may take to start, and whisper to be read.
INSTALL_SECONDS = 300.0
START_SECONDS = 60.0
READ_SECONDS = 60.0

#: Run by the Python that has whisper: the points of the named files since a time.
#: The last round is due in the future, so that "now" is not the end.
_READER = """
import json, sys, time, whisper
start, *files = sys.argv[1:]
now = int(time.time()) + 60
points = []
for file in files:
    fetched = whisper.fetch(file, int(start), now, now)
    (first, end, step), values = fetched
    points.append({t: v for t, v in zip(range(first, end, step), values) if v is not None})
print(json.dumps(points))
"""


class NoCarbon(Exception):
    """Raised when there can be no carbon here; says why in a sentence."""


class Carbon:
    """A running carbon-cache that keeps each second for an hour, in a ``with`` block.

    ``folder`` takes its configuration and its files. Raises NoCarbon on entering
    if carbon can't be installed or doesn't start. ``say`` is told what takes long.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.files = folder / "storage" / "whisper"
        self.port = _free_port()
        self._say = say
        self._python = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._started = int(time.time())

    def __enter__(self) -> Carbon:
        try:
            self._python, script = _find(self.folder, self._say)
            self._start(script)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            _end(self._process)

    def read(self, pattern: str) -> dict[str, dict[int, float]]:
        """The points of all paths that fit a glob such as ``demo.*.count``, by second."""
        files = sorted(self.files.glob(pattern.replace(".", "/") + ".wsp"))
        try:
            done = subprocess.run(
                [self._python, "-c", _READER, str(self._started), *map(str, files)],
                check=True,
                capture_output=True,
                timeout=READ_SECONDS,
                start_new_session=True,  # Ctrl-C is for the demo
            )
        except subprocess.SubprocessError:
            return {}  # a file is made first and filled afterwards
        found: list[Mapping[str, float]] = json.loads(done.stdout)
        paths = (".".join(file.relative_to(self.files).with_suffix("").parts) for file in files)
        return {
            path: {int(second): value for second, value in points.items()}
            for path, points in zip(paths, found)
        }

    def _start(self, script: str) -> None:
        config = self.folder / "conf" / "carbon.conf"
        for folder in ("conf", "log", "run", "storage/whisper"):
            (self.folder / folder).mkdir(parents=True)
        settings: dict[str, Any] = {
            "CONF_DIR": config.parent,
            "STORAGE_DIR": self.folder / "storage",
            "LOCAL_DATA_DIR": self.files,
            "WHITELISTS_DIR": self.folder / "storage" / "lists",
            "LOG_DIR": self.folder / "log",
            "PID_DIR": self.folder / "run",
            "USER": "",
            "ENABLE_LOGROTATION": False,
            "MAX_UPDATES_PER_SECOND": "inf",
            "MAX_CREATES_PER_MINUTE": "inf",
            "LINE_RECEIVER_INTERFACE": HOST,
            "LINE_RECEIVER_PORT": self.port,
            "PICKLE_RECEIVER_PORT": 0,
            "CACHE_QUERY_INTERFACE": HOST,
            "CACHE_QUERY_PORT": 0,
            "CARBON_METRIC_INTERVAL": 0,
            "ENABLE_TAGS": False,
        }
        lines = (f"{name} = {value}" for name, value in settings.items())
        config.write_text("\n".join(("[cache]", *lines, "")))
        for name, rule in (
            ("storage-schemas.conf", "retentions = 1s:1h"),
            ("storage-aggregation.conf", "xFilesFactor = 0\naggregationMethod = average"),
        ):
            config.with_name(name).write_text(f"[default]\npattern = .*\n{rule}\n")
        log = self.folder / "log" / "start.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [self._python, script, f"--config={config}", "--nodaemon", "start"],
                cwd=self.folder,
                # Its generated protobuf code needs this with every protobuf from 4 on.
                env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C must not end it before the shop's last round has arrived.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().rpartition("\n")[2]
                raise NoCarbon(f"carbon does not start: {last or 'it says nothing'}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, self.port), 1).close()
            return True
        return False


def _find(folder: Path, say: Callable[[str], None]) -> tuple[str, str]:
    """A Python that has carbon and whisper, and carbon's script."""
    beside = Path(sys.executable).with_name("carbon-cache.py")
    if beside.exists() and importlib.util.find_spec("whisper"):
        return sys.executable, str(beside)
    python = _suitable_python()
    venv = _cache() / f"carbon-{Path(python).resolve().name}"
    # The Python that it was made with may be gone.
    if not (venv / "bin" / "python").exists():
        say(f"installing carbon from PyPI into {venv}, this once ...")
        try:
            venv.parent.mkdir(parents=True, exist_ok=True)
            building = Path(tempfile.mkdtemp(prefix="building-", dir=venv.parent))
        except OSError:
            venv = building = folder / "venv"
        try:
            _run(python, "-m", "venv", str(building))
            pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            _run(str(building / "bin" / "python"), *pip, "--retries=1", *PACKAGES)
            if building != venv:
                shutil.rmtree(venv, ignore_errors=True)
                with contextlib.suppress(OSError):  # another demo was faster
                    building.rename(venv)
        finally:
            if building != venv:
                shutil.rmtree(building, ignore_errors=True)
    return str(venv / "bin" / "python"), str(venv / "bin" / "carbon-cache.py")


def _suitable_python() -> str:
    if sys.version_info[:2] <= NEWEST_PYTHON:
        return sys.executable
    for name in ("python3.11", "python3.10"):
        found = shutil.which(name)
        if found is not None:
            # One that is there need not work: pyenv's stand-ins, Debian without python3-venv.
            tried = subprocess.run([found, "-c", "import ensurepip"], capture_output=True)
            if not tried.returncode:
                return found
    raise NoCarbon("carbon installs on Python 3.11 and older only, and there is none here")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "appmetrics"


def _run(*command: str) -> None:
    """Run a step of the installation; raises NoCarbon with the last line it printed."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise NoCarbon(f"carbon was not installed within {INSTALL_SECONDS:g} s") from None
        finally:
            _end(process)
        if status:
            output.seek(0)
            last = output.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise NoCarbon(f"carbon can't be installed: {last or command}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, politely first."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
