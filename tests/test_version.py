"""The version, and the other distribution of the same import name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import appmetrics
from servers import PATIENCE

ROOT = Path(appmetrics.__file__).parent.parent


def import_with(folder: Path, *options: str) -> str:
    """What Python says on stderr when it imports appmetrics with a folder on its path."""
    path = os.pathsep.join([str(ROOT), str(folder)])
    done = subprocess.run(
        [sys.executable, *options, "-c", "import appmetrics; appmetrics.get_meter('shop')"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return done.stderr


@pytest.mark.parametrize("installed", [True, False])
def test_the_other_appmetrics_is_told_in_one_sentence(tmp_path: Path, installed: bool) -> None:
    """Where AppMetrics is installed as well, import warns; elsewhere it is silent."""
    if installed:
        other = tmp_path / "appmetrics"
        other.mkdir()
        (other / "simple_metrics.py").touch()
    said = import_with(tmp_path)
    assert ("can't be used together" in said) == installed
    assert said.count("RuntimeWarning") == installed


def test_import_starts_no_thread_and_no_scales(tmp_path: Path) -> None:
    """Importing costs nothing that an application did not ask for."""
    code = (
        "import appmetrics, sys, threading\n"
        "assert 'greplin.scales' not in sys.modules\n"
        "assert threading.active_count() == 1"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=PATIENCE,
    )
