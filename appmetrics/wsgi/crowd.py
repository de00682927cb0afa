"""`Crowd`: how many series a page shows at most, and what is said of the others.

A scrape that is too large is no scrape: its consumer gives up, or memory ends. So the
series that came last stay out, but for those that appmetrics tells of itself, which say so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..display import count
from ..reporter import Reporter
from ..sample import Series

log = logging.getLogger("appmetrics")

#: Prometheus has no limit of its own, but takes some hundred bytes of memory for each.
MAX_SERIES = 200_000

_OWN = "appmetrics."


class Crowd:
    """At most ``most`` series, those that came first; ``name`` is the handler's."""

    def __init__(self, name: str, most: int = MAX_SERIES) -> None:
        self.name = name
        self.most = most
        #: How many are left out, by the last look.
        self.left_out = 0
        self._said = False

    def look(self, every: Sequence[Series], reporter: Reporter) -> None:
        """Count what is left out, for the self-metric; the first time also in the log."""
        beyond = every[self.most :] if len(every) > self.most else ()
        self.left_out = sum(not series.name.startswith(_OWN) for series in beyond)
        reporter.left_out[self] = self.left_out
        if self.left_out and not self._said:
            self._said = True
            log.warning("%s: %s", self.name, self.remark)

    def shows(self, place: int, series: Series) -> bool:
        """Whether a series is shown that comes after ``place`` others."""
        return place < self.most or series.name.startswith(_OWN)

    @property
    def reason(self) -> str:
        """Why one series is left out."""
        return f"{self.most:,} came before it, and a page has no more (max_series)"

    @property
    def remark(self) -> str:
        """What is left out, for a person."""
        series = count(self.left_out, "series", "series")
        return f"{series} left out, as a page has at most {self.most:,} (max_series)"
