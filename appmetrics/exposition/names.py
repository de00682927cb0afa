"""Prometheus' names, labels and escapes, derived predictably from ours.

- A metric's name is the dotted name with ``_`` for every character outside
  ``a-zA-Z0-9_`` (one for one: runs stay), with ``_`` in front of a leading digit.
- The unit follows as ``_unit``, unless the name ends so already. States have none,
  and their name is a label's too (see below).
- A counter ends in ``_total`` once, behind the unit.
- A label's name is made the same way; a leading ``__`` becomes ``_``. A name that
  the format keeps for itself (``le``, ``quantile``, a stateset's own) gets
  ``exported_`` in front, as Prometheus does with names it needs itself.
- Of labels that become the same, the one that needed no change keeps the name;
  the others get ``_2``, ``_3``...

Which names clash with each other is for ``prometheus`` to see.
"""

from __future__ import annotations

import functools
import re

from ..sample import COUNTER, STATE, Labels, Series
from .values import encodable

_UNSAFE = re.compile(r"[^a-zA-Z0-9_]")
_RESERVED = frozenset(("le", "quantile"))


def _plain(text: str) -> str:
    """The text as a valid name."""
    name = _UNSAFE.sub("_", text)
    return name if name and not name[0].isdigit() else f"_{name}"


def _without_total(name: str) -> str:
    while name.endswith("_total") and name != "_total":
        name = name.removesuffix("_total")
    return name


def unit_name(series: Series) -> str:
    """The unit as it stands in names; empty for a state, which can't have one."""
    return "" if series.kind == STATE else _UNSAFE.sub("_", series.unit)


def family_name(series: Series) -> str:
    """The name of the series' metric family; a counter's is without ``_total``."""
    name = _plain(series.name)
    unit = unit_name(series)
    if series.kind == COUNTER:
        name = _without_total(name)
    if unit and not name.endswith(f"_{unit}"):
        name += f"_{unit}"
    if series.kind == COUNTER:
        return _without_total(name)
    return _unreserved(name) if series.kind == STATE else name


def _unreserved(name: str) -> str:
    return "_" + name.lstrip("_") if name.startswith("__") else name


def _label_name(name: str, own: str) -> str:
    plain = _unreserved(_plain(name))
    return f"exported_{plain}" if plain in _RESERVED or plain == own else plain


def label_text(labels: Labels, own: str = "") -> tuple[str, bool]:
    """``a="b",c="d"`` for the labels, and whether something had to be changed.

    ``own`` is a further name that the format needs itself. Only a change can
    make the labels of two different series the same.
    """
    heads, changed = _label_heads(tuple([name for name, _ in labels]), own)
    parts = []
    for head, (_, value) in zip(heads, labels):
        if not value.isascii():
            safe = encodable(value)
            changed = changed or safe != value
            value = safe
        parts.append(f'{head}{escape(value)}"')
    return ",".join(parts), changed


@functools.lru_cache(maxsize=1024)
def _label_heads(given: tuple[str, ...], own: str) -> tuple[tuple[str, ...], bool]:
    """``name="`` for each label, and whether a name had to be changed."""
    names = [_label_name(name, own) for name in given]
    taken = {name for name, plain in zip(given, names, strict=True) if name == plain}
    changed = len(taken) < len(given)
    taken.add(own)
    heads = []
    for old, name in zip(given, names, strict=True):
        if old != name:
            free, number = name, 2
            while free in taken:
                free, number = _unreserved(f"{name}_{number}"), number + 1
            taken.add(free)
            name = free
        heads.append(f'{name}="')
    return tuple(heads), changed


def escape(text: str) -> str:
    """A label's value as it stands between the quotes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def help_text(series: Series, *, quotes: bool) -> str:
    """The help in one line, never empty; ``quotes`` are escaped in OpenMetrics only."""
    text = encodable(series.help).strip() or f"{series.kind} {encodable(series.name)}".strip()
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text
