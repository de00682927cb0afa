"""The version, and the check for the other distribution that is imported by our name."""

from __future__ import annotations

import os
import sys
import warnings

__version__ = "0.1.0"


def check_for_the_other() -> None:
    """Warn if AppMetrics, whose import name is ours too, is installed as well.

    Looks for a module that only the other one has; asking the packaging
    metadata would cost more than the rest of the import.
    """
    for folder in sys.path:
        if os.path.exists(os.path.join(folder, "appmetrics", "simple_metrics.py")):
            warnings.warn(
                "appmetrics-routing and AppMetrics are both installed in this environment, "
                "overwrite each other's files and can't be used together: uninstall both, "
                "then install the one you need",
                RuntimeWarning,
                stacklevel=3,
            )
            return
