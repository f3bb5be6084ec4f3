"""The backward equations of a cell, derived from its own by the table's derivative rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from gated.equations.graph import Graph, sort
from gated.equations.ops import OPS
from gated.equations.symbols import Node, apply


@dataclass(frozen=True, eq=False)
class Backward:
    """One step of backpropagation, as equations over the forward graph's nodes.

    `seeds` are the gradients that arrive at the new states; the others map each input, previous
    state and parameter to the node of its gradient, None where nothing flows. A parameter's
    gradient is that of one step and one row, for a vector where images are convolved of one place
    too: engines sum over them.
    """

    seeds: Mapping[str, Node]
    inputs: Mapping[str, Node | None]
    previous: Mapping[str, Node | None]
    parameters: Mapping[str, Node | None]


def backward(graph: Graph) -> Backward:
    """Derive the backward equations of a cell's step.

    Example:
        >>> from gated.cells import cell
        >>> sorted(backward(cell("rnn").graph).parameters)
        ['U', 'W', 'b']
    """
    seeds = {
        name: Node("seed", shape=node.shape, label=f"d{name}")
        for name, node in graph.updates.items()
    }
    gradients = gradient((node, seeds[name]) for name, node in graph.updates.items())
    parameters = {node.label: node for node in graph.nodes() if node.op == "parameter"}
    return Backward(
        seeds=seeds,
        inputs={name: gradients.get(node) for name, node in graph.inputs.items()},
        previous={name: gradients.get(node) for name, node in graph.previous.items()},
        parameters={
            p.key: gradients.get(parameters[p.key]) for p in graph.parameters if p.key in parameters
        },
    )


def gradient(seeded: Iterable[tuple[Node, Node]], fixed: Collection[Node] = ()) -> dict[Node, Node]:
    """Reverse-mode differentiation: from (node, its gradient) pairs to every node's gradient.

    Nodes in `fixed` are held constant: no gradient flows through them.
    """
    gradients: dict[Node, Node] = {}
    pairs = list(seeded)
    for node, seed in pairs:
        _accumulate(gradients, node, seed)
    for node in reversed(sort(node for node, _ in pairs)):
        if node not in gradients or node.op not in OPS or node in fixed:
            continue
        parts = OPS[node.op].derivative(gradients[node], node, *node.args)
        for arg, part in zip(node.args, parts, strict=True):
            if part is not None and arg.op != "constant":
                _accumulate(gradients, arg, _as_wide_as(arg, part))
    return gradients


def _accumulate(gradients: dict[Node, Node], node: Node, part: Node) -> None:
    gradients[node] = gradients[node] + part if node in gradients else part


def _as_wide_as(arg: Node, part: Node) -> Node:
    """Sum a gradient over the units that `arg` was spread over."""
    spread = arg.shape[0].value == 1 and part.shape and part.shape[0].value != 1
    return apply("sum", part) if spread else part
