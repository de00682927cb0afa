"""Views of a Zope for tests on a real server to ask; the name of each says what it does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import transaction
from Products.Five.browser import BrowserView


class Hello(BrowserView):  # type: ignore[misc]
    """Answers at once."""

    def __call__(self) -> str:
        return "Hello."


class Broken(BrowserView):  # type: ignore[misc]
    """Has a mistake."""

    def __call__(self) -> str:
        raise ZeroDivisionError


class Conflicting(BrowserView):  # type: ignore[misc]
    """Changes what another connection has changed meanwhile, at the first attempt."""

    first = True

    def __call__(self) -> str:
        self.context.number = getattr(self.context, "number", 0) + 1
        if Conflicting.first:
            Conflicting.first = False
            manager = transaction.TransactionManager()
            other = self.context._p_jar.db().open(manager)
            other.root()["Application"].number = 100
            manager.commit()
            other.close()
        return f"{self.context.number}"


class Storing(BrowserView):  # type: ignore[misc]
    """Stores an object, and loads it again."""

    def __call__(self) -> str:
        self.context.stored = getattr(self.context, "stored", 0) + 1
        transaction.commit()
        self.context._p_deactivate()
        return f"{self.context.stored}"


class Hanging(BrowserView):  # type: ignore[misc]
    """Answers when the file ``released`` is there."""

    def __call__(self) -> str:
        released = Path(os.environ["HOME"], "released")
        while not released.exists():
            time.sleep(0.02)
        return "Released."
