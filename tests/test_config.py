"""appmetrics.config: configurations in force, replaced, watched and refused."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from appmetrics import collectors, config
from appmetrics.config import Configurator
from appmetrics.errors import ConfigError
from appmetrics.filters import NameFilter
from appmetrics.formatters import LineFormatter
from appmetrics.handlers.base import Handler
from appmetrics.handlers.memory import MemoryHandler
from appmetrics.hierarchy import Hierarchy
from appmetrics.options import Option, integer, secret, text
from appmetrics.registry import Registry
from appmetrics.reporter import Reporter
from appmetrics.sample import Sample, Series
from appmetrics.testing import ManualClock


class Notebook(Handler):
    """Notes what becomes of it."""

    OPTIONS = (
        Option("title", text, ""),
        Option("token", secret, ""),
        Option("pages", integer(1), 1),
    )

    def __init__(self, *, title: str = "", token: str = "", pages: int = 1, **common: Any) -> None:
        super().__init__(**common)
        if title == "refused":
            raise ValueError("no such title")
        self.notes: list[str] = []
        self.samples: list[Sample] = []

    def open(self) -> None:
        """Note it."""
        self.notes.append("open")

    def emit(self, samples: Sequence[Sample]) -> None:
        """Note the names of what isn't about ourselves."""
        self.samples += [s for s in samples if not s.series.name.startswith("appmetrics.")]

    def close(self) -> None:
        """Note it."""
        self.notes.append("close")

    def target(self) -> str:
        """A shelf."""
        return "shelf"


def pass_all(series: Series) -> Series | None:
    """A filter that is a plain function."""
    return series


class Nameless(Notebook):
    """Does not know its target."""

    def target(self) -> str:
        """No shelf."""
        raise LookupError("no shelf")


class World:
    """A configuration of its own, with hierarchy, reporter and file."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.hierarchy = Hierarchy(Registry(), self.clock)
        self.reporter = Reporter(self.hierarchy)
        self.config = Configurator(self.hierarchy, self.reporter)
        self.path = folder / "metrics.ini"
        self._times = itertools.count(1_700_000_000_000_000_000, 1_000_000)

    def write(self, text: str) -> None:
        """Write the file with the next modification time."""
        self.path.write_text(text)
        time = next(self._times)
        os.utime(self.path, ns=(time, time))

    def load(self, text: str) -> None:
        """Write the file and configure from it."""
        self.write(text)
        self.config.file_config(self.path)

    def look(self) -> None:
        """What the reporter does within two seconds."""
        for job in self.reporter.jobs * 2:
            job()

    def run(self, rounds: int) -> None:
        """What the reporter does now, and in this many intervals."""
        self.reporter.run_due()
        for _ in range(rounds):
            self.clock.advance(self.reporter.interval)
            self.reporter.run_due()
            self.reporter.flush()

    @property
    def handlers(self) -> dict[str, Any]:
        """The handlers in force."""
        return {handler.name: handler for handler in self.hierarchy.handlers()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A fresh world."""
    return World(tmp_path)


BOOK = "[metrics.handler.book]\nclass = test_config.Notebook\n"
OTHER = "[metrics.handler.other]\nclass = test_config.Notebook\n"
WATCHED = "[metrics]\nwatch = yes\nhandlers = book\n" + BOOK


def test_routing(world: World) -> None:
    """A file decides levels, labels, handlers and filters of the meters."""
    world.load(f"""\
[metrics]
interval = 5m
level = WARNING
labels = env=prod
handlers = book
flush_timeout = 1
scales_counters = app.*
max_children = 7
{BOOK}
[metrics.meter.shop.db]
level = DEBUG
handlers = other
propagate = no
labels = shard=a
filters = few
[metrics.handler.other]
class = test_config.Notebook
[metrics.filter.few]
class = name
include = shop.*
""")
    root, meter = world.hierarchy.root, world.hierarchy.get_meter("shop.db")
    assert world.reporter.interval == 300
    assert world.reporter.flush_timeout == 1
    assert world.hierarchy.scales_counters == ("app.*",)
    assert world.hierarchy.max_children == 7
    assert (root.level, meter.level) == (30, 10)
    assert meter.effective_labels == {"env": "prod", "shard": "a"}
    assert [handler.name for handler in root.effective_handlers] == ["book"]
    assert [handler.name for handler in meter.effective_handlers] == ["other"]
    assert len(meter.effective_filters) == 1


def test_counted_before(world: World) -> None:
    """What was counted before the configuration is shipped after it."""
    orders = world.hierarchy.get_meter("shop").counter("orders")
    orders.inc(3)
    world.load(WATCHED)
    book = world.handlers["book"]
    world.reporter.stop()
    assert [(s.series.name, s.delta) for s in book.samples] == [("shop.orders", 3)]


def test_nothing_is_started(world: World) -> None:
    """Configuring opens no handler and starts no thread."""
    world.load(WATCHED)
    assert world.handlers["book"].notes == []


def test_bad_file(world: World) -> None:
    """A wrong configuration raises and leaves the old one in force."""
    world.load(WATCHED)
    book, loaded = world.handlers["book"], world.config.loaded()
    for wrong in ("[metrics]\nhandlers = nosuch\n", WATCHED + "title = refused\n"):
        with pytest.raises(ConfigError, match=r"nosuch|no such title"):
            world.load(wrong)
        assert world.handlers == {"book": book}
        assert world.config.loaded() is loaded


def test_same_handler_is_kept(world: World) -> None:
    """A handler that is configured the same keeps its object; another gets a new one."""
    world.load(WATCHED + "title = %(pid)s\n")
    book = world.handlers["book"]
    world.load(WATCHED.replace("[metrics]\n", "[metrics]\nlevel = DEBUG\n") + "title = %(pid)s\n")
    assert world.handlers["book"] is book
    world.load(WATCHED + "title = new\n")
    assert world.handlers["book"] is not book


def test_changed_filter_changes_the_handler(world: World) -> None:
    """A handler whose filter section changed is a changed handler."""
    text = WATCHED + "filters = few\n[metrics.filter.few]\nclass = name\ninclude = a.*\n"
    world.load(text)
    book = world.handlers["book"]
    world.load(text)
    assert world.handlers["book"] is book
    world.load(text.replace("a.*", "b.*"))
    assert world.handlers["book"] is not book


@pytest.mark.parametrize("rounds", [0, 1])
def test_heir(world: World, rounds: int) -> None:
    """A changed handler goes on from its predecessor's readings and loses no count."""
    orders = world.hierarchy.get_meter("shop").counter("orders")
    world.load(WATCHED)
    old = world.handlers["book"]
    orders.inc(2)
    world.run(rounds)
    world.load(WATCHED + "title = new\n")
    orders.inc(3)
    world.run(0)
    orders.inc(4)
    new = world.handlers["book"]
    world.reporter.stop()
    assert [s.delta for s in old.samples if s.delta] == [2][:rounds]
    assert sum(s.delta for s in old.samples + new.samples) == 9
    assert old.notes == ["open", "close"][: 2 * rounds]


@pytest.mark.parametrize("rounds", [0, 1])
def test_removed_handler(world: World, rounds: int) -> None:
    """A removed handler gets a last round and is closed."""
    orders = world.hierarchy.get_meter("shop").counter("orders")
    world.load(WATCHED)
    book = world.handlers["book"]
    orders.inc(2)
    world.run(rounds)
    orders.inc(4)
    world.load("[metrics]\nwatch = yes\n")
    world.run(0)
    assert sum(s.delta for s in book.samples) == 6
    assert book.notes == ["open", "close"]


def test_changed_class(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A handler of another class is another handler, whatever its options."""
    world.load(WATCHED)
    book = world.handlers["book"]
    with caplog.at_level("INFO", "appmetrics"):
        world.load(WATCHED.replace("Notebook", "Nameless"))
    assert world.handlers["book"] is not book
    assert caplog.messages == [f"{world.path} was read again: handler book changed (class)"]


def test_handler_with_parts(world: World) -> None:
    """A handler gets its filters and its formatter, with their options."""
    world.load(
        WATCHED
        + """filters = few, some
formatter = lines
[metrics.filter.few]
class = name
include = a.*
[metrics.filter.some]
class = test_config.pass_all
[metrics.formatter.lines]
class = line
"""
    )
    book = world.handlers["book"]
    assert isinstance(book.filters[0], NameFilter)
    assert book.filters[0].include == ("a.*",)
    assert book.filters[1] is pass_all
    assert isinstance(book.formatter, LineFormatter)


def test_removed_meter(world: World) -> None:
    """A meter that the new file doesn't name is as if it had never been named."""
    world.load("[metrics]\n[metrics.meter.shop]\nlevel = ERROR\npropagate = no\n")
    world.load("[metrics]\n")
    assert world.hierarchy.get_meter("shop").level == 0
    assert world.hierarchy.get_meter("shop").propagate


def test_dict_config(world: World) -> None:
    """A dict configures as a file does, and may hold handlers that exist."""
    handler = MemoryHandler(name="mine")
    world.config.dict_config(
        {
            "metrics": {"handlers": ["mine"], "interval": 1},
            "handlers": {"mine": handler},
            "meters": {"shop": {"level": "DEBUG"}},
        }
    )
    assert world.handlers == {"mine": handler}
    assert world.hierarchy.get_meter("shop").level == 10
    loaded = world.config.loaded()
    assert loaded is not None
    assert not loaded.path
    assert not loaded.changed()
    with pytest.raises(ConfigError, match="<dict>"):
        world.config.dict_config({"metrix": {}})


def test_basic_config(world: World) -> None:
    """basic_config configures the root meter and starts; a second call changes nothing."""
    first, second = MemoryHandler(), MemoryHandler()
    world.config.basic_config(handlers=[first, second, "null"], interval="1h", labels={"a": "b"})
    try:
        assert world.hierarchy.root.handlers[:2] == (first, second)
        assert world.hierarchy.root.labels == {"a": "b"}
        assert world.reporter.interval == 3600
        world.config.basic_config(handlers="null")
        assert len(world.hierarchy.root.handlers) == 3
        world.config.basic_config(handlers="null", force=True)
        assert len(world.hierarchy.root.handlers) == 1
        with pytest.raises(ConfigError, match="did you mean 'interval'"):
            world.config.basic_config(force=True, intervall=5)
    finally:
        world.reporter.stop()


def test_configure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """configure takes its argument, then $APPMETRICS_CONFIG, and else does nothing."""
    monkeypatch.delenv("APPMETRICS_CONFIG", raising=False)
    assert world.config.configure() is False
    assert world.config.loaded() is None
    world.write(WATCHED)
    monkeypatch.setenv("APPMETRICS_CONFIG", str(world.path))
    assert world.config.configure() is True
    assert world.handlers.keys() == {"book"}
    with pytest.raises(ConfigError, match="can't be read"):
        world.config.configure(world.path.with_name("nosuch.ini"))


def test_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """One INFO line says version, file, handlers with targets, and interval."""
    with caplog.at_level("INFO", "appmetrics"):
        world.load(WATCHED)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    for part in (str(world.path), "book (shelf)", "interval 10 s", "appmetrics 0."):
        assert part in record.getMessage()


def test_a_target_that_fails(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that can't name its target is configured all the same."""
    world.write(WATCHED.replace("Notebook", "Nameless"))
    with caplog.at_level("INFO", "appmetrics"):
        world.config.configure(world.path)
    assert "book (LookupError: no shelf)" in caplog.text


def test_warnings_are_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What is surely not meant is logged when a file is used, and kept."""
    world.load(WATCHED + "[metric.handler.x]\nclass = null\n")
    assert caplog.messages[0].endswith("(did you mean 'metrics.handler.x'?)")
    loaded = world.config.loaded()
    assert loaded is not None
    assert len(loaded.warnings) == 1


def test_watch(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """With watch, a changed file is used, and the log says what is different."""
    gone = OTHER.replace("other", "gone")
    world.load(
        WATCHED.replace("= book", "= book, gone")
        + f"token = hush\n{gone}[metrics.meter.shop]\nlevel = ERROR\n"
    )
    with caplog.at_level("INFO", "appmetrics"):
        world.write(
            WATCHED.replace("= book", "= book, other\ninterval = 5\nlabels = a=b")
            + f"token = hash\npages = 2\n{OTHER}[metrics.meter.shop]\nlevel = DEBUG\n"
        )
        world.look()
    assert world.handlers.keys() == {"book", "other"}
    assert world.reporter.interval == 5
    (message,) = caplog.messages
    assert message == (
        f"{world.path} was read again: handler other added; handler gone removed;"
        " handler book changed (pages, token); root meter changed (handlers, labels);"
        " meter shop level ERROR -> DEBUG; interval 10 s -> 5 s"
    )


def test_what_the_log_says_of_options(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Options of [metrics] are named with their values, old and new."""
    world.load(WATCHED)
    caplog.clear()
    changed = WATCHED.replace(
        "watch = yes", "max_children = 5\nflush_timeout = 1m\nscales_counters = a.*, b"
    )
    with caplog.at_level("INFO", "appmetrics"):
        world.load(changed)
        world.load(WATCHED)
    first, second = (message.partition(": ")[2] for message in caplog.messages)
    assert first == (
        "no longer watched; flush_timeout 5 s -> 60 s; scales_counters none -> a.*, b;"
        " max_children 1000 -> 5"
    )
    assert second.startswith("watched from now on; flush_timeout 60 s -> 5 s;")


def test_a_restored_file_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """After a refusal, the log says that the file holds again what is in force."""
    world.load(WATCHED)
    world.write("[metrics]\nhandlers = nosuch\n")
    world.look()
    caplog.clear()
    with caplog.at_level("INFO", "appmetrics"):
        for _ in range(2):
            world.write(WATCHED)
            world.look()
    assert caplog.messages == [f"{world.path} is again what is in force"]


def test_a_long_refusal_is_cut(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Of very many problems of a watched file, the first are logged, and the number."""
    world.load(WATCHED)
    caplog.clear()
    world.write(WATCHED + "".join(f"x{n} = 1\n" for n in range(2000)))
    world.look()
    (message,) = caplog.messages
    assert len(message.splitlines()) == 22
    assert message.endswith("\nand 1,980 more")


def test_warnings_of_handlers_are_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What a handler warns of is logged when the file is used, and kept."""
    folder = world.path.parent / "nosuch"
    world.load(f"[metrics]\nhandlers = f\n[metrics.handler.f]\nclass = file\npath = {folder}/x\n")
    loaded = world.config.loaded()
    assert loaded is not None
    (warning,) = loaded.warnings
    assert f"there is no folder {folder}" in str(warning)
    assert caplog.messages == [str(warning)]


def test_watch_waits(world: World) -> None:
    """A file that is still being written is not read: it must look the same twice."""
    world.load(WATCHED)
    (job,) = world.reporter.jobs
    for half in ("[metrics]\n", "[metrics]\nwatch = yes\n"):
        world.write(half)
        job()
        assert world.handlers.keys() == {"book"}
    world.write(WATCHED.replace("= book", "= other") + OTHER)
    job()
    job()
    assert world.handlers.keys() == {"other"}


def test_watch_refuses(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A bad new file leaves the old routing in force and says why once per version."""
    world.load(WATCHED)
    book, loaded = world.handlers["book"], world.config.loaded()
    assert loaded is not None
    caplog.clear()
    for wrong in ("[metrics]\nhandlers = nosuch\n", "[metrics]\nlevel = LOUD\n"):
        world.write(wrong)
        world.look()
        world.look()
    assert world.handlers == {"book": book}
    first, second = caplog.messages
    assert "there is no [metrics.handler.nosuch]" in first
    assert "expected a level" in second
    assert loaded.refused is not None
    assert loaded.changed()
    world.write(WATCHED)
    world.look()
    assert loaded.refused is None
    assert not loaded.changed()


def test_watch_survives_a_missing_file(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A file that goes away leaves the routing in force; its return is noticed."""
    world.load(WATCHED)
    caplog.clear()
    world.path.unlink()
    for _ in range(3):
        world.look()
    assert world.handlers.keys() == {"book"}
    (message,) = caplog.messages
    assert "can't be read" in message
    world.write(WATCHED.replace("= book", "= other") + OTHER)
    world.look()
    assert world.handlers.keys() == {"other"}


def test_watch_sees_a_rename(world: World) -> None:
    """A file put in place by rename counts as changed, whatever its size and time."""
    world.load(WATCHED)
    stat = world.path.stat()
    new = world.path.with_suffix(".new")
    new.write_text(WATCHED.replace("= book", "= boot").replace(".book", ".boot"))
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    new.rename(world.path)
    world.look()
    assert world.handlers.keys() == {"boot"}


def test_watch_ends(world: World) -> None:
    """A file that no longer says watch is watched no more."""
    world.load(WATCHED)
    assert len(world.reporter.jobs) == 1
    world.load(WATCHED)
    assert len(world.reporter.jobs) == 1
    world.write(WATCHED.replace("yes", "no"))
    world.look()
    assert world.reporter.jobs == []


def test_changed_on_disk(world: World) -> None:
    """What is loaded can say whether its file holds something else by now."""
    world.load(WATCHED)
    loaded = world.config.loaded()
    assert loaded is not None
    assert loaded.path == str(world.path)
    assert not loaded.changed()
    world.write(WATCHED)
    assert not loaded.changed(), "touched, but the same"
    world.write(WATCHED + "pages = 2\n")
    assert loaded.changed()
    assert loaded.watched
    assert not loaded.gone()
    world.path.unlink()
    assert loaded.changed()
    assert loaded.gone()


def test_variables_survive_a_reload(world: World) -> None:
    """A watched file is read again with the variables that it was given first."""
    world.write(WATCHED + "title = %(flavour)s\n")
    world.config.file_config(world.path, {"flavour": "vanilla"})
    world.write(WATCHED + "pages = 3\ntitle = %(flavour)s\n")
    world.look()
    loaded = world.config.loaded()
    assert loaded is not None
    assert loaded.plan.handlers["book"].options["title"] == "vanilla"
    assert loaded.plan.handlers["book"].options["pages"] == 3


def test_public_functions() -> None:
    """The package's functions are those of the process' own configuration."""
    assert config.file_config == config.configurator.file_config
    assert config.loaded == config.configurator.loaded
    assert set(config.__all__) <= set(dir(config))


def test_collectors_come_and_go(world: World) -> None:
    """``collectors`` puts them in, a file that no longer names them takes them out."""
    head = "[metrics]\nhandlers = notes\nwatch = yes\n"
    notes = "[metrics.handler.notes]\nclass = null\n"
    world.load(f"{head}collectors = garbage\n{notes}")
    assert "python.gc.collections" in world.hierarchy.registry.instruments
    assert len(collectors.installed(world.hierarchy)) == 1
    world.write(f"{head}{notes}")
    world.look()
    assert collectors.installed(world.hierarchy) == ()


def test_an_unknown_collector_is_named_with_the_known_ones(world: World) -> None:
    """Nothing changes, and the message says what there is."""
    with pytest.raises(ConfigError, match=r"garbag.*expected collectors \(garbage, "):
        world.load("[metrics]\ncollectors = garbag\n")
    assert collectors.installed(world.hierarchy) == ()
