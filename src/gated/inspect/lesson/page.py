"""The lesson as HTML: what the page is given, and its file."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from gated import __version__
from gated.cells import cell as find
from gated.cells import cells as names
from gated.cells.lstm import LSTM
from gated.equations import Cell
from gated.equations.counts import parameters
from gated.equations.javascript import program
from gated.equations.render import latex_lines
from gated.equations.render import text as as_text
from gated.equations.words import family, summary
from gated.errors import OptionError
from gated.inspect.cell.flowchart import svg
from gated.inspect.demonstrations import demonstrate
from gated.inspect.lesson.words import sentence_model
from gated.inspect.offline import offline
from gated.inspect.pages import write_whole

__all__ = ["lesson", "write_lesson"]

_COUNTED = ("rnn", "gru", "lstm")
# and which of a demonstration's findings says most about its claim
_CLAIMS = {"explosion": 1, "growth": 0, "forgetting": 0}
# x3 and x4 are not printed in the source; these give its table, which rounds at every step
_EXAMPLE = {
    "words": ["This", "movie", "is", "good"],
    "x": [[0.5, -0.1], [0.3, 0.8], [0.1, -0.2], [0.9, 0.7]],
    "printed": [
        {"c": ".108", "h": ".059"},
        {"c": ".422", "h": ".258"},
        {"c": ".346", "h": ".184"},
        {"c": ".802", "h": ".483"},
    ],
}


@cache
def lesson() -> str:
    """The lesson as one HTML text that loads nothing; it is always the same.

    Raises:
        OptionError: a package that it needs is not installed.
    """
    content = {
        "title": "Inside the LSTM",
        "version": __version__,
        "cells": {name: _described(find(name)) for name in names()},
        "counts": [_counted(find(name)) for name in _COUNTED],
        "example": _EXAMPLE,
        "sentiment": sentence_model(),
        "claims": [_claim(name) for name in _CLAIMS],
    }
    return offline("lesson", content, programs=[program(_computed())])


def write_lesson(path: str | os.PathLike[str]) -> Path:
    """Write the lesson into a file and return its path.

    Raises:
        OptionError: a package that it needs is not installed.
        OSError: the file cannot be written; what was there is untouched.
    """
    return write_whole(lesson(), path)


def _computed() -> dict[str, Cell]:
    """The cells that the page runs: three of the catalogue, and the LSTM with one gate fixed."""
    fixed = {
        f"{gate}={value}": type(f"Fixed{gate.upper()}", (LSTM,), {"where": {gate: value}})()
        for gate, value in (("f", 1), ("f", 0), ("i", 1), ("o", 1))
    }
    return {name: find(name) for name in ("rnn", "lstm")} | fixed


def _described(cell: Cell) -> dict[str, Any]:
    try:
        from gated.inspect.mathml import mathml
    except ImportError as error:
        raise OptionError(
            f"the lesson needs the package {error.name!r}, which is not installed; "
            "pip install 'gated[inspect]'"
        ) from error
    lines = zip(
        cell.graph.equations, as_text(cell.graph).splitlines(), latex_lines(cell.graph), strict=True
    )
    return {
        "name": cell.name,
        "family": family(cell),
        "summary": summary(cell),
        "source": cell.source,
        "chart": svg(cell),
        "equations": [
            {"name": name, "text": " ".join(text.split()), "math": mathml(latex)}
            for name, text, latex in lines
        ],
    }


def _counted(cell: Cell) -> dict[str, Any]:
    count = parameters(cell.graph)
    return {
        "name": cell.name,
        "letters": str(count),
        "terms": [[list(letters), float(factor)] for letters, factor in count.terms.items()],
        "blocks": [{"key": p.key, "shape": [str(n) for n in p.shape]} for p in cell.parameters],
    }


def _claim(name: str) -> dict[str, Any]:
    found = demonstrate(name).to_dict()
    wanted = ("name", "question", "claim", "source", "done", "found", "verdict", "curves")
    return {key: found[key] for key in wanted} | {"shown": found["found"][_CLAIMS[name]]}
