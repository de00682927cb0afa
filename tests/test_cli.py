"""The command line, as a user meets it: what it prints, how it ends, what it leaves alone."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import appmetrics
from appmetrics.cli import main
from appmetrics.handlers.file import FileHandler
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.hierarchy import hierarchy
from appmetrics.testing import World
from appmetrics.wsgi import MetricsApp
from servers import PATIENCE, free_port

GOOD = """
[metrics]
handlers = lines
[metrics.handler.lines]
class = stream
stream = stdout
"""

NO_TARGET = """
[metrics]
handlers = carbon
[metrics.handler.carbon]
class = graphite
port = {port}
"""


@dataclass
class Result:
    """How a run ended, and what it printed."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process."""
    monkeypatch.delenv("APPMETRICS_CONFIG", raising=False)

    def run(*arguments: object) -> Result:
        status = main([str(each) for each in arguments])
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture
def world() -> World:
    """Some meters with a number of every kind."""
    world = World()
    shop = world.meter("shop")
    orders = shop.counter("orders", labels=("shop",))
    orders.labels("de").inc(1200)
    orders.labels("\x1b[31mfr\n").inc()
    shop.timer("render").observe(0.0125)
    shop.gauge("size", unit="bytes").set(123_000_000)
    shop.gauge("lost", callback=lambda: 1 / 0)
    shop.state("database").set("critical", "no route\x07")
    return world


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Serve a WSGI application on loopback: ``serve(app)`` gives host:port."""
    running = []

    def serve(app: Any) -> str:
        server = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        running.append((server, thread))
        thread.start()
        return f"127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)


@pytest.fixture
def page(world: World, serve: Callable[[Any], str]) -> str:
    """The address of the world's metrics."""
    return serve(MetricsApp(reporter=world.reporter))


def answering(body: str, status: str = "200 OK", *headers: tuple[str, str]) -> Any:
    """A WSGI application that always answers the same, and keeps what it was asked."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        app.asked.append(environ)  # type: ignore[attr-defined]
        start_response(status, list(headers))
        return [body.encode()]

    app.asked = []  # type: ignore[attr-defined]
    return app


def write(folder: Path, text: str) -> Path:
    """An ini file."""
    file = folder / "app.ini"
    file.write_text(text)
    return file


def command(*arguments: object) -> list[str]:
    """``python -m appmetrics`` as a command of its own."""
    return [sys.executable, "-W", "error", "-m", "appmetrics", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """This process' environment without what colours or configures."""
    without = {"NO_COLOR", "TERM", "COLUMNS", "LINES", "APPMETRICS_CONFIG"}
    kept = {key: value for key, value in os.environ.items() if key not in without}
    root = str(Path(appmetrics.__file__).parent.parent)
    return {**kept, "PYTHONPATH": root, "TERM": "xterm", **more}


def columns(line: str) -> list[str]:
    """The cells of a table's line."""
    return re.split(r" {2,}", line)


def rows(text: str) -> dict[str, list[str]]:
    """The cells of a table's rows, by name."""
    return {cells[0]: cells for cells in map(columns, text.splitlines()[2:])}


# -- check -----------------------------------------------------------------------


def test_a_good_file_is_fine(run: Run, tmp_path: Path) -> None:
    """A file without a mistake ends with status 0 and says which handlers it has."""
    result = run("check", write(tmp_path, GOOD))
    assert (result.status, result.err) == (0, "")
    assert result.out.endswith("can be used: handlers lines (stdout)\n")


def test_all_errors_are_printed_with_their_place(run: Run, tmp_path: Path) -> None:
    """Each error has file, line, section, key, value, message and the nearest known word."""
    file = write(tmp_path, GOOD.replace("stream = stdout", "strem = stdout\nlevel = LOUD"))
    result = run("check", file)
    assert result.status == 2
    place = f"error: {file}:6 [metrics.handler.lines] strem = stdout: unknown option"
    assert f"{place} (did you mean 'stream'?)" in result.out
    assert f"error: {file}:7 [metrics.handler.lines] level = LOUD: expected a level" in result.out
    assert result.out.endswith("can't be used: 2 errors\n")


def test_warnings_count_when_strict(run: Run, tmp_path: Path) -> None:
    """What is legal but surely not meant is printed; it fails with --strict only."""
    file = write(tmp_path, GOOD + "[metrics.filter.x]\nclass = name\n")
    result = run("check", file)
    assert result.status == 0
    assert "warning: " in result.out
    assert "1 warning" in result.out
    assert run("check", file, "--strict").status == 1


def test_a_missing_file_is_an_error(run: Run, tmp_path: Path) -> None:
    """A file that can't be read ends with status 2 and the reason."""
    result = run("check", tmp_path / "none.ini")
    assert result.status == 2
    assert "can't be read: No such file or directory" in result.out


def test_connect_tries_each_target(run: Run, tmp_path: Path) -> None:
    """A target that answers is ok; one that refuses is named, and ends with status 1."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        file = write(tmp_path, NO_TARGET.format(port=port))
        result = run("check", file, "--connect")
        assert (result.status, f"ok       carbon 127.0.0.1:{port}" in result.out) == (0, True)
    file = write(tmp_path, NO_TARGET.format(port=free_port()))
    result = run("check", file, "--connect")
    assert result.status == 1
    assert re.search(r"^refused +carbon 127.0.0.1:\d+: Connection refused$", result.out, re.M)


def test_a_page_that_is_in_use_is_no_failure(run: Run, tmp_path: Path) -> None:
    """The port of the page is most likely in use by the application itself."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        text = "[metrics]\nhandlers = h\n[metrics.handler.h]\nclass = http\nlisten = 127.0.0.1:{}\n"
        file = write(tmp_path, text.format(server.getsockname()[1]))
        result = run("check", file, "--connect")
    assert (result.status, "in use   h http://" in result.out) == (0, True)


def test_a_handler_without_a_check_is_untried(run: Run, tmp_path: Path) -> None:
    """It isn't called ok where nothing was tried."""
    file = write(tmp_path, GOOD.replace("stream\nstream = stdout", "null"))
    out = run("check", file, "--connect").out
    assert "can be used: handlers lines\n" in out
    assert "untried  lines: this handler has no check()\n" in out


def test_check_leaves_the_process_as_it_was(run: Run, tmp_path: Path) -> None:
    """Checking configures nothing, starts no thread and listens nowhere."""
    before, threads = (hierarchy.version, hierarchy.handlers()), set(threading.enumerate())
    port = free_port()
    http = "[metrics]\nhandlers = h\n[metrics.handler.h]\nclass = http\nlisten = 127.0.0.1:{}\n"
    assert run("check", write(tmp_path, http.format(port)), "--connect").status == 0
    assert (hierarchy.version, hierarchy.handlers()) == before
    # Those of other tests may end meanwhile.
    assert set(threading.enumerate()) <= threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


def test_handlers_of_the_application_are_found_in_the_current_folder(tmp_path: Path) -> None:
    """A dotted path is looked for where a WSGI server would look, too."""
    (tmp_path / "mine.py").write_text(
        "from appmetrics import Handler\nclass Mine(Handler):\n    pass\n"
    )
    write(tmp_path, "[metrics]\nhandlers = m\n[metrics.handler.m]\nclass = mine.Mine\n")
    script = (
        "import sys; del sys.path[0]; from appmetrics.cli import main; main(['check', 'app.ini'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert "can be used" in done.stdout


def test_check_imports_from_the_folders_it_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that isn't found says where it was looked for; --path adds a folder."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / "theirs.py").write_text(
        "from appmetrics import Handler\nclass Theirs(Handler):\n    pass\n"
    )
    file = write(tmp_path, "[metrics]\nhandlers = m\n[metrics.handler.m]\nclass = theirs.Theirs\n")
    out = run("check", file).out
    assert re.search(rf"^modules were looked for in .*{os.getcwd()}.*--path DIR", out, re.M)
    assert run("check", file, "--path", tmp_path / "nosuch").status == 2
    assert run("check", file, "--path", folder).status == 0
    assert run("explain", "a.b", "--config", file, "--path", folder).status == 0


# -- show ------------------------------------------------------------------------


def test_show_prints_a_table(run: Run, page: str) -> None:
    """Each series has a line, with its value in the unit that people read."""
    result = run("show", page, "--query", "shop.*")
    table = rows(result.out)
    assert (result.status, result.err) == (0, "")
    assert table['shop.orders{shop="de"}'][1:] == ["counter", "1,200"]
    assert table["shop.size"][2] == "123 MB"
    assert table["shop.lost"][2] == "-"
    assert table["shop.render"][2:4] == ["1", "12.5 ms"]
    assert "6 series  mean to max since the start" in result.out.splitlines()[0]


def test_show_tells_of_handlers_first(run: Run, page: str, world: World) -> None:
    """What each has sent and keeps, and what went wrong last."""
    lines = MemoryHandler(name="lines")
    world.meter().add_handler(lines)
    world.advance(10)
    lines.count_failure("disk\x1b[31m full")
    out = run("show", page, "--query", "shop.*").out
    head, row, empty = out.splitlines()[1:4]
    assert head.split()[:6] == ["HANDLER", "STATE", "TARGET", "SENT", "QUEUE", "DROPPED"]
    assert re.split(" {2,}", row)[:2] == ["lines", "well"]
    assert re.split(" {2,}", row)[3] == str(lines.stats.sent)
    assert row.endswith("disk\\x1b[31m full")
    assert empty == ""
    world.clock.advance(1)
    lines.count_failure("disk full")
    out = run("show", page, "--query", "shop.*").out
    assert out.splitlines()[2].split()[:2] == ["lines", "failing"]


def test_show_tells_what_is_left_out_and_who_shares(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in a line below the head."""
    answer = {
        "host": "web1", "pid": 12, "time": 1000.0, "series": [],
        "left_out": "5 series left out, as a page has at most 10 (max_series)",
        "sharing": {"processes": [11, 12], "leader": 11, "told": 998.0},
        "handlers": [{"name": "carbon", "pid": 11, "sent": 5, "time_left": 2400.0}],
    }  # fmt: skip
    monkeypatch.setattr("appmetrics.cli.sources.get", lambda *arguments: json.dumps(answer))
    lines = run("show", "127.0.0.1:9464").out.splitlines()
    assert lines[1] == answer["left_out"]
    assert lines[2].startswith("shared by 2 processes (11, 12); process 11 sends for all; its ")
    assert "2 s ago" in lines[2]
    assert lines[4].split() == ["carbon", "well", "5", "40", "min", "0", "s"]
    answer["sharing"] = {"processes": [11], "leader": 0, "told": None}
    lines = run("show", "127.0.0.1:9464").out.splitlines()
    assert lines[2] == "shared by 1 process (11)"
    answer["sharing"] = {"processes": 5}
    assert run("show", "127.0.0.1:9464").status == 2


def test_a_timer_without_values_has_no_statistics(run: Run, page: str, world: World) -> None:
    """What was never measured has no mean of 0."""
    world.meter("shop").timer("idle")
    assert rows(run("show", page, "--query", "shop.idle").out)["shop.idle"] == [
        "shop.idle",
        "timer",
        "0",
    ]


def test_columns_are_aligned_and_only_there_when_needed(run: Run, page: str) -> None:
    """Numbers are flush right under their title; a column without any text is left out."""
    lines = run("show", page, "--query", "shop.orders").out.splitlines()[1:]
    assert columns(lines[0]) == ["NAME", "KIND", "VALUE"]
    assert len({len(line) for line in lines}) == 1


def test_hostile_names_send_no_control_characters(run: Run, page: str) -> None:
    """Names, labels and descriptions reach the terminal as escapes."""
    result = run("show", page)
    assert 'shop.orders{shop="\\x1b[31mfr\\n"}' in result.out
    assert "no route\\x07" in result.out
    assert result.out.replace("\n", "").isprintable()


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/metrics", "http://{}", "http://{}/metrics?x=1"])
def test_an_address_may_be_short(run: Run, page: str, form: str) -> None:
    """Scheme and path may be left out."""
    assert "shop.size" in run("show", form.format(page)).out


def test_what_matches_nothing_says_so(run: Run, page: str) -> None:
    """An empty table has a sentence instead."""
    assert run("show", page, "--query", "none.*").out.endswith("nothing matches none.*\n")


def test_a_token_travels_with_the_request(
    run: Run, serve: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    """A protected page is read with $APPMETRICS_TOKEN; without, the error tells of it."""
    address = serve(MetricsApp(reporter=world.reporter, token="secret"))
    assert "$APPMETRICS_TOKEN" in run("show", address).err
    monkeypatch.setenv("APPMETRICS_TOKEN", "secret")
    assert "shop.size" in run("show", address).out


def test_a_token_does_not_follow_a_redirect(
    run: Run, serve: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect is an error that names its target, which never sees the token."""
    other = answering("{}")
    target = f"http://{serve(other)}/metrics"
    address = serve(answering("", "302 Found", ("Location", target)))
    monkeypatch.setenv("APPMETRICS_TOKEN", "secret")
    result = run("show", address)
    assert (result.status, other.asked) == (2, [])
    assert f"(it points to {target})" in result.err


@pytest.fixture
def lines_file(tmp_path: Path, world: World) -> Path:
    """A file of JSON lines, written by a file handler in two rounds."""
    file = tmp_path / "metrics.json"
    world.meter().add_handler(FileHandler(name="file", path=str(file)))
    world.advance(10)
    world.meter("shop").counter("orders", labels=("shop",)).labels("de").inc(50)
    world.advance(10)
    world.stop()
    return file


def test_a_file_of_json_lines_shows_the_newest_of_each_series(run: Run, lines_file: Path) -> None:
    """Of many rounds the last values are shown, with the rates that the file tells."""
    result = run("show", lines_file, "--query", "shop.*")
    table = rows(result.out)
    assert table['shop.orders{shop="de"}'][1:3] == ["counter", "1,250"]
    assert columns(result.out.splitlines()[1])[:4] == ["NAME", "KIND", "VALUE", "RATE"]
    assert table["shop.database"][2:] == ["critical", "no route\\x07"]
    assert "2001-09-09" in result.out.splitlines()[0]


def test_a_line_that_is_being_written_is_left_out(run: Run, lines_file: Path) -> None:
    """A torn last line, or one of another program, disturbs nothing."""
    with lines_file.open("a") as file:
        file.write('[1]\n{"metric": 3}\nnonsense\n{"@timestamp": "2001-')
    assert rows(run("show", lines_file).out)["shop.size"][2] == "123 MB"


def test_a_series_that_stopped_is_marked(run: Run, lines_file: Path) -> None:
    """A series whose last line is much older than the file's newest says so."""
    lines = lines_file.read_text().splitlines()
    size = next(json.loads(line) for line in lines if '"shop.size"' in line)
    size["@timestamp"] = "2001-09-09T00:00:00.000Z"
    kept = [line for line in lines if '"shop.size"' not in line]
    lines_file.write_text("\n".join([json.dumps(size), *kept]) + "\n")
    assert rows(run("show", lines_file).out)["shop.size"][-1].startswith("107 min ")


def test_a_prometheus_textfile_is_shown(run: Run, tmp_path: Path, world: World) -> None:
    """A file in Prometheus' format has its names; a histogram is one row with its mean."""
    file = tmp_path / "shop.prom"
    handler = FileHandler(path=str(file), formatter=appmetrics_formatter())
    world.meter().add_handler(handler)
    world.advance(10)
    world.stop()
    table = rows(run("show", file, "--query", "shop*").out)
    assert table['shop_orders{shop="de"}'][1:] == ["counter", "1,200"]
    assert table["shop_render_seconds"][1:] == ["histogram", "1", "12.5 ms"]
    assert table["shop_size_bytes"][1:] == ["gauge", "123 MB"]
    assert table['shop_orders{shop="\\x1b[31mfr\\n"}'][2] == "1"


def appmetrics_formatter() -> Any:
    """The formatter of Prometheus' text."""
    from appmetrics.formatters import PrometheusFormatter

    return PrometheusFormatter()


def test_other_prometheus_texts_are_shown(run: Run, tmp_path: Path) -> None:
    """A summary is one row like a histogram; lines that make no sense are left out."""
    file = tmp_path / "other.prom"
    file.write_text(
        "# TYPE http_seconds summary\n"
        'http_seconds{quantile="0.5"} 0.2\n'
        "http_seconds_sum 2\n"
        "http_seconds_count 8 1700000000000\n"
        "broken{ 1\n"
        "wrong one\n"
        'up{path="C:\\\\n\\"x\\"}"} 1\n'
    )
    table = rows(run("show", file).out)
    assert table["http_seconds"][1:] == ["histogram", "8", "250 ms"]
    assert table['up{path="C:\\\\n\\"x\\"}"}'][2] == "1"
    assert len(table) == 2


def test_of_a_huge_file_the_end_is_read(
    run: Run, lines_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the newest part of a long log is read, and that is said."""
    last = len(lines_file.read_bytes().splitlines(keepends=True)[-1])
    monkeypatch.setattr("appmetrics.cli.sources.TAIL", last + 10)
    result = run("show", lines_file)
    assert len(rows(result.out)) == 1
    assert "of the file" in result.out


def test_what_is_no_http_is_an_error_in_one_sentence(run: Run) -> None:
    """A server of another protocol is named as such."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def answer() -> None:
            with closing(server.accept()[0]) as connection:
                connection.recv(1000)
                connection.sendall(b"220 mail ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        result = run("show", f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "can't be read: 220 mail ESMTP" in result.err


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("hello", "200 OK", "answers, but not as appmetrics does"),
        ("{}", "200 OK", "answers, but not as appmetrics does"),
        ("[" * 100_000, "200 OK", "answers, but not as appmetrics does"),
        ('{"series": [{}], "time": 1}', "200 OK", "answers, but not as appmetrics does"),
        ('{"series": [], "time": 1e300}', "200 OK", "answers, but not as appmetrics does"),
        ("", "404 Not Found", "answers 404 Not Found"),
    ],
)
@pytest.mark.parametrize("asking", [("show",), ("explain", "a", "--url")])
def test_another_server_is_an_error_in_one_sentence(
    run: Run, serve: Callable[[Any], str], body: str, status: str, message: str, asking: Any
) -> None:
    """Whatever answers, it ends with one sentence and status 2."""
    if asking[0] == "explain" and "series" in body:
        body = body.replace("series", "steps")
    result = run(*asking, serve(answering(body, status)))
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "none.json"], "no such file, and not an address"),
        (["show", "/"], "can't be read: Is a directory"),
        (["show", "http://:x"], "is not an address"),
        (["show", "ftp://host/metrics"], "is not an address"),
        (["show", "http://\x1b[31m/"], "\\x1b[31m"),
        (["show", f"127.0.0.1:{free_port()}"], "can't be reached: Connection refused"),
        (["show", "x", "--watch", "0"], "expected a duration above zero"),
        (["show"], "required: URL|FILE (see appmetrics show --help)"),
        (["sho"], "invalid choice: 'sho'"),
        (["explain", "a"], "say where to look"),
        (["explain", "a", "--url", ":1", "--label", "x"], "--label x: expected NAME=VALUE"),
        (["explain", "a", "--config", "none.ini"], "none.ini: can't be read: No such file"),
        (["explain", "a", "--config", "none.ini", "--level", "x"], "--level: unknown level 'x'"),
    ],
)
def test_errors_are_one_sentence(run: Run, arguments: list[str], message: str) -> None:
    """A mistake ends with status 2 and one sentence on stderr, never with a traceback."""
    result = run(*arguments)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith("appmetrics: ")
    assert message in result.err


def test_a_file_that_is_something_else_is_an_error(run: Run, tmp_path: Path) -> None:
    """A file that holds no metrics says so."""
    for text in ("hello\n", "{}\n", '{"a": 1}\n'):
        result = run("show", write(tmp_path, text))
        assert result.status == 2
        assert "holds n" in result.err


# -- explain ---------------------------------------------------------------------


def test_explain_asks_a_process(run: Run, page: str, world: World) -> None:
    """With --url the steps are those of the running process."""
    result = run("explain", "shop.orders", "--url", page, "--label", "shop=de")
    assert (result.status, result.err) == (0, "")
    assert re.match(r'shop\.orders\{shop="de"\}\n  ok +exists ', result.out)
    assert "1,200" in result.out
    assert "this page shows it" in result.out


def test_explain_has_near_matches_for_an_unknown_name(run: Run, page: str) -> None:
    """A name that the process doesn't know ends with status 1 and those that it may be."""
    result = run("explain", "shop.ordres", "--url", page)
    assert result.status == 1
    assert re.search(r"similar .*\n +shop\.orders\n", result.out)


def test_explain_foresees_what_a_file_would_do(run: Run, tmp_path: Path) -> None:
    """With --config it shows the final paths of a metric that no process has registered."""
    text = NO_TARGET.format(port=2003) + "prefix = apps\n[metrics.meter.shop]\nlevel = ERROR\n"
    file = write(tmp_path, text)
    result = run("explain", "blog.render", "--config", file, "--kind", "timer")
    assert "apps.blog.render.p95" in result.out
    result = run("explain", "shop.render", "--config", file)
    assert "INFO is below ERROR, set by meter shop" in result.out
    result = run("explain", "shop.x", "--config", file, "--level", "ERROR", "--label", "a=b")
    assert "apps.shop.x.b.count" in result.out


def test_explain_takes_the_file_of_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --url and --config it is $APPMETRICS_CONFIG."""
    monkeypatch.setenv("APPMETRICS_CONFIG", str(write(tmp_path, GOOD)))
    assert "handler lines" in run("explain", "shop.orders").out


def test_explain_of_a_file_leaves_the_process_as_it_was(run: Run, tmp_path: Path) -> None:
    """Foreseeing configures nothing and starts no thread."""
    before, threads = (hierarchy.version, hierarchy.handlers()), set(threading.enumerate())
    run("explain", "shop.orders", "--config", write(tmp_path, GOOD))
    assert (hierarchy.version, hierarchy.handlers()) == before
    assert set(threading.enumerate()) <= threads


def test_a_file_with_errors_can_not_be_explained(run: Run, tmp_path: Path) -> None:
    """All errors of the file are printed instead."""
    result = run("explain", "a", "--config", write(tmp_path, GOOD.replace("stdout", "nowhere")))
    assert (result.status, result.out) == (2, "")
    assert "stream = nowhere" in result.err


# -- as a program ----------------------------------------------------------------


def test_it_runs_as_a_module() -> None:
    """``python -m appmetrics --version`` prints the version, without a warning."""
    done = subprocess.run(
        command("--version"), env=environment(), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (f"appmetrics {appmetrics.__version__}\n", "")


def test_without_arguments_it_helps(run: Run) -> None:
    """The commands are listed, and the status is that of a mistake."""
    result = run()
    assert result.status == 2
    assert all(word in result.err for word in ("check", "show", "explain", "demo"))


def test_demo_gets_its_own_arguments() -> None:
    """What follows ``demo`` is the demo's, options included."""
    pytest.importorskip("waitress")
    done = subprocess.run(
        command("demo", "--help"), env=environment(), capture_output=True, text=True
    )
    assert done.stdout.startswith("usage: appmetrics demo")


def test_what_the_demo_needs_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its extra the demo ends with the command that installs it."""
    monkeypatch.setitem(sys.modules, "waitress", None)
    for name in [name for name in sys.modules if name.startswith("appmetrics.demo")]:
        monkeypatch.delitem(sys.modules, name)
    result = run("demo")
    assert result.status == 2
    assert "the demo needs waitress: pip install 'appmetrics-routing[demo]'" in result.err


def big_file(folder: Path) -> Path:
    """A file with more series than a pipe holds."""
    file = folder / "big.prom"
    file.write_text("".join(f"series_{number} 1\n" for number in range(20_000)))
    return file


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    """``appmetrics show FILE | head -1`` leaves nothing on stderr."""
    with subprocess.Popen(
        command("show", big_file(tmp_path)),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    """What can't be written is an error, without a traceback."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("show", big_file(tmp_path)),
            env=environment(), stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "appmetrics: [Errno 28] No space left on device\n"


@contextmanager
def watching(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A running ``show``, killed if the test has not ended it."""
    with subprocess.Popen(
        command("show", *arguments),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_ends_quietly() -> None:
    """Interrupted while it waits for an answer, it leaves nothing on stderr."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(PATIENCE)
        with (
            watching(f"127.0.0.1:{server.getsockname()[1]}") as process,
            closing(server.accept()[0]) as connection,
        ):
            connection.recv(10)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 130


def test_watch_shows_the_rates_between(page: str, world: World) -> None:
    """The second table has rates; Ctrl-C ends it with status 0."""
    with watching(page, "--query", "shop.orders", "--watch", "50ms") as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(5)]
        assert "RATE" not in first[1]
        assert first[4] == "\n"
        orders = world.meter("shop").counter("orders", labels=("shop",)).labels("de")
        rates = []
        while rates[-1:] != ["50/s"]:
            assert len(rates) < 100
            world.clock.advance(2)  # should it look just now, its next rate is another one
            orders.inc(100)
            line = next(line for line in process.stdout if '"de"' in line)
            rates.append(columns(line.strip())[-1])
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE)[1] == ""
    assert process.returncode == 0


def test_watch_survives_a_restart(lines_file: Path) -> None:
    """What is away for a while is reported on stderr, and shown again when it is back."""
    text = lines_file.read_text()
    with watching(lines_file, "--watch", "20ms") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        lines_file.unlink()
        assert "no such file" in process.stderr.readline()
        lines_file.write_text(text.replace("shop.size", "shop.again"))
        assert any("shop.again" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


# -- in a terminal ---------------------------------------------------------------


def in_terminal(arguments: Sequence[str], enough: str = "", **more: str) -> str:
    """What a command writes to a terminal, until it ends or has written ``enough``."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(arguments, env=environment(**more), stdout=theirs, stderr=theirs)
    finally:
        os.close(theirs)
    data = b""
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline and not (enough and enough.encode() in data):
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not chunk:
                break
            data += chunk
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return data.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours(page: str) -> None:
    """A critical state is red in a terminal, besides its word."""
    assert "\x1b[31mcritical\x1b[0m" in in_terminal(command("show", page))


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_refused(page: str, more: dict[str, str]) -> None:
    """$NO_COLOR, or a terminal that can't, gets plain text."""
    text = in_terminal(command("show", page), **more)
    assert "critical" in text
    assert "\x1b" not in text


def test_a_table_fits_its_terminal(page: str) -> None:
    """Long names give way where the terminal is narrow."""
    text = in_terminal(command("show", page, "--query", "shop"), NO_COLOR="1", COLUMNS="50")
    assert max(map(len, text.splitlines())) <= 50
    assert "..." in text


def test_watch_redraws_the_screen(page: str) -> None:
    """In a terminal each refresh begins in the upper left corner, and fits the screen."""
    shown = in_terminal(command("show", page, "--watch", "50ms"), "\x1b[J\x1b[H", LINES="5")
    screen = shown.split("\x1b[H")[1]
    assert screen.count("\n") == 4
    assert "more: --query picks some" in screen


def test_explain_marks_its_verdicts_with_colours(page: str) -> None:
    """Verdicts are words, coloured in a terminal."""
    known = in_terminal(command("explain", "shop.orders", "--url", page))
    unknown = in_terminal(command("explain", "shop.ordres", "--url", page))
    assert "\x1b[32mok\x1b[0m" in known
    assert "\x1b[31mproblem\x1b[0m" in unknown


@pytest.mark.parametrize("size", ["0", "1", "7"])
def test_a_terminal_without_a_sensible_size_is_served(page: str, size: str) -> None:
    """However small a terminal says that it is, the command ends."""
    text = in_terminal(command("show", page), NO_COLOR="1", COLUMNS=size, LINES=size)
    assert "VALUE" in text
