"""From a plan to objects: handlers, filters and formatters, and who gets them.

Constructors connect nothing and start nothing, so that a plan that can't be
built leaves no trace. Putting the result in force is ``active``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, Problem
from ..handlers.base import Filter, Handler
from ..levels import NOTSET
from ..meter import MeterSettings
from ..options import secret
from .cautions import cautions
from .check import Source
from .plan import Part, Plan
from .wording import shown, tidy


@dataclass(frozen=True)
class Built:
    """A plan's handlers by name, and the settings of all meters that it names."""

    plan: Plan
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    settings: Mapping[str, MeterSettings] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()


def build(plan: Plan, source: Source, old: Built | None = None) -> Built:
    """Make a plan's objects, keeping handlers of ``old`` that are configured the same.

    Raises ConfigError with everything that a constructor complained about.
    """
    return _Builder(plan, source).build(old)


class _Builder:
    def __init__(self, plan: Plan, source: Source) -> None:
        self.plan = plan
        self.source = source
        self.problems: list[Problem] = []
        self._filters: dict[str, Filter | None] = {}

    def build(self, old: Built | None) -> Built:
        handlers = {}
        for name, part in self.plan.handlers.items():
            if old is not None and old.plan.handlers.get(name) == part:
                handlers[name] = old.handlers[name]
            else:
                handlers[name] = self._handler(part)
        settings = {}
        for name, meter in self.plan.meters.items():
            settings[name] = MeterSettings(
                level=NOTSET if meter.level is None else meter.level,
                handlers=tuple(handlers[each] for each in meter.handlers),
                filters=self._all_filters(meter.filters),
                labels=meter.labels,
                propagate=meter.propagate,
            )
        if self.problems:
            raise ConfigError(self.problems)
        return Built(self.plan, handlers, settings, tuple(cautions(handlers, self.source)))

    def _handler(self, part: Part) -> Any:
        if isinstance(part.make, Handler):
            return part.make
        options = dict(part.options)
        options["filters"] = self._all_filters(options["filters"])
        formatter = options["formatter"]
        if formatter is not None:
            options["formatter"] = self._make("formatters", formatter, formatter.options)
        return self._make("handlers", part, {"name": part.name, **options})

    def _all_filters(self, parts: tuple[Part, ...]) -> tuple[Filter, ...]:
        for part in parts:
            if part.name not in self._filters:
                self._filters[part.name] = (
                    self._make("filters", part, part.options)
                    if isinstance(part.make, type)
                    # Not a class: then it is the filter itself.
                    else part.make
                )
                with contextlib.suppress(AttributeError):
                    # What explain calls it; past a frozen dataclass.
                    object.__setattr__(self._filters[part.name], "name", part.name)
        found = (self._filters[part.name] for part in parts)
        return tuple(each for each in found if each is not None)

    def _make(self, group: str, part: Part, options: Mapping[str, Any]) -> Any:
        try:
            return part.make(**options)
        except Exception as error:
            # ValueError is what a constructor raises for options that don't go
            # together; any other is a mistake in the class, and still named.
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            message = shown("", f"{kind}{error}")
            section = self.source.section(group, part.name)
            key, value = "", ""
            named, colon, reason = message.partition(": ")
            rows = {row.name: row for row in getattr(part.make, "OPTIONS", ())}
            if colon and named in rows and named in options:
                # By this form a constructor says which of its options is wrong.
                key, message = named, reason
                value = "..." if rows[key].convert is secret else shown(key, options[key])
            line = self.source.line(section, key)
            problem = Problem(message, self.source.file, section, key, value, line=line)
            self.problems.append(tidy(problem))
            return None
