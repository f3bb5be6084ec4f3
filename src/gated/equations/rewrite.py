"""Equations out of equations: a cell's graph with other nodes in some places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from gated.equations.graph import Graph, Parameter, Size, fold, sort
from gated.equations.ops import OPS
from gated.equations.symbols import Node

Visit = Callable[[Node, list[Node]], Node | None]


def rewrite(
    graph: Graph, visit: Visit, *, inputs: Mapping[str, Node] | None = None, cell: str = ""
) -> Graph:
    """The graph with what `visit(node, new operands)` returns in the place of each node.

    Args:
        graph: the equations to start from; they stay as they are.
        visit: gives a node's replacement, None to keep the operation. A name goes with it.
        inputs: further inputs, by name, that replacements read.
        cell: the name of the new cell, the old one's if not given.
    """

    def value(node: Node, args: list[Node]) -> Node:
        new = visit(node, args)
        if new is None:
            return again(node, args)
        return new if node.name is None or new.name is not None else replace(new, name=node.name)

    new = fold(graph.equations.values(), value)
    equations = {name: new[node] for name, node in graph.equations.items()}
    return assemble(graph, equations, inputs=inputs, cell=cell)


def again(node: Node, args: list[Node]) -> Node:
    """The node on new operands; the node itself if they are the old ones."""
    return node if tuple(args) == node.args else replace(node, args=tuple(args))


def assemble(
    graph: Graph,
    equations: Mapping[str, Node],
    *,
    inputs: Mapping[str, Node] | None = None,
    cell: str = "",
) -> Graph:
    """A graph of other equations over the same states; what no state needs is left out."""
    updates = {name: equations[name] for name in graph.updates}
    inputs = {**graph.inputs, **(inputs or {})}
    used = sort(updates.values())
    below = set(used)
    return Graph(
        cell=cell or graph.cell,
        inputs=inputs,
        input_sizes={name: _sizes(node)[0] for name, node in inputs.items()},
        previous=graph.previous,
        states=graph.states,
        parameters=_parameters(used, [p.key for p in graph.parameters]),
        updates=updates,
        equations={name: node for name, node in equations.items() if node in below},
    )


def _parameters(nodes: Iterable[Node], order: list[str]) -> tuple[Parameter, ...]:
    """The parameters in their old order, new ones after them."""
    found = {node.label: node for node in nodes if node.op == "parameter"}
    keys = dict.fromkeys([*(key for key in order if key in found), *found])
    return tuple(
        Parameter(node.symbol, _sizes(node))
        for node in (found[key] for key in keys)
        if node.symbol is not None
    )


def _sizes(node: Node) -> tuple[Size, ...]:
    return tuple("H" if dim.value is None else dim.value for dim in node.shape)


def simplified(node: Node, args: list[Node]) -> Node:
    """The node on new operands, some of which may be numbers: 1 * g is g, g + 0 is g."""
    numbers = [arg.value if arg.op == "constant" else None for arg in args]
    if node.op in _ARITHMETIC and None not in numbers:
        return Node("constant", value=_ARITHMETIC[node.op](*numbers))
    if node.op == "mul" and 0 in numbers:
        return Node("constant", value=0.0)
    if node.op in _NEUTRAL:
        for place, other in ((1, 0), (0, 1)):
            neutral = numbers[place] == _NEUTRAL[node.op]
            if neutral and (place == 1 or node.op in ("add", "mul")):
                return args[other]
    if node.op == "sub" and numbers[0] == 0:
        return Node("neg", (args[1],), args[1].shape)
    return again(node, args)


_NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "div": 1}
_ARITHMETIC: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
}
assert set(_ARITHMETIC) <= set(OPS)
