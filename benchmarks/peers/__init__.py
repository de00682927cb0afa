"""The peers: one module each, with their equivalents of our operations.

A peer has the operations it can do, under our names for them (see ``ours``), set up as its
documentation shows, and nothing that it would need beside: no collector, no exporter.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

#: Distribution and module here, the one that is compared with in all tables first.
NAMES = {
    "prometheus_client": "prometheus",
    "opentelemetry-sdk": "opentelemetry",
    "markus": "markus",
    "statsd": "statsd",
    "datadog": "datadog",
    "scales": "scales",
    "pyformance": "pyformance",
}


def installed() -> Iterator[tuple[str, ModuleType]]:
    """The peers that are there; each that isn't is named on the way."""
    for distribution, module in NAMES.items():
        try:
            yield distribution, importlib.import_module(f"{__name__}.{module}")
        except ImportError as error:
            print(f"without {distribution}: {error}")
