"""Riemann's events: what they hold, how they become bytes, and back from a message.

Events are written here by hand, since a series' fields never change but for time and
metric: those are made once (`constant`), and a round appends a few bytes to each. That is
several times cheaper than filling a protobuf message. Reading needs no speed and is
left to protobuf. Nothing here connects or knows a series.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..exposition.values import encodable

#: Attributes of these names Riemann would ignore, or take for the event's own fields.
RESERVED = frozenset(
    ("host", "service", "state", "time", "description", "tags", "metric", "ttl", "attributes")
)

MAX_INTEGER = 2**63 - 1

# A field starts with a byte of its number * 8 and its wire type: 0 is a varint, 1 are 8
# bytes, 2 a varint of the length and so many bytes, 5 are 4 bytes.
_TIME = b"\x08"
_STATE = b"\x12"
_SERVICE = b"\x1a"
_HOST = b"\x22"
_DESCRIPTION = b"\x2a"
_TAG = b"\x3a"
_TTL = b"\x45"
_ATTRIBUTE = b"\x4a"
_TIME_MICROS = b"\x50"
_METRIC_SINT64 = b"\x68"
_METRIC_F = b"\x7d"
_KEY, _VALUE = b"\x0a", b"\x12"
#: The field of Msg that holds an event.
_EVENT = b"\x32"

_DOUBLE = struct.Struct("<BdBf")
_METRIC_D = 0x71
_SINGLE = struct.Struct("<f")


class Event(NamedTuple):
    """One event. ``host`` and ``service`` are its identity in the index.

    ``time`` is in seconds since 1970 (carried in microseconds; None lets Riemann take the
    time of arrival), ``ttl`` in seconds; ``metric`` is an int (64 bits; a larger one is
    sent as a float) or a float.
    """

    host: str | None = None
    service: str | None = None
    state: str | None = None
    metric: float | None = None
    time: float | None = None
    ttl: float | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, str] = {}


def constant(event: Event) -> bytes:
    """The fields of an event without its time and metric."""
    parts = [
        _text(field, value)
        for field, value in (
            (_HOST, event.host),
            (_SERVICE, event.service),
            (_STATE, event.state),
            (_DESCRIPTION, event.description),
        )
        if value is not None
    ]
    if event.ttl is not None:
        parts.append(_TTL + _single(event.ttl))
    parts += (_text(_TAG, tag) for tag in event.tags)
    for key, value in event.attributes.items():
        pair = _text(_KEY, key) + _text(_VALUE, value)
        parts.append(_ATTRIBUTE + varint(len(pair)) + pair)
    return b"".join(parts)


def state(word: str) -> bytes:
    """The field ``state``, for what has it change."""
    return _text(_STATE, word)


def moment(time: float) -> bytes:
    """The fields of a time: in microseconds, and in seconds for those who read only that."""
    micros = round(time * 1_000_000)
    return _TIME + _signed(micros // 1_000_000) + _TIME_MICROS + _signed(micros)


def metric(value: float) -> bytes:
    """The fields of a finite number: exact as an integer or a double, and as a float."""
    if type(value) is int:
        if -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
            zigzag = value << 1 if value >= 0 else ~(value << 1)
            return _METRIC_SINT64 + varint(zigzag) + _METRIC_F + _single(value)
        value = float(value)
    try:
        return _DOUBLE.pack(_METRIC_D, value, 0x7D, value)
    except OverflowError:  # beyond a float, as protobuf has it: infinite
        return _DOUBLE.pack(_METRIC_D, value, 0x7D, float("inf" if value > 0 else "-inf"))


def whole(fields: bytes) -> bytes:
    """An event from its fields. Several of them, joined, are a message."""
    return _EVENT + varint(len(fields)) + fields


def encoded(event: Event) -> bytes:
    """An event as a message of its own, or as a part of one."""
    fields = constant(event)
    if event.time is not None:
        fields += moment(event.time)
    if event.metric is not None:
        fields += metric(event.metric)
    return whole(fields)


def decoded(message: Any) -> Event:
    """An event from a protobuf message, by Riemann's rules: an integer before a double
    before a float, microseconds before seconds."""
    has = message.HasField
    number = next(
        (getattr(message, n) for n in ("metric_sint64", "metric_d", "metric_f") if has(n)), None
    )
    time = message.time_micros / 1e6 if has("time_micros") else None
    if time is None and has("time"):
        time = float(message.time)
    return Event(
        host=message.host if has("host") else None,
        service=message.service if has("service") else None,
        state=message.state if has("state") else None,
        metric=number,
        time=time,
        ttl=message.ttl if has("ttl") else None,
        description=message.description if has("description") else None,
        tags=tuple(message.tags),
        attributes={each.key: each.value for each in message.attributes},
    )


def joined(events: Iterable[Event]) -> bytes:
    """Events as one message."""
    return b"".join(map(encoded, events))


def varint(number: int) -> bytes:
    """A non-negative integer, 7 bits a byte, the lowest first."""
    if number < 0x80:
        return _ONE_BYTE[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_ONE_BYTE = [bytes((number,)) for number in range(0x80)]


def _signed(number: int) -> bytes:
    return varint(number & 0xFFFF_FFFF_FFFF_FFFF)


def _text(field: bytes, text: str) -> bytes:
    data = encodable(text).encode()
    return field + varint(len(data)) + data


def _single(value: float) -> bytes:
    try:
        return _SINGLE.pack(value)
    except OverflowError:
        return _SINGLE.pack(float("inf" if value > 0 else "-inf"))
