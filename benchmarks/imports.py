"""What ``import`` takes, over a bare interpreter: time, and modules pulled in.

From byte code, as everywhere but where somebody forbade writing it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from .budgets import IMPORT
from .harness import Figure, listing

ROUNDS = 25
STATEMENTS = {
    "nothing": "pass",
    "appmetrics": "import appmetrics",
    "appmetrics, and a counter made": "import appmetrics; appmetrics.get_meter('a').counter('b')",
    "prometheus_client": "import prometheus_client",
    "opentelemetry.sdk.metrics": "import opentelemetry.sdk.metrics",
    "greplin.scales": "import warnings; warnings.simplefilter('ignore'); import greplin.scales",
}


def seconds(code: str, folder: str) -> float:
    """How long an interpreter runs for it, with its byte code in a folder."""
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environ)
    return time.perf_counter() - start


def modules(code: str) -> int:
    """How many modules there are afterwards."""
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(len(sys.modules))"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return int(told.stdout)


def figures() -> list[Figure]:
    """Prints and returns times, taken in turns, the least of each."""
    best = dict.fromkeys(STATEMENTS, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, code in STATEMENTS.items():
                best[name] = min(best[name], seconds(code, folder))
    base, count = best.pop("nothing"), modules("pass")
    result = [Figure("a bare interpreter", base * 1e3, "ms")]
    for name in best:
        result.append(Figure(name, (best[name] - base) * 1e3, "ms more"))
        result.append(Figure(name, modules(STATEMENTS[name]) - count, "modules more"))
    ratio = (best["appmetrics"] - base) / (best["prometheus_client"] - base)
    result.append(Figure("appmetrics", ratio, "of prometheus_client", IMPORT))
    print(listing(result))
    return result
