"""`EventsApi`: events of an application into graphite-web's events API.

Driven by the graphite handler, in its thread, with a backlog and a back-off of its
own, so that a graphite-web that is away holds up no line to carbon.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..sample import Event, Sample
from .delivery import NetworkHandler, RefusedForGood
from .posting import Poster

#: Bytes kept while graphite-web is away.
BUFFER = 1024 * 1024


class EventsApi(NetworkHandler):
    """Posts each event as JSON: what, tags, data and when, as graphite-web has them."""

    threaded = False

    def __init__(self, url: str, **common: Any) -> None:
        super().__init__(buffer=BUFFER, **common)
        self.url = url.rstrip("/")
        self._poster = Poster(self.url, gzip=False, timeout=self.timeout)

    def encode(self, samples: Sequence[Sample]) -> Iterator[tuple[bytes, int]]:
        for sample in samples:
            yield json.dumps(fields(sample)).encode(), 1

    def send(self, payload: bytes) -> None:
        self._poster.timeout = self.time_limit
        answer = self._poster.post("/", payload, {"Content-Type": "application/json"})
        if answer.status in (408, 429) or answer.status >= 500:
            raise OSError(answer.text)
        if answer.status >= 300:
            raise RefusedForGood(answer.text)

    def hang_up(self) -> None:
        self._poster.close()

    def check(self) -> None:
        self._poster.timeout = self.timeout
        self._poster.reach()

    def target(self) -> str:
        return f"{self.url}/"


def fields(sample: Sample) -> dict[str, Any]:
    """An event as graphite-web takes it.

    ``tags`` are the event's, its name, and its labels as ``shop=de``: graphite-web
    separates them by blanks, so a blank becomes ``_``. ``data`` has a line for the
    description, the state and each attribute.
    """
    event: Event = sample.value
    series = sample.series
    tags = [*event.tags, series.name, *(f"{label}={value}" for label, value in series.labels)]
    lines = [event.description]
    lines += [f"state: {event.state}"] if event.state else []
    lines += [f"metric: {event.metric!r}"] if event.metric is not None else []
    lines += [f"{name}: {value}" for name, value in event.attributes.items()]
    return {
        "what": series.name,
        "tags": list(dict.fromkeys("_".join(tag.split()) for tag in tags if tag.strip())),
        "data": "\n".join(filter(None, lines)),
        "when": int(sample.time),
    }
