"""Who may see what this process serves: a token, networks, and what a proxy gives away.

Only says yes or no; what is served then, and under which path, is decided elsewhere.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: What is said with each status.
REFUSALS = {
    "401 Unauthorized": "This needs the token, as password or bearer.\n",
    "403 Forbidden": "This is not for you.\n",
}
_UNAUTHORIZED, _FORBIDDEN = REFUSALS


class Access:
    """Lets a request through that has the ``token`` and comes from a network of ``allow``.

    Where either is empty it is not asked for. With ``allow``, or ``direct``, requests
    that a proxy forwarded are refused: behind one, every request has the proxy's address.
    Raises ValueError for what is no network.
    """

    def __init__(self, token: str = "", allow: Iterable[str] = (), *, direct: bool = False) -> None:
        self.token = token
        self.allow = [ipaddress.ip_network(network) for network in allow]
        self._direct = direct or bool(self.allow)

    def refusal(self, environ: WSGIEnvironment) -> str:
        """The status of a refusal; empty if there is nothing to say against a request."""
        if self._direct and ("HTTP_X_FORWARDED_FOR" in environ or "HTTP_FORWARDED" in environ):
            return _FORBIDDEN
        if self.allow:
            try:
                address = ipaddress.ip_address(environ.get("REMOTE_ADDR", ""))
            except ValueError:
                return _FORBIDDEN
            if not any(address in network for network in self.allow):
                return _FORBIDDEN
        if self.token and not hmac.compare_digest(_given(environ), self.token.encode()):
            return _UNAUTHORIZED
        return ""


def challenge(status: str) -> list[tuple[str, str]]:
    """The header that makes a browser ask for the token."""
    asks = status == _UNAUTHORIZED
    return [("WWW-Authenticate", 'Basic realm="appmetrics"')] if asks else []


def is_loopback(host: str) -> bool:
    """Whether a host that is listened on is this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _given(environ: WSGIEnvironment) -> bytes:
    """What a scraper gives as bearer token, and a browser as password of any user."""
    scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return given.encode("latin-1", "replace") if scheme.lower() == "bearer" else b""
    try:
        return base64.b64decode(given.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""
