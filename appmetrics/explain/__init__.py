"""Why a metric is, or is not, where somebody looks for it.

Only re-exports: ``examiner`` goes the way of a series and says what it found,
``delivery`` does so for one handler, ``answer`` is the plain data that results.
"""

from .answer import INFO, OK, PROBLEM, Explanation, Step
from .configuration import Configuration
from .examiner import explain

__all__ = ["INFO", "OK", "PROBLEM", "Configuration", "Explanation", "Step", "explain"]
