"""A configuration file as a whole: read, checked and built, but not put in force.

``appmetrics check`` and ``active`` both start here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, Problem
from ..handlers.base import Handler
from .build import Built, build
from .check import Source
from .ini import parse
from .lint import lint, misnamed_sections
from .plan import Plan, Planner
from .wording import tidy

#: Modification time (ns), size, inode: a change of any tells that a file changed.
Signature = tuple[int, int, int]

#: How its byte order marks look when they are read as UTF-8.
_UTF16 = ("\udcff\udcfe", "\udcfe\udcff")


@dataclass(frozen=True)
class Content:
    """What a file held when it was read."""

    path: str
    text: str
    signature: Signature
    digest: str


@dataclass(frozen=True)
class Examined:
    """A configuration that has been looked at: ``plan`` is None if it is wrong.

    ``problems`` are why it can't be used, ``warnings`` what is legal but surely
    not meant.
    """

    source: Source
    plan: Plan | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    def build(self, old: Built | None = None) -> Built:
        """The objects. Raises ConfigError with all problems."""
        if self.plan is None:
            raise ConfigError(self.problems)
        return build(self.plan, self.source, old)


@dataclass(frozen=True)
class Checked:
    """The answer of `check_file`; the handlers are built, but not opened."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    handlers: Mapping[str, Handler]


def signature(path: str) -> Signature | None:
    """What tells that a file has changed; None if it isn't there."""
    try:
        return _signature(Path(path).stat())
    except OSError:
        return None


def _signature(stat: os.stat_result) -> Signature:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def read(path: str | os.PathLike[str]) -> Content:
    """Read a file (UTF-8). Raises ConfigError if that can't be done."""
    path = str(Path(path).expanduser().absolute())
    try:
        # Others' sections may be in another encoding.
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape") as stream:
            # The state before reading: what comes later then counts as a change.
            state = _signature(os.fstat(stream.fileno()))
            text = stream.read()
    except OSError as error:
        raise ConfigError([Problem(f"can't be read: {error.strerror or error}", path)]) from error
    if text.startswith(_UTF16) or "\0" in text[:4]:
        raise ConfigError([Problem("looks like UTF-16; save it as UTF-8", path)])
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return Content(path, text, state, digest)


def examine(data: object, source: Source) -> Examined:
    """Check plain data."""
    planner = Planner(data, source)
    plan = planner.plan()
    problems, warnings = planner.problems, planner.warnings
    return Examined(source, plan, tuple(map(tidy, problems)), tuple(map(tidy, warnings)))


def examine_file(content: Content, variables: Mapping[str, object] | None = None) -> Examined:
    """Check a file; ``variables`` are further names for ``%(name)s``."""
    document = parse(content.text, content.path, variables)
    planner = Planner(document.mapping(), document)
    plan = planner.plan()
    # An option that could not be read has no second problem with what it says.
    unread = {(problem.section, problem.key) for problem in document.problems}
    meant = [p for p in planner.problems if (p.section, p.key) not in unread]
    problems = [*document.problems, *meant]
    warnings = [*lint(document, planner.checker.tables), *planner.warnings]
    misspelt = [w for w in misnamed_sections(document) if w.nearest == "metrics"]
    if "metrics" not in document.sections and misspelt:
        # What it says is meant for the process as a whole: not to be passed over.
        problems += (w._replace(message="there is no section [metrics]") for w in misspelt)
        warnings = [w for w in warnings if w not in misspelt]
    elif not document.sections and not problems:
        problems.append(Problem("there is no section [metrics]", content.path))
    elif plan is not None and not any(meter.handlers for meter in plan.meters.values()):
        line = document.line("metrics")
        # Without [metrics], "nothing uses it" has said so of each handler.
        if line or not planner.warnings:
            section = "metrics" if line else ""
            message = "no handler is named: nothing will be sent"
            warnings.append(Problem(message, content.path, section, line=line))
    return Examined(
        document,
        None if problems else plan,
        tuple(map(tidy, sorted(problems, key=lambda problem: problem.line))),
        tuple(map(tidy, sorted(warnings, key=lambda problem: problem.line))),
    )


def check_file(
    path: str | os.PathLike[str], variables: Mapping[str, object] | None = None
) -> Checked:
    """Everything that can be said about a file without connecting to anything."""
    try:
        examined = examine_file(read(path), variables)
    except ConfigError as error:
        return Checked(error.problems, (), {})
    try:
        built = examined.build()
    except ConfigError as error:
        return Checked(error.problems, examined.warnings, {})
    return Checked((), (*examined.warnings, *built.warnings), built.handlers)
