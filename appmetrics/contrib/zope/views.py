"""The name of what answers a request in Zope.

It has to come from code, so that there is an end of names: the id of an object that
editors make is none. Knows what Zope publishes, nothing of requests.
"""

from __future__ import annotations

import logging
from types import FunctionType, ModuleType
from typing import Any

from Acquisition import aq_base
from OFS.DTMLMethod import DTMLMethod
from Products.Five.browser.resource import Resource
from Shared.DC.Scripts.Bindings import Bindings
from zope.publisher.browser import BrowserView

from ...instrument import OVERFLOW

log = logging.getLogger("appmetrics")

#: Classes made by ZCML directives are in this module, and some are numbered.
_GENERATED = "Products.Five.browser.metaconfigure"

#: Views that are told apart; what is published beyond counts as ``_overflow_``.
MAX_VIEWS = 200


class ViewNames:
    """The names of published objects, ``most`` different ones."""

    def __init__(self, most: int = MAX_VIEWS) -> None:
        self.most = most
        self._known: set[str] = set()
        self._overflowed = False

    def of(self, published: Any) -> str:
        """The name of what Zope publishes, ``request["PUBLISHED"]``."""
        name = view_name(published)
        if name in self._known:
            return name
        if len(self._known) < self.most:
            self._known.add(name)
            return name
        if not self._overflowed:
            self._overflowed = True
            log.warning(
                "Zope has published %d different views; further ones are counted under %r",
                self.most,
                OVERFLOW,
            )
        return OVERFLOW


def view_name(published: Any) -> str:
    """What a published object is called.

    A view by its name, and with that of its method if that isn't the usual one;
    a template or script by its id; a method as ``Class.method``; content by its
    portal type, meta type or class.
    """
    thing = aq_base(published)
    owner = aq_base(getattr(thing, "__self__", None))
    if owner is None or isinstance(owner, ModuleType):
        return _of_object(thing)
    if isinstance(owner, Resource):
        return _class_name(owner)
    method = getattr(thing, "__name__", "__call__")
    if not isinstance(owner, BrowserView):
        return f"{_class_name(owner)}.{method}"
    view = _of_view(owner)
    usual = ("__call__", getattr(type(owner), "__page_attribute__", "__call__"))
    return view if method in usual else f"{view}.{method}"


def _of_object(thing: Any) -> str:
    if isinstance(thing, Resource):
        # A file of which there may be thousands.
        return _class_name(thing)
    if isinstance(thing, BrowserView):
        return _of_view(thing)
    if isinstance(thing, (Bindings, DTMLMethod)):
        return _text(getattr(thing, "__name__", "")) or _text(thing.getId()) or _class_name(thing)
    if isinstance(thing, FunctionType):
        return thing.__name__
    portal_type, meta_type = (getattr(thing, key, "") for key in ("portal_type", "meta_type"))
    return _text(portal_type) or _text(meta_type) or _class_name(thing)


def _of_view(view: BrowserView) -> str:
    return _text(getattr(view, "__name__", "")) or _class_name(view)


def _class_name(thing: Any) -> str:
    """The name of the nearest class that somebody has written."""
    classes = type(thing).__mro__
    return next((cls for cls in classes if cls.__module__ != _GENERATED), classes[0]).__name__


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
