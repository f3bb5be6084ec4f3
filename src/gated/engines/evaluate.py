"""Values of single graph nodes, outside any loop over time: what inspection asks for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gated.engines.reference import _FUNCTIONS
from gated.equations.symbols import Node


def evaluate(node: Node, known: Mapping[Node, Tensor]) -> Tensor:
    """The value of a node from those of nodes below it, of any shape (..., n).

    Args:
        node: what is wanted, say the factor by which a cell keeps its memory.
        known: the values of named nodes, as a trace holds them.
    """
    if node in known:
        return known[node]
    if node.op == "constant":
        return next(iter(known.values())).new_tensor(node.value)
    return _FUNCTIONS[node.op](*(evaluate(arg, known) for arg in node.args))
