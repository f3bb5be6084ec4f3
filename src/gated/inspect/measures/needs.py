"""Packages that only some measures need, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from gated.errors import OptionError

__all__ = ["needed"]


def needed(module: str, what: str) -> Any:
    """Import a module of an optional package.

    Raises:
        OptionError: it is not installed; the message says what to install.

    Example:
        >>> needed("no_such_package", "telling fortunes")
        Traceback (most recent call last):
        gated.errors.OptionError: telling fortunes needs no_such_package, which is not installed: \
pip install 'gated[inspect]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise OptionError(
            f"{what} needs {name}, which is not installed: pip install 'gated[inspect]'"
        ) from error
