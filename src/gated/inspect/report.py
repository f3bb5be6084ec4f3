"""A report as one offline HTML page: no request leaves the reader's machine.

The page carries a content-security policy that allows exactly its own two scripts, by their
SHA-256, and no connection at all: a name that smuggled markup past the escaping could still not run
or load anything.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from gated.errors import OptionError
from gated.inspect.views import CurvesView, ForecastView, Outcome, Report, SeriesRow, TraceView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gated.inspect.figures import Chart

__all__ = [
    "CurvesView",
    "ForecastView",
    "Outcome",
    "Report",
    "SeriesRow",
    "TraceView",
    "render",
    "write",
]


def render(report: Report) -> str:
    """The page as text.

    Raises:
        OptionError: Jinja2, Plotly or latex2mathml is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
        from plotly.offline import get_plotlyjs

        from gated.inspect.page import page
    except ImportError as error:
        raise OptionError(
            f"the report needs the package {error.name!r}, which is not installed; "
            "pip install 'gated[forecast]'"
        ) from error

    content, charts = page(report)
    library = _script(get_plotlyjs())
    program = _script(_file("report.js"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_file("report.html.j2"))
    fill = functools.partial(
        template.render,
        report=report,
        page=content,
        policy=_policy(library, program),
        style=Markup(_file("report.css")),
        library=Markup(library),
        program=Markup(program),
        charts=Markup(_chart_data(charts)),
    )
    megabytes = len(fill(size="0.0 MB").encode()) / 1e6
    return fill(size=f"{megabytes:.1f} MB")


def write(report: Report, path: str | os.PathLike[str]) -> Path:
    """Render the page into a file; a reader of ``path`` sees the old page or the new, whole one.

    Raises:
        OptionError: a package that the report needs is not installed.
        OSError: the file cannot be written; what was there is untouched.
    """
    target = Path(path)
    content = render(report).encode()
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def _umask() -> int:
    """mkstemp makes private files; a report gets what open() would have given it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _file(name: str) -> str:
    return resources.files("gated.inspect").joinpath("templates", name).read_text("utf-8")


def _script(text: str) -> str:
    """A script's text exactly as a browser will hash it, and unable to close its own element."""
    return text.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in scripts
    )
    # Plotly sets style attributes and draws heat maps as data: images
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _chart_data(charts: Sequence[Chart]) -> str:
    """The figures as JSON that holds no character with which markup could start."""
    tree = {c.id: {"height": c.height, "figures": c.figures} for c in charts}
    text = json.dumps(tree, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
