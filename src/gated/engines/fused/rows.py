"""`Rows`: which rows of a batch reach which step, and where the steps stand."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
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
            self.batch, self.total = batch, steps * batch
            even = _even if steps <= _SHORT else _even.__wrapped__
            *self._held, self.memory = even(steps, batch)
        else:
            sizes = batch_sizes.to(torch.int64).contiguous()
            ends = torch.cumsum(sizes, 0)
            self.batch, self.total = int(sizes[0]), int(ends[-1])
            self._held = [sizes.numpy(), (ends - sizes).numpy()]
            self.memory = _addresses(*self._held)

    @property
    def sizes(self) -> Tensor:
        """The rows that reach each step, (T,)."""
        return torch.tensor(self._held[0])

    @property
    def offsets(self) -> Tensor:
        """Where each step stands, (T,)."""
        return torch.tensor(self._held[1])

    def start(self, step: int) -> int:
        """Where a step stands."""
        if step == self.steps:
            return self.total
        return int(self._held[1][step])

    def reach(self, step: int) -> int:
        """How many rows reach a step."""
        return int(self._held[0][step])

    @cached_property
    def lengths(self) -> Tensor:
        """The steps of each row, (B,)."""
        return (self.sizes.unsqueeze(1) > torch.arange(self.batch)).sum(0, dtype=torch.int32)

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


Numbers = NDArray[np.int64]
_SHORT = 4096  # steps of which the numbers are kept for a next call


@lru_cache(maxsize=64)
def _even(steps: int, batch: int) -> tuple[Numbers, Numbers, tuple[int, int]]:
    """Sizes and offsets where all rows reach all steps, and where they stand in memory."""
    sizes = np.full(steps, batch, np.int64)
    offsets = np.arange(0, steps * batch, batch, dtype=np.int64)
    return sizes, offsets, _addresses(sizes, offsets)


def _addresses(sizes: Numbers, offsets: Numbers) -> tuple[int, int]:
    return sizes.ctypes.data, offsets.ctypes.data
