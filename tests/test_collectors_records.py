"""Log records as a metric."""

from __future__ import annotations

import logging
import logging.config
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from appmetrics import collectors
from appmetrics.collectors import records
from appmetrics.testing import World
from servers import PATIENCE


@pytest.fixture
def world() -> Iterator[World]:
    """A world with the collector in it."""
    world = World()
    collectors.install(["logging"], world.hierarchy)
    yield world
    collectors.uninstall(hierarchy=world.hierarchy)


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    """A logger of the test's own, which stays silent."""
    logger = logging.getLogger(f"test.records.{request.node.name}")
    handler = logging.NullHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield logger
    logger.removeHandler(handler)


def test_records_are_counted_by_logger_and_level(world: World, logger: logging.Logger) -> None:
    """Errors logged by one logger are a series of their own."""
    with world.capture() as captured:
        logger.error("no route to %s", "host")
        logger.error("again")
        logger.info("well")
        logging.getLogger().warning("by the root logger")
    assert captured.value("logging.records", logger=logger.name, level="ERROR") == 2
    assert captured.value("logging.records", logger=logger.name, level="INFO") == 1
    assert captured.value("logging.records", logger="root", level="WARNING") == 1


def test_what_the_level_stops_is_not_counted(world: World, logger: logging.Logger) -> None:
    """A record that no handler could ever see is none."""
    with world.capture() as captured:
        logger.debug("unheard")
    assert captured.value("logging.records", logger=logger.name) == 0


def test_a_logger_that_does_not_propagate_is_counted(world: World, logger: logging.Logger) -> None:
    """It does not matter which handlers a record reaches."""
    logger.propagate = False
    with world.capture() as captured:
        logger.error("seen by nobody else")
    assert captured.value("logging.records", logger=logger.name) == 1


def test_levels_without_a_name_count_below(world: World, logger: logging.Logger) -> None:
    """A numeric level counts as the standard one below it, so that there are few of them."""
    with world.capture() as captured:
        logger.log(33, "more than a warning")
    assert captured.value("logging.records", logger=logger.name, level="WARNING") == 1


def test_there_are_only_so_many_loggers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers beyond the cap are counted together."""
    monkeypatch.setattr(records, "MAX_LOGGERS", 3)
    factory = logging.getLogRecordFactory()
    with world.capture() as captured:
        for number in range(10):
            factory(f"connection.{number}", logging.INFO, "", 0, "", (), None)
    assert captured.value("logging.records") == 10
    assert captured.value("logging.records", logger="_overflow_") == 7


def test_its_own_log_lines_do_not_recurse(world: World) -> None:
    """Where counting itself logs, that record is counted like another."""
    world.hierarchy.max_children = 1
    world.hierarchy.changed()
    with world.capture() as captured:
        for name in ("first", "second", "third"):
            logging.getLogRecordFactory()(name, logging.INFO, "", 0, "", (), None)
    assert captured.value("logging.records") == 4


def test_it_survives_a_configuration_of_logging() -> None:
    """basicConfig and dictConfig work as without it, and it goes on counting after them."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            """
import logging, logging.config, sys
from appmetrics import collectors, get_meter
collectors.install(["logging"])
logging.getLogger("shop").warning("by the last resort")
logging.basicConfig(stream=sys.stderr, format="basic %(message)s")
logging.getLogger("shop").warning("one")
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False,
    "formatters": {"f": {"format": "dict %(message)s"}},
    "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
    "root": {"handlers": ["h"]}})
logging.getLogger("shop").warning("two")
counter = get_meter("logging").counter("records", labels=("logger", "level"))
print(counter.labels("shop", "WARNING").value)
""",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stderr.splitlines() == ["by the last resort", "basic one", "dict two"]
    assert done.stdout == "3\n"


def test_a_factory_set_on_top_stays(world: World, logger: logging.Logger) -> None:
    """Taken out, it leaves what others have put on top in place, and counts no more."""
    ours = logging.getLogRecordFactory()

    def theirs(*args: object, **kwargs: object) -> logging.LogRecord:
        return ours(*args, **kwargs)

    logging.setLogRecordFactory(theirs)
    try:
        collectors.uninstall(["logging"], world.hierarchy)
        assert logging.getLogRecordFactory() is theirs
        with world.capture() as captured:
            logger.error("not counted")
        assert captured.value("logging.records") == 0
    finally:
        assert isinstance(ours, records.CountingFactory)
        logging.setLogRecordFactory(ours.former)


def test_records_of_another_process_are_not_counted(world: World) -> None:
    """A record that was only unpacked has been counted where it was made."""
    with world.capture() as captured:
        logging.makeLogRecord({"name": "elsewhere", "levelno": logging.ERROR})
    assert captured.value("logging.records") == 0
