"""For WSGI servers and applications. Only re-exports: ``app`` shows the metrics, ``debug``
what the process does, ``middleware`` measures requests."""

from .app import MetricsApp
from .debug import DebugApp
from .middleware import Middleware, Request

__all__ = ["DebugApp", "MetricsApp", "Middleware", "Request"]
