"""Every cell of the catalogue on every engine that runs it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import gated
from gated.engines.pytorch import operator

D, H, P = 4, 5, 3
# engines ask for themselves by name, so a cell stands beside each that can run it
CELLS = [
    (name, engine)
    for name in gated.cells()
    for engine in ("torch", "reference")
    if engine == "reference" or operator(gated.cell(name).graph)
]


def layer_of(
    cell: str, engine: str, sizes: tuple[int, int, int] = (D, H, P), **options: Any
) -> gated.Recurrent:
    """A layer of a cell on an engine, whatever further sizes the cell names."""
    own = [letter for letter in gated.cell(cell).graph.letters if letter not in ("D", "H")]
    width, hidden, other = sizes
    further = dict.fromkeys(own, other)
    return gated.Recurrent(cell, width, hidden, engine=engine, **options, **further)


def random_states(layer: gated.Recurrent, batch: int, **options: Any) -> list[Tensor]:
    """Initial states for a layer."""
    letters = {"D": layer.input_size, "H": layer.hidden_size, **layer.sizes}
    rows = layer.num_layers * layer.num_directions
    sizes = [letters[s.size] if isinstance(s.size, str) else s.size for s in layer.cell.states]
    return [torch.randn(rows, batch, size, **options) for size in sizes]


def as_hx(states: list[Tensor]) -> Any:
    """States as a layer takes them."""
    return tuple(states) if len(states) > 1 else states[0]


def as_states(hx: Any) -> list[Tensor]:
    """States as a layer returns them, as a list."""
    return list(hx) if isinstance(hx, tuple) else [hx]
