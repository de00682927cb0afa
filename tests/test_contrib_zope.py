"""Zope's publisher and ZODB, in this process: what is measured, and under which names."""

from __future__ import annotations

import io
import logging
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import appmetrics
from appmetrics.hierarchy import Hierarchy
from appmetrics.registry import Registry
from appmetrics.testing import Capture
from appmetrics.wsgi import Middleware
from wsgi_client import get

with warnings.catch_warnings():
    # Zope before 5.9 imports cgi, which Python 3.11 and 3.12 warn of.
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("ZPublisher.HTTPRequest", reason="Zope is not installed")

import transaction
import ZODB
import zope.component.event  # dispatches to subscribers, as in a real Zope
from Acquisition import Implicit
from App.ZApplication import ZApplicationWrapper
from OFS.Application import Application
from OFS.DTMLMethod import DTMLMethod
from OFS.Image import File
from OFS.SimpleItem import SimpleItem
from Products.Five.browser import BrowserView
from Products.Five.browser.resource import FileResource
from Products.PageTemplates.ZopePageTemplate import ZopePageTemplate
from ZODB.ActivityMonitor import ActivityMonitor
from ZODB.POSException import ReadConflictError
from zope.component import provideAdapter
from zope.configuration import xmlconfig
from zope.interface import Interface
from zope.publisher.interfaces.browser import IBrowserRequest
from zope.testing.cleanup import cleanUp
from ZPublisher import HTTPRequest, WSGIPublisher
from ZPublisher.httpexceptions import HTTPExceptionHandler

from appmetrics.contrib import common
from appmetrics.contrib.zope import publication, startup, views
from appmetrics.contrib.zope.activity import MOST, Activity, Monitor
from appmetrics.contrib.zope.databases import Databases, Seldom

#: The requests that views have got, one for each attempt.
attempts: list[Any] = []
#: The view that the middleware knew when it was called.
told: list[str] = []


class Item(SimpleItem):  # type: ignore[misc]
    """Something that is kept in the database."""

    meta_type = "Shop Item"
    number = 0


class Page(BrowserView):  # type: ignore[misc]
    """A view that anybody may see."""

    __roles__ = None

    def __call__(self) -> str:
        attempts.append(self.request)
        context = self.request.environ.get("appmetrics.request")
        told.append(context.view if context else "")
        return "Hello."

    def add(self) -> None:
        """A further method, which may be the one that answers."""


class Broken(Page):
    """A view with a mistake."""

    def __call__(self) -> str:
        raise ZeroDivisionError


class Conflicting(Page):
    """A view whose object another connection changes before it is committed, twice."""

    def __call__(self) -> str:
        attempts.append(self.request)
        self.context.number += 1
        if len(attempts) <= 2:
            manager = transaction.TransactionManager()
            other = self.context._p_jar.db().open(manager)
            other.root()["Application"].item.number += 1
            manager.commit()
            other.close()
        return "Done."


class Hopeless(Page):
    """A view that never gets a consistent state."""

    def __call__(self) -> str:
        raise ReadConflictError


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A WSGI application: Zope's publisher with an object `item` in memory, and our ZCML."""
    cleanUp()
    attempts.clear()
    told.clear()
    monkeypatch.setattr(publication, "_complained", False)
    monkeypatch.setattr(publication, "names", views.ViewNames())
    # As zope.conf sets it by default; and without the seconds in between.
    monkeypatch.setattr(HTTPRequest.HTTPRequest, "retry_max_count", 3)
    monkeypatch.setattr(HTTPRequest.HTTPRequest, "delay_retry", lambda self: None)
    for name, view in (
        ("hello", Page),
        ("broken", Broken),
        ("conflicting", Conflicting),
        ("hopeless", Hopeless),
    ):
        provideAdapter(
            type(view.__name__, (view,), {"__name__": name}),
            (Interface, IBrowserRequest),
            Interface,
            name=name,
        )
    load_zcml()
    database = ZODB.DB(None)
    module: Any = types.ModuleType("a_zope_for_tests")
    module.bobo_application = ZApplicationWrapper(database, "Application", Application)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with transaction.manager, database.transaction() as connection:
        connection.root()["Application"].item = Item()

    def publish(environ: Any, start_response: Any) -> Any:
        # The validator's can't be read again, for another attempt.
        environ = {**environ, "wsgi.input": io.BytesIO()}
        return WSGIPublisher.publish_module(environ, start_response, _module_name=module.__name__)

    yield HTTPExceptionHandler(publish)
    WSGIPublisher._MODULES.pop(module.__name__, None)
    database.close()
    cleanUp()
    appmetrics.stop()  # the first request has started it


def load_zcml() -> None:
    """Do what ``<include package="appmetrics.contrib.zope" />`` does in a site.zcml."""
    context = xmlconfig.file("meta.zcml", zope.component)
    xmlconfig.string(
        '<configure xmlns="http://namespaces.zope.org/zope">'
        '<include package="appmetrics.contrib.zope" /></configure>',
        context,
    )


def phases(metrics: Capture, view: str) -> dict[str, int]:
    """How many times each phase of a view was timed."""
    names = ("traverse", "render", "commit", "error")
    found = {name: count(metrics, f"zope.{name}", view=view) for name in names}
    return {name: number for name, number in found.items() if number}


def count(metrics: Capture, name: str, **labels: str) -> int:
    """How many observations a timer has got since the test began."""
    number: int = metrics.distribution(name, **labels).count
    return number


# -- publication ---------------------------------------------------------------


def test_a_view_is_timed_by_phase(site: Any, metrics: Capture) -> None:
    """A request that goes well has a time to traverse, to render and to commit."""
    assert get(site, "/item/hello") == ("200 OK", "Hello.")
    assert phases(metrics, "hello") == {"traverse": 1, "render": 1, "commit": 1}
    assert metrics.value("zope.exceptions") == 0


def test_the_middleware_is_told_the_view(site: Any, metrics: Capture) -> None:
    """http.requests has the view that answered, whatever the object's id; a 404 has none."""
    app = Middleware(site)
    get(app, "/item/hello")
    assert get(app, "/item/nothing")[0] == "404 Not Found"
    assert metrics.value("http.requests", view="hello", status="2xx") == 1
    assert metrics.value("http.requests", view="-", status="4xx") == 1
    assert metrics.value("http.errors") == 0


def test_what_is_not_found_has_no_view(site: Any, metrics: Capture) -> None:
    """A 404 is an exception without a view, and its time is the error's."""
    get(site, "/item/nothing")
    assert phases(metrics, "-") == {"error": 1}
    assert metrics.value("zope.exceptions", view="-", exception="NotFound") == 1


def test_the_view_is_known_while_it_runs(site: Any) -> None:
    """A view that hangs can be named: the middleware knows it before it is called."""
    get(Middleware(site), "/item/hello")
    assert told == ["hello"]


def test_an_error_is_timed_and_counted(site: Any, metrics: Capture) -> None:
    """An exception is counted by class and view, and goes on to the middleware."""
    with pytest.raises(ZeroDivisionError):
        get(Middleware(site), "/item/broken")
    assert phases(metrics, "broken") == {"traverse": 1, "error": 1}
    assert metrics.value("zope.exceptions", view="broken", exception="ZeroDivisionError") == 1
    assert metrics.value("http.errors", view="broken") == 1
    assert metrics.value("zope.conflicts") == 0


def test_a_conflict_is_counted_apart(site: Any, metrics: Capture) -> None:
    """Two conflicts and a third attempt are one request without an error."""
    assert get(Middleware(site), "/item/conflicting") == ("200 OK", "Done.")
    assert phases(metrics, "conflicting") == {"traverse": 3, "render": 3, "commit": 1, "error": 2}
    assert metrics.value("zope.conflicts", view="conflicting", retried="yes") == 2
    assert metrics.value("zope.conflicts", retried="no") == 0
    assert metrics.value("zope.exceptions", exception="ConflictError") == 2
    assert metrics.value("http.requests", view="conflicting", status="2xx") == 1
    assert metrics.value("http.errors") == 0
    assert len({id(request) for request in attempts}) == 3


def test_a_conflict_that_stays_is_an_error(site: Any, metrics: Capture) -> None:
    """The last of four attempts is not tried again, and the client sees it."""
    with pytest.raises(ReadConflictError):
        get(Middleware(site), "/item/hopeless")
    assert metrics.value("zope.conflicts", view="hopeless", retried="yes") == 3
    assert metrics.value("zope.conflicts", view="hopeless", retried="no") == 1
    assert metrics.value("http.errors", view="hopeless") == 1


def test_a_failure_of_ours_breaks_no_request(
    site: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Zope answers as ever when nothing can be measured, and it is logged once."""
    monkeypatch.setattr(publication, "names", None)
    with caplog.at_level(logging.ERROR, "appmetrics"):
        assert get(site, "/item/hello") == ("200 OK", "Hello.")
        assert get(site, "/item/hello") == ("200 OK", "Hello.")
    assert [record.name for record in caplog.records] == ["appmetrics"]


def test_a_form_can_not_interfere(site: Any, metrics: Capture) -> None:
    """Fields of a form with our names are nothing to us."""
    query = "_appmetrics_attempt=1&PUBLISHED=x"
    assert get(site, "/item/hello", QUERY_STRING=query)[0] == "200 OK"
    assert phases(metrics, "hello") == {"traverse": 1, "render": 1, "commit": 1}


# -- views ---------------------------------------------------------------------


class Plain(Implicit):  # type: ignore[misc]
    """A class without any of Zope's names."""

    def list_all(self) -> None:
        """A method."""


def generated(name: str, *bases: type, **attributes: Any) -> type:
    """A class as ZCML directives make it."""
    return type(name, bases, {"__module__": "Products.Five.browser.metaconfigure", **attributes})


def item(**attributes: Any) -> Any:
    """An object with an id of its own, wrapped as it is when it is published."""
    thing = Item("id-4711")
    vars(thing).update(attributes)
    return thing.__of__(Application())


PUBLISHED: list[tuple[Callable[[], Any], str]] = [
    (lambda: generated("Page", Page, __name__="cart")(None, None), "cart"),
    (lambda: generated("Page", Page, __name__="cart")(None, None).__call__, "cart"),
    (lambda: generated("Page", Page, __name__="")(None, None), "Page"),
    (
        lambda: (
            generated("P", Page, __name__="cart", add=Page.add, __page_attribute__="add")(
                None, None
            ).add
        ),
        "cart",
    ),
    (
        lambda: generated("P", Page, __name__="cart", add=Page.add)(None, None).add,
        "cart.add",
    ),
    (lambda: generated("FileResource7", FileResource)(None, None), "FileResource"),
    (lambda: generated("FileResource8", FileResource)(None, None).GET, "FileResource"),
    (lambda: Plain().__of__(Application()).list_all, "Plain.list_all"),
    (lambda: generated("Plain9", Plain)().list_all, "Plain.list_all"),
    (lambda: Plain(), "Plain"),
    (item, "Shop Item"),
    (lambda: item(portal_type="News Item"), "News Item"),
    (lambda: item().manage_workspace, "Item.manage_workspace"),
    (lambda: File("photo-1.jpg", "", b""), "File"),
    (lambda: ZopePageTemplate("front_page").__of__(Application()), "front_page"),
    (lambda: DTMLMethod("", __name__="menu"), "menu"),
    (lambda: Application().manage_main, "manage_main"),
    (lambda: load_zcml, "load_zcml"),
    (lambda: len, "builtin_function_or_method"),
    (lambda: None, "NoneType"),
]


@pytest.mark.parametrize(("make", "name"), PUBLISHED, ids=[name for _, name in PUBLISHED])
def test_a_view_has_a_name_from_code(make: Callable[[], Any], name: str) -> None:
    """Views, methods, scripts and content are named; the id of content never is."""
    assert views.view_name(make()) == name


def test_there_is_an_end_of_views(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the cap there is one name for all, and one warning; known views keep theirs."""
    names = views.ViewNames(2)
    scripts = [ZopePageTemplate(f"t{number}") for number in range(4)]
    with caplog.at_level(logging.WARNING, "appmetrics"):
        assert [names.of(each) for each in scripts] == ["t0", "t1", "_overflow_", "_overflow_"]
    assert names.of(scripts[1]) == "t1"
    assert len(caplog.records) == 1


# -- databases -----------------------------------------------------------------


@pytest.fixture
def database() -> Iterator[Any]:
    """A ZODB in memory, named shop."""
    database = new_database("shop")
    yield database
    database.close()


def new_database(name: str, **options: Any) -> Any:
    """A database whose connection has forgotten that it has stored the root."""
    database = ZODB.DB(None, database_name=name, **options)
    connection = database.open(transaction.TransactionManager())
    connection.getTransferCounts(True)
    connection.close()
    return database


@pytest.fixture
def hierarchy() -> Hierarchy:
    """A hierarchy of the test's own."""
    return Hierarchy(Registry())


def reading(hierarchy: Hierarchy, name: str) -> dict[str, float]:
    """The value by database."""
    instrument = hierarchy.registry.instruments[f"zodb.{name}"]
    if instrument.declaration.callback:
        instrument.refresh()
    points = {point._values[0]: point.read() for point in instrument.own_points()}
    return {name: value for name, value in points.items() if value is not None}


def use(database: Any, *, load: bool = False, store: bool = False) -> None:
    """Open a connection, perhaps load the root and store it, and close it."""
    manager = transaction.TransactionManager()
    connection = database.open(manager)
    if load or store:
        connection.cacheMinimize()
        connection.root().get("x")
    if store:
        connection.root()["x"] = 1
        manager.commit()
    connection.close()


def test_connections_and_caches_are_gauges(hierarchy: Hierarchy, database: Any) -> None:
    """What is open, idle and cached, by database."""
    Databases(hierarchy).watch(database)
    connection = database.open(transaction.TransactionManager())
    assert connection.root() is not None
    use(database)
    assert reading(hierarchy, "connections.open") == {"shop": 1}
    assert reading(hierarchy, "connections.idle") == {"shop": 1}
    assert reading(hierarchy, "pool.size") == {"shop": database.getPoolSize()}
    assert reading(hierarchy, "cache.objects") == {"shop": 1}
    assert reading(hierarchy, "cache.ghosts") == {"shop": 0}
    assert reading(hierarchy, "cache.target") == {"shop": database.getCacheSize()}
    assert reading(hierarchy, "objects") == {"shop": 1}
    assert reading(hierarchy, "size")["shop"] > 0
    connection.close()
    assert reading(hierarchy, "connections.open") == {"shop": 0}


def test_databases_opened_later_are_there(hierarchy: Hierarchy, database: Any) -> None:
    """Mounted databases are watched from the next round on, by their own names."""
    Databases(hierarchy).watch(database)
    other = new_database("mounted", databases=database.databases)
    assert reading(hierarchy, "connections.open") == {"shop": 0, "mounted": 0}
    use(other, store=True)
    assert reading(hierarchy, "stores") == {"shop": 0, "mounted": 1}
    other.close()


def test_a_closed_database_is_silent(hierarchy: Hierarchy) -> None:
    """No reading, no complaint and nothing kept alive after a database was closed."""
    database = new_database("gone")
    Databases(hierarchy).watch(database)
    assert reading(hierarchy, "connections.open") == {"gone": 0}
    database.close()
    assert reading(hierarchy, "connections.open") == {}
    assert reading(hierarchy, "size") == {}


def test_what_may_ask_a_server_is_asked_seldom() -> None:
    """An answer is kept for the time, and so is a failure."""
    asked = []

    def read(database: Any) -> float:
        asked.append(database)
        if len(asked) == 2:
            raise OSError
        return len(asked)

    one, two = ActivityMonitor(), ActivityMonitor()
    seldom = Seldom(read, 1e9)
    assert [seldom(one), seldom(one)] == [1, 1]
    with pytest.raises(OSError):  # noqa: PT011
        seldom(two)
    assert seldom(two) is None
    assert Seldom(read, 0)(one) == 3
    assert len(asked) == 3


# -- activity ------------------------------------------------------------------


@pytest.fixture
def activity(hierarchy: Hierarchy, database: Any) -> Activity:
    """The activity of the database, attached."""
    Databases(hierarchy).watch(database)
    monitor = database.getActivityMonitor()
    assert isinstance(monitor, Monitor)
    return monitor.activity


def numbers(hierarchy: Hierarchy) -> tuple[float, ...]:
    """Loads, stores and uses so far."""
    names = ("loads", "stores", "connections.closed")
    return tuple(reading(hierarchy, name)["shop"] for name in names)


def test_loads_stores_and_uses_are_counted(
    hierarchy: Hierarchy, database: Any, activity: Activity
) -> None:
    """Each connection that is closed counts with what it has done since it was opened."""
    use(database, store=True)
    use(database, load=True)
    use(database)
    assert numbers(hierarchy) == (2, 1, 3)


def test_a_monitor_that_was_there_first_goes_on(hierarchy: Hierarchy, database: Any) -> None:
    """ZODB's own monitor gets all that it got before, and so do we."""
    theirs = ActivityMonitor()
    database.setActivityMonitor(theirs)
    Databases(hierarchy).watch(database)
    use(database, store=True)
    use(database, load=True)
    assert [entry[1:] for entry in theirs.log] == [(1, 1), (1, 0)]
    assert numbers(hierarchy) == (2, 1, 2)
    assert database.getActivityMonitor().getActivityAnalysis(divisions=1)[0]["loads"] == 2


def test_whoever_asks_gets_what_zodb_would_answer(database: Any, activity: Activity) -> None:
    """A tool that finds ours in place can use it like ZODB's own, from then on."""
    use(database, load=True)
    assert database.getActivityMonitor().getActivityAnalysis(divisions=1)[0]["loads"] == 0
    use(database, load=True)
    assert database.getActivityMonitor().getActivityAnalysis(divisions=1)[0]["connections"] == 1
    database.getActivityMonitor().setHistoryLength(60)
    assert database.getActivityMonitor().getHistoryLength() == 60


def test_a_monitor_that_replaces_ours_is_left_in_place(
    hierarchy: Hierarchy, database: Any, activity: Activity
) -> None:
    """From the next round on ours is before it, and both have all."""
    theirs = ActivityMonitor()
    database.setActivityMonitor(theirs)
    reading(hierarchy, "connections.open")
    use(database, load=True)
    assert [entry[1:] for entry in theirs.log] == [(1, 0)]
    assert numbers(hierarchy) == (1, 0, 1)


def test_a_chain_counts_once(hierarchy: Hierarchy, database: Any, activity: Activity) -> None:
    """Where another monitor hands on to ours, a connection still counts once."""

    class Chaining(ActivityMonitor):  # type: ignore[misc]
        behind = database.getActivityMonitor()

        def closedConnection(self, connection: Any) -> None:
            super().closedConnection(connection)
            self.behind.closedConnection(connection)

    database.setActivityMonitor(Chaining())
    reading(hierarchy, "connections.open")
    use(database, load=True)
    use(database, load=True)
    assert numbers(hierarchy) == (2, 0, 2)


def test_a_place_that_was_emptied_is_taken(
    hierarchy: Hierarchy, database: Any, activity: Activity
) -> None:
    """However often the monitor is taken out, the next round puts one in."""
    for _ in range(3 * MOST):
        database.setActivityMonitor(None)
        reading(hierarchy, "connections.open")
        use(database)
    assert numbers(hierarchy) == (0, 0, 3 * MOST)


def test_the_chain_has_an_end(
    hierarchy: Hierarchy, database: Any, activity: Activity, caplog: pytest.LogCaptureFixture
) -> None:
    """A rival that insists wins after some rounds, with one warning."""
    with caplog.at_level(logging.WARNING, "appmetrics"):
        for _ in range(3 * MOST):
            rival = ActivityMonitor()
            database.setActivityMonitor(rival)
            reading(hierarchy, "connections.open")
    assert database.getActivityMonitor() is rival
    assert len(caplog.records) == 1


# -- product-config ------------------------------------------------------------


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A configurator of the test's own takes the place of the process'; nothing has started."""
    world = appmetrics.testing.World()
    configurator = appmetrics.config.Configurator(world.hierarchy, world.reporter)
    monkeypatch.setattr(common, "configurator", configurator)
    monkeypatch.setattr(startup.reporter, "start", world.reporter.start)
    monkeypatch.setattr(startup, "names", views.ViewNames())
    monkeypatch.delenv("APPMETRICS_CONFIG", raising=False)
    yield world
    world.stop()


@pytest.fixture
def ini(tmp_path: Path) -> str:
    """A configuration with one handler, beside the instance."""
    file = tmp_path / "metrics.ini"
    file.write_text("[metrics]\nhandlers = kept\n[metrics.handler.kept]\nclass = memory\n")
    return str(file)


def started(world: Any) -> bool:
    """Whether the reporter runs."""
    return world.reporter._thread is not None


def test_the_product_config_names_a_file(configured: Any, ini: str, tmp_path: Path) -> None:
    """It is read once Zope is up, twice is harmless, and nothing is started."""
    for _ in range(2):
        startup.configure({"config": "metrics.ini"}, str(tmp_path))
    assert [handler.name for handler in configured.hierarchy.handlers()] == ["kept"]
    assert not started(configured)


def test_start_is_asked_for(configured: Any, ini: str) -> None:
    """With start the reporter runs, also where no filter is."""
    startup.configure({"config": ini, "start": "yes"}, "")
    assert started(configured)


def test_start_takes_the_environment(
    configured: Any, ini: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without config, start reads the file that the environment names."""
    monkeypatch.setenv("APPMETRICS_CONFIG", ini)
    startup.configure({"start": "on"}, "")
    assert started(configured)


def test_start_without_a_file_is_a_warning(
    configured: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With nothing to configure from, nothing starts, and a warning says why."""
    with caplog.at_level(logging.WARNING, "appmetrics"):
        startup.configure({"start": "yes"}, "")
    assert not started(configured)
    assert "$APPMETRICS_CONFIG" in caplog.text


def test_without_a_product_config_nothing_is_read(
    configured: Any, ini: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter of the pipeline reads its own; this leaves it to it."""
    monkeypatch.setenv("APPMETRICS_CONFIG", ini)
    startup.configure({}, "")
    assert configured.hierarchy.handlers() == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"confg": "x"}, "did you mean 'config'"),
        ({"start": "perhaps"}, "yes or no"),
        ({"config": "nowhere.ini"}, "nowhere.ini: can't be read"),
    ],
)
def test_a_wrong_product_config_stops_the_start(
    configured: Any, given: dict[str, str], problem: str, tmp_path: Path
) -> None:
    """What can't be used is a ConfigError that names it."""
    with pytest.raises(appmetrics.ConfigError, match=problem) as raised:
        startup.configure(given, str(tmp_path))
    assert "product-config appmetrics" in str(raised.value) or "nowhere.ini" in str(raised.value)


def test_the_cap_of_views_is_an_option(configured: Any) -> None:
    """max_views is that of the publication's names."""
    startup.configure({"max_views": "7"}, "")
    assert startup.names.most == 7


# -- documentation -------------------------------------------------------------


def test_all_is_documented() -> None:
    """Each metric and each option stands on the page about web applications."""
    hierarchy = Hierarchy(Registry())
    database = new_database("main")
    Databases(hierarchy).watch(database)
    database.close()
    ours = (name for name in appmetrics.hierarchy.hierarchy.registry.instruments)
    names = [*hierarchy.registry.instruments, *(name for name in ours if name.startswith("zope."))]
    names += [option.name for option in startup.OPTIONS]
    page = (Path(__file__).parent.parent / "docs" / "web.md").read_text("utf-8")
    assert len(names) > 15
    assert [name for name in names if f"`{name}`" not in page] == []
