"""Tests of handlers/file.py."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from appmetrics.formatters import LineFormatter, PrometheusFormatter
from appmetrics.handlers.file import FileHandler
from appmetrics.sample import Event, Sample, Series
from appmetrics.testing.contract import HandlerContract
from servers import wait_for


def sample(name: str = "shop.orders", value: float = 1) -> Sample:
    """A gauge's sample."""
    return Sample(Series(name), 1_600_000_000.0, value)


class TestJsonLines(HandlerContract):
    """The contract of all handlers, with JSON lines."""

    def make_handler(self, tmp_path: Path) -> FileHandler:
        return FileHandler(path=str(tmp_path / "metrics.json"))

    def received(self) -> list[str]:
        path = Path(self.handler.path)
        return path.read_text("utf-8").splitlines() if path.exists() else []


class TestReadableLines(TestJsonLines):
    """The contract of all handlers, with lines for people."""

    def make_handler(self, tmp_path: Path) -> FileHandler:
        return FileHandler(path=str(tmp_path / "metrics.txt"), formatter=LineFormatter())


class TestPrometheusFile(TestJsonLines):
    """The contract of all handlers, with a document for node_exporter."""

    def make_handler(self, tmp_path: Path) -> FileHandler:
        return FileHandler(path=str(tmp_path / "shop.prom"), formatter=PrometheusFormatter())

    def received(self) -> list[str]:
        # Prometheus ends lines at \n only.
        path = Path(self.handler.path)
        return path.read_text("utf-8").split("\n") if path.exists() else []


def test_appends_one_json_object_a_line(tmp_path: Path) -> None:
    """Lines are added to what is there."""
    path = tmp_path / "metrics.json"
    path.write_text('{"metric": "earlier"}\n')
    handler = FileHandler(path=str(path))
    handler.emit([sample("a"), sample("b")])
    handler.emit([sample("c")])
    handler.close()
    assert [json.loads(line)["metric"] for line in path.read_text().splitlines()] == [
        "earlier",
        "a",
        "b",
        "c",
    ]


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_rotated_file_is_opened_anew(tmp_path: Path, how: str) -> None:
    """After logrotate moved or deleted the file, lines go into a new one."""
    path = tmp_path / "metrics.json"
    handler = FileHandler(path=str(path))
    handler.emit([sample("before")])
    if how == "moved":
        path.rename(tmp_path / "metrics.json.1")
    else:
        path.unlink()
    handler.emit([sample("after")])
    handler.close()
    assert "after" in path.read_text()
    assert "before" not in path.read_text()


def test_a_torn_line_is_ended_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a full disk cut a line short, the next batch begins on a line of its own."""
    path = tmp_path / "metrics.json"
    handler = FileHandler(path=str(path))
    handler.emit([sample("a")])
    real = handler._current()

    class Full:
        calls = 0

        def write(self, data: bytes) -> int:
            self.calls += 1
            if self.calls == 1:
                return real.write(data[:10])
            raise OSError(28, "No space left on device")

    full = Full()
    with monkeypatch.context() as patch:
        patch.setattr(handler, "_current", lambda: full)
        with pytest.raises(OSError, match="No space"):
            handler.emit([sample("b")])
    handler.emit([sample("c")])
    handler.close()
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2])["metric"] == "c"


def test_relative_paths_survive_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays where it was meant when the application changes its folder."""
    monkeypatch.chdir(tmp_path)
    handler = FileHandler(path="metrics.json")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    handler.emit([sample()])
    handler.close()
    assert (tmp_path / "metrics.json").exists()


def test_a_document_replaces_the_file(tmp_path: Path) -> None:
    """Each round is the whole file, readable for others, and nothing else is left in the folder."""
    path = tmp_path / "shop.prom"
    handler = FileHandler(path=str(path), formatter=PrometheusFormatter())
    for value in (1, 2):
        handler.emit([sample(value=value)])
    assert "shop_orders 2" in path.read_text()
    assert "shop_orders 1" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["shop.prom"]


def test_a_reader_never_sees_a_part_of_a_document(tmp_path: Path) -> None:
    """While documents are replaced, every read finds a whole one."""
    path = tmp_path / "shop.prom"
    handler = FileHandler(path=str(path), formatter=PrometheusFormatter())
    samples = [sample(f"shop.s{number}") for number in range(200)]
    handler.emit(samples)
    done = threading.Event()
    lengths: set[int] = set()

    def read() -> None:
        while not done.is_set():
            lengths.add(len(path.read_text().splitlines()))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_for(lambda: lengths, "the first read")
        for _ in range(100):
            handler.emit(samples)
    finally:
        done.set()
        reader.join()
    assert len(lengths) == 1


def test_an_event_does_not_replace_a_document(tmp_path: Path) -> None:
    """An event that comes between two rounds leaves the last document in place."""
    path = tmp_path / "shop.prom"
    handler = FileHandler(path=str(path), formatter=PrometheusFormatter())
    handler.emit([sample()])
    event = Event("", "", {}, (), None, None)
    handler.emit([Sample(Series("deploy", kind="event"), 1.0, event)])
    assert "shop_orders 1" in path.read_text()


def test_a_failed_replacement_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the rename fails, the old document stays and the new one is cleaned away."""
    path = tmp_path / "shop.prom"
    handler = FileHandler(path=str(path), formatter=PrometheusFormatter())
    handler.emit([sample(value=1)])

    def refuse(*args: Any) -> None:
        raise PermissionError("for the test")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        handler.emit([sample(value=2)])
    assert "shop_orders 1" in path.read_text()
    assert os.listdir(tmp_path) == ["shop.prom"]


def test_check_finds_a_missing_folder(tmp_path: Path) -> None:
    """A folder that doesn't exist is an error at check, without creating anything."""
    handler = FileHandler(path=str(tmp_path / "missing" / "metrics.json"))
    with pytest.raises(FileNotFoundError):
        handler.check()
    assert os.listdir(tmp_path) == []


def test_check_finds_what_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be written is an error at check that names it."""
    path = tmp_path / "metrics.json"
    path.touch()
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(PermissionError, match=r"metrics\.json is not writable"):
        FileHandler(path=str(path)).check()
