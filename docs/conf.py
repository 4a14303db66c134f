"""Sphinx builds the site: MyST for Markdown, the API and the command line from their docstrings.

Chosen over mkdocs-material, which is announced to reach its end of life in May 2027.
"""

import re
from typing import Any

import resnet_diffeo_probe

project = "diffeo-probe"
author = "The diffeo-probe developers"
copyright = author
version = release = resnet_diffeo_probe.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"  # one that fetches no font and no script from another host
html_title = "diffeo-probe"
html_show_sphinx = False

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_use_ivar = True
default_role = "code"  # `name` in a docstring is code, as in Markdown


def _stars_of_shapes(
    _app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """A shape such as (N, *shape) holds no emphasis."""
    lines[:] = [re.sub(r"\*(?=\w)", r"\\*", line) for line in lines]


def setup(app: Any) -> None:
    """Let Sphinx read docstrings as they are meant."""
    # before napoleon, which writes emphasis of its own
    app.connect("autodoc-process-docstring", _stars_of_shapes, priority=100)
