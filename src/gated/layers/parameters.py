"""`Parameters`: the stored tensors of a layer as what they are in the equations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gated.equations import Cell
from gated.equations.layout import Slot
from gated.equations.roles import Role, roles
from gated.errors import OptionError
from gated.layers.keeping import Keeping, keeping


@dataclass(frozen=True)
class Parameters:
    """The stored tensors of one layer and direction, as an initialisation fills them.

    Attributes:
        cell, layout, stored: the cell, how its parameters are stored, and the stored tensors.
        sizes: the lengths of the cell's letters.
    """

    cell: Cell
    layout: Sequence[Slot]
    stored: Mapping[str, Tensor]
    sizes: Mapping[str, int]

    def drawn(self) -> Iterator[Tensor]:
        """The stored tensors, but for those that the equations give a value to start with."""
        for slot in self.layout:
            if slot.start is None:
                yield self.stored[slot.name]

    def blocks(self) -> Iterator[tuple[Role, Tensor]]:
        """What `drawn` gives, cut into the parameters of the equations, each with its role."""
        known = roles(self.cell)
        for slot in self.layout:
            if slot.start is None:
                blocks = self.stored[slot.name].chunk(len(slot.keys))
                for key, block in zip(slot.keys, blocks, strict=True):
                    yield known[key], block

    def memories(self) -> tuple[Keeping, ...]:
        """The biases that govern each state's memory.

        Raises:
            OptionError: there are none, in the cell or in the layer.
        """
        found = keeping(self.cell)
        for key in (key for memory in found for key in memory.keep):
            if not self.bias(key):
                raise OptionError(
                    f"{self.cell.name}: its memory is kept by the bias {key}, which a layer with "
                    f"bias=False does not have; use bias=True, or neither forget_bias nor Chrono"
                )
        return found

    def bias(self, key: str) -> list[Tensor]:
        """The stored biases that sum up to one of the equations: two where `torch.nn` has two."""
        return [
            self.stored[slot.name].chunk(len(slot.keys))[slot.keys.index(key)]
            for slot in self.layout
            if key in slot.keys
        ]

    def set_bias(self, key: str, value: Tensor | float) -> None:
        """Give a bias of the equations a value: the first stored one takes it, a second is 0."""
        first, *others = self.bias(key)
        first.copy_(torch.as_tensor(value))
        for other in others:
            nn.init.zeros_(other)

    @property
    def bound(self) -> float:
        """1 / sqrt(the number of units, times a kernel's taps, that a recurrent sum runs over)."""
        kernels = [b.shape[2:].numel() for role, b in self.blocks() if role.kind == "kernel"]
        return 1.0 / math.sqrt(self.sizes["H"] * max(kernels, default=1))
