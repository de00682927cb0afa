"""The command line: ``appmetrics`` and ``python -m appmetrics``.

Only re-exports: ``command`` reads the arguments, one module for each command
does the work, ``fetch`` and ``sources`` get what is shown, ``terminal`` shows it.
"""

from .command import main

__all__ = ["main"]
