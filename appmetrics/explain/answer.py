"""`Explanation`: what was found out, as plain data that travels as JSON.

Knows nothing of meters and handlers, so that a client can show what another
process has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..display import printable, title

OK = "ok"
PROBLEM = "problem"
INFO = "info"

#: How verdicts are shown; an `INFO` is neither good nor bad.
MARKS = {OK: "ok", PROBLEM: "problem", INFO: ""}


class Step(NamedTuple):
    """One thing that was looked at: ``topic``, a ``verdict`` (`OK`, `PROBLEM` or
    `INFO`), a sentence, and lines such as the final paths."""

    topic: str
    verdict: str
    text: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """All steps for one name, in the order in which a series takes them.

    ``found`` says whether the name is registered; ``nearest`` are similar names
    if it is not.
    """

    name: str
    labels: Mapping[str, str]
    found: bool
    nearest: tuple[str, ...]
    steps: tuple[Step, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same, JSON-ready."""
        return {
            "name": self.name,
            "labels": dict(self.labels),
            "found": self.found,
            "nearest": list(self.nearest),
            "steps": [{**step._asdict(), "lines": list(step.lines)} for step in self.steps],
        }

    @classmethod
    def from_dict(cls, data: Any) -> Explanation:
        """The reverse of `as_dict`. Raises ValueError for anything else."""
        try:
            steps = [
                Step(
                    str(step["topic"]),
                    str(step["verdict"]),
                    str(step["text"]),
                    tuple(map(str, step["lines"])),
                )
                for step in data["steps"]
            ]
            labels = {str(key): str(value) for key, value in data["labels"].items()}
            nearest = tuple(map(str, data["nearest"]))
            return cls(str(data["name"]), labels, bool(data["found"]), nearest, tuple(steps))
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError("not an explanation") from error

    def text(self, paint: Callable[[str, str], str] = lambda verdict, text: text) -> str:
        """For people. ``paint(verdict, text)`` may colour a verdict's mark."""
        rows = [(MARKS.get(step.verdict, ""), printable(step.topic), step) for step in self.steps]
        marks = max((len(mark) for mark, _, _ in rows), default=0)
        topics = max((len(topic) for _, topic, _ in rows), default=0)
        margin = " " * (marks + topics + 6)
        lines = [title(self.name, self.labels.items())]
        for mark, topic, step in rows:
            painted = paint(step.verdict, mark) + " " * (marks - len(mark))
            lines.append(f"  {painted}  {topic:{topics}}  {printable(step.text)}".rstrip())
            lines += (f"{margin}  {printable(line)}" for line in step.lines)
        return "\n".join(lines) + "\n"
