"""Series as windows: contexts, targets and covariates, scaled as the network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gated.data import Series, SeriesSet, fill_forward
from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.split import Split


@dataclass(frozen=True)
class Scalers:
    """Fitted on the training parts alone: of the target by series, of covariates by column.

    `typical` is what stands for a series that training never saw.
    """

    target: dict[str, tuple[float, float]]
    typical: tuple[float, float]
    past: list[tuple[float, float]]
    future: list[tuple[float, float]]

    @classmethod
    def fit(cls, series: Sequence[Series], splits: Sequence[Split], *, log: bool) -> Scalers:
        """Mean and standard deviation of what the training parts hold, or of its logarithm."""
        parts = list(zip(series, splits, strict=True))
        ys = {s.unique_id: _logs(s.y[: cut.train]) if log else s.y[: cut.train] for s, cut in parts}
        target = {name: _mean_std(y) for name, y in ys.items()}
        if log:  # relative errors count alike in every series: one spread for all
            spread = float(np.median([std for _, std in target.values()]))
            target = {name: (mean, spread) for name, (mean, _) in target.items()}
        return cls(
            target=target,
            typical=_mean_std(np.concatenate(list(ys.values()))),
            past=_columns([s.past[: cut.train] for s, cut in parts]),
            future=_columns([s.future[: cut.train] for s, cut in parts]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "target": {name: list(pair) for name, pair in self.target.items()},
            "typical": list(self.typical),
            "past": [list(pair) for pair in self.past],
            "future": [list(pair) for pair in self.future],
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Scalers:
        """What `to_dict` gave."""
        return cls(
            {name: (a, b) for name, (a, b) in plain["target"].items()},
            (plain["typical"][0], plain["typical"][1]),
            [(a, b) for a, b in plain["past"]],
            [(a, b) for a, b in plain["future"]],
        )


def _logs(values: Any) -> Any:
    """Logarithms; of values that have none, that of the smallest that has."""
    known = values[np.isfinite(values) & (values > 0)]
    least = known.min() if len(known) else 1.0
    return np.log(np.maximum(values, least))


def _mean_std(values: Any) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    spread = float(known.std())
    return float(known.mean()), spread if spread > 0 else 1.0


def _columns(parts: Sequence[Any]) -> list[tuple[float, float]]:
    return [_mean_std(column) for column in np.concatenate(parts).T]


@dataclass(frozen=True)
class Windows:
    """A batch of windows. Axes: B windows, L = C + K - 1 + h steps, P + F covariates.

    y (B, L): scaled target, gaps filled from the past; observed (B, L): where it is real;
    covariates (B, L, P + F); future (B, L, F): those known ahead; centre, mean, std (B, 1) and
    log: what undoes the scaling.
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
    """Series laid end to end, so that a batch of windows is one gather."""

    def __init__(self, data: SeriesSet, scalers: Scalers, config: ForecastConfig):
        self.data, self.config = data, config
        self.lengths = torch.tensor([len(s) for s in data.series])
        ahead = torch.tensor([len(s.future) for s in data.series])
        self.starts = torch.cat([torch.zeros(1, dtype=torch.long), ahead.cumsum(0)[:-1]])
        self.ahead = ahead
        self.log = config.scaling == "log"
        filled = [fill_forward(s.y, start=float(s.y[np.isfinite(s.y)][0])) for s in data.series]
        pads = [len(s.future) - len(s) for s in data.series]
        self.y = _flat([np.append(y, [y[-1]] * n) for (y, _), n in zip(filled, pads, strict=True)])
        levels = [_logs(y) if self.log else y for y, _ in filled]
        self.levels = _flat([np.append(y, [y[-1]] * n) for y, n in zip(levels, pads, strict=True)])
        self.observed = _flat(
            [np.append(o, [False] * n) for (_, o), n in zip(filled, pads, strict=True)]
        ).bool()
        past = [
            np.pad(s.past, ((0, n), (0, 0)), mode="edge")
            for s, n in zip(data.series, pads, strict=True)
        ]
        self.past = _flat([_scaled(p, scalers.past) for p in past])
        self.future = _flat([_scaled(s.future, scalers.future) for s in data.series])
        pairs = [scalers.target.get(s.unique_id, scalers.typical) for s in data.series]
        self.mean, self.std = torch.tensor(pairs, dtype=torch.float64).T

    def windows(
        self, series: Tensor, origin: Tensor, origins: int = 1, horizon: int | None = None
    ) -> Windows:
        """The windows of these series (B,) whose first forecast step is `origin` (B,).

        Steps before a series' start repeat its first value and count as not observed; steps
        beyond its end do too, with the last.
        """
        context = self.config.context_length or 1
        ahead = (self.config.horizon or 1) if horizon is None else horizon
        steps = torch.arange(context + origins - 1 + ahead) - context
        at = origin.unsqueeze(1) + steps
        last = (self.lengths[series] - 1).unsqueeze(1)
        inside = (at >= 0) & (at <= last)
        known = self.starts[series].unsqueeze(1) + torch.minimum(
            at.clamp(min=0), self.ahead[series].unsqueeze(1) - 1
        )
        index = self.starts[series].unsqueeze(1) + torch.minimum(at.clamp(min=0), last)
        observed = self.observed[index] & inside
        mean, std = self.mean[series].unsqueeze(1), self.std[series].unsqueeze(1)
        y = (self.levels[index] - mean) / std
        centre = self._centre(y[:, :context], observed[:, :context])
        future = self.future[known]
        return Windows(
            y=(y - centre).float(),
            observed=observed,
            covariates=torch.cat([self.past[index], future], dim=-1).float(),
            future=future.float(),
            centre=centre,
            mean=mean,
            std=std,
            log=self.log,
        )

    def truth(self, series: Tensor, origin: Tensor) -> Tensor:
        """(B, h): what followed each origin, in its own unit; NaN where it is not known."""
        at = origin.unsqueeze(1) + torch.arange(self.config.horizon or 1)
        last = (self.lengths[series] - 1).unsqueeze(1)
        index = self.starts[series].unsqueeze(1) + torch.minimum(at, last)
        return torch.where(self.observed[index] & (at <= last), self.y[index], torch.nan)

    def check_future(self, series: Tensor, origin: Tensor) -> None:
        """Raise DataError if a future covariate is missing over a horizon."""
        if not self.data.future:
            return
        lacking = (origin + (self.config.horizon or 1)) - self.ahead[series]
        if bool((lacking > 0).any()):
            worst = int(lacking.argmax())
            one = self.data.series[int(series[worst])]
            raise DataError(
                f"series {one.unique_id!r}: the future covariates {', '.join(self.data.future)} "
                f"end {int(lacking[worst])} steps before the horizon does: add rows with their "
                f"values and an empty target"
            )

    def _centre(self, context: Tensor, observed: Tensor) -> Tensor:
        """(B, 1): the mean of what was observed of each context; 0 if nothing was."""
        if self.config.scaling == "series":
            return torch.zeros(len(context), 1, dtype=context.dtype)
        count = observed.sum(1, keepdim=True)
        return torch.where(observed, context, 0.0).sum(1, keepdim=True) / count.clamp(min=1)


def _scaled(values: Any, pairs: Sequence[tuple[float, float]]) -> Any:
    """Covariates scaled; a missing one counts as the last known, before any as the mean."""
    if not pairs:
        return values
    means, spreads = np.array(pairs).T
    return fill_forward((values - means) / spreads)[0]


def _flat(parts: Sequence[Any]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts)).double()
