"""appmetrics makes metrics behave like logging.

Code records through ``get_meter``; an ini file decides where the numbers go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ConfigError, InstrumentError, MetricsError, RejectedValue
from .handlers.base import Handler
from .hierarchy import get_meter
from .instruments import Counter, Gauge, Histogram, State, Timer
from .levels import CRITICAL, DEBUG, ERROR, INFO, NOTSET, WARNING
from .meter import Meter
from .reporter import flush, start, stop
from .sample import Event, Sample, Series
from .version import __version__, check_for_the_other

if TYPE_CHECKING:
    from .config import basic_config, configure, dict_config, file_config

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "NOTSET",
    "WARNING",
    "ConfigError",
    "Counter",
    "Event",
    "Gauge",
    "Handler",
    "Histogram",
    "InstrumentError",
    "Meter",
    "MetricsError",
    "RejectedValue",
    "Sample",
    "Series",
    "State",
    "Timer",
    "__version__",
    "basic_config",
    "configure",
    "dict_config",
    "file_config",
    "flush",
    "get_meter",
    "start",
    "stop",
]

check_for_the_other()


def __getattr__(name: str) -> Any:
    # Reading files and knowing all handlers is more than half of the import, and
    # a library that only records never asks for it.
    if name in ("basic_config", "configure", "dict_config", "file_config"):
        from . import config

        return getattr(config, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
