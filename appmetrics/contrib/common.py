"""What all frameworks need: the options of the middleware, and one configuration a process.

Knows no framework.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..config import ENVIRONMENT, configurator
from ..config.check import Checker, DictSource
from ..errors import ConfigError, Problem
from ..options import Option, integer, names, path, secret, text
from ..wsgi.crowd import MAX_SERIES
from ..wsgi.middleware import Middleware

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger("appmetrics")

CONFIG = Option("config", path, None, "The ini file with [metrics].")
ACCESS = (
    Option("token", secret, "", "If set, metrics need Authorization: Bearer TOKEN."),
    Option(
        "allow", names, (), "Networks that may see the metrics, such as 10.0.0.0/8; all if empty."
    ),
    Option("max_series", integer(1), MAX_SERIES, "Series that are shown; those beyond stay out."),
)

#: Of the filter, of Flask's, Django's and Pyramid's settings.
OPTIONS = (
    CONFIG,
    Option("path", text, "", "Where the metrics are shown, such as /metrics; nowhere if empty."),
    Option("debug", text, "", "Where the debug pages are, such as /debug; needs a token."),
    *ACCESS,
    Option(
        "queue_header", text, "", "Header with a request's time of arrival, set by a trusted proxy."
    ),
)


def read(
    given: Mapping[str, Any], where: str, table: tuple[Option, ...] = OPTIONS
) -> dict[str, Any]:
    """The options with their defaults; ``where`` names their place in problems.

    Raises ConfigError for what is unknown or can't be used.
    """
    checker = Checker(DictSource(where))
    options = checker.options("", given, table)
    if checker.problems:
        raise ConfigError(checker.problems)
    return options


def middleware(app: WSGIApplication, options: Mapping[str, Any]) -> Middleware:
    """The middleware around an application. Raises ConfigError for networks that are none, or
    debug pages without a token."""
    try:
        return Middleware(
            app,
            metrics=options["path"] or None,
            debug=options["debug"] or None,
            token=options["token"],
            allow=options["allow"],
            max_series=options["max_series"],
            queue_header=options["queue_header"],
        )
    except ValueError as error:
        raise unusable(error) from error


def unusable(error: ValueError) -> ConfigError:
    """What a constructor complains about, as an error of the configuration."""
    return ConfigError([Problem(str(error))])


def configure(file: str | None, variables: Mapping[str, object] | None = None) -> bool:
    """Configure this process from a file, else from the one that $APPMETRICS_CONFIG names.

    Once: if that file is in force already, nothing happens; if another
    configuration is, it stays, with a warning. False if the process is not
    configured after all. Raises ConfigError if the file can't be used.
    """
    file = file or os.environ.get(ENVIRONMENT)
    loaded = configurator.loaded()
    if not file:
        return loaded is not None
    if loaded is None:
        configurator.file_config(file, variables)
    elif not loaded.path or _real(loaded.path) != _real(file):
        log.warning("%s is not read: appmetrics is configured from %s", file, loaded.source)
    return True


def _real(file: str) -> str:
    return os.path.realpath(os.path.expanduser(file))
