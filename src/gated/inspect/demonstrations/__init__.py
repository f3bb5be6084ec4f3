"""Demonstrations: claims about recurrent networks, put to the test with the library's own cells.

    from gated.inspect.demonstrations import demonstrate

    found = demonstrate("vanishing")
    found.verdict, found.tables, found.curves

Each stands in a file of its name, runs in seconds on a CPU, and repeats bit for bit with the same
settings. `gated demonstrate` prints them. Listing them imports no PyTorch.
"""

from __future__ import annotations

import importlib
from typing import Any

from gated.cells import nearest
from gated.errors import OptionError
from gated.inspect.demonstrations.demonstration import Curves, Demonstration, Line, Table
from gated.inspect.demonstrations.texts import TEXTS, Text

__all__ = ["Curves", "Demonstration", "Line", "Table", "Text", "demonstrate", "names", "text"]


def names() -> list[str]:
    """The demonstrations, in the order in which they are best read.

    >>> names()[:2]
    ['vanishing', 'explosion']
    """
    return list(TEXTS)


def text(name: str) -> Text:
    """What a demonstration asks, the claim that it tests, and its answer in one line.

    Raises:
        OptionError: there is none of that name.

    >>> text("growth").question
    'Does tanh keep the cell state between −1 and 1?'
    """
    if name not in TEXTS:
        raise OptionError(f"there is no demonstration {name!r}{nearest(name, names())}")
    return TEXTS[name]


def demonstrate(name: str, **settings: Any) -> Demonstration:
    """Run a demonstration.

    Args:
        name: one of `names()`.
        settings: what its `run` takes, such as `steps`, `units`, `seed`; each has a default.

    Raises:
        OptionError: there is none of that name, or it has no such setting.

    >>> found = demonstrate("growth", steps=20)
    >>> found.numbers["c"]
    20.0
    """
    text(name)
    run = importlib.import_module(f"{__name__}.{name}").run
    known = [key for key in run.__annotations__ if key != "return"]
    for key in settings:
        if key not in known:
            raise OptionError(f"{name}: there is no setting {key!r}{nearest(key, known)}")
    result: Demonstration = run(**settings)
    return result
