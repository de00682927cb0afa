"""appmetrics.config.ini: our part of a file that may belong to others as well."""

from __future__ import annotations

from configparser import Error, RawConfigParser
from textwrap import dedent

from hypothesis import given
from hypothesis import strategies as st

from appmetrics.config.ini import Document, parse


def read(text: str, **given: object) -> Document:
    """The document of a text."""
    return parse(dedent(text), "/etc/app/zope.ini", given)


def problems(text: str) -> list[str]:
    """The problems of a text, as users see them."""
    return [str(problem) for problem in read(text).problems]


def values(document: Document) -> dict[str, dict[str, str]]:
    """The expanded values of our sections."""
    sections = document.sections.items()
    return {name: {key: e.value for key, e in entries.items()} for name, entries in sections}


OTHERS = """\
[DEFAULT]
team = web
format = %(asctime)s

[loggers]
keys = root

[formatter_generic]
format = %(asctime)s %(levelname)s

[app:main]
use = egg:Thing
use = twice is legal for some
Use = and so is this
sql = LIKE '%x%' and %(nosuch)s
no value here
= no name either

[app:main]
again = yes
"""


def test_only_our_sections() -> None:
    """What others have in the file is not looked at, however odd it is."""
    document = read(OTHERS + "[metrics]\nhandlers = http\n[metrics.handler.http]\nclass = http\n")
    assert document.problems == []
    assert values(document) == {
        "metrics": {"handlers": "http"},
        "metrics.handler.http": {"class": "http"},
    }


def test_default_keys_are_variables() -> None:
    """A key of [DEFAULT] is never an option of ours, unless the section has it itself."""
    document = read(
        "[DEFAULT]\nport = 1\nteam = web\n[metrics]\nlabels = team=%(team)s\nport = 2\n"
    )
    assert values(document) == {"metrics": {"labels": "team=web", "port": "2"}}


def test_given_variables() -> None:
    """Variables of the caller, such as PasteDeploy's, can be used."""
    document = read("[metrics]\nlabels = env=%(env)s,at=%(here)s\n", env="50%")
    assert values(document) == {"metrics": {"labels": "env=50%,at=/etc/app"}}


def test_percent_signs() -> None:
    """A percent sign is plain text unless it begins a reference."""
    text = """\
        [metrics.handler.x]
        rule = > 80%
        query = =~ "api %"
        password = p%ss%%w0rd%
        template = %%(name)s
        """
    assert read(text).problems == []
    assert values(read(text))["metrics.handler.x"] == {
        "rule": "> 80%",
        "query": '=~ "api %"',
        "password": "p%ss%%w0rd%",
        "template": "%(name)s",
    }


def test_unknown_name() -> None:
    """An unknown name is an error that lists the known ones and the nearest."""
    (problem,) = problems("[DEFAULT]\nteam = web\n[metrics]\nlabels = host=%(hotname)s\n")
    assert problem.startswith("/etc/app/zope.ini:4 [metrics] labels = host=%(hotname)s: unknown")
    for name in ("here", "hostname", "fqdn", "pid", "team", "ENV_"):
        assert name in problem
    assert "did you mean 'hostname'?" in problem


def test_unset_environment_variable() -> None:
    """An environment variable that isn't set is named."""
    (problem,) = problems("[metrics]\nlabels = a=%(ENV_SURELY_NOT_SET)s\n")
    assert "the environment has no SURELY_NOT_SET" in problem
    assert "did you mean" not in problem


def test_lines() -> None:
    """Every section and every option knows its line."""
    document = read("# us\n\n[metrics]\n\nhandlers =\n  a,\n  b\nLevel = INFO\n")
    assert document.line("metrics") == 3
    assert document.line("metrics", "handlers") == 5
    assert document.line("metrics", "level") == 8
    assert document.line("metrics", "nosuch") == 3
    assert document.sections["metrics"]["handlers"].more == ((6, "a,"), (7, "b"))


def test_case() -> None:
    """Option names may be in any case; values keep theirs."""
    assert values(read("[metrics]\nLabels = Env=Prod\n")) == {"metrics": {"labels": "Env=Prod"}}


def test_repeated() -> None:
    """A section or an option of ours that is given twice is an error naming both lines."""
    found = problems("[metrics]\nlevel = 1\nLevel = 2\n[x]\n[metrics]\nwatch = no\n")
    assert found == [
        "/etc/app/zope.ini:3 [metrics] level: the option is already in line 2",
        "/etc/app/zope.ini:5 [metrics]: the section is already in line 1",
    ]


def test_repeated_section() -> None:
    """Of a section that is given twice the first counts, and the second has no other problem."""
    document = read("[metrics.handler.a]\nclass = null\n[metrics.handler.a]\nclass = file\nodd\n")
    assert values(document) == {"metrics.handler.a": {"class": "null"}}
    assert [problem.line for problem in document.problems] == [3]


def test_unclosed_header() -> None:
    """A header of ours that lacks its bracket is a problem, and a header all the same."""
    document = read("[metrics]\nlevel = 1\n[metrics.handler.page\nclass = http\n")
    assert [str(problem) for problem in document.problems] == [
        "/etc/app/zope.ini:3 [metrics.handler.page]: a section ends in ]"
    ]
    assert values(document)["metrics.handler.page"] == {"class": "http"}


def test_line_without_value() -> None:
    """A continuation line that lost its indent says so."""
    (problem,) = problems("[metrics]\nhandlers = a,\nb\n")
    assert problem == (
        "/etc/app/zope.ini:3 [metrics] b: expected name = value; a continuation must be indented"
    )


def test_not_an_ini_file() -> None:
    """Text before the first section is reported once."""
    (problem,) = problems("#!/bin/sh\necho a\necho b\n")
    assert problem.startswith("/etc/app/zope.ini:2 echo a: expected a section")


def test_encoding() -> None:
    """Others may use another encoding; in our sections it is an error."""
    others = "[app:main]\nname = M\udcfcller\n"
    assert problems(others + "[metrics]\nlevel = 1\n") == []
    (problem,) = problems(others + "[metrics]\nlabels = name=M\udcfcller\n")
    assert "expected text in UTF-8" in problem
    problem.encode()


def test_mapping() -> None:
    """Sections become the plain data that dict_config takes; dotted meter names stay whole."""
    text = """\
        [metrics]
        interval = 5
        [metrics.handler.carbon]
        class = graphite
        [metrics.filter.few]
        class = name
        [metrics.formatter.lines]
        class = line
        [metrics.meter.shop.db]
        level = DEBUG
        [metrics.handlers.x]
        class = null
        """
    assert read(text).mapping() == {
        "metrics": {"interval": "5"},
        "handlers": {"carbon": {"class": "graphite"}},
        "filters": {"few": {"class": "name"}},
        "formatters": {"lines": {"class": "line"}},
        "meters": {"shop.db": {"level": "DEBUG"}},
    }


LINES = st.sampled_from(
    """[metrics]|[metrics.handler.a]|[DEFAULT]|[app:main]|  [metrics]|[x|]|[metrics] ; tail
    [metrics.y|a = 1
    A: 2|  b = 3|    deeper|\tc = 4|bare|= 5|# no|  ; no||  |d =|e=1;2 # 3|%(h)s = %%
    \x0bf = 6|\u2028g = 7|  [metrics.x]|      [app:x]""".replace("\n    ", "|").split("|")
)


@given(st.lists(LINES, max_size=12) | st.lists(st.text(max_size=8), max_size=5))
def test_agrees_with_configparser(lines: list[str]) -> None:
    """Whatever configparser can read, we read the same, and nothing makes us fail."""
    text = "\n".join(lines).replace("\r", "")
    document = parse(text, "x.ini")
    if document.problems:
        # Such as a section given twice, of which we read the first only.
        return
    parser = RawConfigParser(default_section="no such section", strict=False)
    try:
        parser.read_string(text)
    except Error:
        return
    assert list(document.sections) == [s for s in parser.sections() if s.startswith("metrics")]
    for section in document.sections:
        raw = {key: entry.raw for key, entry in document.sections[section].items()}
        assert raw == dict(parser.items(section))
        for key, entry in document.sections[section].items():
            assert key in text.split("\n")[entry.line - 1].lower()
