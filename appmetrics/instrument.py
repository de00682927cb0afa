"""What all instruments share: `Declaration` and `Instrument`.

An instrument without labels and each labelled child are one object of the same
class; what they share (name, level, children) is their `Declaration`. Only the
instrument holds its cells. ``_cell`` is where updates go, ``_kept`` where the
value is; they differ while the level of a counter or histogram is off, and for an
instrument that has labels, which only its children count. The kinds are in ``instruments``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .buckets import MAX
from .cells import BIT_BUCKET
from .clock import SYSTEM, Clock
from .errors import InstrumentError
from .levels import INFO
from .limits import MAX_LABEL_LENGTH, MAX_LABEL_NAME, check_length, cut
from .observing import Sink
from .rejection import log, reject
from .sample import Labels, Series

if TYPE_CHECKING:
    from typing_extensions import Self

#: Integers beyond are recorded as floats: sums of larger ones could outgrow a
#: float, and adding a float to such an integer raises.
BIG = 2.0**63

#: The label value of the one child that takes what exceeds ``max_children``.
OVERFLOW = "_overflow_"
MAX_CHILDREN = 1000


def number(value: Any) -> int | float | None:
    """A plain finite int or float made of anything that means one, else None."""
    try:
        if not isinstance(value, (int, float)):
            if isinstance(value, (str, bytes, bytearray, memoryview, complex)):
                return None
            value = float(value)
        # operator.index and float() strip subclasses (bool, numpy's float64).
        if isinstance(value, int) and -BIG <= value <= BIG:
            return operator.index(value)
        plain = float(value)
        return plain if -MAX <= plain <= MAX else None
    except Exception:
        return None


def plain_text(value: object) -> str:
    """A value as exactly str; a subclass of str, such as an enumeration, by its content."""
    if type(value) is str:
        return value
    # Not str(value): that is "Colour.RED" for a member of a str enumeration.
    return str.__str__(value) if isinstance(value, str) else str(value)


def _unpublished(point: object) -> None:
    """For instruments of no registry."""


def nobody(instrument: Any) -> Sequence[Sink]:
    """The sinks of an instrument that nobody observes."""
    return ()


class Declaration:
    """What an instrument and all its labelled children share.

    ``publish`` tells the registry of what can be read from now on, ``sinks`` who
    observes an instrument; ``where`` is the place of the declaration as ``file:line``.
    """

    def __init__(
        self,
        name: str,
        help: str = "",
        *,
        labels: tuple[str, ...] = (),
        unit: str = "",
        level: int = INFO,
        merge: str = "sum",
        states: tuple[str, ...] = (),
        ttl: float | None = None,
        idle_ttl: float | None = None,
        callback: Callable[[], Any] | None = None,
        meter: str = "",
        where: str = "",
        publish: Callable[[Any], None] = _unpublished,
        clock: Clock = SYSTEM,
    ) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self.labels_sorted = labels == tuple(sorted(labels))
        self.unit = unit
        self.level = level
        self.merge = merge
        self.states = states
        self.ttl = ttl
        self.idle_ttl = idle_ttl
        #: Of children by their values: what they read, and since when; see ``idling``.
        self.seen: dict[tuple[str, ...], tuple[Any, float]] | None = None
        self.callback = callback
        #: The label values (of an instrument without labels: none) that the
        #: callback's last answer named.
        self.answered: frozenset[tuple[str, ...]] = frozenset()
        self.meter = meter
        self.where = where
        self.publish = publish
        self.sinks: Callable[[Any], Sequence[Sink]] = nobody
        self.clock = clock
        self.enabled = True
        self.max_children = MAX_CHILDREN
        self.max_label_length = MAX_LABEL_LENGTH
        self.children: dict[tuple[str, ...], Any] = {}
        self.overflowed = 0
        self.cut = 0


class NeedsLabels(list[Any]):
    """The cell of an instrument with labels: an update without labels is a mistake."""

    def __init__(self, declaration: Declaration, content: list[Any]) -> None:
        super().__init__(content)
        self._declaration = declaration

    def __setitem__(self, index: Any, value: Any) -> None:
        reject_unlabelled(self._declaration)


def reject_unlabelled(declaration: Declaration) -> None:
    """Reject an update without labels of an instrument that has some."""
    names = ", ".join(declaration.labels)
    reject(declaration.name, f"needs its labels ({names}): use .labels(...)")


class Instrument:
    """What all instruments share; made by a meter, never directly."""

    __slots__ = ("_cell", "_kept", "_values", "declaration", "label_names")

    kind: ClassVar[str]

    def __init__(self, declaration: Declaration, values: tuple[str, ...] = ()) -> None:
        self.declaration = declaration
        self._values = values
        #: The labels that still have to be given; empty for a child.
        self.label_names = () if values else declaration.labels
        self._kept: Any
        self._cell: Any
        if self.label_names:
            self._cell = self._kept = self._no_cell()
        else:
            self._kept = self._new_cell()
            self.aim()

    def _new_cell(self) -> Any:
        return [0]

    def _bit_bucket(self) -> Any:
        return BIT_BUCKET

    def _no_cell(self) -> Any:
        return NeedsLabels(self.declaration, self._new_cell())

    def __copy__(self) -> Self:
        """Itself: there is one instrument of a name, also in a copy of what holds it."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        labels = ", ".join(f"{key}={value!r}" for key, value in self.series.labels)
        return f"<{type(self).__name__} {self.name}{{{labels}}}>"

    @property
    def name(self) -> str:
        """The dotted name."""
        return self.declaration.name

    @property
    def series(self) -> Series:
        """Who this is, without common labels and filters."""
        declared = self.declaration
        labels: Labels = tuple(zip(declared.labels, self._values))
        if not declared.labels_sorted:
            labels = tuple(sorted(labels))
        return Series(
            declared.name,
            labels,
            self.kind,
            declared.unit,
            declared.level,
            declared.help,
            declared.merge,
            declared.states,
        )

    def labels(self, /, *values: object, **named: object) -> Self:
        """The child for these label values, in declared order or by name.

        Values become text: 200 and "200" are one child. Children are kept; hold
        on to one that is used often. Beyond ``max_children`` (default 1,000) one
        child with the value ``_overflow_`` takes the rest.
        """
        try:
            if not named:
                return self.declaration.children[values]  # type: ignore[index, no-any-return]
            key = (*values, *map(named.__getitem__, self.declaration.labels))
            if len(key) == len(named):
                return self.declaration.children[key]  # type: ignore[index, no-any-return]
        except Exception:  # not there yet, or whatever a value's own hash raises
            pass
        return self._child(values, named)

    def _child(self, values: tuple[object, ...], named: Mapping[str, object]) -> Self:
        declared = self.declaration
        names = declared.labels
        try:
            if named:
                rest = names[len(values) :]
                if named.keys() != set(rest):
                    raise TypeError
                values = (*values, *(named[name] for name in rest))
            if len(values) != len(names) or not names or self._values:
                raise TypeError
            key = tuple(map(plain_text, values))
        except Exception:
            given = [*map(shown, values), *(f"{name}={shown(v)}" for name, v in named.items())]
            expected = ", ".join(names) or "none"
            if self._values:
                expected = "none more, this is a labelled child"
            reject(
                declared.name,
                f"labels ({', '.join(given)}) don't fit, expected ({expected})",
            )
            return type(self)(Declaration(declared.name, states=declared.states))
        if max(map(len, key)) > declared.max_label_length:
            declared.cut += 1
            if declared.cut == 1:
                log_cut(declared, key)
            key = tuple(cut(text, declared.max_label_length) for text in key)
        child = declared.children.get(key)
        if child is None:
            if len(declared.children) >= declared.max_children:
                declared.overflowed += 1
                if declared.overflowed == 1:
                    log_overflow(declared)
                key = (OVERFLOW,) * len(names)
            child = self._publish(key)
        return child  # type: ignore[no-any-return]

    def _publish(self, key: tuple[str, ...]) -> Any:
        # setdefault, so that two threads that meet here count in the same child;
        # only the winner becomes a point.
        declared = self.declaration
        made = type(self)(declared, key)
        winner = declared.children.setdefault(key, made)
        if winner is made:
            declared.publish(made)
            made.aim()  # again: switch() may have run in between
        return winner

    def known(self, labels: dict[str, object]) -> dict[str, object]:
        """Those of some labels that are still to be given; others are rejected."""
        names = self.label_names
        strange = [name for name in labels if name not in names]
        for name in strange:
            reject(self.name, f"has no label {name!r}, expected ({', '.join(names)})")
        return {n: value for n, value in labels.items() if n in names} if strange else labels

    def resolve(self, given: Mapping[str, object] | None, automatic: Mapping[str, str]) -> Self:
        """The child for labels that were collected one by one, and are `known`.

        Missing ones are taken from ``automatic``, which has all that it is asked for.
        """
        names = self.label_names
        if not given:
            key = tuple(map(automatic.__getitem__, names))
            return self.declaration.children.get(key) or self.labels(*key)
        return self.labels(*(given[n] if n in given else automatic[n] for n in names))

    def own_points(self) -> list[Self]:
        """All of this instrument that can be read: itself, or its children."""
        return list(self.declaration.children.values()) if self.label_names else [self]

    def aim(self) -> None:
        """Point updates at the kept cell, or at the bit bucket while switched off."""
        self._cell = self._kept if self.declaration.enabled else self._bit_bucket()

    def switch(self, enabled: bool) -> None:
        """Turn recording on or off for this instrument and its children."""
        if self.declaration.enabled != enabled:
            self.declaration.enabled = enabled
            for point in self.own_points():
                point.aim()

    def reset(self) -> None:
        """Back to zero, for tests; children stay registered."""
        for point in self.own_points():
            point.renew()

    def renew(self, keep: bool = False) -> None:
        """Begin with a new, private cell; gauges and states go on if they may ``keep``."""
        self._kept = self._new_cell()
        self.aim()

    def move(self, cell: Any) -> Any:
        """Count on in another cell; returns the old one, for `drain`.

        A thread that had just loaded the old one may still store there. So the old
        one is kept for a while, and drained again.
        """
        old, self._kept = self._kept, cell
        self.aim()
        return old

    def drain(self, old: Any) -> None:
        """Add to the cell of now what is in an old one, and leave nothing there."""
        raise NotImplementedError

    def read(self) -> Any:
        """The cumulative value now; None if there is none."""
        raise NotImplementedError

    def standing(self) -> Any:
        """What `read` gives, also of an idle child, which is left out (see ``idling``)."""
        return self.read()


def log_cut(declaration: Declaration, values: tuple[str, ...]) -> None:
    """Log that a label value of an instrument is longer than it may be."""
    most = declaration.max_label_length
    name, value = next(pair for pair in zip(declaration.labels, values) if len(pair[1]) > most)
    log.warning(
        "%s: a value of label %s has %d characters; those beyond %d (max_label_length) are"
        " replaced by a hash, here and from now on: %s...",
        declaration.name,
        name,
        len(value),
        most,
        shown(value),
    )


def log_overflow(declaration: Declaration) -> None:
    """Log that an instrument has reached its cap of children."""
    log.warning(
        "%s has %d sets of label values; further ones are counted under %r."
        " Labels should have few values (no user ids, no paths)",
        declaration.name,
        declaration.max_children,
        OVERFLOW,
    )


def shown(value: object) -> str:
    """A value for a message, whatever its own repr does."""
    try:
        return repr(value)[:40]
    except Exception:
        return f"<{type(value).__name__}>"


def valid_labels(labels: Any) -> tuple[str, ...]:
    """Label names as a tuple; raises InstrumentError for names that can't be ones."""
    names = (labels,) if isinstance(labels, str) else tuple(labels)
    for name in names:
        if not isinstance(name, str) or not name:
            raise InstrumentError(f"a label name must be a non-empty string, not {name!r}")
        check_length("a label name", name, MAX_LABEL_NAME)
    if len(set(names)) != len(names):
        raise InstrumentError(f"label names must differ: {', '.join(names)}")
    return names
