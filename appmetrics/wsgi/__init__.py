"""For WSGI servers and applications. Only re-exports: ``app`` shows the metrics."""

from .app import MetricsApp

__all__ = ["MetricsApp"]
