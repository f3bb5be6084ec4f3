"""What gates and states do, in a few words: from the equations where they say it."""

from __future__ import annotations

from gated.equations import Cell
from gated.equations.symbols import Node

__all__ = ["meanings"]

_LSTM = {
    "i": "how much of g is written into c",
    "g": "what could be written",
    "o": "how much of c is shown",
}
_GRU = {"r": "how much of h the proposal sees", "n": "the proposed new h"}


def meanings(cell: Cell) -> dict[str, str]:
    """A few words for each gate and state of which they can be said.

    >>> from gated.cells import cell
    >>> meanings(cell("gru"))["z"], meanings(cell("mingru"))["z"]
    ('how much of h is kept', 'how much of h is replaced')
    """
    found: dict[str, str] = {}
    names = set(cell.graph.equations)
    if {"i", "g", "o", "c", "h"} <= names:
        found |= _LSTM
    elif {"r", "z", "n", "h"} <= names:
        found |= _GRU
    for state, factor in cell.kept.items():
        name, replaced = _gate(cell, factor)
        if name and state in cell.graph.updates:
            found[name] = f"how much of {state} is {'replaced' if replaced else 'kept'}"
    states = [state.name for state in cell.states]
    found[states[0]] = "the output"
    for name in list(cell.kept)[:1]:
        found[name] = "the memory" if name != states[0] else "the memory, and the output"
    return {name: words for name, words in found.items() if name in names}


def _gate(cell: Cell, factor: Node) -> tuple[str, bool]:
    """The equation that a factor is, or whose difference from 1 it is."""
    named = {node: name for name, node in cell.graph.equations.items()}
    if factor in named:
        return named[factor], False
    if factor.op == "sub" and factor.args[0].op == "constant" and factor.args[0].value == 1:
        return named.get(factor.args[1], ""), True
    return "", False
