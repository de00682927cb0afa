"""For WSGI servers and applications. Only re-exports: ``app`` shows the metrics,
``middleware`` measures requests."""

from .app import MetricsApp
from .middleware import Middleware, Request

__all__ = ["MetricsApp", "Middleware", "Request"]
