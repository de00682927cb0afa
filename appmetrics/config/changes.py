"""What is different between two plans, in words, for the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import levels, options
from ..display import duration
from ..options import Option
from .plan import MeterPlan, Plan
from .tables import METRICS
from .wording import shown

_NOTHING = MeterPlan()


def differences(old: Plan, new: Plan) -> list[str]:
    """One phrase per change; values are named only where they can't be secret."""
    result = []
    for word, names in (
        ("added", new.handlers.keys() - old.handlers.keys()),
        ("removed", old.handlers.keys() - new.handlers.keys()),
    ):
        result += [f"handler {name} {word}" for name in sorted(names)]
    for name in sorted(old.handlers.keys() & new.handlers.keys()):
        before, now = old.handlers[name], new.handlers[name]
        if before.make is not now.make:
            result.append(f"handler {name} changed (class)")
        elif before != now:
            result.append(f"handler {name} changed ({_keys(before.options, now.options)})")
    for name in sorted(old.meters.keys() | new.meters.keys()):
        result += _meter(name, old.meters.get(name, _NOTHING), new.meters.get(name, _NOTHING))
    # Those of the root meter have been compared with the meters.
    inherited = vars(_NOTHING).keys()
    for row in METRICS:
        before, now = old.options[row.name], new.options[row.name]
        if before == now or row.name in inherited:
            continue
        if row.name == "watch":
            result.append("watched from now on" if now else "no longer watched")
        else:
            result.append(f"{row.name} {_value(row, before)} -> {_value(row, now)}")
    return result


def _meter(name: str, old: MeterPlan, new: MeterPlan) -> list[str]:
    result = []
    title = f"meter {name}" if name else "root meter"
    if old.level != new.level:
        result.append(f"{title} level {_level(old.level)} -> {_level(new.level)}")
    before = {key: value for key, value in vars(old).items() if key != "level"}
    changed = _keys(before, {key: value for key, value in vars(new).items() if key != "level"})
    return [*result, f"{title} changed ({changed})"] if changed else result


def _level(level: int | None) -> str:
    return "inherited" if level is None else levels.name(level)


def _value(row: Option, value: Any) -> str:
    if row.convert in (options.duration, options.period):
        return duration(value)
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return shown(row.name, text) or "none"


def _keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    keys = sorted(old.keys() | new.keys())
    return ", ".join(key for key in keys if old.get(key) != new.get(key))
