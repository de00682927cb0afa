"""Collectors: what a process can tell about itself without a line of its own code.

Only re-exports; each collector is a module of its own, named by ``COLLECTORS``.
"""

from .installing import COLLECTORS, Collector, Remove, find, install, installed, uninstall

__all__ = ["COLLECTORS", "Collector", "Remove", "find", "install", "installed", "uninstall"]
