"""Zope: ``<include package="appmetrics.contrib.zope" />``, a package of ZCML.

``publication`` times the requests, ``views`` finds their names, ``databases`` and
``activity`` read ZODB, ``startup`` reads the product-config. Nothing else imports
Zope; this package starts no thread unless its product-config says so.
"""
