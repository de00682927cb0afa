"""Carbon's paths: from a series to its path, by template or tags, and who owns a path.

Which statistics a series has and how they are called is a layout's; lines and
connections are not known here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence

from ..display import title
from ..exposition.values import encodable
from ..sample import Series
from .naming import cut

TEMPLATE = "{prefix}.{name}.{labels}.{statistic}"

#: A component becomes a file name (at most 255 bytes with whisper's ".wsp"), and a
#: line must fit one datagram and carbon's limit of 16 KiB.
MAX_COMPONENT = 200
MAX_PATH = 1000

#: Stands where the statistic goes in a path; no path contains it.
MARK = "\0"

_FIELD = re.compile(r"\{(\w+)\}")
_FIT = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_COMPONENT}}}").fullmatch
_UNFIT = re.compile(r"[^\w-]")
_UNFIT_IN_TAG = re.compile(r"""[\s;!^="'`\\{}()\[\]<>*?~,|]""")


def component(value: str) -> str:
    """Text as one component of a path: letters, digits, ``_`` and ``-``, all else ``_``.

    Letters and digits of any script stay. Empty becomes ``_``; what is longer
    than 200 bytes is cut and ends in a hash of the whole.
    """
    if _FIT(value):
        return value
    return cut(_UNFIT.sub("_", value), MAX_COMPONENT) or "_"


@functools.lru_cache(maxsize=1024)
def dotted(value: str) -> str:
    """Text as components: cut at its dots, those that are empty left out."""
    return ".".join(component(part) for part in value.split(".") if part)


def tag_value(value: str) -> str:
    """Text as a tag's value, readable and within carbon's rules."""
    printable = "".join(char if char.isprintable() else "_" for char in encodable(value))
    return cut(_UNFIT_IN_TAG.sub("_", printable), MAX_COMPONENT) or "_"


class Paths:
    """The paths of one handler. ``keys`` gives the statistics of a series, as they stand
    in a path, and ``group`` the components in front of all others, None if there never are any.

    All paths begin with `front`, which is not part of what `path` gives: so handlers that
    differ in their prefix only have the same ones.

    Raises ValueError for a template that can't work.
    """

    def __init__(
        self,
        prefix: str,
        template: str,
        tags: bool,
        keys: Callable[[Series], Sequence[str]],
        group: Callable[[Series], str] | None = None,
    ) -> None:
        self.prefix = dotted(prefix)
        #: Behind the prefix: what tells this process from others that send the same.
        self.instance = ""
        self._tags = tags
        self._keys = keys
        self._group = group
        self._template = _parsed(template)
        self._is_in_front = self._template[0] == "{prefix}" and group is None
        self._fields = set(_FIELD.findall(template))
        self._named = self._fields - {"prefix", "name", "labels", "statistic"}
        self._owners: dict[str, Series] = {}

    @property
    def front(self) -> str:
        """What goes in front of each path: the prefix with its dot, if nothing comes before."""
        front = self._beginning()
        return f"{front}." if front and self._is_in_front else ""

    def _beginning(self) -> str:
        return ".".join(filter(None, (self.prefix, self.instance)))

    def path(self, series: Series) -> str:
        """The path behind the `front`; `MARK` stands where a statistic goes."""
        apart = self._named if self._tags else self._named | series.common
        others = [pair for pair in series.labels if pair[0] not in apart]
        beginning = self._beginning()
        whole = {
            "{prefix}": "" if self._is_in_front else beginning,
            "{name}": dotted(series.name) or "_",
            "{labels}": "" if self._tags else ".".join(component(value) for _, value in others),
            "{statistic}": MARK if self._keys(series) else "",
        }

        def filled(part: str) -> str:
            if part in whole:
                return whole[part]
            known = {**dict(series.labels), "prefix": beginning, "name": series.name}
            return component(_FIELD.sub(lambda field: known.get(field[1], ""), part))

        first = "" if "prefix" in self._fields else self.instance
        group = self._group(series) if self._group else ""
        parts = (group, first, *map(filled, self._template))
        path = ".".join(filter(None, parts))
        if self._tags:
            # Carbon keeps the path itself under the tag "name".
            tags = {component(label): value for label, value in others}
            if "name" in tags:
                tags["name_"] = tags.pop("name")
            path += "".join(f";{label}={tag_value(tags[label])}" for label in sorted(tags))
        return path

    def full(self, series: Series) -> list[str]:
        """The final paths of a series: one for each statistic."""
        path = self.path(series)
        return [self.front + path.replace(MARK, key) for key in self._keys(series) or ("",)]

    @property
    def beginning(self) -> str:
        """The components that all paths begin with."""
        if self._template[0] == "{prefix}":
            return self.prefix
        return "" if _FIELD.search(self._template[0]) else self._template[0]

    @property
    def statistic_is_last(self) -> bool:
        """Whether a path ends with its statistic, or has it somewhere inside."""
        return self._template[-1] == "{statistic}"

    def claim(self, series: Series, path: str) -> str:
        """Give a series its `path`; returns why it can't have it, else nothing."""
        keys = self._keys(series)
        if len((self.front + path).encode()) + max(map(len, keys), default=0) > MAX_PATH:
            return f"its path is longer than {MAX_PATH} bytes"
        for owner in self._rivals(series, path):
            if owner.identity != series.identity or owner.kind != series.kind:
                shown = self.front + path.replace(MARK, "*")
                return f"its path {shown} belongs to the {owner.kind} {title(*owner.identity)}"
        self._owners[path] = series
        return ""

    def forget(self) -> None:
        """All paths are free again."""
        self._owners.clear()

    def _rivals(self, series: Series, path: str) -> Iterator[Series]:
        """Who owns this path, or one that it stands for, or one that stands for it."""
        if path in self._owners:
            yield self._owners[path]
        for key in self._keys(series):
            if (full := path.replace(MARK, key)) in self._owners:
                yield self._owners[full]
        if MARK not in path:
            head, semicolon, tail = path.partition(";")
            parts = head.split(".")
            for index, part in enumerate(parts):
                general = ".".join([*parts[:index], MARK, *parts[index + 1 :]])
                owner = self._owners.get(general + semicolon + tail)
                if owner and part in self._keys(owner):
                    yield owner


def _parsed(template: str) -> list[str]:
    """A template's components; raises ValueError with what is wrong."""
    parts = template.split(".")
    if not all(parts):
        raise ValueError("template: a component is empty")
    if re.search(r"[{}]", _FIELD.sub("", template)):
        raise ValueError("template: braces that hold no field such as {name}")
    for field in ("{prefix}", "{name}", "{labels}", "{statistic}"):
        if template.count(field) > 1:
            raise ValueError(f"template: {field} stands there twice")
    for field in ("{labels}", "{statistic}"):
        if field in template and field not in parts:
            raise ValueError(f"template: {field} must be a component of its own")
    for field in ("{name}", "{statistic}"):
        if field not in template:
            raise ValueError(f"template: {field} is missing")
    return parts
