"""How many floating-point operations a case is: those of its matrix products alone.

Forward, each weight of a matrix is multiplied and added once for each valid step of each row, which
is 2 operations: 2 N p, with N the valid steps of all rows and p the weights that a step's products
use. Backward, each product has two: the gradient of its matrix, and that of its vector. The second
is not computed where the vector is an input that takes no gradient, or made of such inputs alone.
So training is 3 times the forward pass, less the gradient of x where x takes none: for the LSTM
2 N (4 D H + 4 H²) forward, 3 times that in training with the gradient of x, and
3 * 2 N (4 D H + 4 H²) - 2 N 4 D H without.
"""

from __future__ import annotations

from collections.abc import Mapping

from gated.equations.counts import Count, products
from gated.equations.graph import Graph, fold
from gated.equations.ops import PRODUCTS
from gated.equations.symbols import Node


def forward(graph: Graph, sizes: Mapping[str, int], steps: int) -> int:
    """The operations of a forward pass over so many valid steps, all rows together."""
    return 2 * steps * products(graph).value(sizes)


def training(graph: Graph, sizes: Mapping[str, int], steps: int, of_x: bool) -> int:
    """The operations of a pass there and back; `of_x`: with the gradient of the sequence."""
    return 3 * forward(graph, sizes, steps) - 2 * steps * _of_inputs(graph, of_x).value(sizes)


def _of_inputs(graph: Graph, of_x: bool) -> Count:
    """The products whose vector takes no gradient."""
    first = next(iter(graph.inputs))

    def learns(node: Node, args: list[bool]) -> bool:
        if node.op == "input":
            return of_x and node.label == first
        return node.op in ("parameter", "state") or any(args)

    takes = fold(graph.updates.values(), learns)
    return Count.of(
        [dim.value or "H" for dim in node.args[0].shape]
        for node in graph.nodes()
        if node.op in PRODUCTS and not takes[node.args[1]]
    )
