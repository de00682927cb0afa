"""``appmetrics demo``: starts the shop, its visitors and a carbon, and tells what is where.

What is measured is in ``shop``, where it goes in ``shop.ini``; nothing here
touches a number but to print it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import socket
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import waitress

import appmetrics

from . import shop
from .carbon import HOST, Carbon, NoCarbon
from .traffic import PAGES_PER_SECOND, VISITORS, Traffic

PAGE_PORT = 9464
#: Seconds between two lines about what carbon holds.
PERIOD = 3.0
#: Seconds that carbon may take, at the most, to write what it got last.
WRITE_SECONDS = 30.0
ORDERS = "demo.shop.orders.*.count"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo until Ctrl-C, SIGTERM or ``--seconds``; returns the exit status."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(levelname)s %(message)s")
    logging.getLogger("appmetrics").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as cleanup:
        try:
            _run(arguments, cleanup)
        except KeyboardInterrupt:
            _say("")
        finally:
            # From here on it takes a second or two: an impatient second Ctrl-C
            # would leave carbon behind.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="appmetrics demo",
        description="A small web shop that is measured, with visitors, a page at /metrics"
        " and a real carbon. Ctrl-C ends it.",
    )
    parser.add_argument("--seconds", type=float, default=math.inf, help="end after so long")
    parser.add_argument("--no-carbon", action="store_true", help="only the page at /metrics")
    parser.add_argument(
        "--port", type=int, help=f"of the page at /metrics ({PAGE_PORT}, or a free one)"
    )
    return parser


def _run(arguments: Namespace, cleanup: contextlib.ExitStack) -> None:
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="appmetrics-demo-")))
    port = _page_port(arguments.port)
    carbon = None
    if not arguments.no_carbon:
        try:
            carbon = cleanup.enter_context(Carbon(folder, _say))
        except NoCarbon as error:
            _say(f"without Graphite: {error}")
    cleanup.callback(_stop, carbon)
    ini = _configuration("shop.ini" if carbon else "shop-without-carbon.ini")
    ports = {"page_port": port, "carbon_port": carbon.port if carbon else 0}
    appmetrics.file_config(ini, ports)
    appmetrics.start()
    shop.meter.event("opening", "the demo begins")

    server = waitress.create_server(shop.application, host=HOST, port=0, threads=VISITORS + 2)
    # It ends with the process: by then nobody asks it anything.
    threading.Thread(target=server.run, name="waitress", daemon=True).start()
    cleanup.enter_context(Traffic(HOST, server.effective_port))

    _say(f"appmetrics {appmetrics.__version__}, the demo. Ctrl-C ends it.")
    _say(f"  the shop         http://{HOST}:{server.effective_port}/  ({_rate()} pages a second)")
    _say(f"  its metrics      http://{HOST}:{port}/metrics")
    if carbon:
        _say(f"  whisper's files  {carbon.files}")
    _say(f"  where they go    {ini}  (change it while this runs)")
    _watch(arguments.seconds, carbon)


def _watch(seconds: float, carbon: Carbon | None) -> None:
    """Tell now and then what carbon has, until the time is over."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, PERIOD))
        points = _orders_in(carbon)
        if points:
            second = max(points)
            at = time.strftime("%H:%M:%S", time.localtime(second))
            total = sum(points.values())
            _say(f"carbon holds: shop.orders count={points[second]:g} at {at}, {total:g} so far")


def _orders_in(carbon: Carbon | None) -> dict[int, float]:
    """Orders by second, of all countries, as whisper's files have them."""
    orders: dict[int, float] = {}
    for points in carbon.read(ORDERS).values() if carbon else ():
        for second, count in points.items():
            orders[second] = orders.get(second, 0) + count
    return orders


def _stop(carbon: Carbon | None) -> None:
    """The last round; then the two totals are equal."""
    appmetrics.stop()
    made = sum(shop.orders.labels(country).value for country in shop.COUNTRIES)
    if carbon is None or not made:
        return
    deadline = time.monotonic() + WRITE_SECONDS
    while (held := sum(_orders_in(carbon).values())) != made and time.monotonic() < deadline:
        time.sleep(0.1)
    _say(f"the shop took {made} orders, carbon holds {held:g}")


def _configuration(name: str) -> Path:
    """The ini file: in a checkout that of examples/, else the package's own, which is the same."""
    here = Path(__file__).parent
    example = here.parent.parent / "examples" / "shop" / name
    return example if example.exists() else here / name


def _page_port(wanted: int | None) -> int:
    """The port for the page; another one if the usual one is taken. Raises OSError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, PAGE_PORT if wanted is None else wanted))
        except OSError:
            if wanted is not None:
                raise
            probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _rate() -> str:
    return f"about {VISITORS * PAGES_PER_SECOND:g}"


def _say(line: str) -> None:
    print(line, flush=True)
