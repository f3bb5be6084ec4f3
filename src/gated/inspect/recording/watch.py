"""Layers watched while a loss is computed: what ran, and the gradients of all that passed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.cells.probes import probed, size
from gated.engines import Job, Result
from gated.equations import Cell
from gated.inspect.measures.direct_path import Run, direct_path
from gated.inspect.recording.surgery import changed, overridden, rows_first, units, with_cell
from gated.layers import Recurrent, stack
from gated.layers.arrangement import Arrangement

__all__ = ["Array", "Piece", "Place", "Watch", "derive"]

Array = NDArray[Any]
Place = tuple[int, int]


@dataclass
class Piece:
    """One run of a layer's engine: a call, or a chunk of it."""

    arranged: Arrangement
    base: Cell
    call: int
    probes: list[dict[str, Tensor]] = field(default_factory=list)
    layers: list[tuple[Job, Result]] = field(default_factory=list)
    gradients: dict[int, Tensor] = field(default_factory=dict)

    def tensors(self) -> list[Tensor]:
        """All of which the gradient is wanted."""
        probes = [probe for one in self.probes for probe in one.values()]
        return [*probes, *(t for _, result in self.layers for t in (result.output, *result.final))]

    def gradient(self, value: Tensor) -> Tensor:
        """The gradient of one of them."""
        return self.gradients[id(value)]

    def total(self) -> dict[Place, dict[str, Array]]:
        """By place and name, (B, T, n)."""
        directions = self.layers[0][0].num_directions
        return {
            divmod(place, directions): {
                name: self.shown(self.gradient(probe)) for name, probe in one.items()
            }
            for place, one in enumerate(self.probes)
        }

    def direct(self) -> dict[Place, dict[str, Array]]:
        """The same of the direct path."""
        return {
            (index, direction): {
                name: self.shown(path)
                for name, path in direct_path(self.run(index, direction)).items()
            }
            for index, (job, _) in enumerate(self.layers)
            for direction in range(job.num_directions)
        }

    def run(self, index: int, direction: int) -> Run:
        """One layer and direction as it ran."""
        job, result = self.layers[index]
        outputs = self.gradient(result.output).chunk(job.num_directions, -1)
        final = [self.gradient(state)[direction] for state in result.final]
        values = result.trace[0][direction]
        return Run(self.base, job, direction, values, outputs[direction], final)

    def shown(self, value: Tensor) -> Array:
        """(B, T, n), NaN beyond a row's length."""
        found = rows_first(self.arranged, value.detach()).cpu().numpy()
        return np.where(
            self.valid().reshape(*found.shape[:2], *[1] * (found.ndim - 2)), found, np.nan
        )

    def valid(self) -> Array:
        """(B, T), where a row has a step."""
        first = self.layers[0][0].sequence
        ones = first.new_ones((*first.shape[: 1 if self.arranged.ragged else 2], 1))
        if self.arranged.ragged is not None:
            ones = self.arranged.ragged.unpack(ones)
        return ones.squeeze(-1).T.bool().cpu().numpy()


class Watch:
    """A layer whose states have probes while it runs."""

    def __init__(self, layer: Recurrent, names: Sequence[str] | None):
        self.layer = layer
        own = layer.cell.graph.equations
        states = [state.name for state in layer.cell.states]
        self.names = states if names is None else [name for name in names if name in own]
        self.pieces: list[Piece] = []
        self.calls = 0

    def enter(self, block: ExitStack) -> None:
        """Watch until the block ends."""
        call = self.layer.forward

        def forward(*args: Any, **options: Any) -> Any:
            self.calls += 1
            return call(*args, **options)

        block.enter_context(changed(self.layer, self.change))
        block.enter_context(overridden(self.layer, forward=forward, _run=self.run))

    def change(self, job: Job, arranged: Arrangement) -> Job:
        """The job with probes."""
        self.pieces.append(Piece(arranged, job.cell, self.calls - 1))
        if not self.names:
            return job._replace(trace=True)
        lead = job.sequence.shape[:-1]

        def probes(place: int) -> dict[str, Tensor]:
            self.pieces[-1].probes.append(
                {
                    name: job.sequence.new_zeros(
                        (*lead, units(self.layer, place, size(job.cell, name))), requires_grad=True
                    )
                    for name in self.names
                }
            )
            return {f"probe_{name}": probe for name, probe in self.pieces[-1].probes[-1].items()}

        names = tuple(self.names)
        return with_cell(job, lambda cell: probed(cell, names), probes)._replace(trace=True)

    def run(self, job: Job) -> Result:
        """Run the job layer by layer: what one passes to the next has a gradient too."""
        piece, layer = self.pieces[-1], self.layer
        return stack.one_by_one(
            job, layer.engine, layer.merge, layer.residual,
            lambda *seen: piece.layers.append(seen),
        )  # fmt: skip


def derive(value: Tensor, pieces: Sequence[Piece]) -> None:
    """One way back for all."""
    tensors = [tensor for piece in pieces for tensor in piece.tensors()]
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    found = torch.autograd.grad(value, wanted, allow_unused=True) if wanted else ()
    gradients = {id(tensor): torch.zeros_like(tensor) for tensor in tensors}
    gradients |= {
        id(tensor): gradient
        for tensor, gradient in zip(wanted, found, strict=True)
        if gradient is not None
    }
    for piece in pieces:
        piece.gradients = gradients
