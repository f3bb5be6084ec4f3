"""Every cell of the catalogue on every engine that runs it; a few on the CPU engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import gated
from gated.engines.cpu.build import unavailable
from gated.engines.pytorch import operator
from gated.equations import Cell
from gated.equations.graph import length

D, H, P = 4, 5, 3
# engines ask for themselves by name, so a cell stands beside each that can run it
CELLS = [
    (name, engine)
    for name in gated.cells()
    for engine in ("torch", "reference")
    if engine == "reference" or operator(gated.cell(name).graph)
]
# each is compiled for two types of numbers, which takes seconds: those that differ most
COMPILED = ["lstm", "gru-reset-before", "fgr", "layernorm-lstm", "slstm", "peephole"]
CELLS += [(name, "cpu") for name in COMPILED if unavailable() is None]


def layer_of(
    cell: str, engine: str, sizes: tuple[int, int, int] = (D, H, P), **options: Any
) -> gated.Recurrent:
    """A layer of a cell on an engine, whatever further sizes the cell names.

    A cell that stands only on the input, as one whose state has D units, gets one layer, not more.
    """
    own = [letter for letter in gated.cell(cell).graph.letters if letter not in ("D", "H")]
    width, hidden, other = sizes
    further = dict.fromkeys(own, other)
    if not stacks(gated.cell(cell)):
        options.pop("num_layers", None)
    return gated.Recurrent(cell, width, hidden, engine=engine, **options, **further)


def stacks(cell: Cell) -> bool:
    """Whether a second layer may read what the first one put out."""
    beside = [*cell.graph.input_sizes.values()][1:] + [state.size for state in cell.states]
    return "D" not in beside


def sequences(layer: gated.Recurrent, steps: int, batch: int, **options: Any) -> dict[str, Tensor]:
    """Random inputs for a layer by name: masks of 0 and 1, time gaps above 0."""
    found = {}
    for name, size in layer.cell.graph.input_sizes.items():
        value = torch.randn(steps, batch, units(layer, size), **options)
        if found:
            value = (value > 0).to(value.dtype) if name == "mask" else value.abs()
        found[name] = value
    return found


def each(change: Callable[[Tensor], Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs, each changed in the same way."""
    return {name: change(value) for name, value in inputs.items()}


def random_states(layer: gated.Recurrent, batch: int, **options: Any) -> list[Tensor]:
    """Initial states for a layer: any numbers, but above 0 for the normaliser that divides."""
    rows = layer.num_layers * layer.num_directions
    found = []
    for state in layer.cell.states:
        value = torch.randn(rows, batch, units(layer, state.size), **options)
        if (layer.cell.name, state.name) == ("slstm", "n"):
            with torch.no_grad():
                value.abs_().add_(1)
        found.append(value)
    return found


def units(layer: gated.Recurrent, size: str | int) -> int:
    """The number that a size of the layer's cell stands for."""
    return length(size, {"D": layer.input_size, "H": layer.hidden_size, **layer.sizes})


def as_hx(states: list[Tensor]) -> Any:
    """States as a layer takes them."""
    return tuple(states) if len(states) > 1 else states[0]


def as_states(hx: Any) -> list[Tensor]:
    """States as a layer returns them, as a list."""
    return list(hx) if isinstance(hx, tuple) else [hx]
