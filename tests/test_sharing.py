"""Processes that share: one set of numbers, one that sends, whatever becomes of whom.

Members of a group are played by worlds in one process; their locks are as good as those
of processes. What only real processes show is below, and in ``test_sharing_servers``.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appmetrics.handlers.memory import MemoryHandler
from appmetrics.hierarchy import Hierarchy
from appmetrics.meter import Meter
from appmetrics.registry import Registry
from appmetrics.reporter import Reporter
from appmetrics.sample import Series
from appmetrics.sharing import EACH, LEADER, SIDECAR, Sharing
from appmetrics.sharing.events import MAX_BYTES, EventLog, EventReader
from appmetrics.sharing.folder import Folder, Lock, Unusable
from appmetrics.sharing.store import CHUNK, Broken, Store
from appmetrics.sharing.view import FORGOTTEN
from appmetrics.testing import ManualClock
from servers import PATIENCE, untraced

HERE = Path(__file__).parent


class Member:
    """A process of the group: its meters, its handler, rounds by hand."""

    def __init__(self, folder: Path, clock: ManualClock, reporter: str = LEADER) -> None:
        self.clock = clock
        self.hierarchy = Hierarchy(Registry(), clock)
        self.sharing = Sharing(self.hierarchy, str(folder), reporter)
        self.reporter = Reporter(self.hierarchy, self.sharing)
        self.memory = MemoryHandler(name="memory")
        self.meter = self.hierarchy.get_meter("shop")
        self.hierarchy.root.add_handler(self.memory)

    def round(self) -> None:
        """What is due now."""
        self.reporter.run_due()
        self.reporter.flush()

    def page(self) -> dict[str, Any]:
        """What a page shows: the name, with labels, and the value."""
        from appmetrics.wsgi.app import _Reader

        selection = self.reporter.pull(_Reader(name="page"))
        pairs = zip(selection.series, selection.values())
        return {title(series): value for series, value in pairs if value is not None}

    def die(self) -> None:
        """What is left after kill -9: files, and no locks."""
        for lock in (self.sharing._slot and self.sharing._slot._lock, self.sharing._leading):
            if lock is not None:
                lock.release()


def title(series: Series) -> str:
    """A name, and the values of labels."""
    return ".".join([series.name, *(value for _, value in series.labels)])


@pytest.fixture
def clock() -> ManualClock:
    """The time of all members."""
    return ManualClock()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, what there is when a member joins is shared at once."""
    monkeypatch.setattr("appmetrics.sharing.slot.ADOPTING", PATIENCE)


@pytest.fixture
def join(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., Member]]:
    """Makes members of one group, which have claimed their slots."""
    members = []

    def make(reporter: str = LEADER, declare: Callable[[Meter], Any] | None = None) -> Member:
        member = Member(tmp_path / "shared", clock, reporter)
        if declare is not None:
            declare(member.meter)
        member.round()
        assert member.sharing.joined
        members.append(member)
        return member

    yield make
    for member in members:
        member.die()


# -- merging -----------------------------------------------------------------


def test_counts_of_all_processes_add_up(join: Callable[..., Member]) -> None:
    """Every member's page shows the sum of all, by label, before and after joining."""
    first = join(
        declare=lambda meter: meter.counter("orders", labels=("shop",)).labels("de").inc(5)
    )
    second = join()
    second.meter.counter("orders", labels=("shop",)).labels("de").inc(2)
    second.meter.counter("orders", labels=("shop",)).labels("at").inc()
    for member in (first, second):
        page = member.page()
        assert (page["shop.orders.de"], page["shop.orders.at"]) == (7, 1)
        assert type(page["shop.orders.de"]) is int


def test_distributions_of_all_processes_are_one(join: Callable[..., Member]) -> None:
    """Buckets, special ones included, and sums add up."""
    members = [join(), join()]
    for number, member in enumerate(members):
        sizes = member.meter.histogram("sizes")
        for value in (0, 1e-12, 1e12, 1 + number, 3.0):
            sizes.observe(value)
    merged = members[0].page()["shop.sizes"]
    assert merged.count == 10
    assert list(merged.special) == [2, 2, 2]
    assert merged.sum == pytest.approx(2e12 + 9)
    assert merged.percentile(50) == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize(
    ("merge", "expected"), [("sum", 7), ("max", 5), ("min", 2), ("worker", None)]
)
def test_gauges_are_merged_by_their_mode(
    join: Callable[..., Member], merge: str, expected: int | None
) -> None:
    """Sum, greatest, least; or one series for each process."""
    members = [join(), join()]
    for member, value in zip(members, (5, 2)):
        member.meter.gauge("depth", merge=merge).set(value)
    page = members[1].page()
    if expected is None:
        assert (page["shop.depth.0"], page["shop.depth.1"]) == (5, 2)
    else:
        assert page["shop.depth"] == expected


def test_gauges_of_the_dead_are_gone(join: Callable[..., Member]) -> None:
    """What a process has open, and the state it is in, end with it; what it counted stays."""
    first, second = join(), join()
    for member in (first, second):
        member.meter.gauge("open").set(3)
        member.meter.counter("done").inc()
    second.meter.state("condition").set("critical", "no route")
    assert first.page()["shop.condition"].state == "critical"
    second.die()
    page = first.page()
    assert (page["shop.open"], page["shop.done"]) == (3, 2)
    assert "shop.condition" not in page


def test_the_worst_state_is_shown(join: Callable[..., Member]) -> None:
    """With its description, and any text that an application gave it."""
    members = [join(), join(), join()]
    for member, text in zip(members, ("ok", "warning", "ok")):
        member.meter.state("database").set(text, f"größe {text}")
    shown = members[0].page()["shop.database"]
    assert (shown.state, shown.description) == ("warning", "größe warning")
    members[2].meter.state("database").set("on fire", "x" * 10_000)
    shown = members[0].page()["shop.database"]
    assert (shown.state, shown.text) == ("unknown", "on fire")
    assert len(shown.description) < 600


def test_a_state_that_outlived_its_ttl_is_gone(
    join: Callable[..., Member], clock: ManualClock
) -> None:
    """As in one process."""
    member = join()
    member.meter.state("heart", ttl=30).set("ok")
    clock.advance(29)
    assert member.page()["shop.heart"].state == "ok"
    clock.advance(2)
    assert "shop.heart" not in member.page()


def test_a_callback_is_asked_in_its_own_process(
    join: Callable[..., Member], clock: ManualClock
) -> None:
    """Its number is there for the others after a round, and gone when it has no answer."""
    first, second = join(), join()
    answers = [10]
    second.meter.gauge("queue", callback=lambda: answers[0] if answers else 1 / 0)
    clock.advance(10)
    second.round()
    assert first.page()["shop.queue"] == 10
    answers.clear()
    clock.advance(10)
    second.round()
    assert "shop.queue" not in first.page()


# -- slots -------------------------------------------------------------------


def test_who_comes_after_goes_on_with_the_numbers(join: Callable[..., Member]) -> None:
    """A new process takes the first free slot; counters don't fall, files don't multiply."""
    first, second = join(), join()
    for member in (first, second):
        member.meter.counter("orders").inc(10)
        member.meter.histogram("sizes").observe(4)
        member.meter.gauge("open").set(1)
    for _ in range(5):
        second.die()
        second = join()
        assert first.page()["shop.open"] == 1
        second.meter.counter("orders").inc()
        second.meter.histogram("sizes").observe(4)
    page = first.page()
    assert page["shop.orders"] == 25
    assert page["shop.sizes"].count == 7
    folder = Path(first.sharing._folder.path)  # type: ignore[union-attr]
    assert len(list(folder.glob("slot-*.cells"))) == 2


def test_a_group_of_nobody_starts_at_zero(join: Callable[..., Member]) -> None:
    """If all are gone, the next one begins anew: an ordinary reset."""
    first = join()
    first.meter.counter("orders").inc(10)
    first.die()
    second = join()
    second.meter.counter("orders").inc()
    assert second.page()["shop.orders"] == 1


def test_the_last_one_takes_the_files_along(
    join: Callable[..., Member], clock: ManualClock, tmp_path: Path
) -> None:
    """Nothing stays of a group that has ended but the lock that a newcomer may be about to take."""
    members = [join(), join(), join(EACH)]
    folder = tmp_path / "shared" / "format-1"
    clock.advance(10)
    for member in members:
        member.meter.counter("orders").inc()
        member.meter.event("deployed")
        member.round()
    members.pop().die()
    for member in members:
        assert len(list(folder.iterdir())) > 8
        member.reporter.stop()
    assert [path.name for path in folder.iterdir()] == ["claim.lock"]


def test_who_comes_while_the_last_one_leaves_keeps_what_is_his(
    join: Callable[..., Member], clock: ManualClock
) -> None:
    """The last one has sent what was left, and finds that somebody else is alive."""
    last = join()
    assert last.sharing.leave(0)
    other = join()
    other.meter.counter("orders").inc()
    last.sharing.close()
    for _ in range(2):
        clock.advance(10)
        other.round()
    assert other.memory.last("shop.orders").delta == 1


def test_a_group_that_was_killed_leaves_nothing_to_the_next(
    join: Callable[..., Member], clock: ManualClock, tmp_path: Path
) -> None:
    """Numbers, what handlers were handed over, how far events were read, what was told: all
    is of the former group."""
    killed = join()
    killed.meter.counter("orders").inc(5)
    killed.meter.event("deployed")
    for _ in range(2):
        clock.advance(10)
        killed.round()
    folder = tmp_path / "shared" / "format-1"
    before = {path.name for path in folder.iterdir()}
    assert {"events.places", "handler-memory.keys", "handlers.json", "slot-0.events"} <= before
    killed.die()
    assert Folder(tmp_path / "shared").claim() is not None
    assert {path.suffix for path in folder.iterdir()} == {".lock"}


def test_very_many_instruments_get_their_cells_a_little_later(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request that is the first one doesn't wait for all of them."""
    monkeypatch.setattr("appmetrics.sharing.slot.ADOPTING", 0.0)
    member = Member(tmp_path / "shared", clock)
    for number in range(50):
        member.meter.counter(f"counter.{number}").inc()
    member.sharing.join()
    assert "shop.counter.7" not in member.page()
    member.sharing.step()
    page = member.page()
    assert all(page[f"shop.counter.{number}"] == 1 for number in range(50))
    member.die()


def test_who_ends_before_all_has_cells_leaves_his_numbers(
    join: Callable[..., Member],
    clock: ManualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was left for later is shared at the end."""
    first = join()
    monkeypatch.setattr("appmetrics.sharing.slot.ADOPTING", 0.0)
    job = Member(tmp_path / "shared", clock)
    job.meter.counter("jobs").inc(3)
    job.reporter.stop()
    assert first.page()["shop.jobs"] == 3


def test_where_no_threads_run_a_later_request_makes_up_for_the_first(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others were claiming at the first one; and there was no time for all instruments."""
    monkeypatch.setattr("appmetrics.sharing.slot.ADOPTING", 0.0)
    member = Member(tmp_path / "shared", clock)
    member.meter.counter("orders").inc(3)
    with Folder(tmp_path / "shared").claiming():
        member.sharing.join()
        assert not member.sharing.joined
    member.reporter.after_request()
    assert not member.sharing.joined  # which is the matter of the reporter's thread
    monkeypatch.setattr("appmetrics.sharing.surroundings.threads_run", lambda: False)
    member.reporter.after_request()
    assert not member.sharing.joined  # not at every request: it may take a moment
    clock.advance(3 * member.reporter.interval)
    member.reporter.after_request()
    assert member.sharing.joined
    assert member.page()["shop.orders"] == 3
    member.die()


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    """A writer that was killed in the middle of a line leaves no trace."""
    path = str(tmp_path / "slot")
    store = Store(path, write=True)
    made = store.allocate(2, "whole")
    assert made is not None
    store.cells(made)[0] = 7
    with open(f"{path}.keys", "ab") as keys:
        keys.write(b'[10,2,"to')
    reader = Store(path, write=False)
    assert [region.about for region in reader.regions] == ["whole"]
    again = Store(path, write=True)
    more = again.allocate(2, "next")
    assert more is not None and more.start == made.start + 2
    assert [region.about for region in Store(path, write=False).regions] == ["whole", "next"]
    assert again.cells(again.regions[0])[0] == 7


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1,2]\n", b'[0,2,"x"]\n', b'[9999999,2,"x"]\n'])
def test_a_file_that_is_none_of_ours_is_set_aside(
    join: Callable[..., Member], tmp_path: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A corrupted slot is kept for who wants to know, said once, and its successor works."""
    first, second = join(), join()
    second.meter.counter("orders").inc(10)
    second.die()
    keys = next((tmp_path / "shared").glob("*/slot-1.keys"))
    keys.write_bytes(keys.read_bytes() + line)
    with pytest.raises(Broken):
        Store(str(keys).removesuffix(".keys"), write=False)
    second = join()
    second.meter.counter("orders").inc()
    assert first.page()["shop.orders"] == 1
    assert "set aside" in caplog.text
    assert keys.with_name("slot-1.broken.keys").exists()


def test_regions_lie_within_chunks(tmp_path: Path) -> None:
    """However many there are: each is in one piece, zero, and no two share a cell."""
    store = Store(str(tmp_path / "slot"), write=True)
    for number in range(500):
        made = store.allocate(61, number)
        assert made is not None
        assert not any(store.cells(made))
        store.cells(made)[0] = number + 1
    reader = Store(str(tmp_path / "slot"), write=False)
    assert [reader.cells(region)[0] for region in reader.regions] == list(range(1, 501))
    assert os.path.getsize(tmp_path / "slot.cells") % CHUNK == 0


def test_of_two_regions_of_one_key_the_first_one_counts(
    join: Callable[..., Member], tmp_path: Path
) -> None:
    """A signal handler may come between; owner, readers and the next owner agree."""
    first, second = join(), join()
    second.meter.counter("orders").inc(10)
    second.meter.histogram("sizes").observe(3)
    keys = next((tmp_path / "shared").glob("*/slot-1.keys"))
    lines = keys.read_bytes().splitlines(keepends=True)
    twins = [json.loads(line) for line in lines]
    last = max(start + size for start, size, _ in twins)
    with keys.open("ab") as file:
        for twin in twins:
            file.write(json.dumps([last, *twin[1:]]).encode() + b"\n")
            last += twin[1]
    assert first.page()["shop.orders"] == 10
    assert first.page()["shop.sizes"].count == 1
    second.die()
    second = join()
    second.meter.counter("orders").inc()
    second.meter.histogram("sizes").observe(3)
    assert first.page()["shop.orders"] == 11
    assert first.page()["shop.sizes"].count == 2


def test_a_series_that_nobody_uses_any_more_leaves(
    join: Callable[..., Member], clock: ManualClock
) -> None:
    """After an hour in which no living process declared or changed it; not before."""
    first, second = join(), join()
    second.meter.counter("orders").inc(10)
    first.meter.counter("visits").inc()
    second.die()
    join()
    clock.advance(100)
    first.round()
    assert first.page()["shop.orders"] == 10
    clock.advance(FORGOTTEN - 100)
    first.round()
    assert first.page()["shop.orders"] == 10
    clock.advance(200)
    first.round()
    page = first.page()
    assert "shop.orders" not in page
    assert page["shop.visits"] == 1


def test_what_is_idle_in_all_processes_is_left_out(
    join: Callable[..., Member], clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """By the time to live of the instrument, until any of them changes it; deltas are right."""
    caplog.set_level("INFO")
    first, second = join(), join()
    for member in (first, second):
        member.meter.counter("orders", labels=("shop",), ttl=300).labels("de").inc(5)
        member.meter.timer("render", labels=("view",), ttl=300).labels("front").observe(1)
        member.meter.counter("kept", labels=("shop",)).labels("de").inc()
    busy = second.meter.counter("orders", labels=("shop",)).labels("at")
    for _ in range(50):
        busy.inc()
        clock.advance(10)
        first.round()
        second.round()
    for member in (first, second):
        page = member.page()
        assert "shop.orders.de" not in page
        assert "shop.render.front" not in page
        assert (page["shop.orders.at"], page["shop.kept.de"]) == (50, 2)
        assert page["appmetrics.idle"] == 2
    said = [
        record.getMessage() for record in caplog.records if "not changed" in record.getMessage()
    ]
    assert sorted(line.partition(":")[0] for line in said) == ["shop.orders", "shop.render"]
    second.meter.counter("orders", labels=("shop",)).labels("de").inc(2)
    assert first.page()["shop.orders.de"] == 12
    clock.advance(10)
    first.round()
    sample = first.memory.last("shop.orders", shop="de")
    assert sample is not None
    assert (sample.value, sample.delta) == (12, 2)


def test_a_default_time_to_live_holds_for_what_is_shared(
    join: Callable[..., Member], clock: ManualClock
) -> None:
    """But not for what has no labels, what callbacks answer, or what is meant to stay."""
    member = join()
    member.hierarchy.idle_ttl = 300
    member.meter.counter("plain").inc()
    member.meter.counter("orders", labels=("shop",)).labels("de").inc()
    member.meter.counter("kept", labels=("shop",), ttl=float("inf")).labels("de").inc()
    member.meter.gauge("queue", labels=("name",), callback=lambda: {"mail": 3})
    for _ in range(60):
        clock.advance(10)
        member.round()
    names = {name for name in member.page() if name.startswith("shop.")}
    assert names == {"shop.plain", "shop.kept.de", "shop.queue.mail"}


# -- who tells what to whom ------------------------------------------------------


def test_a_page_shows_the_handlers_of_the_one_that_sends(
    join: Callable[..., Member], clock: ManualClock
) -> None:
    """With its process and the time; and all processes. The one that sends shows its own."""
    from appmetrics.wsgi.table import handler_table

    leader, other = join(), join()
    for _ in range(2):
        clock.advance(10)
        leader.round()
        other.round()
    assert leader.sharing.leads
    assert not other.sharing.leads
    own, shown = handler_table(leader.reporter), handler_table(other.reporter)
    assert [row["name"] for row in own["handlers"]] == ["memory"]
    assert own["sharing"] == {"processes": [os.getpid()] * 2, "leader": os.getpid(), "told": None}
    assert [(row["name"], row["pid"]) for row in shown["handlers"]] == [("memory", os.getpid())]
    assert shown["handlers"][0]["sent"] > 0
    assert shown["sharing"]["told"] == pytest.approx(clock.time(), abs=10)
    folder = Path(leader.sharing._folder.path)  # type: ignore[union-attr]
    board = folder / "handlers.json"
    assert board.stat().st_mode & 0o777 == 0o600
    for rubbish in (b"", b"{", b"[1, 2]", b'[1, 2, ["x"]]', b"\xff", b"[[], 1, []]"):
        board.write_bytes(rubbish)
        assert handler_table(other.reporter)["handlers"] == []
    clock.advance(10)
    leader.round()
    assert len(handler_table(other.reporter)["handlers"]) == 1


def test_handlers_cannot_be_told_of_on_a_full_disk(
    join: Callable[..., Member], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds go on, and what was told last stays."""
    leader, other = join(), join()
    clock.advance(10)
    leader.round()
    assert leader.sharing.leads
    clock.advance(10)
    leader.round()

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("appmetrics.sharing.board.os.replace", full)
    before = other.sharing.posted()
    leader.meter.counter("orders").inc()
    clock.advance(10)
    leader.round()
    assert other.sharing.posted() == before
    assert leader.memory.last("shop.orders") is not None


def test_what_the_parent_had_left_out_is_not_subtracted_in_a_child(
    tmp_path: Path, clock: ManualClock
) -> None:
    """After a fork self-metrics begin at zero, or go on from what the parent had told."""
    member = Member(tmp_path / "shared", clock)
    orders = member.meter.counter("orders", labels=("shop",))
    member.hierarchy.max_children = orders.declaration.max_children = 1
    for shop in "abc":
        orders.labels(shop).inc()
    orders.labels("a").inc(-1)
    member.reporter.after_fork()
    for _ in range(2):
        clock.advance(10)
        member.round()
    page = member.page()
    assert (page["appmetrics.rejected"], page["appmetrics.overflowed"]) == (0, 0)
    orders.labels("d").inc(-1)
    page = member.page()
    assert (page["appmetrics.rejected"], page["appmetrics.overflowed"]) == (1, 1)
    member.die()


def test_what_cannot_be_shared_is_counted_and_said_once(
    join: Callable[..., Member], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full costs nothing but the sharing, and that only until there is room."""
    member = join()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        labelled = member.meter.counter("many", labels=("number",))
        for number in range(6000):
            labelled.labels(number % 900).inc()
        sizes = [member.meter.histogram(f"sizes.{n}") for n in range(200)]
        for size in sizes:
            for octave in range(20):
                size.observe(2.0**octave)
        member.round()
    assert sum(child.value for child in labelled.declaration.children.values()) == 6000
    assert all(size.value.count == 20 for size in sizes)
    assert caplog.text.count("can't be shared") == 1
    member.reporter.sharing.step()
    page = member.page()
    assert sum(value for name, value in page.items() if name.startswith("shop.many")) == 6000
    assert all(page[f"shop.sizes.{n}"].count == 20 for n in range(200))


# -- who sends ---------------------------------------------------------------


def test_one_sends_for_all(join: Callable[..., Member], clock: ManualClock) -> None:
    """The leader's handler gets the sums and their deltas; nobody else's gets anything."""
    first, second = join(), join()
    assert (first.sharing.sends, second.sharing.sends) == (True, False)
    first.meter.counter("orders").inc(1)
    second.meter.counter("orders").inc(2)
    clock.advance(10)
    for member in (second, first):
        member.round()
    assert first.memory.last("shop.orders").delta == 3
    assert not second.memory.samples
    second.meter.counter("orders").inc(4)
    clock.advance(10)
    for member in (second, first):
        member.round()
    sample = first.memory.last("shop.orders")
    assert (sample.value, sample.delta, sample.elapsed) == (7, 4, 10)


def test_the_next_leader_goes_on_where_the_last_one_stopped(
    join: Callable[..., Member], clock: ManualClock
) -> None:
    """Deltas and rates continue, of distributions, too; the round that was missed is made up."""
    first, second = join(), join()
    orders = second.meter.counter("orders")
    render = second.meter.timer("render")
    orders.inc(5)
    render.observe(1)
    clock.advance(10)
    first.round()
    second.round()
    assert first.memory.last("shop.orders").delta == 5
    orders.inc(2)
    render.observe(1)
    render.observe(2)
    clock.advance(11)
    first.die()
    second.round()
    sample = second.memory.last("shop.orders")
    assert (sample.delta, sample.time) == (2, first.memory.last("shop.orders").time + 10)
    assert sample.elapsed == pytest.approx(11)
    assert second.memory.last("shop.render").delta.count == 2


def test_the_last_one_sends_what_is_left(join: Callable[..., Member], clock: ManualClock) -> None:
    """Of a group that ends, exactly one makes a last round, with the gauges of its own."""
    members = [join(), join(), join()]
    clock.advance(10)
    for member in members:
        member.round()
        member.meter.counter("orders").inc()
        member.meter.gauge("open").set(1)
    for member in members:
        member.memory.clear()
        member.reporter.stop()
    sent = [member for member in members if member.memory.samples]
    assert sent == members[-1:]
    assert sent[0].memory.last("shop.orders").delta == 3
    assert sent[0].memory.last("shop.open").value == 1


def test_a_sidecar_reads_and_sends(join: Callable[..., Member], clock: ManualClock) -> None:
    """Workers that are told to leave it to a sidecar never send."""
    worker = join(SIDECAR)
    worker.meter.counter("orders").inc(3)
    clock.advance(10)
    worker.round()
    assert not worker.sharing.sends
    sidecar = Member(Path(worker.sharing.processes), clock, SIDECAR)
    sidecar.sharing.is_sidecar = True
    sidecar.round()
    clock.advance(10)
    sidecar.round()
    assert sidecar.memory.last("shop.orders").delta == 3
    sidecar.die()


def test_each_sends_its_own_under_a_name_of_its_own(
    join: Callable[..., Member], clock: ManualClock
) -> None:
    """`reporter = each`: own numbers, told apart by the instance; what was inherited is not new."""
    first, second = join(EACH), join(EACH)
    second.meter.counter("orders").inc(100)
    second.die()
    second = join(EACH)
    first.meter.counter("orders").inc(1)
    second.meter.counter("orders").inc(2)
    clock.advance(10)
    for member, delta, name in ((first, 1, "w0"), (second, 2, "w1")):
        member.round()
        assert member.memory.last("shop.orders").delta == delta
        assert member.memory.instance == name
    assert first.page()["shop.orders"] == 103


def test_each_makes_its_own_last_round(join: Callable[..., Member], clock: ManualClock) -> None:
    """Where each sends its own, each sends the rest of it at its end."""
    members = [join(EACH), join(EACH)]
    for member in members:
        member.meter.counter("orders").inc(5)
        member.reporter.stop()
        assert member.memory.last("shop.orders").delta == 5


def test_who_ends_before_he_has_joined_leaves_his_numbers(
    join: Callable[..., Member], clock: ManualClock, tmp_path: Path
) -> None:
    """A short job that only counts: its counts are with the group."""
    first = join()
    job = Member(tmp_path / "shared", clock)
    job.meter.counter("jobs").inc(3)
    job.reporter.stop()
    assert first.page()["shop.jobs"] == 3


def test_events_reach_the_leader(join: Callable[..., Member], clock: ManualClock) -> None:
    """Whoever records an event: the handlers of the leader get it, once."""
    first, second = join(), join()
    second.meter.event("deployed", "1.4.2", attributes={"by": "ci"}, tags=["x"], metric=1.5)
    first.meter.event("deployed", "1.4.3")
    for _ in range(2):
        clock.advance(1)
        first.round()
    events = [s for s in first.memory.samples if s.series.name == "shop.deployed"]
    assert sorted(event.value.description for event in events) == ["1.4.2", "1.4.3"]
    assert next(e for e in events if e.value.metric).value.attributes == {"by": "ci"}
    first.die()
    second.round()
    assert not [s for s in second.memory.samples if s.series.name == "shop.deployed"]


def test_events_that_nobody_reads_take_bounded_room(tmp_path: Path) -> None:
    """Two files at most; a reader that comes late gets the newest, in order, each once."""
    log = EventLog(str(tmp_path / "slot-0"))
    reader = EventReader(str(tmp_path / "slot-0"))
    for number in range(3):
        assert log.write([number, "x"])
    assert [n for n, _ in reader.read()] == [0, 1, 2]
    for number in range(3, 4000):
        log.write([number, "x" * 300])
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2 and max(sizes) <= MAX_BYTES + 1000
    numbers = [n for n, _ in reader.read()]
    assert numbers == list(range(numbers[0], 4000))
    assert not list(reader.read())
    log.close()


# -- what an application's own stats do ---------------------------------------


def test_numbers_of_appmetrics_itself_are_shown_by_all(
    join: Callable[..., Member], clock: ManualClock
) -> None:
    """Counters that are only read, such as those of handlers, go on under the next owner."""
    first, second = join(), join()
    for member in (first, second):
        member.hierarchy.registry.points.append(OwnNumber(member))
        member.clock.advance(10)
        member.round()
    assert second.page()["own"] == 10
    second.die()
    third = join()
    third.hierarchy.registry.points.append(OwnNumber(third))
    clock.advance(10)
    third.round()
    assert first.page()["own"] == 15


class OwnNumber:
    """A counter that is read."""

    def __init__(self, member: Member) -> None:
        self.series = Series("own", kind="counter")

    def read(self) -> int:
        """Always five: what this process has counted."""
        return 5


# -- folders -----------------------------------------------------------------


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """Also if both are in one process; a child that forgets it leaves it to the parent."""
    held = Lock.take(str(tmp_path / "lock"))
    assert held is not None
    assert Lock.take(str(tmp_path / "lock")) is None
    held.release()
    again = Lock.take(str(tmp_path / "lock"))
    assert again is not None
    again.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder to another user")
def test_a_lock_whose_file_is_removed_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removed after it was opened, it would be one that nobody else can find."""
    flock, path = fcntl.flock, tmp_path / "lock"

    def too_late(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", too_late)
    lock = Lock.take(str(path))
    assert lock is not None and path.exists()
    assert Lock.take(str(path)) is None
    lock.release()


def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    """Nor one that others may write: they could put files of theirs there."""
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o700)
    os.chown(foreign, 12345, 12345)
    with pytest.raises(Unusable, match="belongs to another user"):
        Folder(foreign)
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    with pytest.raises(Unusable, match="written by other users"):
        Folder(loose)


def test_a_folder_that_cannot_be_used_is_one_error(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The process then reports for itself, as if nobody had asked for sharing."""
    (tmp_path / "file").write_text("")
    member = Member(tmp_path / "file" / "below", clock)
    orders = member.meter.counter("orders")
    for _ in range(3):
        orders.inc()
        member.round()
        clock.advance(10)
    member.round()
    assert member.memory.last("shop.orders").value == 3
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "can't share their numbers" in errors[0].message


def test_a_network_file_system_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and mapped files don't hold between machines."""
    monkeypatch.setattr("appmetrics.sharing.folder._file_system", lambda path: "nfs4")
    with pytest.raises(Unusable, match="network file system"):
        Folder(tmp_path / "shared")


# -- real processes ----------------------------------------------------------


def run(code: str, *arguments: object, timeout: float = 2 * PATIENCE) -> str:
    """What a Python program prints; it must end well, and say nothing else."""
    command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env=untraced()
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


FORKS = """
    import os, sys, threading, time, json
    import appmetrics
    from appmetrics.reporter import reporter
    from appmetrics.wsgi import MetricsApp

    forks, folder = int(sys.argv[1]), sys.argv[2]
    appmetrics.dict_config({"metrics": {"processes": folder, "interval": 0.05, "handlers": ["n"]},
                            "handlers": {"n": {"class": "null"}}})
    meter = appmetrics.get_meter("m")
    counter, timer = meter.counter("counter"), meter.timer("timer")
    labelled = meter.counter("labelled", labels=("n",))
    reporter.serve()
    going = True
    done = [0] * 4

    def work(index):
        n = 0
        while going:
            n += 1
            counter.inc()
            timer.observe(n % 7 + 0.1)
            labelled.labels(n % 50).inc()
            if n % 500 == 0:
                meter.counter(f"made.{index}.{n}").inc()
            done[index] = n
            if n % 200 == 0:
                time.sleep(0.001)

    app = MetricsApp()
    def scrape():
        while going:
            b"".join(app({"REQUEST_METHOD": "GET", "QUERY_STRING": "", "PATH_INFO": "/"},
                         lambda *a: None))
            time.sleep(0.005)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    threads.append(threading.Thread(target=scrape))
    for thread in threads:
        thread.start()
    bad = 0
    for number in range(forks):
        pid = os.fork()
        if pid == 0:
            # A child must neither hang nor count in its parent's slot.
            counter.inc(1_000_000)
            labelled.labels("child").inc(1_000_000)
            meter.counter(f"child.{number}").inc()
            timer.observe(1e6)
            ok = counter.value == 1_000_000 and not reporter.sharing.joined
            if number % 20 == 0:
                # Its parent may be claiming for too long; that kills it if it never joins.
                while not reporter.sharing.joined:
                    reporter.serve()
            os._exit(0 if ok else 1)
        deadline = time.monotonic() + 60
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                bad += status != 0
                break
            if time.monotonic() > deadline:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                bad += 1000
                break
            time.sleep(0.001)
    going = False
    for thread in threads:
        thread.join()
    print(json.dumps([bad, counter.value, timer.value.count, sum(done),
                      sum(c.value for c in labelled.declaration.children.values())]), flush=True)
    os._exit(0)
"""


@pytest.mark.slow
def test_forks_among_busy_threads(tmp_path: Path) -> None:
    """200 forks while threads update, declare, scrape and send: no child hangs, none counts
    in its parent's slot, and the parent's counts are exact."""
    forks = 200
    bad, counter, timer, done, labelled = json.loads(run(FORKS, forks, tmp_path / "shared"))
    assert (bad, counter, timer, labelled) == (0, done, done, done)


def test_nothing_is_lost_on_the_way_into_shared_cells(tmp_path: Path) -> None:
    """Threads update and make children while the cells are moved: exact, one update at a time."""
    code = """
        import sys, threading
        import appmetrics
        from appmetrics.reporter import reporter

        sys.setswitchinterval(1e-6)
        appmetrics.dict_config({"metrics": {"processes": sys.argv[1]}})
        meter = appmetrics.get_meter("m")
        counter, sizes = meter.counter("counter"), meter.histogram("sizes")
        labelled, open_ = meter.counter("labelled", labels=("n",)), meter.gauge("open")
        ready = threading.Barrier(9)

        def work(index):
            ready.wait()
            for n in range(30_000):
                counter.inc()
                open_.inc()
                sizes.observe(2.0 ** (n % 60 - 25))
                labelled.labels(n % 100).inc()
                open_.dec()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        ready.wait()
        reporter.sharing.join()
        for thread in threads:
            thread.join()
        reporter.sharing.step()
        reporter.sharing.refresh()
        read = {p.series.name + str(p.series.labels): p.read() for p in reporter.sharing.points}
        print(read["m.counter()"], read["m.sizes()"].count, read["m.open()"],
              sum(v for k, v in read.items() if k.startswith("m.labelled")))
    """
    assert run(code, tmp_path / "shared").split() == ["240000", "240000", "0", "240000"]


def test_children_of_multiprocessing_count_together(tmp_path: Path) -> None:
    """Each claims a slot when it starts; what they counted is there when they are gone."""
    code = """
        import multiprocessing, sys
        import appmetrics
        from appmetrics.reporter import reporter
        from appmetrics.sharing import slot

        slot.ADOPTING = 60
        appmetrics.dict_config({"metrics": {"processes": sys.argv[1]}})
        counter = appmetrics.get_meter("m").counter("counter")

        def work(n):
            while not reporter.sharing.joined:  # others may be claiming for too long
                reporter.serve()
            for _ in range(1000):
                counter.inc()

        if __name__ == "__main__":
            reporter.serve()
            counter.inc(5)
            context = multiprocessing.get_context("fork")
            children = [context.Process(target=work, args=(n,)) for n in range(4)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            reporter.sharing.look()
            print(next(p.read() for p in reporter.sharing.points if p.series.name == "m.counter"))
    """
    assert run(code, tmp_path / "shared").strip() == "4005"


def test_groups_that_begin_while_others_end(tmp_path: Path) -> None:
    """Some hundred lives in three processes, one of which is killed: the files of a process
    are its own as long as it lives, and the last one leaves none."""
    code = """
        import os, signal, sys
        from appmetrics.hierarchy import Hierarchy
        from appmetrics.registry import Registry
        from appmetrics.sharing import Sharing

        folder, lives = sys.argv[1], int(sys.argv[2])

        def live(last=False):
            hierarchy = Hierarchy(Registry())
            sharing = Sharing(hierarchy, folder)
            counter = hierarchy.get_meter("m").counter("n")
            while not sharing.joined:
                sharing.join()
                assert sharing.wanted
            slot = sharing._slot
            held = {"lock": slot._lock._descriptor, "keys": slot._store._keys,
                    "cells": slot._store._cells}
            for _ in range(3):
                counter.inc()
                sharing.step()
                sharing.refresh()
                for suffix, descriptor in held.items():
                    path = f"{folder}/format-1/slot-{slot.number}.{suffix}"
                    assert os.stat(path).st_ino == os.fstat(descriptor).st_ino, path
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            sharing.leave(0.1)
            sharing.close()

        children = []
        for number in range(3):
            pid = os.fork()
            if pid == 0:
                for life in range(lives):
                    live(last=number == 0 and life == lives // 2)
                os._exit(0)
            children.append(pid)
        print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
        live()
        print(os.listdir(f"{folder}/format-1"))
    """
    lines = run(code, tmp_path / "shared", 150).splitlines()
    assert lines == ["[-9, 0, 0]", "['claim.lock']"]


def test_a_small_disk_that_fills_up(tmp_path: Path) -> None:
    """A limit on the size of files: no SIGBUS, no exception, one log line, all counted."""
    code = """
        import logging, resource, sys
        import appmetrics
        from appmetrics.reporter import reporter

        logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))
        appmetrics.dict_config({"metrics": {"processes": sys.argv[1], "max_children": 100_000}})
        reporter.serve()
        counter = appmetrics.get_meter("m").counter("counter", labels=("n",))
        sizes = appmetrics.get_meter("m").histogram("sizes", labels=("n",))
        for n in range(20_000):
            counter.labels(n).inc()
            sizes.labels(n % 500).observe(n)
        print(sum(c.value for c in counter.declaration.children.values()))
        print(sum(c.value.count for c in sizes.declaration.children.values()))
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # others write at exit, such as coverage
    """
    lines = run(code, tmp_path / "shared").splitlines()
    assert [line for line in lines if not line.startswith("ERROR")] == ["20000.0"] * 2
    assert len([line for line in lines if line.startswith("ERROR")]) == 1


def test_a_second_process_without_sharing_is_said(tmp_path: Path) -> None:
    """`processes = off`: its paths get a number, and one error names the setting."""
    code = """
        import logging, os, sys
        import appmetrics
        from appmetrics.reporter import reporter

        logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
        appmetrics.file_config(sys.argv[1])
        def instance():
            return reporter.routes()[0].handler.instance
        first = instance()
        os.write(1, f"first {first!r}\\n".encode())
        pid = os.fork()
        if pid == 0:
            os.write(1, f"second {instance()!r}\\n".encode())
            os._exit(0)
        os.waitpid(pid, 0)
    """
    config = tmp_path / "metrics.ini"
    config.write_text(
        "[metrics]\nprocesses = off\nhandlers = none\n[metrics.handler.none]\nclass = null\n"
    )
    lines = run(code, config).splitlines()
    assert "first ''" in lines and "second 'w1'" in lines
    errors = [line for line in lines if line.startswith("ERROR")]
    assert len(errors) == 1 and "processes = auto or a folder" in errors[0]
