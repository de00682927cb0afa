"""`World`: meters, handlers and rounds of one's own, under a clock moved by hand.

What is measured here and what the process' own meters measure never meet.
"""

from __future__ import annotations

from ..hierarchy import Hierarchy
from ..meter import Meter
from ..registry import Registry
from ..reporter import Reporter
from .changes import Capture
from .clock import ManualClock


class World:
    """Whole configurations under test: no threads, no waiting, exact times.

    ::

        world = World()
        memory = MemoryHandler()
        world.meter().add_handler(memory)
        world.meter("shop").counter("orders").inc()
        world.advance(10)
        assert memory.last("shop.orders").delta == 1

    ``shared`` puts the instruments into scales' process-wide tree as well.
    """

    def __init__(self, clock: ManualClock | None = None, *, shared: bool = False) -> None:
        self.clock = ManualClock() if clock is None else clock
        self.hierarchy = Hierarchy(Registry(shared), self.clock)
        self.reporter = Reporter(self.hierarchy)

    def meter(self, name: str = "") -> Meter:
        """The meter of this name, the root meter without one."""
        return self.hierarchy.get_meter(name)

    def capture(self) -> Capture:
        """Like `appmetrics.testing.capture`, for this world."""
        return Capture(self.hierarchy)

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, with every round that falls due on the way, in order.

        Each handler has worked off a round before time goes on. A round that is
        due at the very end is done.
        """
        while True:
            wait = self.reporter.run_due()
            self.reporter.flush()
            if seconds <= 0:
                return
            if self.reporter.jobs:
                wait = min(wait, 1.0)
            # At least a millisecond: a smaller step may be lost in rounding.
            step = min(max(wait, 0.001), seconds)
            self.clock.advance(step)
            seconds -= step

    def stop(self) -> None:
        """The last round, as at the end of a process; closes the handlers."""
        self.reporter.stop()
