"""`Rows`: which rows of a batch reach which step, and where the steps stand."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor


class Rows:
    """How many rows reach each step, and where the steps stand among the packed ones.

    Args:
        steps, batch: T and B.
        batch_sizes: the number of rows that reach each step, None if all reach T.
        reverse: whether the loop begins at the end.
    """

    def __init__(self, steps: int, batch: int, batch_sizes: Tensor | None, reverse: bool):
        self.full = batch_sizes is None
        self.steps, self.reverse = steps, reverse
        if batch_sizes is None:
            self.sizes = torch.full((steps,), batch, dtype=torch.int64)
            self.offsets = torch.arange(0, steps * batch, batch)
            self.batch, self.total = batch, steps * batch
        else:
            self.sizes = batch_sizes.to(torch.int64).contiguous()
            ends = torch.cumsum(self.sizes, 0)
            self.offsets = ends - self.sizes
            self.batch, self.total = int(self.sizes[0]), int(ends[-1])

    def start(self, step: int) -> int:
        """Where a step stands."""
        if step == self.steps:
            return self.total
        return step * self.batch if self.full else int(self.offsets[step])

    def reach(self, step: int) -> int:
        """How many rows reach a step."""
        return self.batch if self.full else int(self.sizes[step])

    @cached_property
    def before(self) -> Tensor:
        """For each packed step, where the step before stands; beyond all, the initial states."""
        rows = torch.arange(self.batch)
        here = rows < self.sizes.unsqueeze(1)
        place = self.offsets.unsqueeze(1) + rows
        initial = (self.total + rows).expand(1, -1)
        if self.reverse:
            shifted = torch.cat([torch.where(here[1:], place[1:], initial), initial])
        else:
            shifted = torch.cat([initial, place[:-1]])
        return shifted[here]
