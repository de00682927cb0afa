"""Asking a running process: an address as people give it, and a GET request."""

from __future__ import annotations

import json
import os
import re
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from ..display import printable
from ..version import __version__
from .terminal import CliError

TIMEOUT = 10.0
LARGEST = 1 << 28

#: The environment variable with the token of a protected page.
TOKEN = "APPMETRICS_TOKEN"

_ADDRESS = re.compile(r"(\[[^\]/\s]+\]|[^/:\s]*):([0-9]+)(/\S*)?")


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would take the token along to wherever it points."""

    def redirect_request(self, *args: Any) -> None:
        return None


def is_address(source: str) -> bool:
    """Whether it is a URL or ``host:port``, with or without a path."""
    return "://" in source or _ADDRESS.fullmatch(source) is not None


def url_of(address: str, *more: tuple[str, str]) -> str:
    """The URL of an address, with further arguments; ``/metrics`` is its path if it has none.

    Raises CliError for what can't be one.
    """
    match = _ADDRESS.fullmatch(address)
    if match is not None:
        address = f"http://{match[1] or '127.0.0.1'}:{match[2]}{match[3] or ''}"
    try:
        parts = urlsplit(address)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise CliError(f"{address} is not an address such as 127.0.0.1:9464 or http://host/metrics")
    names = {name for name, _ in more}
    kept = [pair for pair in parse_qsl(parts.query, True) if pair[0] not in names]
    path = parts.path if parts.path.strip("/") else "/metrics"
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode([*kept, *more]), ""))


def get(address: str, *more: tuple[str, str]) -> str:
    """The text that an address answers with. Raises CliError if it doesn't."""
    url = url_of(address, *more)
    where = url.partition("?")[0]
    headers = {"Accept": "application/json", "User-Agent": f"appmetrics/{__version__}"}
    if token := os.environ.get(TOKEN, ""):
        headers["Authorization"] = f"Bearer {token}"
    try:
        opener = _opener(urlsplit(url).hostname or "")
        with opener.open(Request(url, headers=headers), timeout=TIMEOUT) as answer:
            data = answer.read(LARGEST + 1)
    except HTTPError as error:
        with error:
            raise CliError(f"{where} answers {error.code} {error.reason}{_hint(error)}") from None
    except URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise CliError(f"{where} can't be reached: {reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise CliError(f"{where} can't be read: {reason}") from None
    if len(data) > LARGEST:
        raise CliError(f"{where} answers with more than {LARGEST >> 20} MiB")
    return bytes(data).decode("utf-8", "replace")


def get_json(address: str, *more: tuple[str, str]) -> Any:
    """The JSON that an address answers with. Raises CliError if it doesn't."""
    text = get(address, *more)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        where = url_of(address).partition("?")[0]
        raise CliError(f"{where} answers, but not as appmetrics does") from None


def _opener(host: str) -> OpenerDirector:
    # A proxy can't know what loopback means here.
    local = host in ("localhost", "::1") or host.startswith("127.")
    return build_opener(_NoRedirects, *([ProxyHandler({})] if local else []))


def _hint(error: HTTPError) -> str:
    if error.code in (401, 403):
        return f" (it may want a token, in ${TOKEN})"
    if 300 <= error.code < 400 and "Location" in error.headers:
        return f" (it points to {printable(error.headers['Location'])})"
    return ""
