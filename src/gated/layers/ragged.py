"""`Ragged`: rows of unequal length, packed so that what lies beyond them is never read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


class Ragged:
    """The valid steps of a batch of rows, in the order of a PackedSequence.

    Axes: T time, B batch, n any size, N the sum of the lengths, R the number of rows that have a
    step at all.

    Args:
        steps, batch: T and B.
        batch_sizes: the number of rows that reach each step, up to the longest, on the CPU.
        order: (R,) the rows from the longest to the shortest; None if they stand so already.
    """

    def __init__(self, steps: int, batch: int, batch_sizes: Tensor, order: Tensor | None):
        self.steps, self.batch = steps, batch
        self.batch_sizes, self.order = batch_sizes, order

    @classmethod
    def from_lengths(cls, lengths: Tensor, steps: int, device: torch.device) -> Ragged:
        """The rows of a padded batch; `lengths` are on the CPU."""
        ordered, order = lengths.sort(descending=True, stable=True)
        rows = int(lengths.count_nonzero())
        longest = int(lengths.max())
        batch_sizes = (torch.arange(longest).unsqueeze(1) < ordered).sum(1)
        return cls(steps, len(lengths), batch_sizes, order[:rows].to(device))

    @classmethod
    def from_packed(cls, packed: PackedSequence) -> Ragged:
        """The rows of a PackedSequence, in the order that they had before they were packed."""
        sizes = packed.batch_sizes
        return cls(len(sizes), int(sizes[0]), sizes, packed.sorted_indices)

    def pack(self, value: Tensor) -> Tensor:
        """(T, B, n) to (N, n)."""
        return value.flatten(0, 1).index_select(0, self._places.to(value.device))

    def unpack(self, data: Tensor) -> Tensor:
        """(N, n) to (T, B, n), 0 where a row has ended."""
        blank = data.new_zeros((self.steps * self.batch, data.shape[-1]))
        whole = blank.index_copy(0, self._places.to(data.device), data)
        return whole.view(self.steps, self.batch, -1)

    def sort(self, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The states (L * S, B, n) of the rows in order, (L * S, R, n)."""
        order = self.order
        return tuple(states) if order is None else tuple(s.index_select(1, order) for s in states)

    def restore(self, final: Sequence[Tensor], initial: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Undo `sort`; a row without a step keeps its initial state."""
        order = self.order
        if order is None:
            return tuple(final)
        return tuple(a.index_copy(1, order, b) for a, b in zip(initial, final, strict=True))

    @cached_property
    def _places(self) -> Tensor:
        """(N,) where each packed step stands in the flattened (T, B)."""
        rows = torch.arange(self.batch) if self.order is None else self.order.cpu()
        step, row = (torch.arange(len(rows)) < self.batch_sizes.unsqueeze(1)).nonzero(as_tuple=True)
        return step * self.batch + rows[row]
