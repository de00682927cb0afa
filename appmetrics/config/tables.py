"""The options of ``[metrics]`` and of ``[metrics.meter.NAME]``.

Those of handlers, filters and formatters stand with their classes.
"""

from __future__ import annotations

import os

from ..collectors import COLLECTORS, find
from ..levels import INFO
from ..options import (
    Converter,
    Option,
    boolean,
    choice,
    duration,
    globs,
    integer,
    level,
    mapping,
    names,
    path,
    period,
    text,
)
from ..sharing import AUTO, EACH, LEADER, OFF, SIDECAR
from .signals import signal_name


def _collectors(value: object) -> tuple[str, ...]:
    words = names(value)
    for word in words:
        find(word)
    return words


_COLLECTORS = Converter(
    f"collectors ({', '.join(COLLECTORS)}) or dotted paths of some", _collectors, COLLECTORS
)


def _processes(value: object) -> str:
    word = path(value)
    return word.lower() if word.lower() in (AUTO, OFF) else os.path.abspath(word)


_PROCESSES = Converter(f"{AUTO}, {OFF} or the path of a folder", _processes)


def _heartbeat(value: object) -> str:
    name = str(text(value) if value not in (False, None) else "").strip()
    if name.lower() in ("", "off", "no", "false"):
        return ""
    if not all(name.split(".")) or name.split() != [name]:
        raise ValueError
    return name


_HEARTBEAT = Converter("a name such as appserver, or off", _heartbeat)

_LABELS = Option("labels", mapping, {}, "Common labels of all series below: env=prod, team=web.")
_HANDLERS = Option("handlers", names, (), "Names of [metrics.handler.NAME] sections.")
_FILTERS = Option("filters", names, (), "Names of [metrics.filter.NAME] sections, in order.")

#: ``[metrics]``: the root meter, and the process as a whole.
METRICS = (
    Option("interval", period, 10.0, "Seconds between two rounds, where a handler has no own."),
    Option("level", level, INFO, "Lowest level of the instruments that record."),
    _LABELS,
    _HANDLERS,
    _FILTERS,
    Option("collectors", _COLLECTORS, (), "What the process tells of itself."),
    Option("processes", _PROCESSES, AUTO, "Which processes share one set of numbers."),
    Option("reporter", choice(LEADER, SIDECAR, EACH), LEADER, "Who of them sends."),
    Option("watch", boolean, False, "Read the file again when it has changed."),
    Option("flush_timeout", duration, 5.0, "Seconds that the last round may take at exit."),
    Option("scales_counters", globs, (), "Plain scales stats, by dotted name, that are counters."),
    Option("heartbeat", _HEARTBEAT, "appserver", "State of an application instance; off: none."),
    Option("slow_timeout", period, None, "Requests older than this are logged with their stack."),
    Option("slow_interval", period, 10.0, "Seconds between two log lines about the same request."),
    Option("faulthandler_signal", signal_name, "", "Signal that writes all stacks to stderr."),
    Option("sigterm", choice("default", "exit"), "default", "exit: SIGTERM ends like Ctrl-C."),
    Option("max_children", integer(1), 1000, "Label sets per instrument; one takes the others."),
    Option("max_label_length", integer(32), 256, "Characters of a label value; a hash for others."),
    Option("idle_ttl", period, None, "Seconds until label sets that don't change are left out."),
)

#: ``[metrics.meter.DOTTED.NAME]``
METER = (
    Option("level", level, None, "Lowest level that records in this subtree; else inherited."),
    _HANDLERS,
    Option("propagate", boolean, True, "Whether handlers of the meters above get it as well."),
    _LABELS,
    _FILTERS,
)
