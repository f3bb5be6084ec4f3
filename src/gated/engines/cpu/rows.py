"""`Rows`: which rows of a batch reach which step, and where the steps stand."""

from __future__ import annotations

import torch
from torch import Tensor

from gated.engines.job import Job


class Rows:
    """How many rows reach each step, and where the steps stand among the packed ones."""

    def __init__(self, job: Job, reverse: bool):
        x = job.sequence
        steps = x.shape[0]
        self.sizes = (
            torch.full((steps,), x.shape[1], dtype=torch.int64)
            if job.batch_sizes is None
            else job.batch_sizes.to(torch.int64)
        )
        self.offsets = torch.cumsum(self.sizes, 0) - self.sizes
        self.batch = int(self.sizes[0])
        self.total = int(self.sizes.sum())
        self.reverse = reverse

    def last(self) -> Tensor:
        """Where each row's last step in this direction stands."""
        rows = torch.arange(self.batch)
        if self.reverse:
            return rows
        lengths = (self.sizes.unsqueeze(1) > rows).sum(0)
        return self.offsets[lengths - 1] + rows

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
