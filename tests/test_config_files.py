"""appmetrics.config.files: a file as a whole, shared with others, checked but not used."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from paste.deploy import appconfig, loadapp

from appmetrics.config import check_file
from appmetrics.config.files import examine_file, read
from appmetrics.errors import ConfigError
from appmetrics.handlers.base import Handler
from appmetrics.options import Option, text

SHARED = """\
[DEFAULT]
team = web
data = %(here)s/var

[app:main]
paste.app_factory = test_config_files:make_app
greeting = 100%% %(team)s

[server:main]
use = egg:waitress#main

[loggers]
keys = root,shop

[handlers]
keys = console

[formatters]
keys = generic

[logger_root]
level = INFO
handlers = console

[logger_shop]
level = WARNING
handlers =
qualname = test_config_files.shop

[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic

[formatter_generic]
format = %(asctime)s %(levelname)s %(message)s

[metrics]
labels = team=%(team)s, progress=100%
handlers = speaker

[metrics.handler.speaker]
class = test_config_files.Speaker
says = > 80% of %%(name)s at %(hostname)s
filters = some

[metrics.filter.some]
class = name
include = shop.*

[metrics.meter.shop.db]
level = DEBUG
"""


class Speaker(Handler):
    """A handler that refuses one word."""

    OPTIONS = (Option("says", text, ""), Option("then", text, ""))

    def __init__(self, *, says: str = "", then: str = "", **common: object) -> None:
        super().__init__(**common)  # type: ignore[arg-type]
        self.says = says
        if then == "nowhere":
            raise ValueError("then: it must be somewhere")
        if says == then != "":
            raise ValueError("says and then must differ")


def make_app(global_conf: dict[str, str], **local: str) -> dict[str, str]:
    """A PasteDeploy application factory."""
    return {**global_conf, **local}


@pytest.fixture
def quiet_root() -> Iterator[None]:
    """Puts logging's root logger back, which fileConfig changes."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def write(folder: Path, text: str) -> Path:
    """A file of this content."""
    path = folder / "app.ini"
    path.write_text(dedent(text))
    return path


def test_file_of_many(tmp_path: Path, quiet_root: None) -> None:
    """One file serves PasteDeploy, logging.config and us, each without disturbing the others."""
    path = write(tmp_path, SHARED)
    assert loadapp(f"config:{path}")["greeting"] == "100% web"
    logging.config.fileConfig(path, disable_existing_loggers=False)
    assert logging.getLogger("test_config_files.shop").level == logging.WARNING
    checked = check_file(path)
    assert checked.problems == ()
    assert checked.warnings == ()
    (speaker,) = checked.handlers.values()
    assert isinstance(speaker, Speaker)
    assert speaker.says.startswith("> 80% of %(name)s at ")
    assert len(speaker.filters) == 1


def test_variables_of_paste(tmp_path: Path) -> None:
    """PasteDeploy's global_conf, command line variables included, can be used as it is."""
    path = write(
        tmp_path,
        SHARED.replace("says = ", "then = %(data)s %(extra)s\nsays = "),
    )
    conf = appconfig(f"config:{path}", global_conf={"extra": "more"})
    checked = check_file(path, conf.global_conf)
    assert checked.problems == checked.warnings == ()
    (speaker,) = checked.handlers.values()
    assert isinstance(speaker, Speaker)


def test_missing_file(tmp_path: Path) -> None:
    """A file that can't be read is a problem that names it."""
    for path in (tmp_path / "nosuch.ini", tmp_path):
        (problem,) = check_file(path).problems
        assert str(problem).startswith(f"{path}: can't be read: ")


@pytest.mark.parametrize("text", ["", "[app:main]\nx = 1\n", "[Metrics]\nlevel = INFO\n"])
def test_file_without_us(tmp_path: Path, text: str) -> None:
    """A file without a section of ours is not a configuration."""
    (problem,) = check_file(write(tmp_path, text)).problems
    assert "there is no section [metrics]" in str(problem)


def test_byte_order_mark(tmp_path: Path) -> None:
    """A file may begin with a byte order mark and end its lines the DOS way."""
    path = tmp_path / "dos.ini"
    path.write_bytes(b"\xef\xbb\xbf[metrics]\r\nlabels =\r\n  a=1\r\n  b=2\r\n")
    assert check_file(path).problems == ()


def test_lines_of_problems(tmp_path: Path) -> None:
    """All problems of all stages come together, in the order of their lines."""
    path = write(
        tmp_path,
        """\
        [metrics]
        handlers = a, b
        intervall = 5
        labels = x=%(nosuch)s
        [metrics.handler.a]
        class = null
        level = LOUD
        lost
        [metrics_handler_b]
        class = null
        """,
    )
    checked = check_file(path)
    lines = [(problem.line, problem.section, problem.key) for problem in checked.problems]
    assert lines == [
        (2, "metrics", "handlers"),
        (3, "metrics", "intervall"),
        (4, "metrics", "labels"),
        (7, "metrics.handler.a", "level"),
        (8, "metrics.handler.a", "lost"),
    ]
    assert "there is no [metrics.handler.b]" in str(checked.problems[0])
    assert [warning.line for warning in checked.warnings] == [9]


def test_unexpanded_option_has_one_problem(tmp_path: Path) -> None:
    """What could not be expanded is not converted as well."""
    (problem,) = check_file(write(tmp_path, "[metrics]\ninterval = %(nosuch)s\n")).problems
    assert "unknown name" in str(problem)


def test_constructor_that_refuses(tmp_path: Path) -> None:
    """Options that don't go together are a problem of their section."""
    text = SHARED.replace("says = ", "then = x\nsays = x\n#")
    path = write(tmp_path, text)
    (problem,) = check_file(path).problems
    assert problem.section == "metrics.handler.speaker"
    assert problem.line == text.split("\n").index("[metrics.handler.speaker]") + 1
    assert problem.message == "says and then must differ"


def test_constructor_that_names_its_option(tmp_path: Path) -> None:
    """A constructor that begins with an option's name gets that option's place."""
    path = write(tmp_path, SHARED.replace("says = ", "then = nowhere\nsays = "))
    (problem,) = check_file(path).problems
    assert str(problem).endswith(" then = nowhere: it must be somewhere")
    assert path.read_text().split("\n")[problem.line - 1] == "then = nowhere"


@pytest.mark.parametrize("name", ["metric", "Metrics", "metrcis"])
def test_misspelt_main_section(tmp_path: Path, name: str) -> None:
    """Other sections of ours don't make up for a main section that is misspelt."""
    checked = check_file(write(tmp_path, SHARED.replace("[metrics]", f"[{name}]")))
    (problem,) = checked.problems
    assert problem.message == "there is no section [metrics]"
    assert (problem.section, problem.nearest, problem.line > 0) == (name, "metrics", True)
    assert name not in [warning.section for warning in checked.warnings]


def test_no_main_section(tmp_path: Path) -> None:
    """A file may do without [metrics] if its meters have handlers."""
    text = "[metrics.meter.a]\nhandlers = x\n[metrics.handler.x]\nclass = null\n"
    checked = check_file(write(tmp_path, text))
    assert checked.problems == checked.warnings == ()


@pytest.mark.parametrize("text", ["[metrics]\ninterval = 5\n", "[metrics.meter.a]\nlevel = 10\n"])
def test_no_handler(tmp_path: Path, text: str) -> None:
    """A file that attaches no handler anywhere is surely not meant so."""
    (warning,) = check_file(write(tmp_path, text)).warnings
    assert warning.message == "no handler is named: nothing will be sent"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16(tmp_path: Path, encoding: str) -> None:
    """A file that an editor saved as UTF-16 is recognized."""
    path = tmp_path / "app.ini"
    path.write_text(SHARED, encoding)
    (problem,) = check_file(path).problems
    assert problem.message == "looks like UTF-16; save it as UTF-8"


def test_control_characters(tmp_path: Path) -> None:
    """No problem or warning repeats a character that a terminal would obey."""
    path = write(
        tmp_path,
        "[metrics]\nlevel = \x1b[31m\0\n\x1b[1m = 5\n[metrics.handler.\x1bx]\nclass = null\n",
    )
    checked = check_file(path)
    assert len(checked.problems) == 2
    found = [*checked.problems, *checked.warnings]
    assert all(str(each).isprintable() for each in found)
    with pytest.raises(ConfigError) as caught:
        examine_file(read(path)).build()
    assert all(line.isprintable() for line in str(caught.value).splitlines())


def cautions(folder: Path, text: str) -> list[str]:
    """What is said of handlers that can be built."""
    checked = check_file(write(folder, text))
    assert checked.problems == ()
    return [warning.message for warning in checked.warnings]


def test_missing_folder(tmp_path: Path) -> None:
    """A file handler whose folder doesn't exist warns of it."""
    text = "[metrics]\nhandlers = f\n[metrics.handler.f]\nclass = file\npath = {}/x.json\n"
    assert cautions(tmp_path, text.format(tmp_path)) == []
    assert cautions(tmp_path, text.format(tmp_path / "no")) == [f"there is no folder {tmp_path}/no"]


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ("listen = 0.0.0.0:9464", True),
        ("listen = [::]:9464", True),
        ("listen = [::]:9464\nallow = 10.0.0.0/8", False),
        ("listen = 0.0.0.0:9464\ntoken = hush", False),
        ("listen = 127.0.0.1:9464", False),
    ],
)
def test_open_page(tmp_path: Path, options: str, warned: bool) -> None:
    """A page that everybody can read warns of it."""
    text = f"[metrics]\nhandlers = p\n[metrics.handler.p]\nclass = http\n{options}\n"
    expected = "whoever reaches this machine can read the page: set token or allow"
    assert cautions(tmp_path, text) == [expected][:warned]


@pytest.mark.parametrize(
    ("first", "second", "warned"),
    [
        ("127.0.0.1:9464", "127.0.0.1:9464", True),
        ("127.0.0.1:9464", "[::]:9464", True),
        ("127.0.0.1:9464", "127.0.0.1:9465", False),
        ("127.0.0.1:9464", "127.0.0.2:9464", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_two_pages_on_one_port(tmp_path: Path, first: str, second: str, warned: bool) -> None:
    """Of two handlers that listen on the same port, the second warns."""
    page = "[metrics.handler.{}]\nclass = http\ntoken = t\nlisten = {}\n"
    text = "[metrics]\nhandlers = a, b\n" + page.format("a", first) + page.format("b", second)
    expected = "handler a listens on port 9464, too; only one of them can"
    assert cautions(tmp_path, text) == [expected][:warned]


def test_warnings_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler whose warnings() fails can be used all the same."""
    monkeypatch.setattr(Speaker, "warnings", lambda self: 1 / 0)
    assert cautions(tmp_path, SHARED) == ["warnings() failed: ZeroDivisionError: division by zero"]
