"""Which server this process belongs to, and what can be done in it.

Looks at what servers leave in ``sys.modules``; imports none of them.
"""

from __future__ import annotations

import contextlib
import os
import sys

#: The last version of uWSGI whose workers don't run Python threads unless told to.
_WITHOUT_THREADS = (2, 0, 26)


def server() -> str:
    """The pre-fork server that runs this process; empty if there is none."""
    modules = sys.modules
    if "uwsgi" in modules:
        return "uWSGI"
    if "gunicorn.arbiter" in modules:
        return "gunicorn"
    return "mod_wsgi" if "mod_wsgi" in modules else ""


def threads_run() -> bool:
    """Whether threads run here also while no request is being served."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return True
    with contextlib.suppress(Exception):
        if {"enable-threads", "threads"} & {_text(key) for key in uwsgi.opt}:
            return True
        version = tuple(int(part) for part in _text(uwsgi.version).split(".")[:3])
        return version > _WITHOUT_THREADS
    return True


def master() -> bool:
    """Whether this is a uWSGI master, in which no thread outlives the fork of its workers."""
    uwsgi = sys.modules.get("uwsgi")
    with contextlib.suppress(Exception):
        return uwsgi is not None and uwsgi.masterpid() != 0 and uwsgi.worker_id() == 0
    return False


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class Number:
    """A small number that no other process of this user and key has while this one lives.

    Held as the name of an abstract socket, which leaves nothing behind and needs no folder;
    where there are none (not Linux) every process is 0.
    """

    def __init__(self, key: str) -> None:
        self.value = 0
        self._descriptor = -1
        if not sys.platform.startswith("linux"):
            return
        import socket  # late: few processes need one

        for number in range(1000):
            holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                holder.bind(f"\0appmetrics-{key}-{number}")
            except OSError:
                holder.close()
                continue
            self.value, self._descriptor = number, holder.detach()
            return

    def forget(self) -> None:
        """In a forked child: it is the parent's. At the end: anybody's."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
