"""A Flask application whose requests are measured: `flask --app flask_app run`.

The views are the URL rules; /metrics shows them. In production set APPMETRICS_CONFIG
to an ini file with [metrics], and give the page a token or leave it out.
"""

import flask

import appmetrics
from appmetrics.contrib.flask import AppMetrics

app = flask.Flask(__name__)
AppMetrics(app, path="/metrics")

greetings = appmetrics.get_meter("hello").counter("greetings", "Visitors who were greeted")


@app.route("/hello/<name>")
def hello(name):
    """Greets one visitor."""
    greetings.inc()
    return f"Hello, {name}.\n", {"Content-Type": "text/plain; charset=utf-8"}
