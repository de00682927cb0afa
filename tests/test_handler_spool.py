"""Tests of handlers/spool.py: what a file keeps, and what becomes of it on a bad day."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from appmetrics.handlers.backlog import Payload
from appmetrics.handlers.spool import ROW, Spool
from servers import PATIENCE

ROOM = 10_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the spool is."""
    return tmp_path / "carbon.spool"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    """An empty spool."""
    made = Spool(str(path), ROOM)
    yield made
    made.close()


def payloads(*names: str) -> list[Payload]:
    """A payload of one sample for each name."""
    return [Payload(name.encode(), 1) for name in names]


def drained(spool: Spool) -> list[str]:
    """Take all that is in it."""
    names = []
    while spool.head():
        names.append(spool.take().data.decode())
    return names


def child(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A process that runs code with ``Spool`` and ``Payload``, and prints a line when ready."""
    start = "import os, sys\nfrom appmetrics.handlers.spool import Spool\n"
    start += "from appmetrics.handlers.backlog import Payload\n"
    command = [sys.executable, "-c", start + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def test_gives_in_order_what_it_was_given(spool: Spool, path: Path) -> None:
    """Payloads come back in order, with their numbers, also from a spool opened anew."""
    assert spool.append([Payload(b"a", 2), Payload(b"b", 0, 3)], "oldest") == 2
    assert (spool.samples, spool.bytes) == (2, 2 + 2 * ROW)
    assert spool.head() == [Payload(b"a", 2), Payload(b"b", 0, 3)]
    assert spool.take() == Payload(b"a", 2)
    spool.close()
    again = Spool(str(path), ROOM)
    assert again.head() == [Payload(b"b", 0, 3)]
    assert drained(again) == ["b"]
    assert (again.samples, again.bytes, again.head()) == (0, 0, [])
    again.close()


def test_nothing_is_touched_before_it_is_used(path: Path) -> None:
    """Making a spool opens no file."""
    Spool(str(path), ROOM).close()
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(("drop", "left"), [("oldest", "cde"), ("newest", "abc")])
def test_is_bounded(path: Path, drop: str, left: str) -> None:
    """A full spool drops its oldest payloads, or takes no more."""
    spool = Spool(str(path), 3 * (ROW + 1))
    taken = sum(spool.append(payloads(name), drop) for name in "abcde")
    assert taken == (5 if drop == "oldest" else 3)
    assert spool.take_dropped() == (2 if drop == "oldest" else 0)
    assert spool.take_dropped() == 0
    assert spool.append([Payload(b"x" * 1000, 1)], "newest") == 0
    assert drained(spool) == list(left)
    spool.close()


def test_a_large_file_shrinks_when_it_is_empty(spool: Spool, path: Path) -> None:
    """After an outage has been worked off the volume has its space back."""
    for _ in range(50):
        spool.append([Payload(b"x" * 100_000, 1)], "oldest")
    assert sum(file.stat().st_size for file in path.parent.iterdir()) > 5_000_000
    drained(spool)
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 200_000


def test_what_was_appended_survives_kill(path: Path) -> None:
    """After kill -9 at any moment all that append() has taken is there."""
    code = """
        spool = Spool(sys.argv[1], 10_000_000)
        number = 0
        while True:
            number += spool.append([Payload(b"%d" % number, 1)], "oldest")
            print(number, flush=True)
    """
    with child(code, path) as process:
        assert process.stdout is not None
        last = 0
        while last < 100:
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        last = int((process.stdout.read().split() or [str(last)])[-1])
    spool = Spool(str(path), ROOM)
    names = drained(spool)
    assert len(names) - last in (0, 1)
    assert names == [str(number) for number in range(len(names))]
    spool.close()


def test_a_full_disk_costs_nothing_that_is_kept(path: Path) -> None:
    """What a full disk doesn't take stays with the caller; what is in the file stays there."""
    code = """
        import resource
        spool = Spool(sys.argv[1], 10_000_000)
        assert spool.append([Payload(b"first", 1)], "oldest") == 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        taken = [spool.append([Payload(b"x" * 50_000, 1)], "oldest") for _ in range(10)]
        assert taken[-1] == 0 and spool.trouble, (taken, spool.trouble)
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        assert spool.append([Payload(b"last", 1)], "oldest") == 1
        assert not spool.trouble
        print(sum(taken), spool.samples)
        spool.close()
    """
    with child(code, path, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    taken, samples = map(int, out.split())
    assert samples == taken + 2
    assert err.count("samples stay in memory") == 1
    spool = Spool(str(path), ROOM)
    assert drained(spool) == ["first", *["x" * 50_000] * taken, "last"]
    spool.close()


class Volume(NamedTuple):
    """What `os.statvfs` tells of a volume, as far as it is asked."""

    f_bavail: int
    f_blocks: int = 1_000_000
    f_frsize: int = 1


def test_the_last_of_the_volume_is_left_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A volume with less than 5 % free takes nothing, which is told once, and later again does."""
    free = [100_000]
    spool = Spool(str(path), ROOM, volume=lambda path: Volume(free[0]))  # type: ignore[arg-type, return-value]
    assert spool.append(payloads("a"), "oldest") == 1
    free[0] = 50_000
    assert spool.append(payloads("b"), "oldest") == 0
    assert spool.append(payloads("b"), "oldest") == 0
    (message,) = caplog.messages
    assert "its last 5% are left alone; samples stay in memory" in message
    free[0] = 60_000
    assert spool.append(payloads("c"), "oldest") == 1
    assert drained(spool) == ["a", "c"]
    spool.close()


@pytest.mark.parametrize("damage", ["text", "middle", "cut"])
def test_a_corrupted_file_is_set_aside(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is no database, or a broken one, is kept under another name and reported."""
    if damage == "text":
        path.write_bytes(b"this is no database " * 1000)
    else:
        spool = Spool(str(path), ROOM)
        for _ in range(30):
            spool.append([Payload(b"x" * 3000, 1)], "oldest")
        spool.close()
        data = bytearray(path.read_bytes())
        if damage == "middle":
            data[4096 : 4096 * 6] = b"\xff" * 4096 * 5
        else:
            del data[len(data) // 2 :]
        path.write_bytes(data)
    spool = Spool(str(path), ROOM)
    assert spool.head() == []
    assert spool.append(payloads("a"), "oldest") == 1
    assert drained(spool) == ["a"]
    assert Path(f"{path}.corrupt").stat().st_size > 0
    (message,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert "is corrupted" in message
    assert f"set aside as {path}.corrupt" in message
    spool.close()


def test_a_file_that_breaks_while_in_use_is_set_aside(spool: Spool, path: Path) -> None:
    """Damage that shows only later costs what is in the file, and nothing that comes."""
    for _ in range(60):  # more than SQLite keeps in memory
        spool.append([Payload(b"x" * 100_000, 1)], "oldest")
    spool.close()
    spool.open()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 6_000_000)
    for _ in range(3):
        spool.head()
    assert spool.append(payloads("a"), "oldest") == 1
    assert drained(spool) == ["a"]
    assert Path(f"{path}.corrupt").exists()


def test_a_folder_that_is_not_there_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its folder a spool takes nothing, and raises nothing."""
    spool = Spool(str(tmp_path / "missing" / "spool"), ROOM)
    for _ in range(3):
        assert spool.append(payloads("a"), "oldest") == 0
        assert spool.head() == []
    assert len(caplog.messages) == 1
    assert "No such file" in spool.trouble
    spool.close()


def test_a_second_process_has_a_file_of_its_own(spool: Spool, path: Path) -> None:
    """Two processes with one configuration don't share a file; one that is gone is inherited."""
    assert spool.append(payloads("mine"), "oldest") == 1
    code = """
        spool = Spool(sys.argv[1], 10_000_000)
        assert spool.append([Payload(b"other's", 1)], "oldest") == 1
        print(spool.path, flush=True)
        sys.stdin.read()
        os._exit(0)
    """
    with child(code, path, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().strip() == f"{path}.1"
        third = Spool(str(path), ROOM)
        assert third.head() == []  # this process has the first file, and waits for it
        assert third.trouble
        process.stdin.close()
        process.wait(PATIENCE)
    spool.close()
    assert drained(third) == ["mine", "other's"]
    assert not Path(f"{path}.1").exists()
    third.close()


def test_a_forked_child_leaves_its_parents_file_alone(spool: Spool, path: Path) -> None:
    """The parent keeps the lock and the file when a child lets go and ends."""
    spool.append(payloads("a"), "oldest")
    pid = os.fork()
    if not pid:
        good = False
        try:
            spool.abandon()
            own = Spool(str(path), ROOM)
            good = own.append(payloads("b"), "oldest") == 1 and own.path == f"{path}.1"
        finally:
            os._exit(0 if good else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert spool.append(payloads("c"), "oldest") == 1
    assert drained(spool) == ["a", "c"]


def test_the_file_is_an_ordinary_database(spool: Spool, path: Path) -> None:
    """An operator can look into it with the sqlite3 command."""
    spool.append([Payload(b"shop.orders 1 2\n", 1)], "oldest")
    database = sqlite3.connect(path)
    assert database.execute("SELECT data, samples FROM payload").fetchall() == [
        (b"shop.orders 1 2\n", 1)
    ]
    database.close()
