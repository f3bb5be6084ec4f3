"""Equations out of equations: a cell's graph with other nodes in some places."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from gated.equations.dims import sizes
from gated.equations.graph import Graph, Parameter, fold, sort
from gated.equations.ops import OPS, PRODUCTS
from gated.equations.shapes import describe
from gated.equations.symbols import Node
from gated.errors import CellError

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
        input_sizes={name: sizes(node.shape)[0] for name, node in inputs.items()},
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
        Parameter(node.symbol, sizes(node.shape))
        for node in (found[key] for key in keys)
        if node.symbol is not None
    )


def simplified(node: Node, args: list[Node]) -> Node:
    """The node on new operands, some of which may be numbers: 1 * g is g, g + 0 is g.

    Raises:
        CellError: what remains has no value, or no meaning.
    """
    numbers = [arg.value if arg.op == "constant" else None for arg in args]
    if node.op in PRODUCTS:
        return _product(node, args, numbers)
    if all(number is None for number in numbers):
        return again(node, args)
    if None not in numbers:
        return _computed(node, numbers)
    if node.op == "mul" and 0 in numbers:
        return Node("constant", value=0.0)
    if node.op == "select" and numbers[0] is not None:
        args = [args[1 if numbers[0] > 0 else 2]]
        if args[0].op == "constant":
            return args[0]
    if node.shape[0].value not in [arg.shape[0].value for arg in args if arg.shape]:
        raise CellError(f"leaves one unit in the place of the {node.shape[0]} of {describe(node)}")
    if node.op == "select" and len(args) == 1:
        return args[0]
    if node.op == "sub" and numbers[0] == 0:
        return Node("neg", (args[1],), args[1].shape)
    for place, other in ((1, 0), (0, 1)):
        if node.op in _NEUTRAL[place] and numbers[place] == _NEUTRAL[place][node.op]:
            return args[other]
    return again(node, args)


def _computed(node: Node, numbers: list[float | None]) -> Node:
    try:
        return Node("constant", value=float(NUMBERS[node.op](*numbers)))
    except (ArithmeticError, ValueError):
        shown = ", ".join(f"{number:g}" for number in numbers)
        raise CellError(f"leaves {node.op}({shown}), which has no value") from None


def _product(node: Node, args: list[Node], numbers: list[float | None]) -> Node:
    """A matrix times a vector, where one of them may have become a number."""
    if 0 in numbers:
        return Node("constant", value=0.0)
    for number, arg in zip(numbers, node.args, strict=True):
        if number is not None:
            raise CellError(
                f"leaves {number:g} in the place of {describe(arg)} in a matrix product: only 0 "
                f"has a meaning there"
            )
    return again(node, args)


# operations that leave the first operand as it is if the second is this number, and the reverse
_NEUTRAL = ({"add": 0, "mul": 1}, {"add": 0, "sub": 0, "mul": 1, "div": 1})
# what the operations that a step may hold give for numbers
NUMBERS: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "sigmoid": lambda a: 0.5 + 0.5 * math.tanh(0.5 * a),
    "tanh": math.tanh,
    "relu": lambda a: max(a, 0.0),
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "maximum": max,
    "minimum": min,
    "mean": lambda a: a,
    "normalize": lambda a: 0.0,
    "select": lambda c, a, b: a if c > 0 else b,
}
assert set(NUMBERS) | set(PRODUCTS) <= set(OPS)
