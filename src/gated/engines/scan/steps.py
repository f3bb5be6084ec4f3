"""`Steps`: which rows reach which step, as indices of packed values that have no size of their own.

Axes: B batch, T time, N the steps of all rows, n units. More than those may stand behind them in a
packed value, where `sizes` ends in zeros: no index points there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gated.engines.indices import on_device


@dataclass(frozen=True)
class Steps:
    """Where the steps of a batch stand.

    Args:
        sizes: the number of rows that reach each step, (T,) on the CPU, never rising; None if all
            reach all.
        total: the steps in each packed value, N or more.
        batch: B.
        reverse: whether time runs backwards: each row begins at its own end.
    """

    sizes: Tensor | None
    total: int
    batch: int
    reverse: bool

    def before(self, states: Tensor, initial: Tensor) -> Tensor:
        """What a state was before each step, (N, n), from what it was after: (N, n) and (B, n)."""
        if self.sizes is not None:
            return _taken(torch.cat([states, initial]), self._before)
        rest = self.total - self.batch
        if self.reverse:
            return torch.cat([states[self.batch :], initial])
        return torch.cat([initial, states[:rest]])

    def before_t(self, d: Tensor) -> tuple[Tensor, Tensor]:
        """The transposed of `before`: from the gradient of its result those of its operands."""
        if self.sizes is None and self.reverse:
            first = d.new_zeros((self.batch, d.shape[1]))
            return torch.cat([first, d[: self.total - self.batch]]), d[self.total - self.batch :]
        if self.sizes is None:
            last = d.new_zeros((self.batch, d.shape[1]))
            return torch.cat([d[self.batch :], last]), d[: self.batch]
        whole = d.new_zeros((self.total + self.batch, d.shape[1]))
        both = whole.index_add(0, on_device(self._before, d.device), self.valid(d))
        return both[: self.total], both[self.total :]

    def last(self, states: Tensor, initial: Tensor) -> Tensor:
        """What a state is after each row's last step, (B, n)."""
        if self.sizes is not None:
            return _taken(torch.cat([states, initial]), self._last)
        return states[: self.batch] if self.reverse else states[self.total - self.batch :]

    def valid(self, values: Tensor) -> Tensor:
        """The values, and 0 behind the steps that rows have."""
        if self.sizes is None:
            return values
        here = torch.arange(self.total) < self.sizes.sum()
        return torch.where(on_device(here, values.device).unsqueeze(1), values, 0)

    @property
    def none(self) -> bool:
        """Whether no row has a step."""
        return self.sizes is not None and not bool(self.sizes.any())

    @property
    def exact(self) -> bool:
        """Whether rows have all the steps that there are."""
        return self.sizes is None or int(self.sizes.sum()) == self.total

    @cached_property
    def _ends(self) -> Tensor:
        assert self.sizes is not None, "asked for where rows differ"
        return self.sizes.cumsum(0)

    @cached_property
    def offsets(self) -> Tensor:
        """Where each step stands, (T,)."""
        assert self.sizes is not None, "asked for where rows differ"
        return self._ends - self.sizes

    @cached_property
    def lengths(self) -> Tensor:
        """The steps of each row, (B,)."""
        assert self.sizes is not None, "asked for where rows differ"
        # as many steps as have more rows than stand before this one; the sizes never rise
        rows = torch.arange(self.batch)
        return torch.searchsorted(-self.sizes, -rows)

    @cached_property
    def _before(self) -> Tensor:
        assert self.sizes is not None, "asked for where rows differ"
        count = len(self.sizes)
        at = torch.arange(self.total)
        step = torch.searchsorted(self._ends, at, right=True).clamp(max=count - 1)
        row = at - self.offsets[step]
        other = (step + 1).clamp(max=count - 1) if self.reverse else (step - 1).clamp(min=0)
        begins = (other == step) | (row >= self.sizes[other])
        found = torch.where(begins, self.total + row, self.offsets[other] + row)
        return found.clamp(max=self.total + self.batch - 1)

    @cached_property
    def _last(self) -> Tensor:
        rows = torch.arange(self.batch)
        step = torch.zeros_like(self.lengths) if self.reverse else (self.lengths - 1).clamp(min=0)
        return torch.where(self.lengths > 0, self.offsets[step] + rows, self.total + rows)


def _taken(values: Tensor, index: Tensor) -> Tensor:
    return values.index_select(0, on_device(index, values.device))
