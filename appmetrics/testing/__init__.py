"""The test kit: time by hand, what changed, a world of one's own.

The pytest plugin (the ``metrics`` fixture) and the contract suite for handlers
are modules of their own, so that this needs no pytest.
"""

from .changes import Capture, UnknownMetric, capture, reset
from .clock import ManualClock
from .world import World

__all__ = ["Capture", "ManualClock", "UnknownMetric", "World", "capture", "reset"]
