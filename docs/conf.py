"""How Sphinx builds the documentation (`make docs`). The site loads nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

import gated
from gated.inspect.cell.catalogue import catalogue

project = "gated"
author = "The gated developers"
copyright = author
version = release = gated.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
napoleon_custom_sections = [("Optional class attributes", "params_style")]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
smartquotes = False  # "lstm" is Python
default_role = "code"  # docstrings write `layer(x)` as a terminal shows it

html_theme = "furo"
html_title = "gated"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def write_catalogue(app: Sphinx) -> None:
    """A page for each cell, made anew from its equations at every build."""
    folder = Path(app.srcdir) / "catalogue"
    folder.mkdir(exist_ok=True)
    pages = catalogue()
    for stray in {page.name for page in folder.glob("*.md")} - set(pages):
        (folder / stray).unlink()
    for name, text in pages.items():
        page = folder / name
        # an unchanged page keeps its time, so that Sphinx need not read it again
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")


def letters_alone(
    app: Sphinx, what: str, name: str, _: object, __: object, lines: list[str]
) -> None:
    """Keep `input_size: D.` from being taken for the beginning of a list, A. B. C. D."""
    lines[:] = [re.sub(r"(^ +\w+: [A-Z])\.$", r"\1", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", write_catalogue)
    app.connect("autodoc-process-docstring", letters_alone, priority=400)  # before napoleon
