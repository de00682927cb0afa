"""appmetrics makes metrics behave like logging.

Code records through ``get_meter``; an ini file decides where the numbers go.
"""

from .config import basic_config, configure, dict_config, file_config
from .errors import ConfigError, InstrumentError, MetricsError, RejectedValue
from .handlers.base import Handler
from .hierarchy import get_meter
from .instruments import Counter, Gauge, Histogram, State, Timer
from .levels import CRITICAL, DEBUG, ERROR, INFO, NOTSET, WARNING
from .meter import Meter
from .reporter import flush, start, stop
from .sample import Event, Sample, Series
from .version import __version__, check_for_the_other

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
