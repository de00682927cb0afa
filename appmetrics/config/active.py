"""The configuration in force: putting a new one in its place, and watching its file.

A new configuration is checked and built completely before anything changes, so
that a wrong one leaves the old one in force. Nothing is started here but by
``basic_config``.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import collectors
from ..errors import ConfigError, Problem
from ..handlers.base import Handler
from ..hierarchy import Hierarchy, hierarchy
from ..live.slow import SlowLog
from ..reporter import Reporter, reporter
from ..version import __version__
from . import signals
from .build import Built
from .changes import differences
from .check import DictSource
from .files import Content, Examined, Signature, examine, examine_file, read, signature
from .masking import shown
from .plan import Plan
from .wording import described

log = logging.getLogger("appmetrics")

#: The environment variable that names the file for `Configurator.configure`.
ENVIRONMENT = "APPMETRICS_CONFIG"

#: So many problems of a file that is refused are logged.
MOST = 20


@dataclass
class Loaded:
    """A configuration that was put in force.

    ``path`` is the file's, empty if it was none; ``time`` in seconds since 1970.
    ``refused`` is why a newer version of the file was not taken.
    """

    built: Built
    source: str
    path: str = ""
    time: float = field(default_factory=time.time)
    warnings: tuple[Problem, ...] = ()
    refused: ConfigError | None = None
    variables: Mapping[str, object] | None = None
    content: Content | None = None

    @property
    def plan(self) -> Plan:
        """The plan that was followed."""
        return self.built.plan

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by name."""
        return self.built.handlers

    def changed(self) -> bool:
        """Whether the file now holds something else than what was loaded, or is gone."""
        if self.content is None:
            return False
        if signature(self.path) == self.content.signature:
            return False
        try:
            return read(self.path).digest != self.content.digest
        except ConfigError:
            return True

    def gone(self) -> bool:
        """Whether the file that was loaded is no longer there."""
        return self.content is not None and signature(self.path) is None

    def shown(self) -> dict[str, Any]:
        """What is in force and where it is from, without secrets; JSON-ready."""
        return {
            "source": self.source,
            "path": self.path,
            "loaded": self.time,
            "warnings": [str(warning) for warning in self.warnings],
            "refused": str(self.refused) if self.refused else None,
            **shown(self.plan),
        }

    @property
    def watched(self) -> bool:
        """Whether a change of the file will be noticed."""
        return bool(self.path and self.plan.options["watch"])


class Configurator:
    """Configures one hierarchy and its reporter; `loaded` is what is in force."""

    def __init__(self, hierarchy: Hierarchy, reporter: Reporter) -> None:
        self._hierarchy = hierarchy
        self._reporter = reporter
        self._loaded: Loaded | None = None
        self._slow = SlowLog(hierarchy)
        #: States of the file that have been dealt with, or seen once.
        self._done: Signature | None = None
        self._pending: Signature | None = None

    def loaded(self) -> Loaded | None:
        """What is in force; None before the first configuration."""
        return self._loaded

    def basic_config(
        self,
        *,
        handlers: str | Iterable[str | Handler] = "stream",
        force: bool = False,
        **options: Any,
    ) -> None:
        """Configure the root meter in one call, and start.

        ``handlers`` are short names or dotted paths of handler classes, which
        get their default options, or handlers. ``options`` are those of
        ``[metrics]``: interval, level, labels and so on. As with logging's,
        nothing happens if the root meter has handlers, unless ``force`` is true.
        Raises ConfigError.
        """
        if self._hierarchy.root.handlers and not force:
            return
        parts: dict[str, object] = {}
        for handler in [handlers] if isinstance(handlers, str) else handlers:
            if isinstance(handler, Handler):
                parts[_free(handler.name, parts)] = handler
            else:
                parts[_free(str(handler).rpartition(".")[2], parts)] = {"class": handler}
        options["handlers"] = list(parts)
        data = {"metrics": options, "handlers": parts}
        self._put_in_force(examine(data, DictSource("<basic_config>")))
        self._reporter.start()

    def dict_config(self, data: Mapping[str, Any]) -> None:
        """Configure from a dict.

        Its keys are ``metrics`` (options of ``[metrics]``), ``handlers``,
        ``filters``, ``formatters`` and ``meters`` (each a dict of names and
        options). A handler may also be an object. Raises ConfigError.
        """
        self._put_in_force(examine(data, DictSource()))

    def file_config(
        self, path: str | os.PathLike[str], variables: Mapping[str, object] | None = None
    ) -> None:
        """Configure from an ini file.

        ``variables`` are further names for ``%(name)s``, such as PasteDeploy's
        global_conf. Raises ConfigError, also if the file can't be read.
        """
        content = read(path)
        self._put_in_force(examine_file(content, variables), content, variables)

    def configure(self, path: str | os.PathLike[str] | None = None) -> bool:
        """Configure from ``path``, else from the file that $APPMETRICS_CONFIG names.

        False if neither is given; then nothing happens. Raises ConfigError.
        """
        path = path or os.environ.get(ENVIRONMENT)
        if not path:
            return False
        self.file_config(path)
        return True

    def _put_in_force(
        self,
        examined: Examined,
        content: Content | None = None,
        variables: Mapping[str, object] | None = None,
    ) -> None:
        while True:
            old = self._loaded
            # Without a lock: it imports, and an import in another thread may
            # be waiting for the hierarchy's lock to declare an instrument.
            built = examined.build(old.built if old else None)
            with self._hierarchy.lock:
                if self._loaded is old:
                    self._loaded = Loaded(
                        built=built,
                        source=examined.source.file,
                        path=content.path if content else "",
                        warnings=(*examined.warnings, *built.warnings),
                        variables=variables,
                        content=content,
                    )
                    self._swap(built)
                    break
        wanted = built.plan.options["collectors"]
        former = old.plan.options["collectors"] if old else ()
        collectors.uninstall([each for each in former if each not in wanted], self._hierarchy)
        collectors.install(wanted, self._hierarchy)
        signals.install(built.plan.options["faulthandler_signal"], built.plan.options["sigterm"])
        self._done = self._pending = content.signature if content else None
        self._reporter.wake()
        self._log(old, self._loaded, str(self._reporter.sharing))

    def _swap(self, built: Built) -> None:
        options = built.plan.options
        self._hierarchy.max_children = options["max_children"]
        self._hierarchy.max_label_length = options["max_label_length"]
        self._hierarchy.idle_ttl = options["idle_ttl"]
        self._reporter.interval = options["interval"]
        self._reporter.loaded = self._loaded
        self._reporter.flush_timeout = options["flush_timeout"]
        path = self._loaded.path if self._loaded else ""
        self._reporter.sharing.configure(
            options["processes"], options["reporter"], os.path.realpath(path) if path else ""
        )
        self._hierarchy.configure(built.settings, options["scales_counters"])
        self._reporter.heartbeat = options["heartbeat"]
        self._slow.set(options["slow_timeout"], options["slow_interval"])
        jobs = [job for job in self._reporter.jobs if job not in (self.watch, self._slow.look)]
        if options["slow_timeout"] is not None:
            jobs.append(self._slow.look)
        if options["watch"] and self._loaded and self._loaded.path:
            jobs.append(self.watch)
        self._reporter.jobs = jobs

    def watch(self) -> None:
        """Take the file's new content, if it changed; called about once a second.

        A change counts when the file looks the same in two calls: it may be
        half written before. What is wrong leaves the old configuration in force.
        """
        loaded = self._loaded
        if loaded is None or loaded.content is None:
            return
        now = signature(loaded.path)
        if now == self._done or now != self._pending:
            self._pending = now
            return
        self._done = now
        try:
            content = read(loaded.path)
            if content.digest == loaded.content.digest:
                if loaded.refused is not None:
                    loaded.refused = None
                    log.info("%s is again what is in force", loaded.path)
                return
            self._put_in_force(examine_file(content, loaded.variables), content, loaded.variables)
        except ConfigError as error:
            loaded.refused = error
            log.error(
                "%s has changed and can't be used; what was loaded before stays in force:\n%s",
                loaded.path,
                _shortened(error),
            )

    @staticmethod
    def _log(old: Loaded | None, new: Loaded, sharing: str) -> None:
        for warning in new.warnings:
            log.warning("%s", warning)
        if old is not None and old.path and old.path == new.path:
            changes = differences(old.plan, new.plan)
            if changes:
                log.info("%s was read again: %s", new.path, "; ".join(changes))
            return
        log.info(
            "appmetrics %s configured from %s: handlers %s; interval %g s%s",
            __version__,
            new.source,
            ", ".join(described(*item) for item in new.handlers.items()) or "none",
            new.plan.options["interval"],
            f"; {sharing}" if sharing else "",
        )


def _free(name: str, taken: Mapping[str, object]) -> str:
    """The name, numbered if it is taken: two handlers of one class."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def _shortened(error: ConfigError) -> str:
    """The problems of a file, of very many the first."""
    lines = [str(problem) for problem in error.problems[:MOST]]
    more = len(error.problems) - len(lines)
    return "\n".join([*lines, f"and {more:,} more"] if more else lines)


#: The process' own configuration.
configurator = Configurator(hierarchy, reporter)
