"""A configuration as it may be shown: every option that is in force, no secret.

What is a secret is known by the tables (`options.secret`), by an option's name where a
table doesn't say, and by the form of a URL with a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..display import without_passwords
from ..options import Option, secret
from .plan import Part, Plan
from .tables import METER, METRICS

MASKED = "..."

_NAMES = re.compile(
    "passw|secret|token|credential|api_?key|private|authorization|cookie", re.IGNORECASE
)


def shown(plan: Plan) -> dict[str, Any]:
    """A plan as plain data: groups, names, options; JSON-ready."""
    return {
        "metrics": _options(plan.options, METRICS),
        "handlers": {name: _part(part) for name, part in plan.handlers.items()},
        "meters": {
            name: _options(vars(meter), METER) for name, meter in plan.meters.items() if name
        },
    }


def _part(part: Part) -> dict[str, Any]:
    make = part.make if isinstance(part.make, type) else type(part.make)
    options = _options(part.options, getattr(make, "OPTIONS", ()))
    return {"class": f"{make.__module__}.{make.__qualname__}", **options}


def _options(given: Mapping[str, Any], table: tuple[Option, ...]) -> dict[str, Any]:
    hidden = {row.name for row in table if row.convert is secret}
    return {
        key: MASKED if value and (key in hidden or _NAMES.search(key)) else _value(value)
        for key, value in given.items()
    }


def _value(value: object) -> Any:
    if isinstance(value, Part):
        return {"name": value.name, **_part(value)}
    if isinstance(value, Mapping):
        return _options({str(key): each for key, each in value.items()}, ())
    if isinstance(value, (tuple, list)):
        return [_value(each) for each in value]
    return (
        value
        if value is None or isinstance(value, (bool, int, float))
        else without_passwords(str(value))
    )
