"""When Zope is up: ``<product-config appmetrics>`` in zope.conf, and the databases.

    <product-config appmetrics>
      config $INSTANCE/etc/metrics.ini
    </product-config>

This comes about in scripts of ``zconsole``, too, where nothing may be sent unasked.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from App.config import getConfiguration

from ... import reporter
from ...config.active import ENVIRONMENT
from ...options import Option, boolean, integer, path
from .. import common
from .databases import databases
from .publication import names
from .views import MAX_VIEWS

log = logging.getLogger("appmetrics")

#: Of the product-config.
OPTIONS = (
    Option("config", path, None, "The ini file with [metrics]; the instance is where it begins."),
    Option("start", boolean, False, "Send from the start, also from scripts run by zconsole."),
    Option("max_views", integer(1), MAX_VIEWS, "Views told apart; others count as _overflow_."),
)


def opened(event: Any) -> None:
    """IDatabaseOpenedWithRoot: Zope is up. Raises ConfigError, so that Zope doesn't start."""
    try:
        databases.watch(event.database)
    except Exception:
        log.exception("ZODB can't be watched")
    zope = getConfiguration()
    products: Mapping[str, Any] = getattr(zope, "product_config", None) or {}
    configure(products.get("appmetrics") or {}, getattr(zope, "instancehome", None) or "")


def configure(given: Mapping[str, Any], home: str) -> None:
    """Do what a product-config says. Raises ConfigError for what can't be used."""
    options = common.read(given, "<product-config appmetrics>", OPTIONS)
    names.most = options["max_views"]
    start, config = options["start"], options["config"]
    # Without either this is left to the filter of the pipeline, which knows zope.ini.
    if not (config or start):
        return
    configured = common.configure(os.path.join(home, config) if config else None)
    if start and not configured:
        log.warning(
            "<product-config appmetrics> says start, but neither config nor $%s names a file",
            ENVIRONMENT,
        )
    elif start:
        reporter.start()
