"""The handlers: one file per target, at most one third-party import each.

Nobody imports a handler's module: a configuration names it, by a short name of
this table or by a dotted path.
"""

from __future__ import annotations

#: Short names, as ``class =`` in a handler's section.
HANDLERS = {
    "file": "appmetrics.handlers.file.FileHandler",
    "graphite": "appmetrics.handlers.graphite.GraphiteHandler",
    "http": "appmetrics.handlers.http.HttpHandler",
    "influx": "appmetrics.handlers.influx.InfluxHandler",
    "json": "appmetrics.handlers.json.JsonHandler",
    "memory": "appmetrics.handlers.memory.MemoryHandler",
    "null": "appmetrics.handlers.null.NullHandler",
    "opentsdb": "appmetrics.handlers.opentsdb.OpenTsdbHandler",
    "statsd": "appmetrics.handlers.statsd.StatsdHandler",
    "riemann": "appmetrics.handlers.riemann.RiemannHandler",
    "stream": "appmetrics.handlers.stream.StreamHandler",
}
