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
