"""What is said of the configuration in force: whether it is what its file holds."""

from __future__ import annotations

from typing import Protocol

from ..display import ago
from .answer import INFO, OK, PROBLEM, Step
from .delivery import some


class Configuration(Protocol):
    """What is asked of the configuration that was loaded (``config.loaded()``)."""

    source: str
    time: float

    @property
    def watched(self) -> bool:
        """Whether a change of the file will be noticed."""

    @property
    def refused(self) -> Exception | None:
        """Why a newer content of the file was not taken."""

    def changed(self) -> bool:
        """Whether the file now holds something else."""

    def gone(self) -> bool:
        """Whether the file is no longer there."""


def configuration_step(
    loaded: Configuration | None, now: float, routed: bool, served: bool
) -> Step:
    """Where the routing comes from. ``routed`` says whether there are handlers,
    ``served`` whether at least a page shows the numbers."""
    topic = "configuration"
    if loaded is None:
        text = "none was loaded" + ("; the handlers were added by code" if routed else "")
        return Step(topic, INFO if served else PROBLEM, text)
    text = f"{loaded.source}, loaded {ago(loaded.time, now)}"
    if loaded.refused is not None:
        lines = some(str(loaded.refused).splitlines())
        return Step(topic, PROBLEM, f"{text}; it has changed since, and was refused", tuple(lines))
    if loaded.gone():
        return Step(topic, PROBLEM, f"{text}; the file is gone")
    if loaded.changed():
        text += "; it has changed on disk since then, "
        text += "and is about to be read" if loaded.watched else "and watch is off"
        return Step(topic, PROBLEM, text)
    return Step(topic, OK, f"{text}, unchanged since then")
