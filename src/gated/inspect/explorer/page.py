"""The explorer's page: written whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from gated.inspect.explorer.payload import payload
from gated.inspect.explorer.views import ExplorerView
from gated.inspect.offline import offline
from gated.inspect.pages import write_whole

__all__ = ["render", "write"]


def render(view: ExplorerView) -> str:
    """The page as one HTML text that loads nothing.

    Raises:
        OptionError: Jinja2 or latex2mathml is not installed; pip install 'gated[pages]'.
    """
    content, arrays = payload(view)
    page = offline("explorer", content, arrays, [_program(view)])
    return page.replace('"size":0', f'"size":{len(page.encode())}', 1)


def write(view: ExplorerView, path: str | os.PathLike[str]) -> Path:
    """Write the page into a file and return its path.

    A reader of ``path`` sees the old page or the new, whole one, also if this is interrupted.

    Raises:
        OptionError: Jinja2 or latex2mathml is not installed; pip install 'gated[pages]'.
        OSError: the file cannot be written; what was there is untouched.
    """
    return write_whole(render(view), path)


def _program(view: ExplorerView) -> str:
    """The equations of the cells as a script."""
    try:
        from gated.equations.javascript import program
    except ImportError:
        return ""
    return program({place.cell.name: place.cell for place in view.places}.values())
