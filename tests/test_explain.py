"""explain: what it says about each thing that can keep a metric from where it should be."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from appmetrics.config import Configurator
from appmetrics.explain import INFO, OK, PROBLEM, Configuration, Explanation, Step, explain
from appmetrics.explain.guess import sent_as
from appmetrics.filters import LabelsFilter, NameFilter, RenameFilter
from appmetrics.handlers.base import LEFT_OUT, Handler
from appmetrics.handlers.graphite import GraphiteHandler
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.registry import ForeignStat
from appmetrics.sample import Sample, Series
from appmetrics.testing import World


def ask(world: World, name: str, labels: dict[str, str] | None = None, **more: Any) -> Explanation:
    """The explanation of a name in this world."""
    return explain(world.reporter, name, labels, **more)


def step(explanation: Explanation, topic: str) -> Step:
    """The one step on a topic."""
    (found,) = (step for step in explanation.steps if step.topic == topic)
    return found


def topics(explanation: Explanation) -> list[str]:
    """What the steps are about, in order."""
    return [step.topic for step in explanation.steps]


def attach(world: World, meter: str = "", **options: Any) -> MemoryHandler:
    """A handler named memory, attached to a meter."""
    handler = MemoryHandler(**{"name": "memory", **options})
    world.meter(meter).add_handler(handler)
    return handler


class Broken(Handler):
    """Can't send, can't describe, can't name its target, and leaves out what is called hidden."""

    threaded = False

    def prepare(self, series: Series) -> Any:
        return LEFT_OUT if series.name.endswith("hidden") else None

    def describe(self, series: Series) -> list[str]:
        raise KeyError(series.name)

    def target(self) -> str:
        raise LookupError("nowhere")

    def emit(self, samples: Sequence[Sample]) -> int | None:
        raise ConnectionRefusedError("nobody\x1b[31m there")


# -- the name ------------------------------------------------------------------


def test_a_metric_that_arrives_has_no_problem(world: World) -> None:
    """All steps of a metric that was recorded, routed and sent are fine, down to the final path."""
    world.meter().add_handler(MemoryHandler(name="memory"))
    world.meter("shop").counter("orders").inc()
    world.advance(10)
    explanation = ask(world, "shop.orders")
    assert explanation.found
    assert {each.verdict for each in explanation.steps} == {OK, INFO}
    assert "shop.orders" in step(explanation, "handler memory").lines
    assert __file__ in step(explanation, "exists").text


def test_an_unknown_name_has_near_matches(world: World) -> None:
    """A name that nobody registered is a problem, and similar names are offered."""
    world.meter("shop").counter("orders")
    world.meter("shop").counter("customers")
    explanation = ask(world, "shop.ordres")
    assert not explanation.found
    assert explanation.nearest == ("shop.orders",)
    assert step(explanation, "exists").verdict == PROBLEM


@pytest.mark.parametrize(
    "name", ["apps.web1.shop.orders.de.count", "shop_orders_total", "orders", "SHOP/orders"]
)
def test_a_name_as_a_target_has_it_is_recognized(world: World, name: str) -> None:
    """Graphite's path, Prometheus' name and a part of a name lead to the metric."""
    world.meter("shop").counter("orders")
    world.meter("shop").counter("customers")
    assert ask(world, name).nearest[0] == "shop.orders"


@pytest.mark.parametrize("name", ["", ".", "x" * 10_000, "\0", "a b\n", "\ud800", "\u202e"])
def test_any_name_can_be_asked_for(world: World, name: str) -> None:
    """No name breaks the answer, its JSON or its lines."""
    world.meter("shop").counter("orders")
    attach(world)
    for explanation in (ask(world, name), ask(world, name, kind="counter")):
        assert json.dumps(explanation.as_dict())
        assert all(line.isprintable() for line in explanation.text().split("\n"))


def test_a_path_behind_a_renaming_filter_is_recognized(world: World) -> None:
    """What a handler makes of a series leads back to it, through filters and templates."""
    rename = RenameFilter(match="^shop", replace="store")
    carbon = GraphiteHandler(name="carbon", prefix="apps.web1", filters=[rename], tags=False)
    world.meter().add_handler(carbon)
    orders = world.meter("shop").counter("orders", labels=("country",))
    orders.labels("de").inc()
    orders.labels("fr").inc()
    explanation = ask(world, "apps.web1.store.orders.de.count")
    assert not explanation.found
    assert explanation.nearest == ("shop.orders",)
    found = step(explanation, "found")
    assert found.text == 'this is shop.orders{country="de"} at handler carbon'
    assert topics(explanation)[:2] == ["exists", "found"]


def test_prometheus_name_stands_for_all_its_series(world: World) -> None:
    """A name without its labels is that of several series, of which some are shown."""
    attach(world, filters=[RenameFilter(match="^shop", replace="store")])
    orders = world.meter("shop").counter("orders", labels=("country",))
    for number in range(30):
        orders.labels(number).inc()
    found = step(ask(world, "store.orders"), "found")
    assert found.text == 'this is shop.orders{country="0"} at handler memory'
    assert found.lines[-1] == "... and 19 more"


def test_the_search_for_a_path_is_bounded(world: World) -> None:
    """Of very many series not all are tried, however many handlers there are."""
    for name in "ab":
        attach(world, name=name)
    orders = world.meter("shop").counter("orders", labels=("n",))
    for number in range(10):
        orders.labels(number).inc()
    routes = world.reporter.routes()
    assert len(list(sent_as("shop.orders", routes, world.hierarchy))) == 20
    assert len(list(sent_as("shop.orders", routes, world.hierarchy, most=8))) == 8
    assert list(sent_as("shop.orders", [], world.hierarchy)) == []


def test_an_unknown_name_may_be_that_of_an_event(world: World) -> None:
    """Which handlers would take an event of that name is said, since none is registered."""
    attach(world)
    attach(world, name="silent", filters=[NameFilter(exclude=("shop.*",))])
    world.meter().add_handler(GraphiteHandler(name="carbon"))
    world.meter("shop").event("deploy")
    event = step(ask(world, "shop.deploy"), "event")
    assert (event.verdict, event.text) == (
        INFO,
        "if it is an event: events aren't registered; handlers that take events: memory",
    )
    assert "event" not in topics(ask(world, "shop.deploy", kind="event"))
    world.meter("shop").propagate = False
    assert step(ask(world, "shop.deploy"), "event").text.endswith("; no handler takes it")


def test_an_unregistered_name_of_a_given_kind_is_explained_as_if_it_were(world: World) -> None:
    """With a kind, the routing of a metric that doesn't exist yet is shown."""
    carbon = GraphiteHandler(name="carbon", prefix="apps", statistics=("p99",))
    world.meter("shop").add_handler(carbon)
    explanation = ask(world, "shop.render", kind="timer")
    assert not explanation.found
    assert "apps.shop.render.p99" in step(explanation, "handler carbon").lines


def test_an_event_can_be_explained(world: World) -> None:
    """An event, which is never registered, is explained when its kind is given."""
    attach(world, filters=[NameFilter(exclude=("shop.*",))])
    text = step(ask(world, "shop.deploy", kind="event"), "handler memory").text
    assert text.startswith("does not get it: filter NameFilter")


def test_self_metrics_and_scales_stats_are_explained(world: World) -> None:
    """What appmetrics tells about itself, and what an application keeps with scales, exist."""
    attach(world)
    world.hierarchy.registry.points.append(ForeignStat("old.stat", "gauge"))
    world.advance(10)
    assert "Samples sent" in step(ask(world, "appmetrics.handler.memory.sent"), "exists").text
    assert "scales stat /old/stat" in step(ask(world, "old.stat"), "exists").text


# -- labels --------------------------------------------------------------------


def test_labels_narrow_it_down(world: World) -> None:
    """Only the series with the labels asked for are explained, common labels included."""
    attach(world)
    world.meter().labels = {"env": "prod"}
    orders = world.meter("shop").counter("orders", labels=("shop",))
    orders.labels("de").inc(3)
    orders.labels("fr").inc()
    explanation = ask(world, "shop.orders", {"shop": "de", "env": "prod"})
    assert step(explanation, "value").text.startswith("3;")


def test_labels_that_no_series_has_are_a_problem(world: World) -> None:
    """Where no series has the labels, those that there are are listed."""
    world.meter("shop").counter("orders", labels=("shop",)).labels("de").inc()
    labels = step(ask(world, "shop.orders", {"shop": "xx"}), "labels")
    assert labels.verdict == PROBLEM
    assert labels.lines == ('shop.orders{shop="de"}',)


def test_a_label_that_does_not_exist_is_named(world: World) -> None:
    """A label that no series can have is named, with the one that was probably meant."""
    world.meter("shop").counter("orders", labels=("country",)).labels("de").inc()
    labels = step(ask(world, "shop.orders", {"contry": "de"}), "labels")
    assert labels.text == "there is no label contry, did you mean country; there are"
    labels = step(ask(world, "shop.orders", {"xyz\x1b": "de"}), "labels")
    assert labels.text == "there is no label xyz\\x1b; there are"


def test_an_instrument_whose_labels_were_never_used_has_no_series(world: World) -> None:
    """It says so, and shows the way with example values."""
    attach(world)
    world.meter("shop").counter("orders", labels=("shop",))
    explanation = ask(world, "shop.orders")
    assert step(explanation, "labels").verdict == PROBLEM
    assert "value" not in topics(explanation)
    assert step(explanation, "handler memory").text == "gets it"


def test_a_reached_limit_of_children_is_a_problem(world: World) -> None:
    """Label values that went to the overflow child are named as the reason."""
    world.hierarchy.max_children = 2
    orders = world.meter("shop").counter("orders", labels=("shop",))
    for shop in "abc":
        orders.labels(shop).inc()
    assert "_overflow_" in step(ask(world, "shop.orders"), "labels").text


def test_many_series_stay_readable(world: World) -> None:
    """A thousand children don't make a thousand lines."""
    attach(world)
    # What this one does reads differently for each series.
    attach(world, name="renamed", filters=[RenameFilter(match="^shop", replace="store")])
    orders = world.meter("shop").counter("orders", labels=("shop",))
    for number in range(1000):
        orders.labels(number).inc()
    explanation = ask(world, "shop.orders")
    assert len(explanation.text().splitlines()) < 50
    assert "... and 990 more" in step(explanation, "values").lines


def test_of_too_many_series_the_first_are_looked_at(world: World) -> None:
    """An explanation takes no longer for a hundred thousand children than for two thousand."""
    world.hierarchy.max_children = 3000
    orders = world.meter("shop").counter("orders", labels=("shop",))
    for number in range(2500):
        orders.labels(number).inc()
    explanation = ask(world, "shop.orders")
    assert "the first 2,000 of 2,500 series" in step(explanation, "labels").text
    assert step(ask(world, "shop.orders", {"shop": "2499"}), "value").text.startswith("1;")


# -- values --------------------------------------------------------------------


def test_the_last_change_is_the_one_a_round_saw(world: World) -> None:
    """The time of the last change is the round's that found another value."""
    attach(world)
    orders = world.meter("shop").counter("orders")
    orders.inc()
    world.advance(30)
    orders.inc()
    world.advance(60)
    assert "changed 50 s ago" in step(ask(world, "shop.orders"), "value").text


def test_without_rounds_the_last_change_is_not_known(world: World) -> None:
    """Without a handler that reads in rounds it says that it can't know."""
    world.meter("shop").counter("orders").inc()
    assert "not known" in step(ask(world, "shop.orders"), "value").text


def test_rounds_of_others_tell_nothing(world: World) -> None:
    """Behind propagate = no, handlers that don't get it can't know when it changed."""
    attach(world)
    world.meter("shop").propagate = False
    world.meter("shop").counter("orders").inc()
    world.advance(20)
    assert "no handler reads it in rounds" in step(ask(world, "shop.orders"), "value").text


def test_what_was_never_updated_says_so(world: World) -> None:
    """A counter at zero was never updated, whatever rounds have read."""
    attach(world)
    world.meter("shop").counter("orders")
    world.advance(20)
    assert step(ask(world, "shop.orders"), "value").text == "0; never updated"


def test_a_state_that_expired_has_no_reading(world: World) -> None:
    """A state past its ttl is the reason why nothing arrives."""
    state = world.meter("shop").state("database", ttl=30)
    state.set("critical", "no route")
    assert step(ask(world, "shop.database"), "value").text.startswith('critical, "no route"')
    world.advance(31)
    expired = step(ask(world, "shop.database"), "value")
    assert (expired.verdict, "ttl has passed" in expired.text) == (PROBLEM, True)


def test_a_callback_that_has_not_answered_has_no_reading(world: World) -> None:
    """A gauge whose callback was never answered is a problem."""
    world.meter("shop").gauge("depth", callback=lambda: 1)
    assert "callback has not answered" in step(ask(world, "shop.depth"), "value").text


def test_a_timer_tells_its_units(world: World) -> None:
    """Readings come with units that people read."""
    world.meter("shop").timer("render").observe(0.0125)
    assert "1 value, mean 12.5 ms" in step(ask(world, "shop.render"), "value").text


# -- level, meter, propagate ---------------------------------------------------


def test_a_level_that_is_off_names_the_meter_that_set_it(world: World) -> None:
    """Which meter's level switches an instrument off is said by name."""
    attach(world)
    world.meter("shop").level = "ERROR"
    world.meter("shop.cart").counter("clicks").inc()
    explanation = ask(world, "shop.cart.clicks")
    level = step(explanation, "level")
    assert level.verdict == PROBLEM
    assert "INFO is below ERROR, set by meter shop" in level.text
    assert step(explanation, "handler memory").text == "does not get it: its level is off"


def test_propagate_names_the_meter_that_stops_it(world: World) -> None:
    """A handler cut off by propagate is a problem that names both meters."""
    attach(world)
    world.meter("shop").propagate = False
    world.meter("shop.cart").counter("clicks").inc()
    found = step(ask(world, "shop.cart.clicks"), "handler memory")
    assert found.verdict == PROBLEM
    assert "attached to the root meter, and meter shop has propagate = no" in found.text


def test_a_handler_of_another_meter_is_no_problem(world: World) -> None:
    """A handler that is attached elsewhere doesn't get it, which is as it should be."""
    attach(world, "blog")
    world.meter("shop").counter("orders").inc()
    found = step(ask(world, "shop.orders"), "handler memory")
    assert found.verdict == INFO
    assert "attached to meter blog" in found.text


def test_the_lineage_shows_what_was_set_where(world: World) -> None:
    """Each meter above is listed with its own settings."""
    attach(world)
    world.meter("shop").change(level="DEBUG", labels={"team": "web"})
    world.meter("shop").add_filter(NameFilter(include=("shop.*",)))
    world.meter("shop.cart").counter("clicks")
    lineage = step(ask(world, "shop.cart.clicks"), "meter")
    assert lineage.text == "shop.cart < shop < root"
    assert "meter shop: level DEBUG; filters NameFilter" in lineage.lines[0]
    assert lineage.lines[1] == "the root meter: handlers memory"


# -- filters and handlers ------------------------------------------------------


def test_the_filter_that_drops_it_is_named(world: World) -> None:
    """A filter is named with the meter that it belongs to."""

    def nothing(series: Series) -> Series | None:
        return None

    attach(world)
    world.meter("shop").add_filter(nothing)
    world.meter("shop").counter("orders").inc()
    found = step(ask(world, "shop.orders"), "handler memory")
    assert found.verdict == PROBLEM
    assert found.text == "does not get it: filter nothing of meter shop drops it"


def test_a_filter_that_fails_says_with_what(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A filter's exception is the reason, not a silent drop."""

    def broken(series: Series) -> Series | None:
        raise ZeroDivisionError("by zero")

    attach(world, filters=[broken])
    world.meter("shop").counter("orders").inc()
    text = step(ask(world, "shop.orders"), "handler memory").text
    assert "filter broken failed, so it is left out: ZeroDivisionError: by zero" in text


def test_what_filters_and_common_labels_change_is_told(world: World) -> None:
    """Renaming filters and common labels are told, and the final line has their results."""
    handler = GraphiteHandler(
        name="carbon", filters=[RenameFilter(match="^shop", replace="store")], tags=True
    )
    world.meter().labels = {"env": "prod"}
    world.meter().add_handler(handler)
    world.meter("shop").gauge("depth").set(1)
    lines = step(ask(world, "shop.depth"), "handler carbon").lines
    assert 'common labels {env="prod"}' in lines[1]
    assert 'makes it store.depth{env="prod"}' in lines[1]
    assert lines[2] == "store.depth;env=prod"


def test_merged_series_say_so(world: World) -> None:
    """Series that become one by a dropped label are shown as one, merged from how many."""
    attach(world, filters=[LabelsFilter(drop=("shop",))])
    orders = world.meter("shop").counter("orders", labels=("shop",))
    orders.labels("de").inc()
    orders.labels("fr").inc()
    world.advance(10)
    assert "merged from 2 series" in step(ask(world, "shop.orders"), "handler memory").lines[1]


def test_a_handlers_level_is_named(world: World) -> None:
    """A handler that takes higher levels only says which."""
    attach(world, level=40)
    world.meter("shop").counter("orders").inc()
    text = step(ask(world, "shop.orders"), "handler memory").text
    assert text == "does not get it: its level INFO is below ERROR, the handler's"


def test_a_filter_that_passes_some_series_shows_both(world: World) -> None:
    """Of several series, those that are not sent are listed with the reason."""
    attach(world, filters=[lambda s: s if s.label("shop") == "de" else None])
    orders = world.meter("shop").counter("orders", labels=("shop",))
    orders.labels("de").inc()
    orders.labels("fr").inc()
    found = step(ask(world, "shop.orders"), "handler memory")
    assert found.text == "gets 1 of 2 series"
    assert found.lines[-1] == 'shop.orders{shop="fr"}'


def test_a_collision_names_who_has_the_path(world: World) -> None:
    """A series that a target leaves out for its path says who owns the path."""
    carbon = GraphiteHandler(name="carbon")
    world.meter().add_handler(carbon)
    world.meter("a").gauge("b c").set(1)
    world.meter("a").gauge("b_c").set(1)
    for series in (Series("a.b c"), Series("a.b_c")):
        carbon.prepare(series)
    found = step(ask(world, "a.b_c"), "handler carbon")
    assert found.verdict == PROBLEM
    assert "left out: its path a.b_c belongs to the gauge a.b c" in found.text


def test_a_failing_handler_shows_its_last_error(world: World) -> None:
    """A handler that can't send is a problem, with the error and what was dropped."""
    world.meter().add_handler(Broken(name="broken"))
    world.meter("shop").counter("orders").inc()
    world.meter("shop").counter("hidden").inc()
    world.advance(10)
    found = step(ask(world, "shop.orders"), "handler broken")
    assert (found.verdict, found.text) == (PROBLEM, "gets it, but sending fails")
    assert "ConnectionRefusedError: nobody" in found.lines[0]
    assert "dropped" in found.lines[0]
    assert found.lines[1].startswith("(describe() failed: KeyError")
    hidden = step(ask(world, "shop.hidden"), "handler broken")
    assert hidden.text == "does not get it: left out"


# -- rounds and configuration --------------------------------------------------


def test_a_reporter_that_was_not_started_is_a_problem(world: World) -> None:
    """Handlers without a reporter are the reason why nothing arrives."""
    attach(world)
    world.meter("shop").counter("orders").inc()
    assert "not been started" in step(ask(world, "shop.orders"), "reporter").text


def test_a_round_that_is_overdue_is_a_problem(world: World) -> None:
    """A reporter whose thread died, as in a forked child, is noticed by the missing round."""
    attach(world)
    world.meter("shop").counter("orders").inc()
    world.advance(10)
    assert step(ask(world, "shop.orders"), "reporter").verdict == OK
    world.clock.advance(40)
    assert "30 s ago has not been made" in step(ask(world, "shop.orders"), "reporter").text


def test_no_handler_at_all_is_a_problem(world: World) -> None:
    """Without a configuration it says that nothing is shipped."""
    world.meter("shop").counter("orders").inc()
    explanation = ask(world, "shop.orders")
    assert step(explanation, "handlers").verdict == PROBLEM
    assert step(explanation, "configuration").text == "none was loaded"


def test_a_page_that_is_alone_shows_it(world: World) -> None:
    """An application that only has a page has no problem."""
    world.meter("shop").counter("orders").inc()
    page = MemoryHandler(name="page")
    explanation = ask(world, "shop.orders", page=page)
    assert step(explanation, "page").text == "this page shows it"
    assert {each.verdict for each in explanation.steps} == {OK, INFO}
    world.meter().add_handler(page)
    assert "page" not in topics(ask(world, "shop.orders", page=page))


@pytest.fixture
def configured(world: World, tmp_path: Any) -> tuple[Configurator, Any]:
    """A configuration in force, and the file that it came from."""
    file = tmp_path / "app.ini"
    file.write_text("[metrics]\nhandlers = m\n[metrics.handler.m]\nclass = memory\n")
    configurator = Configurator(world.hierarchy, world.reporter)
    configurator.file_config(file)
    world.meter("shop").counter("orders")
    return configurator, file


def told(world: World, configurator: Configurator) -> Step:
    """What is said of the configuration."""
    loaded: Configuration | None = configurator.loaded()
    return step(ask(world, "shop.orders", loaded=loaded), "configuration")


def test_a_file_that_is_unchanged_is_fine(world: World, configured: tuple[Any, Any]) -> None:
    """The loaded file is named, and is fine while it holds what was loaded."""
    found = told(world, configured[0])
    assert found.verdict == OK
    assert str(configured[1]) in found.text


def test_a_file_that_was_changed_on_disk_is_a_problem(
    world: World, configured: tuple[Any, Any]
) -> None:
    """A file that holds something else than what is in force is named as the reason."""
    configured[1].write_text("[metrics]\n")
    text = told(world, configured[0]).text
    assert text.endswith("it has changed on disk since then, and watch is off")


def test_a_watched_file_that_was_changed_is_about_to_be_read(
    world: World, configured: tuple[Any, Any]
) -> None:
    """Where the change will be noticed, that is said."""
    configurator, file = configured
    file.write_text(file.read_text().replace("[metrics]", "[metrics]\nwatch = yes", 1))
    configurator.file_config(file)
    file.write_text("[metrics]\n")
    assert told(world, configurator).text.endswith("and is about to be read")


def test_a_file_that_is_gone_says_so(world: World, configured: tuple[Any, Any]) -> None:
    """A file that was deleted has not changed; it is gone."""
    configured[1].unlink()
    found = told(world, configured[0])
    assert (found.verdict, found.text.endswith("; the file is gone")) == (PROBLEM, True)


def test_a_refused_file_says_why(world: World, configured: tuple[Any, Any]) -> None:
    """What a watched file was refused for is repeated."""
    configurator, file = configured
    file.write_text("[metrics]\nhandler = m\n")
    configurator.watch()
    configurator.watch()
    found = told(world, configurator)
    assert found.verdict == PROBLEM
    assert "did you mean 'handlers'?" in found.lines[0]
    file.write_text("[metrics]\n" + "".join(f"x{n} = 1\n" for n in range(100)))
    configurator.watch()
    configurator.watch()
    assert told(world, configurator).lines[-1] == "... and 90 more"


# -- the answer ----------------------------------------------------------------


def test_without_a_process_nothing_is_said_that_only_a_process_knows(world: World) -> None:
    """For a file there are no values, queues, rounds or times."""
    attach(world)
    explanation = ask(world, "shop.orders", kind="counter", live=False)
    assert topics(explanation) == ["exists", "level", "meter", "handler memory"]
    assert step(explanation, "handler memory").lines == ("memory, every 10 s", "shop.orders")


def test_asking_changes_nothing(world: World) -> None:
    """Explaining makes no meter, takes no round and starts no thread."""
    handler = attach(world)
    threads = set(threading.enumerate())
    ask(world, "shop.cart.orders", kind="counter")
    assert set(world.hierarchy.meters) == {""}
    assert handler.samples == []
    assert set(threading.enumerate()) <= threads  # those of other tests may end


def test_the_answer_travels_as_json(world: World) -> None:
    """A client that gets the JSON has the same explanation."""
    attach(world)
    world.meter("shop").counter("orders", labels=("shop",)).labels("de\x1b").inc()
    explanation = ask(world, "shop.orders", {"shop": "de\x1b"})
    assert Explanation.from_dict(json.loads(json.dumps(explanation.as_dict()))) == explanation


@pytest.mark.parametrize("data", [None, [], {}, {"steps": [1]}, {"steps": [], "labels": []}])
def test_what_is_no_explanation_is_refused(data: Any) -> None:
    """JSON of another shape is an error, not a broken explanation."""
    with pytest.raises(ValueError, match="not an explanation"):
        Explanation.from_dict(data)


def test_the_text_has_a_mark_for_each_verdict() -> None:
    """Steps are aligned lines, with a word for the verdict that can be coloured."""
    steps = (
        Step("exists", OK, "yes"),
        Step("level", PROBLEM, "off", ("line",)),
        Step("x", INFO, ""),
    )
    explanation = Explanation("a.b", {}, True, (), steps)
    painted = explanation.text(lambda verdict, mark: mark.upper() if verdict == PROBLEM else mark)
    assert painted == (
        "a.b\n"
        "  ok       exists  yes\n"
        "  PROBLEM  level   off\n"
        "                     line\n"
        "           x\n"
    )
