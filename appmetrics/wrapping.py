"""The functions that decorators put in the place of others, with their own parameters.

``call(*args, **kwargs)`` packs the arguments of every call and unpacks them again,
which takes as long as a clock and a half. So each is compiled from a template that
names the parameters as the function does; what has no such list is called the general
way. Which steps a call is surrounded with, labels and outcomes are for ``spans``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from keyword import iskeyword
from time import perf_counter
from types import FunctionType
from typing import Any

#: What is done before the call, and the end of its ``try`` statement. An instrument is
#: asked for its method in each call: its cells and its class may have changed.
TIMED = (
    "_start = _clock() if _declaration.enabled else None",
    "finally:\n            if _start is not None: _instrument.observe(_clock() - _start)",
)
COUNTED = ("pass", "finally: _instrument.inc()")
COUNTED_EXCEPTIONS = ("pass", "except _types:\n            _instrument.inc()\n            raise")
TRACKED = ("_instrument.inc()", "finally: _instrument.dec()")

_TEMPLATE = """\
def make(_function, _instrument, _types, _clock):
    _declaration = _instrument.declaration
    {define} call({parameters}):
        {before}
        try:
            return {result}({arguments})
        {after}
    return call
"""
#: Flags of a code object, as ``inspect`` names them.
_VARARGS, _VARKEYWORDS = 4, 8

_OWN = {"_function", "_instrument", "_types", "_clock", "_declaration", "_start"}
_GENERAL = ("*args, **kwargs", "*args, **kwargs")


def wrapped(
    function: Callable[..., Any],
    waits: bool,
    steps: tuple[str, str],
    instrument: Any,
    types: tuple[type[BaseException], ...] = (),
) -> Callable[..., Any]:
    """A function that does these steps around another; ``waits`` for coroutine functions."""
    parameters, arguments = _lists(function) if type(function) is FunctionType else _GENERAL
    make = _maker(parameters, arguments, waits, steps)
    call = make(function, instrument, types, perf_counter)
    if type(function) is FunctionType and parameters is not _GENERAL[0]:
        call.__defaults__ = function.__defaults__
        call.__kwdefaults__ = function.__kwdefaults__
    return call


@functools.lru_cache(maxsize=512)
def _maker(
    parameters: str, arguments: str, waits: bool, steps: tuple[str, str]
) -> Callable[..., FunctionType]:
    source = _TEMPLATE.format(
        define="async def" if waits else "def",
        result="await _function" if waits else "_function",
        parameters=parameters,
        arguments=arguments,
        before=steps[0],
        after=steps[1],
    )
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(source, "<appmetrics wrapper>", "exec"), names)
    return names["make"]  # type: ignore[no-any-return]


def _lists(function: FunctionType) -> tuple[str, str]:
    """A function's parameters, as declared and as handed on; not as its wrapper claims."""
    code = function.__code__
    names = list(code.co_varnames)
    if _OWN.intersection(names) or not all(n.isidentifier() and not iskeyword(n) for n in names):
        return _GENERAL
    both = code.co_argcount + code.co_kwonlyargcount
    plain, by_name, others = names[: code.co_argcount], names[code.co_argcount : both], names[both:]
    declared, passed = list(plain), list(plain)
    if code.co_posonlyargcount:
        declared.insert(code.co_posonlyargcount, "/")
    if code.co_flags & _VARARGS:
        rest = others.pop(0)
        declared.append(f"*{rest}")
        passed.append(f"*{rest}")
    elif by_name:
        declared.append("*")
    declared += by_name
    passed += [f"{name}={name}" for name in by_name]
    if code.co_flags & _VARKEYWORDS:
        declared.append(f"**{others[0]}")
        passed.append(f"**{others[0]}")
    return ", ".join(declared), ", ".join(passed)
