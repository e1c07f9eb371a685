# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration; `make docs` builds with warnings as errors."""

from pathlib import Path

_VERSION = (Path(__file__).parents[1] / "src" / "accord" / "__init__.py").read_text()

project = "Accord"
author = "the Accord contributors"
project_copyright = "the Accord contributors, Apache-2.0"
release = _VERSION.partition('__version__ = "')[2].partition('"')[0]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"Accord {release}"
html_show_sphinx = False
html_copy_source = False

myst_heading_anchors = 3
nitpicky = True
