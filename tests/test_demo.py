"""The demo runs, shows its metrics, ships to a real carbon and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

import appmetrics.demo.carbon
import servers
from appmetrics.config import check_file
from appmetrics.demo import shop
from appmetrics.testing import capture
from servers import get, wait_for

Demo = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The file of what the demo prints."""
    return tmp_path / "output"


@pytest.fixture
def start(tmp_path: Path, output: Path) -> Iterator[Demo]:
    """Start the demo, with nothing but ``tmp_path`` to leave something in."""
    processes = []
    for name in ("cache", "temporary"):
        (tmp_path / name).mkdir()

    def start(*arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "appmetrics", "demo", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    "XDG_CACHE_HOME": str(tmp_path / "cache"),
                    "TMPDIR": str(tmp_path / "temporary"),
                    **environ,
                },
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def pypi_carbon() -> None:
    """Skips where the demo would have to install carbon first."""
    if not Path(sys.executable).with_name("carbon-cache.py").exists():
        pytest.skip(f"no real server: {servers.MissingServer('carbon')}")


def ended(demo: subprocess.Popen[bytes], output: Path) -> str:
    """Wait for its end, which must be a clean one; all that it printed."""
    # It may have to make a virtual environment, or to wait for carbon.
    status = demo.wait(3 * servers.PATIENCE)
    text = output.read_text()
    assert status == 0, text
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(
    start: Demo, output: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Visitors come, the page shows what they did; Ctrl-C or SIGTERM ends it without a trace."""
    url = f"http://127.0.0.1:{(port := servers.free_port())}/metrics"
    demo = start("--no-carbon", "--port", str(port))

    def seen() -> bool:
        series = json.loads(get(f"{url}?format=series"))["series"]
        return any(each["name"] == "shop.requests" and each["value"] > 3 for each in series)

    wait_for(lambda: url in output.read_text() and seen(), "the address, and requests on the page")
    demo.send_signal(number)
    ended(demo, output)
    assert not servers.listening(port)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.usefixtures("pypi_carbon")
def test_carbon_holds_what_the_shop_took(start: Demo, output: Path, tmp_path: Path) -> None:
    """Whisper's files hold exactly the orders that were made, and carbon ends with the demo."""
    demo = start("--port", "0")
    line = r"carbon holds: shop\.orders count=\d+ at \d\d:\d\d:\d\d"
    # For some seconds of each minute the shop takes no orders.
    wait_for(lambda: re.search(line, output.read_text()), line, timeout=2 * servers.PATIENCE)
    (file,) = (tmp_path / "temporary").glob("appmetrics-demo-*/run/*.pid")
    pid = int(file.read_text())
    demo.send_signal(signal.SIGINT)
    text = ended(demo, output)
    totals = re.search(r"the shop took (\d+) orders, carbon holds (\d+)", text)
    assert totals, text
    assert totals[1] == totals[2]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.slow
def test_without_carbon_it_says_why(start: Demo, output: Path, tmp_path: Path) -> None:
    """Where carbon can't be installed one line says so, and the demo goes on without it."""
    bare = tmp_path / "bare"
    bare.mkdir()
    # An interpreter without carbon beside it, and an index that isn't there.
    (bare / "sitecustomize.py").write_text(f"import sys; sys.executable = {str(bare / 'python')!r}")
    (bare / "python").symlink_to(Path(sys.executable).resolve())
    path = os.pathsep.join(filter(None, [str(bare), os.environ.get("PYTHONPATH")]))
    nowhere = f"http://127.0.0.1:{servers.free_port()}/"
    demo = start("--seconds", "1", "--port", "0", PYTHONPATH=path, PIP_INDEX_URL=nowhere)
    text = ended(demo, output)
    assert len(re.findall("^without Graphite: carbon", text, re.MULTILINE)) == 1
    assert "/metrics" in text
    assert list((tmp_path / "temporary").iterdir()) == []
    assert [*tmp_path.glob("cache/appmetrics/*")] == []


def test_a_port_in_use_is_one_sentence(start: Demo, output: Path) -> None:
    """A port that was asked for and is taken ends the demo with an error, not a traceback."""
    with servers.socket.create_server(("127.0.0.1", 0)) as taken:
        demo = start("--no-carbon", "--port", str(taken.getsockname()[1]))
        assert demo.wait(servers.PATIENCE) == 2
    assert "in use" in output.read_text()
    assert "Traceback" not in output.read_text()


def test_a_failed_installation_is_told() -> None:
    """A step that fails is reported with the last line that it printed."""
    with pytest.raises(appmetrics.demo.carbon.NoCarbon, match=r"no such package$"):
        appmetrics.demo.carbon._run("sh", "-c", "echo trying; echo no such package; exit 1")


def test_both_configurations_are_right() -> None:
    """The demo's two files have neither an error nor a warning."""
    for name in ("shop.ini", "shop-without-carbon.ini"):
        checked = check_file(Path(appmetrics.demo.__file__).with_name(name))
        assert checked.problems == ()
        assert checked.warnings == ()
        assert checked.handlers


def test_the_shop_counts_what_it_sells() -> None:
    """An order over WSGI is counted once, with its price; a wrong one not at all."""

    def visit(path: str, query: str = "") -> str:
        answers: list[str] = []
        environ = {"PATH_INFO": path, "QUERY_STRING": query}
        shop.application(environ, lambda status, headers: answers.append(status))  # type: ignore
        return answers[0]

    with capture() as metrics:
        wait_for(lambda: visit("/order", "product=tea&country=fr") == "200 OK", "an order")
        assert metrics.value("shop.orders", country="fr") == 1
        assert metrics.value("shop.revenue") == shop.PRICES["tea"]
        assert visit("/order", f"product={quote('<gold>')}&country=fr") == "404 Not Found"
        assert visit("/nowhere") == "404 Not Found"
        assert metrics.value("shop.orders") == 1
        assert metrics.value("shop.requests", page="unknown", status="404") == 1
        assert metrics.value("shop.answering") == 0
