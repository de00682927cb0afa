"""Putting collectors in and out."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from appmetrics import collectors
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.hierarchy import Hierarchy
from appmetrics.testing import World


@pytest.fixture
def world() -> World:
    """A world with a handler that remembers."""
    world = World()
    world.meter().add_handler(MemoryHandler(name="memory"))
    return world


class Told:
    """A collector that notes what is done with it."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, hierarchy: Hierarchy) -> Callable[[], None]:
        self.heard.append("in")
        return lambda: self.heard.append("out")


def broken(hierarchy: Hierarchy) -> Callable[[], None]:
    """A collector that does not work on this machine."""
    raise OSError("no such device")


told = Told()


@pytest.mark.parametrize("name", sorted(collectors.COLLECTORS))
def test_every_collector_goes_in_and_out(world: World, name: str) -> None:
    """Each collector of the table is put in under its name, and taken out again."""
    collectors.install([name], world.hierarchy)
    assert collectors.installed(world.hierarchy) == (collectors.find(name),)
    world.advance(10)
    collectors.uninstall([name], world.hierarchy)
    assert collectors.installed(world.hierarchy) == ()


def test_a_collector_is_put_in_once(world: World) -> None:
    """Installing again what is there already changes nothing, and so does taking out twice."""
    collector = Told()
    collectors.install([collector], world.hierarchy)
    collectors.install([collector, collector], world.hierarchy)
    assert collector.heard == ["in"]
    collectors.uninstall(hierarchy=world.hierarchy)
    collectors.uninstall([collector], world.hierarchy)
    assert collector.heard == ["in", "out"]


def test_hierarchies_have_collectors_of_their_own(world: World) -> None:
    """What is put into one hierarchy is not in another."""
    collector, other = Told(), World()
    collectors.install([collector], world.hierarchy)
    collectors.install([collector], other.hierarchy)
    assert collector.heard == ["in", "in"]
    collectors.uninstall(hierarchy=other.hierarchy)
    assert collectors.installed(world.hierarchy) == (collector,)


def test_a_collector_of_ones_own_is_named_by_its_path(world: World) -> None:
    """A dotted path to a callable is a collector."""
    collectors.install([f"{__name__}.told"], world.hierarchy)
    assert told.heard == ["in"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("proces", "prometheus, waitress or a dotted path, not 'proces'"),
        ("no_such_package.collect", "can't import no_such_package"),
        ("appmetrics.version.__version__", "is not"),
    ],
)
def test_a_wrong_name_changes_nothing(world: World, name: str, why: str) -> None:
    """A name that stands for no collector is an error, and none of the others is put in."""
    with pytest.raises(ValueError, match=why):
        collectors.install(["garbage", name], world.hierarchy)
    assert collectors.installed(world.hierarchy) == ()


def test_a_collector_that_fails_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """One that can't work here is logged by name, and the others are put in."""
    collector = Told()
    with caplog.at_level(logging.ERROR, "appmetrics"):
        collectors.install([broken, collector], world.hierarchy)
    assert collectors.installed(world.hierarchy) == (collector,)
    assert "broken can't be used here" in caplog.text
    assert "no such device" in caplog.text
