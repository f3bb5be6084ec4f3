"""The explorer's page: written whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from gated.equations.javascript import program
from gated.errors import OptionError
from gated.inspect.explorer.payload import cells_by_name, payload
from gated.inspect.explorer.views import ExplorerView
from gated.inspect.offline import offline
from gated.inspect.pages import write_whole

__all__ = ["render", "write"]


def render(view: ExplorerView) -> str:
    """The page as one HTML text that loads nothing.

    Raises:
        OptionError: Jinja2 or latex2mathml is not installed; pip install 'gated[pages]'.
    """
    try:
        content, arrays = payload(view)
    except ImportError as error:
        raise OptionError(
            f"the page needs the package {error.name!r}, which is not installed; "
            "pip install 'gated[pages]'"
        ) from error
    page = offline("explorer", content, arrays, [program(cells_by_name(view))])
    return page.replace('"size":0', f'"size":{len(page.encode())}', 1)


def write(view: ExplorerView, path: str | os.PathLike[str]) -> Path:
    """Write the page into a file and return its path.

    A reader of ``path`` sees the old page or the new, whole one, also if this is interrupted.

    Raises:
        OptionError: Jinja2 or latex2mathml is not installed; pip install 'gated[pages]'.
        OSError: the file cannot be written; what was there is untouched.
    """
    return write_whole(render(view), path)
