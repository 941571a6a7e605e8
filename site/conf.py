"""The configuration of Sphinx for the site of the docs; `make.py` starts it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

from cloudlink import __version__  # its place on the path does not matter

project = "CloudLink"
version = release = __version__
html_title = f"CloudLink {__version__}"
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e99", "color-brand-content": "#0b6e99"},
    "dark_css_variables": {"color-brand-primary": "#5cc2ec", "color-brand-content": "#5cc2ec"},
    "navigation_with_keys": True,
}
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
default_role = "code"
"""Docstrings mark code with single backticks."""
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
napoleon_use_ivar = True
# A block with three dots or an output between its lines is no whole program of its language.
suppress_warnings = ["misc.highlighting_failure"]


def setup(app: Sphinx) -> None:
    """Show the blocks of these languages as they are: Pygments does not know them."""
    for language in ("wire", "caddy"):
        app.add_lexer(language, TextLexer)
