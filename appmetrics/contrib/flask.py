"""Flask: an extension, in two lines.

    from appmetrics.contrib.flask import AppMetrics
    AppMetrics(app)

Requests are measured around ``app.wsgi_app``, with URL rules as views. Options
are `common.OPTIONS`, given here or as a dict in ``app.config["APPMETRICS"]``.
"""

from __future__ import annotations

from typing import Any

import flask

from . import common


class AppMetrics:
    """The extension; ``init_app`` is for application factories."""

    def __init__(self, app: flask.Flask | None = None, **options: Any) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Measure this application, once. Raises ConfigError for wrong options."""
        if "appmetrics" in app.extensions:
            return
        given = {**app.config.get("APPMETRICS", {}), **self._options}
        options = common.read(given, '<app.config["APPMETRICS"]>')
        common.configure(options["config"])
        app.extensions["appmetrics"] = self
        app.wsgi_app = common.middleware(app.wsgi_app, options)  # type: ignore[method-assign]
        # Called before all else, also where a before_request answers by itself.
        app.url_value_preprocessor(_tell)


def _tell(endpoint: str | None, values: dict[str, Any] | None) -> None:
    rule = flask.request.url_rule
    context = flask.request.environ.get("appmetrics.request")
    # No rule: a 404, or a method that is not allowed.
    if context is not None and rule is not None:
        context.view = rule.rule
