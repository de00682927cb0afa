"""The errors of the public interface.

Each has a builtin parent, so that code which does not import appmetrics can
still catch it. What concerns one module only stays in that module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class MetricsError(Exception):
    """The parent of every error that appmetrics raises itself."""


class InstrumentError(MetricsError, ValueError):
    """An instrument is declared wrongly: no usable name, a bad label name, or a
    second declaration that contradicts the first."""


class RejectedValue(MetricsError, ValueError):
    """A value that can't be recorded: not a number, not finite, negative for a
    counter, or labels that don't fit.

    Raised under ``appmetrics.testing`` only. In an application a rejected
    update is counted in ``appmetrics.rejected`` and logged once.
    """


def describe(error: BaseException) -> str:
    """An error in one line, whatever its own text does."""
    try:
        text = str(error)
    except Exception:
        text = "(its text can't be read)"
    return f"{type(error).__name__}: {text}"


class Problem(NamedTuple):
    """One thing that is wrong, or surely not meant, in a configuration.

    ``file`` is a path or a word like ``<dict>``; ``section``, ``key`` and
    ``value`` are empty where they don't apply; ``line`` is 0 if unknown.
    """

    message: str
    file: str = ""
    section: str = ""
    key: str = ""
    value: str = ""
    nearest: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = self.file
        if self.line:
            where += f":{self.line}"
        if self.section:
            where += f" [{self.section}]"
        if self.key:
            where += f" {self.key}"
            if self.value:
                where += f" = {self.value}"
        text = f"{where}: {self.message}" if where else self.message
        if self.nearest:
            text += f" (did you mean {self.nearest!r}?)"
        return text


class ConfigError(MetricsError, ValueError):
    """A configuration can't be used. ``problems`` holds all that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))
