"""The demo: a small web shop that is measured, with visitors and a carbon.

Only re-exports: ``shop`` is the application and ``shop.ini`` says where its numbers
go (both are in ``examples/shop`` as well), ``traffic`` visits it, ``carbon`` runs
the real server, ``command`` puts them together.
"""

from .command import main

__all__ = ["main"]
