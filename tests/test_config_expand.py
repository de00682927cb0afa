"""appmetrics.config.expand: ``%(name)s`` and the names there are."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmetrics.config.expand import Variables, expand, references, unfinished

KNOWN = {"here": "/etc", "a": "%(b)s", "b": "%%(a)s 100%"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("%(here)s/var/%(here)s", "/etc/var//etc"),
        ("> 80%", "> 80%"),
        ('=~ "api %"', '=~ "api %"'),
        ("100%%", "100%%"),
        ("%d %s %(here)d %(here", "%d %s %(here)d %(here"),
        ("%%(here)s", "%(here)s"),
        ("%(a)s", "%(b)s"),
        ("%(b)s", "%%(a)s 100%"),
    ],
)
def test_expand(text: str, expanded: str) -> None:
    """Only ``%(name)s`` is expanded, once; ``%%(`` escapes; any other % is plain text."""
    assert expand(text, KNOWN.get) == (expanded, [])


def test_unknown() -> None:
    """An unknown name stays in the text and is reported."""
    assert expand("%(nosuch)s %(here)s", KNOWN.get) == ("%(nosuch)s /etc", ["nosuch"])


PIECES = st.lists(st.sampled_from(["%", "(", ")", "s", "a", "b", "here", "%(a)s", "%%(", "%(b)s"]))


@given(PIECES.map("".join) | st.text())
def test_expands_once(text: str) -> None:
    """What is put in is never looked at again, whatever it holds."""
    asked: list[str] = []

    def marked(name: str) -> str:
        asked.append(name)
        return "\0"

    skeleton, unknown = expand(text, marked)
    assert unknown == []
    assert asked == references(text)
    hostile, _ = expand(text, lambda name: "%(a)s%%(%(here)s")
    if "\0" not in text:
        assert hostile == skeleton.replace("\0", "%(a)s%%(%(here)s")


@given(st.text(alphabet="%() sxyz\n"))
def test_nothing_is_lost(text: str) -> None:
    """With no known name, the text changes by its escapes only."""
    expanded, _ = expand(text, lambda name: None)
    assert expanded == text.replace("%%(", "%(")


def test_names_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """hostname fits into a dotted path, fqdn is whole, pid is this process."""
    monkeypatch.setattr(socket, "gethostname", lambda: "web.example.org")
    monkeypatch.setattr(socket, "getfqdn", lambda: "web.example.org")
    variables = Variables("/etc/zope.ini")
    assert variables("hostname") == "web_example_org"
    assert variables("fqdn") == "web.example.org"
    assert variables("pid") == str(os.getpid())


def test_file_names() -> None:
    """here and __file__ are those of the file that is read, whoever includes it."""
    variables = Variables("/etc/app/metrics.ini", {}, {"here": "/elsewhere", "__file__": "x.ini"})
    assert variables("here") == "/etc/app"
    assert variables("__file__") == "/etc/app/metrics.ini"


def test_precedence() -> None:
    """Given variables win over [DEFAULT], which wins over the machine's."""
    variables = Variables(
        "x.ini", {"env": "default", "pid": "42", "hostname": "h"}, {"Env": "given", "pid": 7}
    )
    assert variables("env") == variables("Env") == "given"
    assert variables("pid") == "7"
    assert variables("hostname") == "h"


def test_environment() -> None:
    """ENV_X is the environment variable X, to the letter; an empty one is known."""
    variables = Variables("x.ini", environ={"APP": "shop", "EMPTY": ""})
    assert variables("ENV_APP") == "shop"
    assert variables("ENV_EMPTY") == ""
    assert variables("ENV_app") is None
    assert variables.nearest("ENV_APPP") == "ENV_APP"
    assert variables.nearest("ENV_NOPE") == ""
    assert variables.nearest("APP") == "ENV_APP"
    assert "ENV_APP" not in variables.names()


def test_unfinished() -> None:
    """A reference that lacks its s is noticed, an escaped one is not."""
    assert unfinished("%(host) %(here)s %%(x) 5%(a b)") == ["host"]
