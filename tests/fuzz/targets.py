"""What is fuzzed: each target takes any bytes and must come back, at the worst with an
error that its caller expects. Whatever else leaves a target is a bug.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable

from google.protobuf.message import DecodeError

from appmetrics import options
from appmetrics.config.files import Content, examine_file
from appmetrics.config.tables import METRICS
from appmetrics.handlers.delivery import RefusedForGood
from appmetrics.handlers.graphite_names import Paths
from appmetrics.handlers.opentsdb import _refusal
from appmetrics.handlers.posting import Answer
from appmetrics.riemann import messages
from appmetrics.riemann.events import decoded
from appmetrics.riemann.naming import Naming
from appmetrics.riemann.thresholds import thresholds
from appmetrics.sharing.events import EventReader
from appmetrics.sharing.post import _letter
from appmetrics.sharing.records import read
from appmetrics.sharing.store import CHUNK, Broken, Store
from appmetrics.wsgi import MetricsApp
from appmetrics.wsgi.middleware import queued

Target = Callable[[bytes], None]

_folder = tempfile.mkdtemp(prefix="appmetrics-fuzz-")
_page = MetricsApp(token="secret", allow=["127.0.0.0/8"])


def configuration(data: bytes) -> None:
    """A configuration file: problems and warnings, never an exception."""
    text = data.decode("utf-8", "surrogateescape")
    examined = examine_file(Content("fuzz.ini", text, (0, 0, 0), ""))
    [str(problem) for problem in (*examined.problems, *examined.warnings)]


def option_values(data: bytes) -> None:
    """A value of each option of [metrics], and of all kinds that handlers have."""
    text = data.decode("utf-8", "surrogateescape")
    kinds = (options.address, options.mapping, options.globs, options.numbers, options.size)
    for convert in (*(row.convert for row in METRICS), *kinds):
        with contextlib.suppress(ValueError, TypeError):
            convert(text)


def templates(data: bytes) -> None:
    """Templates of paths and services, and rules of thresholds."""
    text = data.decode("utf-8", "surrogateescape")
    for make in (
        lambda: Paths("", text, False, lambda series: ()),
        lambda: Naming(text, text),
        lambda: thresholds(text),
    ):
        with contextlib.suppress(ValueError):
            make()


def riemann_answer(data: bytes) -> None:
    """What a server answers to a query."""
    message = messages.Msg()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return
    for event in message.events:
        decoded(event)


def http_answer(data: bytes) -> None:
    """What an OpenTSDB or an InfluxDB says against a request."""
    answer = Answer(400, data)
    assert isinstance(_refusal(answer), RefusedForGood)
    assert answer.text.isprintable()


def page_request(data: bytes) -> None:
    """Headers and query of a request to the page, by somebody without the token."""
    accept, _, rest = data.decode("latin-1").partition("\n")
    query, _, authorization = rest.partition("\n")
    environ = {
        "REQUEST_METHOD": "GET",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_ACCEPT": accept,
        "QUERY_STRING": query,
        "HTTP_AUTHORIZATION": authorization,
    }
    statuses: list[str] = []
    _page(dict(environ), lambda status, *_: statuses.append(status))  # type: ignore[arg-type]
    assert statuses[0][:3] == "401" or b"secret" in data or authorization
    environ["HTTP_AUTHORIZATION"] = "Bearer secret"
    b"".join(_page(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type]
    assert statuses[-1][:3] in ("200", "400")


def queue_header(data: bytes) -> None:
    """The time at which a proxy saw a request."""
    waited = queued(data.decode("latin-1"), 1_800_000_000.0)
    assert waited is None or 0 <= waited <= 60


def key_file(data: bytes) -> None:
    """The keys of a slot: regions or `Broken`, and what they are about or nothing."""
    path = os.path.join(_folder, f"slot-{os.getpid()}")
    with open(f"{path}.keys", "wb") as keys, open(f"{path}.cells", "wb") as cells:
        keys.write(data)
        cells.write(bytes(CHUNK))
    try:
        store = Store(path, write=False)
    except Broken:
        return
    try:
        for region in store.regions:
            assert len(store.cells(region)) == region.size
            with contextlib.suppress(Exception):  # as its callers do
                read(region.about)
    finally:
        store.close()


def event_file(data: bytes) -> None:
    """Events that other processes left."""
    path = os.path.join(_folder, f"slot-{os.getpid()}")
    with open(f"{path}.events", "wb") as file:
        file.write(data)
    for event in EventReader(path).read():
        _letter(event)


def command_line(data: bytes) -> None:
    """A file given to `appmetrics check`: a verdict, never a traceback."""
    from appmetrics.cli import main

    path = os.path.join(_folder, f"{os.getpid()}.ini")
    with open(path, "wb") as file:
        file.write(data)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        assert main(["check", path]) in (0, 1, 2)
    assert "Traceback" not in out.getvalue()


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        configuration,
        option_values,
        templates,
        riemann_answer,
        http_answer,
        page_request,
        queue_header,
        key_file,
        event_file,
        command_line,
    )
}
