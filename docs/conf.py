"""How Sphinx builds the documentation: Markdown through MyST, warnings are errors."""

from __future__ import annotations

from importlib.util import find_spec

import appmetrics

project = "appmetrics"
author = "The appmetrics contributors"
copyright = f"2026, {author}"
release = version = appmetrics.__version__

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

# Sphinx brings alabaster along; furo reads better, on a telephone and at night too.
html_theme = "furo" if find_spec("furo") else "alabaster"
html_title = f"appmetrics {release}"
