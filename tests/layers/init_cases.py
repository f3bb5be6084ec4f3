"""Cells whose parameters were drawn, apart from any layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import gated
from gated import engines
from gated.engines import Form, Job
from gated.engines.pytorch import operator
from gated.equations import Cell
from gated.equations.graph import length
from gated.equations.layout import Slot, layout
from gated.equations.maps import mapped
from gated.layers.initialize import as_init, start

SIZES = {"D": 6, "H": 8, "P": 4}
MAPS = {"dense": None, "diagonal": "diagonal", "heads": gated.Heads(2),
        "signal": gated.Convolution((3,)), "image": gated.Convolution((3, 5))}  # fmt: skip
# a diagonal needs square matrices, heads need matrices that read a state
UNMAPPED = {("lstmp", "diagonal"), ("indrnn", "heads"), ("minlstm", "heads"), ("mingru", "heads"),
            ("sru", "heads")}  # fmt: skip


@dataclass
class Drawn:
    """A cell's stored tensors, and its parameters by key: the sum of what is stored of each."""

    cell: Cell
    slots: tuple[Slot, ...]
    sizes: dict[str, int]
    stored: dict[str, Tensor]

    @property
    def values(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for slot in self.slots:
            blocks = self.stored[slot.name].detach().chunk(len(slot.keys))
            for key, block in zip(slot.keys, blocks, strict=True):
                found[key] = found[key] + block if key in found else block
        return found

    def silence(self, but: Collection[str]) -> None:
        """Set every parameter to 0, but for some and for those with a value to start with."""
        for slot in self.slots:
            for key, block in zip(
                slot.keys, self.stored[slot.name].detach().chunk(len(slot.keys)), strict=True
            ):
                if slot.start is None and key not in but:
                    block.zero_()

    def remembered(self, steps: int) -> dict[str, Tensor]:
        """What is left of each state after `steps` inputs of 0, from 1 for every unit."""
        states = self.cell.states
        inputs = self.cell.graph.input_sizes
        # a stabiliser, which starts at -inf, is the logarithm of the others' scale
        scales = [state.name for state in states if math.isinf(state.initial)]
        initial = [0.0 if state.name in scales else 1.0 for state in states]
        job = Job(
            Form(self.cell, self.slots, self.sizes), 1, 1, list(self.stored.values()),
            {n: torch.zeros(steps, 1, length(s, self.sizes)).double() for n, s in inputs.items()},
            tuple(
                torch.full((1, 1, length(state.size, self.sizes)), value).double()
                for state, value in zip(states, initial, strict=True)
            ),
        )  # fmt: skip
        with torch.no_grad():
            final = engines.run(job, "reference").final
        found = {state.name: value[0, 0] for state, value in zip(states, final, strict=True)}
        scale = math.prod((found[name].exp() for name in scales), start=torch.ones(()))
        return {name: value * scale for name, value in found.items()}


def drawn(
    cell: str | Cell,
    init: Any = "uniform",
    forget_bias: float | None = None,
    *,
    bias: bool = True,
    dtype: torch.dtype = torch.float64,
    **sizes: int,
) -> Drawn:
    """What `start` puts into tensors that hold NaN."""
    cell, sizes = gated.cell(cell), {**SIZES, **sizes}
    slots = layout(cell.stored, pytorch=operator(cell.stored) is not None)
    slots = tuple(slot for slot in slots if bias or not slot.bias)
    stored = {
        slot.name: torch.nn.Parameter(torch.full(slot.shape(sizes), math.nan, dtype=dtype))
        for slot in slots
    }
    start(cell, slots, stored, sizes, as_init(init), forget_bias)
    return Drawn(cell, slots, sizes, stored)


def under(kind: str, name: str) -> Cell:
    """A cell of the catalogue under a map."""
    chosen = MAPS[kind]
    return gated.cell(name) if chosen is None else mapped(gated.cell(name), chosen)


def follows(sample: Tensor, cumulative: Callable[[Tensor], Tensor]) -> bool:
    """Kolmogorov and Smirnov: whether a sample is from a distribution, at a level of 0.1%."""
    found = cumulative(sample.flatten().sort().values)
    count = len(found)
    steps = torch.arange(count + 1, dtype=found.dtype) / count
    distance = torch.maximum((steps[1:] - found).max(), (found - steps[:-1]).max())
    return bool(distance < 1.95 / math.sqrt(count))


def uniform(low: float, high: float) -> Callable[[Tensor], Tensor]:
    """The cumulative distribution of U(low, high)."""
    return lambda value: ((value - low) / (high - low)).clamp(0, 1)


def orthonormal(matrix: Tensor) -> bool:
    """Whether the rows are orthonormal, or the columns if there are more rows."""
    rows = matrix if len(matrix) <= matrix[0].numel() else matrix.T
    rows = rows.flatten(1)
    atol = 1e-12 if rows.dtype == torch.float64 else 1e-6
    return torch.allclose(rows @ rows.T, torch.eye(len(rows), dtype=rows.dtype), atol=atol, rtol=0)
