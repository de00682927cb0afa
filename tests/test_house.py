"""The house rules that no tool checks by itself."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "appmetrics"


def test_only_one_module_names_scales() -> None:
    """No module but that of its tree imports scales, not even late."""
    naming = [
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if "import greplin" in (text := file.read_text()) or '"greplin' in text
    ]
    assert naming == ["scales_tree.py"]


def test_every_module_has_its_layer() -> None:
    """Each module, and each handler, stands in the layers of pyproject.toml."""
    tomllib = pytest.importorskip("tomllib", reason="tomllib is new in Python 3.11")
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(contract for contract in linter["contracts"] if contract["type"] == "layers")
    placed = {name.strip(" ()") for layer in layers["layers"] for name in layer.split("|")}
    files = [*PACKAGE.glob("*.py"), *(PACKAGE / "handlers").glob("*.py")]
    packages = [file.parent for file in PACKAGE.glob("*/__init__.py")]
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in [*files, *packages]
    }
    not_layers = {"appmetrics.__init__", "appmetrics.handlers", "appmetrics.handlers.__init__"}
    assert modules - placed - not_layers == set()


def test_what_is_no_python_is_in_the_distribution() -> None:
    """Pages, ini files and ZCML in the package are package data, so that a wheel has them."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    data = setup["options.package_data"]
    patterns = data["*"].replace(",", " ").split()
    files = [file for file in PACKAGE.rglob("*.*") if file.suffix not in (".py", ".pyc")]
    left = [file.name for file in files if not any(map(file.match, patterns))]
    assert left == [data["appmetrics"]]
