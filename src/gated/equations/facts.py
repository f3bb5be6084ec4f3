"""What follows from a cell's graph alone: facts that engines choose by."""

from __future__ import annotations

from dataclasses import replace

from gated.equations.backward import gradient
from gated.equations.graph import Graph, Size, fold
from gated.equations.ops import PRODUCTS
from gated.equations.symbols import Node
from gated.errors import CellError

_ACROSS_UNITS = (*PRODUCTS, "mean", "normalize", "sum")
_BILINEAR = ("add", "sub", "neg", "mul", "div")


def diagonal(graph: Graph) -> bool:
    """Whether each unit's new state sees only that unit's previous states."""
    moving = graph.depends_on_state()
    return not any(
        node.op in _ACROSS_UNITS or _width(arg) != _width(node)
        for node in moving
        for arg in node.args
        if arg in moving
    )


def _width(node: Node) -> Size | None:
    """The units of a vector: a state of one unit that is spread over H is seen by them all."""
    return node.shape[0].value


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
    if node.op in ("mul", *PRODUCTS):
        return min(2, sum(args))
    if node.op == "select" and args[0] == 0:
        return max(args)
    return args[0] if node.op == "div" and args[1] == 0 else 2


def successive_products(graph: Graph) -> int:
    """The longest chain of matrix products on the states within one step."""
    moving = graph.depends_on_state()

    def depth(node: Node, args: list[int]) -> int:
        own = node.op in PRODUCTS and node in moving
        return max(args, default=0) + own

    return max(fold(graph.updates.values(), depth).values())


def extent(graph: Graph) -> int:
    """How many axes of extent its values have: 2 where a map is a convolution over images.

    Raises:
        CellError: its convolutions do not agree.
    """
    kernels = [node.args[0] for node in graph.nodes() if node.op == "convolve"]
    axes = {kernel.label: len(kernel.shape) - 2 for kernel in kernels}
    if len(set(axes.values())) > 1:
        raise CellError(f"cell {graph.cell}: convolutions over different numbers of axes: {axes}")
    return max(axes.values(), default=0)


def kept(graph: Graph) -> dict[str, Node]:
    """The factor by which each state keeps its last value, gates held fixed: f in c = f c₋ + i g.

    It is the derivative of the new state by the old one along the path of sums and products of
    single units alone, so a state that has no such path (the RNN's h) is left out.
    """
    fixed = held(graph)
    found = {}
    for name, node in graph.updates.items():
        one = Node("constant", value=1.0)
        factor = gradient([(node, one)], fixed).get(graph.previous[name])
        if factor is not None:
            found[name] = _without_ones(factor)
    return found


def held(graph: Graph) -> set[Node]:
    """What is fixed where a memory is followed: gates, squashing functions, what mixes units."""
    return {node for node in graph.nodes() if node.op not in (*_BILINEAR, "select")}


def _without_ones(root: Node) -> Node:
    """Strip the factors 1 that the seed left behind."""

    def value(node: Node, args: list[Node]) -> Node:
        if node.name is not None:  # a gate, as the step wrote it
            return node
        ones = [arg.op == "constant" and arg.value == 1 for arg in args]
        if node.op == "mul" and any(ones):
            return args[ones.index(True) - 1]
        return node if tuple(args) == node.args else replace(node, args=tuple(args))

    return fold([root], value)[root]
