"""A page about a cell as Markdown, for the documentation, and as one offline HTML page."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import Any

from gated.equations import Cell
from gated.errors import OptionError
from gated.inspect.cell.page import CellPage, describe
from gated.inspect.pages import policy, template_file, write_whole

__all__ = ["as_html", "as_markdown", "escaped", "write_page"]

# what Markdown would take as markup in a sentence of a docstring
_MARKUP = re.compile(r"([\\*_\[\]<>|])")


def as_markdown(page: CellPage) -> str:
    """The page for MyST, the Markdown of Sphinx."""
    return _filled("cell.md.j2", page, text=escaped)


def as_html(page: CellPage) -> str:
    """The page as one HTML file that loads nothing and runs no script.

    Raises:
        OptionError: a package that it needs is not installed.
    """
    return _filled("cell.html.j2", page, text=_html_text, math=_mathml, safe=_safe())


def write_page(cell: Cell, path: str | os.PathLike[str]) -> Path:
    """Write the HTML page of a cell.

    Raises:
        OptionError: a package that it needs is not installed.
        OSError: the file cannot be written; what was there is untouched.
    """
    return write_whole(as_html(describe(cell)), path)


def _filled(template: str, page: CellPage, **helpers: Any) -> str:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise _missing(error) from error
    environment = Environment(
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: helper for name, helper in helpers.items() if callable(helper)}
    given = helpers.get("safe") or {}
    return environment.from_string(template_file(template)).render(page=page, **given)


def _safe() -> dict[str, Any]:
    """What stands in the HTML as it is."""
    try:
        from markupsafe import Markup
    except ImportError as error:
        raise _missing(error) from error
    return {"style": Markup(template_file("report.css")), "policy": policy(), "markup": Markup}


def _missing(error: ImportError) -> OptionError:
    return OptionError(
        f"a cell's page needs the package {error.name!r}, which is not installed; "
        "pip install 'gated[pages]'"
    )


def _mathml(latex: str) -> str:
    try:
        from gated.inspect.mathml import mathml
    except ImportError as error:
        raise _missing(error) from error
    return mathml(latex)


def _html_text(text: str) -> str:
    """A sentence of a docstring, its `code` as code."""
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", html.escape(text))


def escaped(text: str) -> str:
    """A sentence of a docstring as Markdown; what is not code is text.

    Example:
        >>> print(escaped("h_n * 2, as `h_n`"))
        h\\_n \\* 2, as `h_n`
    """
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(p if p.startswith("`") else _MARKUP.sub(r"\\\1", p) for p in parts)
