"""Formatters: from samples to the text that one target wants.

A formatter is pure: it opens nothing, keeps nothing between samples, and
never fails on a name or a label, whatever is in it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, ClassVar

from . import display, levels
from .buckets import Distribution
from .exposition.families import exact_bounds
from .exposition.prometheus import describe, expose
from .exposition.values import encodable
from .exposition.values import number as finite
from .options import Option, numbers, text
from .sample import (
    COUNTER,
    EVENT,
    HISTOGRAM,
    STATE,
    TIMER,
    Event,
    Sample,
    Series,
    StateValue,
)
from .statistics import COUNTER_STATISTICS, key, statistics, timer_statistics

__all__ = [
    "FORMATTERS",
    "Formatter",
    "JsonFormatter",
    "LineFormatter",
    "OpenMetricsFormatter",
    "PrometheusFormatter",
]


class Formatter:
    """Turns samples into text.

    ``document`` says that a batch is one whole document, which replaces the
    previous one, and not lines to append.
    """

    OPTIONS: ClassVar[tuple[Option, ...]] = ()
    document: ClassVar[bool] = False

    def format(self, sample: Sample) -> str:
        """One sample as one or more whole lines."""
        raise NotImplementedError(f"{type(self).__name__} must override format()")

    def format_batch(self, samples: Sequence[Sample]) -> str:
        """A round's samples as whole lines; all of them in ``document`` formats."""
        return "".join(map(self.format, samples))

    def describe(self, series: Series) -> list[str]:
        """What names a series in this format, without its numbers; empty if nothing does."""
        return [series.name]


class LineFormatter(Formatter):
    """A line for people: time (UTC), name and labels, kind, value and what it did.

    ``2026-11-22T14:03:10Z shop.orders{shop="de"} counter 12 (+3, 0.3/s)``
    """

    _STATISTICS = ("mean", "p50", "p95", "p99", "max")
    OPTIONS = (
        Option("statistics", timer_statistics, _STATISTICS, "Shown of timers and histograms."),
    )

    def __init__(self, *, statistics: Sequence[str] = _STATISTICS) -> None:
        self.statistics = tuple(statistics)

    def format(self, sample: Sample) -> str:
        time = datetime.fromtimestamp(sample.time, timezone.utc)
        return f"{time:%Y-%m-%dT%H:%M:%SZ} {self.text(sample)}\n"

    def describe(self, series: Series) -> list[str]:
        return [f"{display.title(series.name, series.labels)} {series.kind}"]

    def text(self, sample: Sample) -> str:
        """The line without time and line end."""
        series, value = sample.series, sample.value
        parts = [display.title(series.name, series.labels), series.kind]
        if isinstance(value, Event):
            parts.append(display.quoted(value.description))
            if value.state:
                parts.append(f"state={display.quoted(value.state)}")
            if value.metric is not None:
                parts.append(f"metric={_amount(value.metric, series.unit)}")
            attributes = value.attributes.items()
            parts += (f"{display.printable(k)}={display.quoted(v)}" for k, v in attributes)
            parts += (f"#{display.printable(tag)}" for tag in value.tags)
        elif isinstance(value, StateValue):
            parts.append(display.printable(value.text))
            if value.description:
                parts.append(display.quoted(value.description))
        elif isinstance(value, Distribution):
            parts.append(_amount(value.count))
            parts.append(self._change(sample))
            for word, number in statistics(sample, self.statistics):
                unit = "" if word in COUNTER_STATISTICS else series.unit
                parts.append(f"{word} {_amount(number, unit)}")
        else:
            parts.append(_amount(value, series.unit))
            if series.kind == COUNTER:
                parts.append(self._change(sample))
        return " ".join(filter(None, parts))

    @staticmethod
    def _change(sample: Sample) -> str:
        if sample.delta is None:
            return ""
        change = getattr(sample.delta, "count", sample.delta)
        unit = sample.series.unit if sample.series.kind == COUNTER else ""
        return f"(+{_amount(change, unit)}, {display.rate(sample.rate, unit)})"


def _amount(value: float, unit: str = "") -> str:
    return "-" if finite(value) is None else display.quantity(value, unit)


class JsonFormatter(Formatter):
    """One JSON object a line, with Logstash's field names; pure ASCII.

    Always ``@timestamp``, ``@version``, ``message``, ``host``, ``metric`` (the
    name), ``kind``, ``level``, ``labels``, and ``unit`` where there is one.
    ``value`` is always a number (search engines refuse a field of two types).
    Counters: ``value`` (so far), ``delta``, ``rate``, ``elapsed``. Timers and
    histograms: their statistics and ``elapsed``. States: ``state``, ``text``,
    ``description``, ``value`` (its number). Events: ``description``, ``state``,
    ``attributes``, ``tags``, ``value`` (its metric).
    """

    _STATISTICS = ("count", "rate", "total", "sum", "mean", "min", "p50", "p95", "p99", "max")
    OPTIONS = (
        Option("host", text, "", "What `host` says; this machine's name if empty."),
        Option("statistics", timer_statistics, _STATISTICS, "Of timers and histograms."),
    )

    def __init__(self, *, host: str = "", statistics: Sequence[str] = _STATISTICS) -> None:
        self.host = host or socket.gethostname()
        self.statistics = tuple(statistics)
        self._line = LineFormatter()

    def format(self, sample: Sample) -> str:
        return json.dumps(self.fields(sample), separators=(",", ":")) + "\n"

    def describe(self, series: Series) -> list[str]:
        return [json.dumps(_identity(series))]

    def fields(self, sample: Sample) -> dict[str, Any]:
        """A sample as the fields of a log record."""
        series, value = sample.series, sample.value
        time = datetime.fromtimestamp(sample.time, timezone.utc)
        fields: dict[str, Any] = {
            "@timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z",
            "@version": "1",
            "message": self._line.text(sample),
            "host": self.host,
            **_identity(series),
            "level": levels.name(series.level),
        }
        if series.unit:
            fields["unit"] = encodable(series.unit)
        if series.kind == EVENT:
            fields |= _event_fields(value)
        elif series.kind == STATE:
            fields |= {"state": encodable(value.state), "text": encodable(value.text)}
            fields |= {"description": encodable(value.description), "value": value.number}
        elif series.kind in (TIMER, HISTOGRAM):
            for word, value in statistics(sample, self.statistics):
                fields[key(word)] = value
            fields["elapsed"] = sample.elapsed
        else:
            fields["value"] = finite(value)
            if series.kind == COUNTER:
                fields |= {"delta": finite(sample.delta), "rate": finite(sample.rate)}
                fields["elapsed"] = sample.elapsed
        return fields


def _identity(series: Series) -> dict[str, Any]:
    return {
        "metric": encodable(series.name),
        "kind": series.kind,
        "labels": {encodable(key): encodable(value) for key, value in series.labels},
    }


def _event_fields(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "description": encodable(event.description),
        "state": encodable(event.state),
        "attributes": {encodable(k): encodable(v) for k, v in event.attributes.items()},
        "tags": list(map(encodable, event.tags)),
    }
    if event.metric is not None:
        fields["value"] = finite(event.metric)
    return fields


class PrometheusFormatter(Formatter):
    """All series as one document in Prometheus' text format 0.0.4, without events."""

    OPTIONS = (
        Option("bounds", numbers, None, "`le` bounds of all histograms; else chosen by unit."),
    )
    document = True
    openmetrics: ClassVar[bool] = False

    def __init__(self, *, bounds: Sequence[float] | None = None) -> None:
        self.bounds = None if bounds is None else exact_bounds(bounds)

    def format(self, sample: Sample) -> str:
        return self.format_batch((sample,))

    def format_batch(self, samples: Sequence[Sample]) -> str:
        pairs = [(each.series, each.value) for each in samples if each.series.kind != EVENT]
        return expose(pairs, openmetrics=self.openmetrics, bounds=self.bounds)

    def describe(self, series: Series) -> list[str]:
        return describe(series, bounds=self.bounds)


class OpenMetricsFormatter(PrometheusFormatter):
    """All series as one document in the OpenMetrics 1.0 text format, without events."""

    openmetrics = True


#: Short names, as ``formatter =`` in a handler's section.
FORMATTERS: dict[str, Callable[..., Formatter]] = {
    "line": LineFormatter,
    "json": JsonFormatter,
    "prometheus": PrometheusFormatter,
    "openmetrics": OpenMetricsFormatter,
}
