"""A real Zope: a stock instance with what examples/zope/README.md adds to it."""

from __future__ import annotations

import concurrent.futures
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import servers
from appmetrics.config import check_file
from conftest import _or_skip
from servers import get, wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]

TESTS = Path(__file__).parent
EXAMPLE = TESTS.parent / "examples" / "zope"

Page = tuple[servers.Zope, str]


def make(folder: Path) -> Page:
    """An instance made as the example says, with the tests' views; and its page's address."""
    zope = _or_skip(servers.Zope, folder, (folder, TESTS, TESTS.parent))
    zope.environ = {**zope.environ, "HOME": str(folder)}
    zope.make()
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    commands = re.findall(r"^```sh\n(.*?)^```$", (EXAMPLE / "README.md").read_text(), re.M | re.S)
    assert len(commands) == 1
    subprocess.run(["sh", "-e", "-c", commands[0]], cwd=folder, check=True)
    includes = zope.ini.parent / "package-includes"
    (includes / "030-zope_site-configure.zcml").write_text('<include package="zope_site" />\n')
    checked = check_file(zope.ini)
    assert (checked.problems, checked.warnings) == ((), ())
    listen = f"127.0.0.1:{servers.free_port()}"
    text = zope.ini.read_text()
    assert text.count("127.0.0.1:9464\n") == 1
    text = text.replace("127.0.0.1:9464\n", f"{listen}\ndebug = yes\n")
    more = "\n[metrics]\ncollectors = waitress\nslow_timeout = 1s\n"
    zope.ini.write_text(text.replace("\n[metrics]\n", more))
    return zope, f"http://{listen}/metrics?format=series"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A running instance, and the address of its metrics."""
    zope, page = make(tmp_path_factory.mktemp("zope"))
    with zope:
        yield zope, page


@pytest.fixture
def instance(tmp_path: Path) -> servers.Zope:
    """An instance that does not run."""
    return make(tmp_path)[0]


def ask(site: Page, path: str) -> str:
    """What Zope answers, also with an error."""
    try:
        return get(f"{site[0].url}/{path}").decode()
    except OSError as error:
        return str(error)


def total(site: Page, name: str, **labels: str) -> float | None:
    """The sum of these series' values, counts for timers; None if there is none."""
    found = [
        each["value"]
        for each in json.loads(get(site[1]))["series"]
        if each["name"] == name and labels.items() <= each["labels"].items()
    ]
    return sum(found) if found else None


def expect(site: Page, value: float, name: str, **labels: str) -> None:
    """Wait until it is so: a request is counted when the server is done with it."""
    wait_for(lambda: total(site, name, **labels) == value, f"{name} {labels} = {value}")


def test_a_view_has_its_name_everywhere(site: Page) -> None:
    """http.requests and the phases know the view; with the right status."""
    assert ask(site, "hello") == "Hello."
    expect(site, 1, "http.requests", view="hello", status="2xx")
    for phase in ("traverse", "render", "commit"):
        expect(site, 1, f"zope.{phase}", view="hello")


def test_not_found_is_a_4xx_without_a_view(site: Page) -> None:
    """The filter stands first in the pipeline, and so it sees the 404."""
    assert "404" in ask(site, "nothing/of/this?kind=1")
    expect(site, 1, "http.requests", view="-", status="4xx")
    expect(site, 1, "zope.exceptions", view="-", exception="NotFound")
    assert not total(site, "http.errors", view="-")


def test_an_error_is_a_5xx_of_its_view(site: Page) -> None:
    """An exception that goes all the way to the server is a request with 5xx."""
    assert "500" in ask(site, "broken")
    expect(site, 1, "http.requests", view="broken", status="5xx")
    expect(site, 1, "http.errors", view="broken")
    expect(site, 1, "zope.exceptions", view="broken", exception="ZeroDivisionError")
    expect(site, 1, "zope.error", view="broken")


def test_a_conflict_is_no_error(site: Page) -> None:
    """A write conflict that is retried is one request, one conflict and no error."""
    assert ask(site, "conflicting") == "101"
    expect(site, 1, "http.requests", view="conflicting", status="2xx")
    expect(site, 1, "zope.conflicts", view="conflicting", retried="yes")
    expect(site, 1, "zope.exceptions", view="conflicting", exception="ConflictError")
    expect(site, 2, "zope.render", view="conflicting")
    expect(site, 1, "zope.commit", view="conflicting")
    assert not total(site, "http.errors", view="conflicting")


def test_the_example_counts_for_itself(site: Page) -> None:
    """The views of the example answer, and their own metrics are beside Zope's."""
    assert ask(site, "order?country=de") == "That is 42 euros.\n"
    assert ask(site, "orders") == "1 orders\n"
    expect(site, 1, "shop.orders", country="de")
    expect(site, 1, "shop.prices")
    expect(site, 1, "zope.commit", view="order")


def test_zodb_is_measured(site: Page) -> None:
    """Connections, caches and what was loaded and stored, by database."""
    ask(site, "storing")
    of_now = ("connections.closed", "cache.objects", "objects", "size", "pool.size")
    for name in (*of_now, "loads", "stores"):
        wait_for(lambda name=name: (total(site, f"zodb.{name}", database="main") or 0) > 0, name)
    expect(site, 0, "zodb.connections.open", database="main")


def test_the_metrics_answer_while_all_threads_hang(site: Page) -> None:
    """With four requests that hang and one that waits, the listener still tells so; the log
    of slow requests names their view."""
    with concurrent.futures.ThreadPoolExecutor(5) as clients:
        requests = [clients.submit(ask, site, "hanging") for _ in range(4)]
        try:
            expect(site, 4, "http.in_flight")
            expect(site, 4, "zodb.connections.open", database="main")
            requests.append(clients.submit(ask, site, "hello"))
            expect(site, 1, "waitress.queue")
            assert total(site, "http.in_flight") == 4
            requests_page = site[1].replace("/metrics?format=series", "/debug/requests")
            shown = "GET /hanging (view hanging)"
            wait_for(lambda: get(requests_page).decode().count(shown) == 4, "the page of requests")
            slow = "GET /hanging (view hanging) has been running for "
            wait_for(lambda: site[0].log.read_text().count(slow) >= 4, "the log of slow requests")
            assert "zope_site" in site[0].log.read_text().partition(slow)[2]
        finally:
            (site[0].folder / "released").touch()
        assert [request.result() for request in requests] == ["Released."] * 4 + ["Hello."]
    expect(site, 4, "http.requests", view="hanging", status="2xx")


THREADS = """
import json, threading
from ZODB.ActivityMonitor import ActivityMonitor
from appmetrics.config import configurator

before = app._p_jar.db().getActivityMonitor()
app.restrictedTraverse("/").objectIds()
loaded = configurator.loaded()
print(json.dumps({
    "threads": sorted(thread.name for thread in threading.enumerate()),
    "file": loaded.path if loaded else None,
    "monitor": hasattr(before, "getActivityAnalysis"),
}))
"""


def run(zope: servers.Zope) -> dict[str, Any]:
    """What a script of zconsole finds."""
    found: dict[str, Any] = json.loads(zope.script(THREADS).splitlines()[-1])
    return found


def product_config(zope: servers.Zope, *lines: str) -> None:
    """Add to zope.conf."""
    conf = zope.ini.with_name("zope.conf")
    text = "\n".join(("<product-config appmetrics>", *lines, "</product-config>", ""))
    conf.write_text(conf.read_text() + text)


def test_a_script_starts_no_thread(instance: servers.Zope) -> None:
    """zconsole run reads the ZCML, and nothing is configured or started."""
    assert run(instance) == {"threads": ["MainThread"], "file": None, "monitor": True}


def test_a_script_sends_only_if_asked(instance: servers.Zope) -> None:
    """With config in the product-config it is configured; with start it sends, too."""
    product_config(instance, f"  config {instance.ini}")
    assert run(instance) == {
        "threads": ["MainThread"],
        "file": str(instance.ini),
        "monitor": True,
    }
    conf = instance.ini.with_name("zope.conf")
    conf.write_text(conf.read_text().replace("</product-config>", "  start yes\n</product-config>"))
    assert "appmetrics-reporter" in run(instance)["threads"]


def test_a_wrong_product_config_stops_zope(instance: servers.Zope) -> None:
    """Zope does not start, and says what is wrong."""
    product_config(instance, "  confg x")
    with pytest.raises(AssertionError, match="did you mean 'config'"):
        instance.start()


def test_without_the_middleware_there_are_zope_s_own(tmp_path: Path) -> None:
    """With the product-config instead of the filter the views are in zope.* alone."""
    zope, page = make(tmp_path)
    text = zope.ini.read_text()
    zope.ini.write_text(text.replace("    egg:appmetrics-routing#wsgi\n", ""))
    product_config(zope, f"  config {zope.ini}", "  start yes")
    with zope:
        site = (zope, page)
        assert ask(site, "hello") == "Hello."
        expect(site, 1, "zope.render", view="hello")
        assert total(site, "http.requests") is None
