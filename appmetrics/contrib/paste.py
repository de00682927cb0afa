"""PasteDeploy: ``egg:appmetrics-routing#wsgi`` (a filter) and ``#metrics`` (an application).

    [pipeline:main]
    pipeline = egg:appmetrics-routing#wsgi myapp

Both read the sections ``[metrics]`` of the same ini file, unless ``config =`` or
$APPMETRICS_CONFIG names another one. Options of the filter are `common.OPTIONS`.
Imports nothing of PasteDeploy, which only calls.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.active import ENVIRONMENT
from ..config.files import read as read_file
from ..config.ini import parse
from ..reporter import reporter
from ..wsgi import MetricsApp
from . import common

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_warned = False


def filter_app(
    app: WSGIApplication, global_conf: Mapping[str, str], **local_conf: str
) -> WSGIApplication:
    """The application with `appmetrics.wsgi.middleware.Middleware` around it.

    The application itself, and one warning, if there is nothing to configure
    from. Raises ConfigError for a configuration that can't be used; a target
    that can't be reached is no error.
    """
    options = common.read(local_conf, _place(global_conf, "appmetrics-routing#wsgi"))
    configured = _configure(options["config"], global_conf)
    if not configured and not options["path"] and not options["debug"]:
        _warn()
        return app
    return common.middleware(app, options)


def metrics_app(global_conf: Mapping[str, str], **local_conf: str) -> WSGIApplication:
    """The metrics as an application, to be mounted by a urlmap.

    Raises ConfigError like `filter_app`. Without a configuration it shows all
    there is.
    """
    table = (common.CONFIG, *common.ACCESS)
    options = common.read(local_conf, _place(global_conf, "appmetrics-routing#metrics"), table)
    _configure(options["config"], global_conf)
    try:
        app = MetricsApp(
            token=options["token"], allow=options["allow"], max_series=options["max_series"]
        )
    except ValueError as error:
        raise common.unusable(error) from error
    return _Metrics(app)


class _Metrics:
    """Starts the reporter at the first request: in a pre-fork server not before the fork."""

    def __init__(self, app: MetricsApp) -> None:
        self._app = app
        self._pid = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._pid != os.getpid():
            reporter.serve()
            self._pid = os.getpid()
        return self._app(environ, start_response)


def _configure(config: str | None, global_conf: Mapping[str, str]) -> bool:
    """Configure from the first that is there: ``config``, the environment, the ini file."""
    file = config
    if config:
        file = os.path.join(global_conf.get("here", ""), config)
    elif not os.environ.get(ENVIRONMENT):
        own = global_conf.get("__file__", "")
        file = own if own and parse(read_file(own).text, own).sections else None
    return common.configure(file, global_conf)


def _warn() -> None:
    global _warned
    if not _warned:
        _warned = True
        common.log.warning(
            "egg:appmetrics-routing#wsgi does nothing: no option config, no $%s, and no section"
            " [metrics] in the ini file",
            ENVIRONMENT,
        )


def _place(global_conf: Mapping[str, str], name: str) -> str:
    file = global_conf.get("__file__", "")
    return f"{Path(file)} (egg:{name})" if file else f"egg:{name}"
