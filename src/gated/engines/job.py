"""What a layer asks of an engine, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from gated.equations import Cell
from gated.equations.layout import Slot

# Values of the cell's named symbols over time: gates and states by name.
Values = dict[str, Tensor]


@dataclass(frozen=True)
class Job:
    """One layer of a cell over one batch of sequences, in all its directions.

    Axes: T time, B batch, S directions, D input size, n the size of a state.

    Attributes:
        cell: the cell.
        layout: how its parameters stand in `weights`.
        weights: for each direction, the stored tensors by the names of the layout's slots;
            biases may be absent, they count as 0.
        inputs: the cell's inputs by name, each (T, B, its size). If `batch_sizes` is given, `x` is
            the data of a PackedSequence, (sum of lengths, D).
        initial: the states before the first step, each (S, B, n).
        lengths: (B,) the number of valid steps of each row, on the CPU; None if all are T.
        batch_sizes: of a PackedSequence, else None.
        trace: whether every gate and state is wanted.
        training: whether the layer is in training mode.
    """

    cell: Cell
    layout: tuple[Slot, ...]
    weights: tuple[Mapping[str, Tensor], ...]
    inputs: Mapping[str, Tensor]
    initial: tuple[Tensor, ...]
    lengths: Tensor | None = None
    batch_sizes: Tensor | None = None
    trace: bool = False
    training: bool = False


@dataclass(frozen=True)
class Result:
    """What an engine returns.

    Attributes:
        output: (T, B, S * n), n the size of the first state; 0 beyond a row's length.
        final: the states after each row's last step, each (S, B, n).
        trace: for each direction every gate and state by name, (T, B, n), if it was asked for.
    """

    output: Tensor
    final: tuple[Tensor, ...]
    trace: tuple[Values, ...] | None = None


class Engine(Protocol):
    """An engine is a module with these two functions."""

    def supports(self, job: Job) -> str | None:
        """Why it cannot run the job, None if it can."""

    def run(self, job: Job) -> Result:
        """Run the job."""
