"""Series as windows: contexts, targets and covariates, scaled as the network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gated.data import SeriesSet, fill_forward
from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.scalers import Scalers, filled_levels, scaled


@dataclass(frozen=True)
class Windows:
    """A batch of windows. Axes: B windows, L = C + K - 1 + h steps, P + F covariates.

    y (B, L): scaled target, gaps filled from the past; observed (B, L): where it is real;
    covariates (B, L, P + F); future (B, L, F): those known ahead; centre, mean, std (B, 1) and
    log: what undoes the scaling. All in float64; the network is given its own dtype.
    """

    y: Tensor
    observed: Tensor
    covariates: Tensor
    future: Tensor
    centre: Tensor
    mean: Tensor
    std: Tensor
    log: bool

    def unscaled(self, values: Tensor) -> Tensor:
        """What the network gave, (B, ...), in the target's own unit."""
        one = [-1] + [1] * (values.dim() - 1)
        centre, mean, std = (part.reshape(one) for part in (self.centre, self.mean, self.std))
        found = (values.double() + centre) * std + mean
        return found.exp() if self.log else found

    @property
    def unit(self) -> Tensor:
        """(B, 1): the size of an ordinary change, in the target's own unit."""
        return self.std * (self.centre * self.std + self.mean).exp() if self.log else self.std

    def features(self, steps: int) -> Tensor:
        """(B, T, 2 + P + F): what the recurrent part sees of the first T steps."""
        seen = self.observed[:, :steps].to(self.y.dtype)
        parts = [self.y[:, :steps, None], seen[..., None], self.covariates[:, :steps]]
        return torch.cat(parts, dim=-1)


class Panel:
    """Series laid end to end, so that a batch of windows is one gather.

    Raises:
        DataError: the network works on logarithms, and a series has none.
    """

    def __init__(self, data: SeriesSet, scalers: Scalers, config: ForecastConfig):
        self.data, self.config, self.log = data, config, scalers.log
        scalers = scalers.covering(data.series)
        self.lengths = torch.tensor([len(s) for s in data.series])
        self.starts = _starts(self.lengths)
        self.y = _flat([fill_forward(s.y)[0] for s in data.series])
        self.known = _flat([np.isfinite(s.y) for s in data.series])
        seen = [filled_levels(s, self.log) for s in data.series]
        self.levels, self.observed = (_flat(parts) for parts in zip(*seen, strict=True))
        self.past = _flat([scaled(s.past, scalers.past) for s in data.series])
        self.future = _flat([scaled(s.future, scalers.future) for s in data.series])
        self.future_lengths = torch.tensor([len(s.future) for s in data.series])
        self.future_starts = _starts(self.future_lengths)
        pairs = [scalers.target[s.unique_id] for s in data.series]
        self.mean, self.std = torch.tensor(pairs, dtype=torch.float64).T

    def windows(self, series: Tensor, origin: Tensor, origins: int = 1) -> Windows:
        """The windows of these series (B,) whose first forecast step is `origin` (B,).

        Steps before a series' start repeat its first value and count as not observed; steps
        beyond its end do too, with the last.
        """
        context, horizon = self.config.context_length or 1, self.config.horizon or 1
        at = origin.unsqueeze(1) + torch.arange(-context, origins - 1 + horizon)
        last = (self.lengths[series] - 1).unsqueeze(1)
        index = self.starts[series].unsqueeze(1) + torch.minimum(at.clamp(min=0), last)
        observed = self.observed[index] & (at >= 0) & (at <= last)
        mean, std = self.mean[series].unsqueeze(1), self.std[series].unsqueeze(1)
        y = (self.levels[index] - mean) / std
        centre = self._centre(y[:, :context], observed[:, :context])
        future = self.future[self._future_index(series, at)]
        return Windows(
            y=y - centre,
            observed=observed,
            covariates=torch.cat([self.past[index], future], dim=-1),
            future=future,
            centre=centre,
            mean=mean,
            std=std,
            log=self.log,
        )

    def _future_index(self, series: Tensor, at: Tensor) -> Tensor:
        last = (self.future_lengths[series] - 1).unsqueeze(1)
        return self.future_starts[series].unsqueeze(1) + torch.minimum(at.clamp(min=0), last)

    def truth(self, series: Tensor, origin: Tensor) -> Tensor:
        """(B, h): what followed each origin, in its own unit; NaN where it is not known."""
        at = origin.unsqueeze(1) + torch.arange(self.config.horizon or 1)
        last = (self.lengths[series] - 1).unsqueeze(1)
        index = self.starts[series].unsqueeze(1) + torch.minimum(at, last)
        return torch.where(self.known[index] & (at <= last), self.y[index], torch.nan)

    def check_future(self, steps: int) -> None:
        """Raise DataError if a future covariate is missing in the `steps` after a series' end."""
        for one in self.data.series if self.data.future else ():
            known = np.isfinite(one.future[len(one) : len(one) + steps])
            lacking = steps - known.sum(axis=0)
            if lacking.any():
                names = [n for n, k in zip(self.data.future, lacking, strict=True) if k]
                raise DataError(
                    f"series {one.unique_id!r}: the future covariates {', '.join(names)} end "
                    f"{lacking.max()} steps before the horizon does: add rows with their values "
                    f"and an empty target"
                )

    def _centre(self, context: Tensor, observed: Tensor) -> Tensor:
        """(B, 1): the mean of what was observed of each context; 0 if nothing was."""
        if self.config.scaling == "series":
            return torch.zeros(len(context), 1, dtype=context.dtype)
        count = observed.sum(1, keepdim=True)
        return torch.where(observed, context, 0.0).sum(1, keepdim=True) / count.clamp(min=1)


def _starts(lengths: Tensor) -> Tensor:
    return lengths.cumsum(0) - lengths


def _flat(parts: Sequence[Any]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))
