"""What follows from a cell's graph alone: facts that engines choose by."""

from __future__ import annotations

from gated.equations.backward import gradient
from gated.equations.graph import Graph, fold
from gated.equations.symbols import Node

_ACROSS_UNITS = ("matmul", "mean", "normalize", "sum")


def diagonal(graph: Graph) -> bool:
    """Whether each unit's new state sees only that unit's previous states."""
    moving = graph.depends_on_state()
    return not any(
        node.op in _ACROSS_UNITS and any(arg in moving for arg in node.args) for node in moving
    )


def linear(graph: Graph) -> bool:
    """Whether every new state is affine in the previous states."""
    degree = fold(graph.updates.values(), _degree)
    return all(degree[node] <= 1 for node in graph.updates.values())


def _degree(node: Node, args: list[int]) -> int:
    """0: free of the states, 1: affine in them, 2: neither."""
    if node.op == "state":
        return 1
    if not args or max(args) == 0:
        return 0
    if node.op in ("add", "sub", "neg", "mean", "sum"):
        return max(args)
    if node.op in ("mul", "matmul"):
        return min(2, sum(args))
    return args[0] if node.op == "div" and args[1] == 0 else 2


def successive_products(graph: Graph) -> int:
    """The longest chain of matrix products on the states within one step."""
    moving = graph.depends_on_state()

    def depth(node: Node, args: list[int]) -> int:
        own = node.op == "matmul" and node in moving
        return max(args, default=0) + own

    return max(fold(graph.updates.values(), depth).values())


def kept(graph: Graph) -> dict[str, Node]:
    """The factor by which each state keeps its last value, gates held fixed: f in c = f c₋ + i g.

    It is the derivative of the new state by the old one along the path that passes neither a gate
    nor a matrix product, so a state that has no such path (the RNN's h) is left out.
    """
    gates = {node for name, node in graph.equations.items() if name not in graph.updates}
    found = {}
    for name, node in graph.updates.items():
        if any(below.op in _ACROSS_UNITS for below in _path(node, gates)):
            continue
        one = Node("constant", value=1.0)
        factor = gradient([(node, one)], fixed=gates).get(graph.previous[name])
        if factor is not None:
            found[name] = _without_ones(factor)
    return found


def _path(node: Node, gates: set[Node]) -> list[Node]:
    """The nodes of an equation itself, not those of the gates in it."""
    below = [n for arg in node.args if arg not in gates for n in _path(arg, gates)]
    return [node, *below]


def _without_ones(node: Node) -> Node:
    """Strip the factor 1 that the seed left behind."""
    while node.op == "mul" and node.args[0].op == "constant" and node.args[0].value == 1:
        node = node.args[1]
    return node
