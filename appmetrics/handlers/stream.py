"""`StreamHandler`: readable lines on stdout, stderr or another text stream."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

from ..formatters import Formatter, LineFormatter
from ..options import Converter, Option, boolean, resolve
from ..sample import Sample, Series
from .base import LEFT_OUT, Handler

STANDARD = ("stdout", "stderr")


def _stream(value: object) -> object:
    if isinstance(value, str):
        value = value.strip().removeprefix("ext://")
        name = value.removeprefix("sys.")
        value = name if name in STANDARD else resolve(value)
    if value not in STANDARD and not hasattr(value, "write"):
        raise ValueError
    return value


stream = Converter("stdout, stderr or the dotted path of a text stream", _stream, STANDARD)


class StreamHandler(Handler):
    """Writes lines to a text stream.

    ::

        [metrics.handler.console]
        class = stream
        stream = stderr

    The stream is never closed. Characters that it can't encode are escaped. What
    appmetrics tells about itself is left out unless ``own_metrics`` is on.
    """

    OPTIONS = (
        Option("stream", stream, "stderr", "stdout, stderr, or as `ext://package.module.name`."),
        Option("own_metrics", boolean, False, "Whether to write appmetrics' own metrics, too."),
    )

    def __init__(
        self, *, stream: TextIO | str = "stderr", own_metrics: bool = False, **common: Any
    ) -> None:
        super().__init__(**common)
        self.own_metrics = own_metrics
        self.stream = stream
        if self.formatter is None:
            self.formatter = LineFormatter()

    @property
    def _out(self) -> TextIO:
        # By name each time: programs and tests exchange sys.stdout.
        out = getattr(sys, self.stream) if isinstance(self.stream, str) else self.stream
        if out is None:
            raise OSError(f"this process has no {self.stream}")
        return out

    def prepare(self, series: Series) -> Any:
        own = series.name.startswith("appmetrics.")
        return LEFT_OUT if own and not self.own_metrics else None

    def emit(self, samples: Sequence[Sample]) -> None:
        formatter: Formatter = self.formatter
        text = formatter.format_batch(samples)
        out = self._out
        encoding = getattr(out, "encoding", None) or "utf-8"
        # One write a batch, so that lines of other writers don't get in between.
        out.write(text.encode(encoding, "backslashreplace").decode(encoding))
        out.flush()

    def describe(self, series: Series) -> list[str]:
        if self.prepare(series) is LEFT_OUT:
            return []
        formatter: Formatter = self.formatter
        return formatter.describe(series)

    def target(self) -> str:
        return self.stream if isinstance(self.stream, str) else repr(self.stream)

    def check(self) -> None:
        self._out.flush()
