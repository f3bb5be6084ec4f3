"""Evaluation of equations in float64, apart from any engine: one step, one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from gated.engines import products
from gated.equations import Cell, Graph, graph
from gated.equations.dims import Dim
from gated.equations.graph import fold
from gated.equations.ops import OPS
from gated.equations.symbols import Node

SCOPE = products.SCOPE | {"linear": torch.nn.functional.linear}
SIZES = {"D": 3, "H": 4, "P": 2}


def leaf(label: str, *shape: str | int, op: str = "input") -> Node:
    return Node(op, shape=tuple(Dim(size) for size in shape), label=label)


def evaluate(roots: Iterable[Node], values: Mapping[Node, Tensor]) -> dict[Node, Tensor]:
    """Every node below the roots, by the table's PyTorch column."""

    def value(node: Node, args: list[Tensor]) -> Tensor:
        if node in values:
            return values[node]
        if node.op == "constant":
            return torch.tensor(node.value, dtype=torch.float64)
        names = dict(zip("abc", args, strict=False))
        return eval(OPS[node.op].torch.format(*names), SCOPE | names)

    return fold(roots, value)


def length(size: str | int) -> int:
    return graph.length(size, SIZES)


def random(shape: Iterable[str | int], generator: torch.Generator) -> Tensor:
    return torch.randn([length(n) for n in shape], generator=generator, dtype=torch.float64)


def parameters(graph: Graph) -> dict[str, Node]:
    return {node.label: node for node in graph.nodes() if node.op == "parameter"}


def random_leaves(graph: Graph, seed: int = 0, extent: tuple[int, ...] = ()) -> dict[Node, Tensor]:
    """A random value for each input, previous state and parameter.

    `extent` are the axes of an image, before the units of inputs and states.
    """
    generator = torch.Generator().manual_seed(seed)
    vectors = [*graph.inputs.values(), *graph.previous.values()]
    return {
        node: random(
            [*(extent if node in vectors else ()), *(dim.value for dim in node.shape)], generator
        ).requires_grad_()
        for node in [*vectors, *parameters(graph).values()]
    }


Arrays = dict[str, np.ndarray]


def run(cell: Cell, steps: int, seed: int = 0) -> tuple[list[Arrays], Arrays]:
    """Run a cell from its initial states on random inputs and weights.

    Returns a record per step (inputs, every named value), and the weights by key.
    """
    graph = cell.graph
    generator = torch.Generator().manual_seed(seed)
    weights = {p.key: random(p.shape, generator) for p in cell.parameters}
    leaves = {node: weights[key] for key, node in parameters(graph).items()}
    states = {
        s.name: torch.full((length(s.size),), s.initial, dtype=torch.float64) for s in cell.states
    }
    records = []
    for _ in range(steps):
        inputs = {name: random([size], generator) for name, size in graph.input_sizes.items()}
        now = dict(leaves)
        now |= {graph.inputs[name]: value for name, value in inputs.items()}
        now |= {graph.previous[name]: value for name, value in states.items()}
        values = evaluate(graph.equations.values(), now)
        named = {name: values[node] for name, node in graph.equations.items()}
        states = {name: named[name] for name in graph.updates}
        records.append({name: value.numpy() for name, value in {**inputs, **named}.items()})
    return records, {key: value.numpy() for key, value in weights.items()}
