"""A loop over time by hand: each row by itself, each step node by node, for autograd to follow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import gated
from gated.engines.products import SCOPE
from gated.equations import Cell
from gated.equations.graph import length, sort
from gated.equations.ops import OPS
from gated.inspect.recording.symbols import by_symbol

D, H, P = 3, 4, 2
T, B = 5, 3
LENGTHS = [5, 3, 0]


def layer_of(cell: str | Cell, **options: Any) -> gated.Recurrent:
    """A layer in float64 of a cell, whatever further sizes it names."""
    torch.manual_seed(0)
    further = {s: P for s in gated.cell(cell).graph.letters if s not in "DH"}
    layer = gated.Recurrent(cell, D, H, batch_first=True, dtype=torch.float64, **options, **further)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def inputs_of(layer: gated.Recurrent) -> dict[str, Tensor]:
    """Random inputs (B, T, n) by name, the sequence first: masks of 0 and 1, gaps above 0."""
    torch.manual_seed(1)
    found = {}
    for name, size in layer.cell.graph.input_sizes.items():
        units = length(size, {"D": D, "H": H})
        value = torch.randn(B, T, units, dtype=torch.float64)
        found[name] = {"mask": (value > 0).double(), "delta": value.abs()}.get(name, value)
    return found


def step(cell: Cell, known: dict[Any, Tensor]) -> dict[str, Tensor]:
    """Every named value of one step of one row."""
    values = dict(known)
    for node in sort(cell.graph.equations.values()):
        if node.op == "constant":
            values[node] = torch.tensor(node.value, dtype=torch.float64)
        elif node not in values:
            operands = dict(zip("abc", (values[arg] for arg in node.args), strict=False))
            values[node] = eval(OPS[node.op].torch.format(*"abc"), SCOPE | operands)
    return {name: values[node] for name, node in cell.graph.equations.items()}


def loop(
    layer: gated.Recurrent,
    inputs: dict[str, Tensor],
    lengths: list[int],
    index: int = 0,
    direction: int = 0,
) -> list[list[dict[str, Tensor]]]:
    """The named values of each row at each of its steps, which keep their gradients."""
    graph, found = layer.cell.graph, []
    weights = by_symbol(layer, index, direction)
    leaves = {node: weights[node.label] for node in graph.nodes() if node.op == "parameter"}
    for row, steps in enumerate(lengths):
        state = {
            s.name: torch.full(
                (length(s.size, {"D": D, "H": H, "P": P}),), s.initial, dtype=torch.float64
            )
            for s in layer.cell.states
        }
        values: list[dict[str, Tensor]] = [{}] * steps
        for t in reversed(range(steps)) if direction else range(steps):
            known = leaves | {
                node: inputs[name][row, t].requires_grad_() for name, node in graph.inputs.items()
            }
            known |= {node: state[name] for name, node in graph.previous.items()}
            values[t] = step(layer.cell, known)
            state = {name: values[t][name] for name in state}
            for value in values[t].values():
                value.retain_grad()
        found.append(values)
    return found
