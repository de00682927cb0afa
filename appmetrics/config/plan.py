"""From plain data to a validated plan: which classes, with which options.

The plain data is what ``dict_config`` takes; an ini file arrives in the same
form. All problems are found before any is reported. Importing the classes that
are named is all that happens here: no object is built, nothing is connected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Problem
from ..filters import FILTERS
from ..formatters import FORMATTERS
from ..handlers import HANDLERS
from ..handlers.base import COMMON, Handler
from .check import Checker, Source
from .tables import METER, METRICS
from .wording import nearest

GROUPS = ("metrics", "handlers", "filters", "formatters", "meters")


@dataclass(frozen=True)
class Part:
    """One handler, filter or formatter: what to call with which options.

    ``make`` is a class, a filter function, or a handler that exists already.
    In the options of a handler, ``filters`` and ``formatter`` are parts in turn.
    Two equal parts are configured the same.
    """

    name: str
    make: Any
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MeterPlan:
    """The options of one meter; a level of None is inherited."""

    level: int | None = None
    handlers: tuple[str, ...] = ()
    propagate: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A configuration that has been found right.

    ``options`` are those of ``[metrics]``; ``handlers`` those that are used,
    by name; ``meters`` by dotted name, the root being "".
    """

    options: Mapping[str, Any]
    handlers: Mapping[str, Part]
    meters: Mapping[str, MeterPlan]


class Planner:
    """Makes one `Plan`. ``problems`` are what is wrong, ``warnings`` what is
    surely not meant."""

    def __init__(self, data: object, source: Source) -> None:
        self.source = source
        self.checker = Checker(source, _places(source))
        self.warnings: list[Problem] = []
        self._used: set[tuple[str, str]] = set()
        self._data = self._groups(data)
        self._filters: dict[str, Part | None] = {}
        self._formatters: dict[str, Part | None] = {}
        self._handlers: dict[str, Part | None] = {}

    @property
    def problems(self) -> list[Problem]:
        """What is wrong."""
        return self.checker.problems

    def plan(self) -> Plan | None:
        """The plan; None if there are problems."""
        section = self.source.section("metrics")
        options = self.checker.options(section, self._data["metrics"], METRICS)
        for name, given in self._data["formatters"].items():
            self._formatters[name] = self._part("formatters", name, given)
        for name, given in self._data["filters"].items():
            self._filters[name] = self._part("filters", name, given)
        for name, given in self._data["handlers"].items():
            part = self._part("handlers", name, given)
            self._handlers[name] = self._connected(part) if part and part.options else part
        meters = {"": self._meter(section, options)}
        for name, given in self._data["meters"].items():
            section = self.source.section("meters", name)
            if not all(name.split(".")):
                self.checker.report(section, "expected a dotted name such as shop.checkout")
            meters[name] = self._meter(section, self.checker.options(section, given, METER))
        self._find_unused()
        if self.problems:
            return None
        handlers = {
            name: part
            for name, part in self._handlers.items()
            if part is not None and ("handlers", name) in self._used
        }
        return Plan(options, handlers, meters)

    def _groups(self, data: object) -> dict[str, dict[str, Any]]:
        """The data without what is of the wrong shape."""
        result: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        report = self.checker.report
        if not isinstance(data, Mapping):
            report("", f"expected a dict with {', '.join(GROUPS)}", value=data)
            return result
        for group, content in data.items():
            if group not in result:
                message = f"unknown, expected one of {', '.join(GROUPS)}"
                report("", message, str(group), wrong=group, words=GROUPS)
            elif not isinstance(content, Mapping):
                report(group, "expected a dict", value=content)
            elif group == "metrics":
                result[group] = {str(key): value for key, value in content.items()}
            else:
                for name, options in content.items():
                    if isinstance(options, Mapping):
                        result[group][str(name)] = {str(k): v for k, v in options.items()}
                    elif group == "handlers" and isinstance(options, Handler):
                        result[group][str(name)] = {"class": options}
                    else:
                        report(self.source.section(group, str(name)), "expected a dict of options")
        return result

    def _part(self, group: str, name: str, given: Mapping[str, Any]) -> Part | None:
        section = self.source.section(group, name)
        make = self._find(group, section, "class", given.get("class"))
        if make is None:
            return None
        if isinstance(make, Handler):
            return Part(name, make)
        table = {row.name: row for row in getattr(make, "OPTIONS", ())}
        if group == "handlers":
            table = {**{row.name: row for row in COMMON}, **table}
        rest = {key: value for key, value in given.items() if key != "class"}
        return Part(name, make, self.checker.options(section, rest, tuple(table.values())))

    def _find(self, group: str, section: str, key: str, given: Any) -> Any:
        find = self.checker.find
        if group == "handlers":
            return find(section, key, given, HANDLERS, "a handler", _is_handler)
        if group == "filters":
            # A filter is any callable, so a plain function will do.
            return find(section, key, given, FILTERS, "a filter", callable)
        return find(section, key, given, FORMATTERS, "a formatter", _is_class)

    def _connected(self, part: Part) -> Part:
        """A handler with the parts that its filters and its formatter name."""
        section = self.source.section("handlers", part.name)
        filters = self._chosen_filters(section, part.options["filters"])
        word = part.options["formatter"]
        formatter = None
        if word in self._formatters:
            self._used.add(("formatters", word))
            formatter = self._formatters[word]
        elif word is not None:
            make = self._find("formatters", section, "formatter", word)
            if make is not None:
                # Its options are not given; a required one is found missing.
                inner = self.source.section("formatters", word)
                options = self.checker.options(inner, {}, tuple(getattr(make, "OPTIONS", ())))
                formatter = Part(word, make, options)
        chosen = {**part.options, "filters": filters, "formatter": formatter}
        return Part(part.name, part.make, chosen)

    def _chosen_filters(self, section: str, names: tuple[str, ...]) -> tuple[Part, ...]:
        self._refer(section, "filters", names, self._filters)
        found = (self._filters.get(name) for name in names)
        return tuple(part for part in found if part is not None)

    def _meter(self, section: str, options: Mapping[str, Any]) -> MeterPlan:
        self._refer(section, "handlers", options["handlers"], self._handlers)
        return MeterPlan(
            level=options["level"],
            handlers=options["handlers"],
            propagate=options.get("propagate", True),
            labels=options["labels"],
            filters=self._chosen_filters(section, options["filters"]),
        )

    def _refer(
        self, section: str, group: str, names: tuple[str, ...], parts: Mapping[str, Part | None]
    ) -> None:
        for name in names:
            self._used.add((group, name))
            if name not in parts:
                message = f"there is no [{self.source.section(group, name)}]"
                value = ", ".join(names)
                self.checker.report(section, message, group, value, wrong=name, words=parts)

    def _find_unused(self) -> None:
        for group in ("handlers", "filters", "formatters"):
            wanted = {name for used, name in self._used if used == group} - {*self._data[group]}
            for name in self._data[group]:
                if (group, name) not in self._used:
                    section = self.source.section(group, name)
                    line = self.source.line(section)
                    near = nearest(name, wanted)
                    self.warnings.append(
                        Problem("nothing uses it", self.source.file, section, "", "", near, line)
                    )


def _places(source: Source) -> dict[str, str]:
    """Where the options of all sections of a kind belong, in words."""
    places: dict[str, list[str]] = {}
    for group, name, table in (
        ("metrics", "", METRICS),
        ("handlers", "NAME", COMMON),
        ("meters", "NAME", METER),
    ):
        for row in table:
            places.setdefault(row.name, []).append(f"[{source.section(group, name)}]")
    return {key: " or ".join(sections) for key, sections in places.items()}


def _is_class(found: object) -> bool:
    return isinstance(found, type)


def _is_handler(found: object) -> bool:
    return isinstance(found, Handler) or (isinstance(found, type) and issubclass(found, Handler))
