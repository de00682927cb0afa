"""The ready-made filters.

A filter is any callable ``Series -> Series | None``: it lets a series pass, drops
it (None) or gives another one. It runs once per series, not once per sample, so
nothing here may depend on a value or on the time.

Patterns are globs (``*``, ``?``, ``[a-z]``); ``*`` crosses dots, case matters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar

from .levels import NOTSET
from .options import Converter, Option, globs, level, mapping, names, text
from .sample import KINDS, Series, sorted_labels

__all__ = [
    "FILTERS",
    "KindFilter",
    "LabelFilter",
    "LabelsFilter",
    "LevelFilter",
    "NameFilter",
    "RenameFilter",
]


def _kinds(value: object) -> tuple[str, ...]:
    kinds = names(value)
    if not set(kinds) <= set(KINDS):
        raise ValueError
    return kinds


def _pattern(value: object) -> re.Pattern[str]:
    try:
        return re.compile(value)  # type: ignore[call-overload,no-any-return]
    except re.error as error:
        raise ValueError(str(error)) from error


kinds = Converter(f"some of {', '.join(KINDS)}, separated by commas", _kinds, KINDS)
pattern = Converter("a regular expression", _pattern)


def _any(value: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(value, each) for each in patterns)


def _passes(value: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    return (not include or _any(value, include)) and not _any(value, exclude)


@dataclass(frozen=True, kw_only=True, eq=False)
class NameFilter:
    """Passes series by their dotted name. ``exclude`` wins over ``include``."""

    OPTIONS: ClassVar = (
        Option("include", globs, (), "Names that pass; all if empty."),
        Option("exclude", globs, (), "Names that don't, even if included."),
    )
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def __call__(self, series: Series) -> Series | None:
        return series if _passes(series.name, self.include, self.exclude) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class KindFilter:
    """Passes series by their kind: counter, gauge, histogram, timer, state or event."""

    OPTIONS: ClassVar = (
        Option("include", kinds, (), "Kinds that pass; all if empty."),
        Option("exclude", kinds, (), "Kinds that don't, even if included."),
    )
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def __call__(self, series: Series) -> Series | None:
        return series if _passes(series.kind, self.include, self.exclude) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelFilter:
    """Passes series whose level lies between two levels, both included."""

    OPTIONS: ClassVar = (
        Option("min", level, NOTSET, "The lowest level that passes."),
        Option("max", level, None, "The highest level that passes; none if empty."),
    )
    min: int = NOTSET
    max: int | None = None

    def __call__(self, series: Series) -> Series | None:
        low = series.level < self.min
        return None if low or (self.max is not None and series.level > self.max) else series


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelFilter:
    """Passes series by the value of one label. ``exclude`` wins over ``include``.

    A series without that label passes unless ``include`` is given.
    """

    OPTIONS: ClassVar = (
        Option("label", text, help="The label's name."),
        Option("include", globs, (), "Values that pass; all, and none at all, if empty."),
        Option("exclude", globs, (), "Values that don't, even if included."),
    )
    label: str
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def __call__(self, series: Series) -> Series | None:
        for name, value in series.labels:
            if name == self.label:
                return series if _passes(value, self.include, self.exclude) else None
        return None if self.include else series


@dataclass(frozen=True, kw_only=True, eq=False)
class RenameFilter:
    r"""Changes names: every match of a regular expression in the name is replaced.

    ``match = ^shop\.``, ``replace = store.``. The replacement may refer to
    groups (``\1``, ``\g<name>``). A series whose name becomes empty is dropped.
    Raises ValueError for a reference to a group that isn't there.
    """

    OPTIONS: ClassVar = (
        Option("match", pattern, help="A regular expression, found anywhere in the name."),
        Option("replace", text, "", r"What takes its place; \1 is its first group."),
    )
    match: re.Pattern[str] | str
    replace: str = ""
    _change: Callable[[str], str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        compiled = re.compile(self.match)
        try:
            # Looks up the groups even where there is nothing to replace.
            compiled.sub(self.replace, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"replace: {error}") from error
        object.__setattr__(self, "_change", lambda name: compiled.sub(self.replace, name))

    def __call__(self, series: Series) -> Series | None:
        name = self._change(series.name)
        return series._replace(name=name) if name else None


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelsFilter:
    """Drops and adds labels. Series that become the same one are merged.

    The order is: ``keep``, ``drop``, ``add``. An added label replaces one of
    the same name; a new one counts as a common label.
    """

    OPTIONS: ClassVar = (
        Option("keep", globs, (), "Names of the labels that stay; all if empty."),
        Option("drop", globs, (), "Names of labels to drop, even if kept."),
        Option("add", mapping, {}, "Labels to add or replace: env=prod, team=web."),
    )
    keep: Sequence[str] = ()
    drop: Sequence[str] = ()
    add: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, series: Series) -> Series | None:
        labels = {
            name: value for name, value in series.labels if _passes(name, self.keep, self.drop)
        }
        common = series.common | (self.add.keys() - labels.keys())
        return series._replace(labels=sorted_labels({**labels, **self.add}), common=common)


#: Short names, as ``class =`` in a ``[metrics.filter.NAME]`` section.
FILTERS: dict[str, Callable[..., Callable[[Series], Series | None]]] = {
    "name": NameFilter,
    "kind": KindFilter,
    "level": LevelFilter,
    "label": LabelFilter,
    "rename": RenameFilter,
    "labels": LabelsFilter,
}
