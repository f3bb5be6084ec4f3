"""A report as one offline HTML page: no request leaves the reader's machine.

The page carries a content-security policy that allows exactly its own two scripts, by their
SHA-256, and no connection at all: a name that smuggled markup past the escaping could still not run
or load anything.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gated.errors import OptionError
from gated.inspect.pages import policy, script, template_file, write_whole
from gated.inspect.report.views import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gated.inspect.report.figures import Chart

__all__ = ["chart_data", "render", "write"]


def render(report: Report) -> str:
    """The page as text.

    Raises:
        OptionError: Jinja2, Plotly or latex2mathml is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
        from plotly.offline import get_plotlyjs

        from gated.inspect.report.page import page
    except ImportError as error:
        raise OptionError(
            f"the report needs the package {error.name!r}, which is not installed; "
            "pip install 'gated[forecast]'"
        ) from error

    content, charts = page(report)
    library = script(get_plotlyjs())
    program = script(template_file("report.js"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(template_file("report.html.j2"))
    fill = functools.partial(
        template.render,
        report=report,
        page=content,
        policy=policy(library, program),
        style=Markup(template_file("report.css")),
        library=Markup(library),
        program=Markup(program),
        charts=Markup(chart_data(charts)),
    )
    megabytes = len(fill(size="0.0 MB").encode()) / 1e6
    return fill(size=f"{megabytes:.1f} MB")


def write(report: Report, path: str | os.PathLike[str]) -> Path:
    """Render the page into a file; a reader of ``path`` sees the old page or the new, whole one.

    Raises:
        OptionError: a package that the report needs is not installed.
        OSError: the file cannot be written; what was there is untouched.
    """
    return write_whole(render(report), path)


def chart_data(charts: Sequence[Chart]) -> str:
    """The figures as JSON that holds no character with which markup could start."""
    tree = {c.id: {"height": c.height, "figures": c.figures} for c in charts}
    text = json.dumps(tree, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
