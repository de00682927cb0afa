"""Several processes, one set of numbers. Only re-exports; `Sharing` is what the reporter uses."""

from .membership import AUTO, EACH, LEADER, OFF, SIDECAR, Sharing

__all__ = ["AUTO", "EACH", "LEADER", "OFF", "SIDECAR", "Sharing"]
