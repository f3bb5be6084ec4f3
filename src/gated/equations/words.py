"""What is known of a cell, in words: for a terminal, a page, the documentation."""

from __future__ import annotations

import inspect
import sys

from gated.equations.cell import Cell
from gated.equations.render import expression

__all__ = ["facts", "family", "keeps", "notes", "summary"]


def summary(cell: Cell) -> str:
    """The first sentence of its docstring."""
    return inspect.cleandoc(type(cell).__doc__ or "").partition("\n")[0]


def notes(cell: Cell) -> list[str]:
    """The further paragraphs of its docstring."""
    text = inspect.cleandoc(type(cell).__doc__ or "")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")[1:]]


def family(cell: Cell) -> str:
    """What the file says that the cell is written in: "The long short-term memory"."""
    module = sys.modules.get(type(cell).__module__)
    return ((module and module.__doc__) or "").strip().partition("\n")[0].rstrip(".")


def keeps(cell: Cell) -> dict[str, str]:
    """For each state that has one, the factor by which it keeps its last value, as text."""
    return {state: expression(factor) for state, factor in cell.kept.items()}


def facts(cell: Cell) -> list[str]:
    """What follows from the equations.

    Example:
        >>> from gated.cells import cell
        >>> facts(cell("mingru"))[0]
        'diagonal: each unit sees only itself through time'
    """
    products = cell.successive_products
    found = [
        "diagonal: each unit sees only itself through time"
        if cell.diagonal
        else "not diagonal: a unit sees the other units' last values",
        "linear in its state: time can be computed in parallel (no engine does so yet)"
        if cell.linear
        else "not linear in its state: steps must follow one another",
        "no matrix product of the state in a step"
        if products == 0
        else "no matrix product of the state waits for another in a step"
        if products == 1
        else f"{products} matrix products of the state must follow one another in a step",
    ]
    found += [f"{state} is kept by the factor {factor}" for state, factor in keeps(cell).items()]
    return found
