"""The application that metrics.ini is for: PasteDeploy starts it, waitress serves it."""

from pathlib import Path

import appmetrics

meter = appmetrics.get_meter("myapp")
requests = meter.timer("requests", "Time to answer a request", labels=("status",))
greetings = meter.counter("greetings", "Visitors who were greeted")


def make_app(global_conf, **settings):
    """Called by PasteDeploy for [app:main]: the same file configures the metrics."""
    appmetrics.file_config(global_conf["__file__"], global_conf)
    appmetrics.start()
    return application


def application(environ, start_response):
    """Greets everybody."""
    with requests.time().labels(status="200"):
        greetings.inc()
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"Hello.\n"]


if __name__ == "__main__":
    from paste.deploy import loadapp, loadserver

    ini = f"config:{Path(__file__).with_name('metrics.ini')}"
    loadserver(ini)(loadapp(ini))
