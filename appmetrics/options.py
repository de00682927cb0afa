"""Option tables: `Option`, a row, and the converters that rows name.

Whatever can be configured (a handler, a filter, ``[metrics]`` itself) lists its
options in a tuple of rows; the configuration, its error messages and the
documentation are made from the same rows. A converter takes the text of an ini
file or an already typed value of a dict and returns the value; it raises
ValueError with what was expected. Nothing here knows a file, a section or a class.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Generic, NamedTuple, TypeVar

from . import levels
from .dotted import EXPECTED
from .dotted import resolve as resolve

T = TypeVar("T")


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


#: The default of an option that has none: it must be given.
REQUIRED: Final = _Required()


class Option(NamedTuple):
    """A row of an option table.

    ``convert`` is one of the converters below or any callable that raises
    ValueError; ``default`` is the value as the constructor takes it, not as
    text; ``help`` is one sentence for the documentation.
    """

    name: str
    convert: Callable[[Any], Any]
    default: Any = REQUIRED
    help: str = ""

    @property
    def required(self) -> bool:
        """True if the option has no default."""
        return self.default is REQUIRED

    @property
    def expects(self) -> str:
        """What the converter takes, in words; empty if it does not say."""
        return str(getattr(self.convert, "expects", ""))


class Refused(ValueError):
    """A converter's function refuses a value, and says why."""


class Converter(Generic[T]):
    """A function from text or a typed value to a value, and what it expects in words.

    ``words`` are all words it takes, if there is a fixed set of them.
    Raises ValueError ("expected ...") whatever the function raised; the function's own
    words are kept if it raised `Refused`, or a ValueError from another error.
    """

    def __init__(
        self, expects: str, convert: Callable[[Any], T], words: Iterable[str] = ()
    ) -> None:
        self.expects = expects
        self.words = tuple(words)
        self._convert = convert

    def __call__(self, value: object) -> T:
        try:
            return self._convert(value)
        except (ValueError, TypeError, OverflowError) as error:
            own = isinstance(error, Refused) or (type(error) is ValueError and error.__cause__)
            raise ValueError(f"expected {self.expects}" + (f"; {error}" if own else "")) from None

    def __repr__(self) -> str:
        return f"<Converter to {self.expects}>"


def _text(value: object) -> str:
    # A bool is left out: the ini's `yes` would have arrived as "yes".
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError
    return str(value)


def _integer(value: object) -> int:
    # int() alone would take "1_000", True and 2.7.
    return int(_matched(r"[+-]?[0-9]+", value)[0])


def _number(value: object) -> float:
    result = float(_matched(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", value)[0])
    if not math.isfinite(result):
        raise ValueError
    return result


def _matched(pattern: str, value: object) -> re.Match[str]:
    match = re.fullmatch(pattern, _text(value).strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise ValueError
    return match


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(value: object) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, (int, float)):
        seconds = _number(value)
    else:
        match = _matched(r"(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*(ms|s|m|h|d)?", value)
        seconds = float(match[1]) * _SECONDS[(match[2] or "s").lower()]
    if seconds < 0:
        raise Refused("it can't be negative")
    if not seconds < math.inf:
        raise ValueError
    return seconds


def _period(value: object) -> float:
    seconds = _duration(value)
    if not seconds:
        raise ValueError
    return seconds


def _size(value: object) -> int:
    match = _matched(r"([0-9]+)\s*([kmgt]?)(i?b)?", value)
    return int(match[1]) << 10 * " kmgt".index(match[2].lower() or " ")


_BOOLEANS = {"yes": True, "true": True, "on": True, "1": True}
_BOOLEANS |= {"no": False, "false": False, "off": False, "0": False}


def _boolean(value: object) -> bool:
    word = str(value).strip().lower()
    if word not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[word]


def _address(value: object) -> tuple[str, int]:
    if isinstance(value, (tuple, list)):
        host, number = value
    else:
        # An IPv6 address stands in brackets, since it has colons of its own.
        match = _matched(r"(?:\[([^\[\]\s]+)\]|([^\[\]:\s]+)):([0-9]+)", value)
        host, number = match[1] or match[2], match[3]
    if not isinstance(host, str) or not host:
        raise ValueError
    return host, integer(0, 65535)(number)


def _listening(value: object) -> tuple[str, int] | str:
    if not isinstance(value, str) or not value.strip().startswith("unix:"):
        return _address(value)
    path = value.strip().removeprefix("unix:")
    # What the kernel takes: sun_path in unix(7), less the closing zero.
    if not path or "\0" in path or len(os.fsencode(path)) > 103:
        raise Refused("the path of a Unix socket has 1 to 103 bytes")
    return f"unix:{os.path.expanduser(path)}"


def _listed(value: object) -> tuple[str, ...]:
    parts = re.split(r"[,\n]", value) if isinstance(value, str) else value
    if isinstance(parts, Mapping) or not isinstance(parts, Iterable):
        raise TypeError
    words = (_text(part).strip() for part in parts)
    # A name given twice is the same name; the first place counts.
    return tuple(dict.fromkeys(word for word in words if word))


def _names(value: object) -> tuple[str, ...]:
    result = _listed(value)
    if any(len(word.split()) > 1 for word in result):
        raise ValueError
    return result


def _numbers(value: object) -> tuple[float, ...]:
    parts = _listed(value) if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not parts:
        raise ValueError
    return tuple(_number(part) for part in parts)


def _mapping(value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        pairs = [(_text(key), _text(item)) for key, item in value.items()]
    else:
        parts = [part for part in re.split(r"[,\n]", _text(value)) if part.strip()]
        pairs = [(key.strip(), item.strip()) for key, item in (p.split("=", 1) for p in parts)]
    result = dict(pairs)
    if len(result) < len(pairs) or not all(result):
        raise ValueError
    return result


def _path(value: object) -> str:
    result = os.path.expanduser(os.fspath(value).strip())  # type: ignore[call-overload]
    if not isinstance(result, str) or not result or "\0" in result:
        raise ValueError
    return result


class _Dotted(Converter[Any]):
    """Imports; says why an import failed instead of what was expected in general."""

    def __call__(self, value: object) -> Any:
        if not isinstance(value, str):
            if value is None:
                raise ValueError(f"expected {self.expects}")
            return value
        return resolve(value.strip())


def integer(minimum: int | None = None, maximum: int | None = None) -> Converter[int]:
    """A converter to a whole number between (and including) the bounds."""

    def convert(value: object) -> int:
        result = _integer(value)
        if (minimum is not None and result < minimum) or (maximum is not None and result > maximum):
            raise ValueError
        return result

    bounds = ""
    if minimum is not None and maximum is not None:
        bounds = f" from {minimum} to {maximum}"
    elif minimum is not None:
        bounds = f", {minimum} or more"
    elif maximum is not None:
        bounds = f", {maximum} or less"
    return Converter(f"a whole number{bounds}", convert)


def choice(*words: str) -> Converter[str]:
    """A converter to one of these words; case does not matter."""
    known = {word.lower(): word for word in words}

    def convert(value: object) -> str:
        word = _text(value).strip().lower()
        if word not in known:
            raise ValueError
        return known[word]

    return Converter(f"one of {', '.join(words)}", convert, words)


text = Converter("a text", _text)
#: A text that no message repeats: a password, a token.
secret = Converter("a text (a secret)", _text)
boolean = Converter("yes or no", _boolean, _BOOLEANS)
number = Converter("a number", _number)
#: Seconds, as a float, zero or more.
duration = Converter("a duration such as 10, 10s, 500ms or 5m", _duration)
#: Seconds, as a float, more than zero: how often something happens.
period = Converter("a duration above zero such as 10, 10s or 5m", _period)
#: Bytes; k, M, G and T are powers of 1024.
size = Converter("a size in bytes such as 65536, 64k or 10M", _size)
port = Converter("a port from 1 to 65535", integer(1, 65535))
#: (host, port); port 0 lets the system choose one to listen on.
address = Converter("host:port such as 127.0.0.1:9464 or [::1]:9464", _address)
#: The same, or ``unix:`` and the path of a Unix socket, as text.
listening = Converter(
    "host:port such as 127.0.0.1:9464 or [::1]:9464, or unix:/path/of/a/socket", _listening
)
#: Words, separated by commas or newlines, as a tuple.
names = Converter("names separated by commas", _names)
#: Patterns such as ``shop.*``, separated by commas or newlines, as a tuple.
numbers = Converter("numbers separated by commas", _numbers)
globs = Converter("patterns such as shop.*, separated by commas", _listed)
mapping = Converter("pairs such as env=prod, team=web", _mapping)
level = Converter(f"a level ({', '.join(levels.NAMES)}) or a number", levels.number, levels.NAMES)
#: A file or folder, with ``~`` expanded; relative to the current folder.
path = Converter("a path", _path)
#: The object at a dotted path; an object itself is taken as it is.
dotted: Converter[Any] = _Dotted(EXPECTED, resolve)
