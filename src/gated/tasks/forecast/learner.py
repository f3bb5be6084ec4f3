"""What the training loop is handed: windows of the training part, the loss, the validation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gated.models import ForecastNet
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.split import Split
from gated.tasks.forecast.windows import Panel, Windows

_AT_ONCE = 512
_VALIDATION_WINDOWS = 600


def make_net(config: ForecastConfig, past: int, future: int) -> ForecastNet:
    """The network of a resolved configuration, its weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = ForecastNet(
            config.cell,
            2 + past + future,
            config.horizon or 1,
            config.context_length or 1,
            len(outputs(config)),
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            future=future,
            season=config.season or 1 if config.season_inputs else 1,
            skip=config.skip,
        )
    return net.double() if config.precision == "64-true" else net


def outputs(config: ForecastConfig) -> tuple[float, ...]:
    """The quantiles that the network itself gives; a point forecast is counted as the median."""
    return config.quantiles if config.loss == "quantile" else (0.5,)


def loss_by_step(config: ForecastConfig, forecast: Tensor, truth: Tensor) -> Tensor:
    """The loss of each step, unreduced.

    Args:
        forecast: (..., h, Q).
        truth: (..., h).

    Returns:
        (..., h): for "quantile" twice the pinball loss, averaged over the quantiles.
    """
    error = truth.unsqueeze(-1) - forecast
    if config.loss == "quantile":
        levels = torch.tensor(config.quantiles, dtype=error.dtype, device=error.device)
        return (2 * torch.maximum(levels * error, (levels - 1) * error)).mean(-1)
    error = error.squeeze(-1)
    if config.loss == "mse":
        return error.square()
    if config.loss == "mae":
        return error.abs()
    return torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none")


class ForecastLearner:
    """The forecasting task for the training loop.

    An example is a window with K origins in the training part. The loss is taken over the steps
    that were observed, of the origins that something was observed before.
    """

    def __init__(
        self, module: ForecastNet, panel: Panel, splits: list[Split], config: ForecastConfig
    ):
        self.module, self.panel, self.config = module, panel, config
        self.context, self.horizon = config.context_length or 1, config.horizon or 1
        train = torch.tensor([cut.train for cut in splits])
        val = torch.tensor([cut.val for cut in splits])
        last = train - self.horizon - config.origins + 1
        # A short series starts with what context it has, a long one with a whole one; in the
        # shortest the first of the K origins lie before the series, where they teach nothing.
        short = torch.minimum(last, (last // 2).clamp(min=1))
        self.first = torch.where(last >= self.context, self.context, short)
        has_room = train - self.horizon >= 1
        self.count = torch.where(has_room, last - self.first + 1, 0)
        self.ends = self.count.cumsum(0)
        self.validation = origins_between(train, val, self.horizon, _VALIDATION_WINDOWS)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """The windows of these examples, as tensors."""
        series = torch.searchsorted(self.ends, indices, right=True)
        origin = indices - (self.ends[series] - self.count[series]) + self.first[series]
        return self._tensors(
            self.panel.windows(series, origin, self.config.origins), self.config.origins
        )

    def _tensors(self, windows: Windows, origins: int) -> dict[str, Tensor]:
        steps, dtype = self.context + origins - 1, next(self.module.parameters()).dtype
        real = windows.observed[:, self.context :].unfold(1, self.horizon, 1)
        begun = windows.observed[:, :steps].cummax(1).values[:, self.context - 1 :]
        tensors = {
            "features": windows.features(steps).to(dtype),
            "target": windows.y[:, :steps].to(dtype),
            "truth": windows.y[:, self.context :].unfold(1, self.horizon, 1).to(dtype),
            "real": real & begun.unsqueeze(-1),
        }
        if not windows.future.shape[-1]:
            return tensors
        future = windows.future[:, self.context :].unfold(1, self.horizon, 1).transpose(2, 3)
        return {**tensors, "future": future.to(dtype)}

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """The mean loss over the observed steps of a batch."""
        forecast = self.module(
            batch["features"], batch["target"], batch.get("future"), batch["truth"].shape[1]
        )
        real = batch["real"]
        losses = loss_by_step(self.config, forecast, batch["truth"])
        return torch.where(real, losses, 0.0).sum() / real.sum().clamp(min=1)

    def validate(self) -> dict[str, float]:
        """The loss over windows of the validation part."""
        series, origin = self.validation
        device = next(self.module.parameters()).device
        total = weight = 0.0
        for part in range(0, len(series), _AT_ONCE):
            chosen = slice(part, part + _AT_ONCE)
            batch = self._tensors(self.panel.windows(series[chosen], origin[chosen]), 1)
            moved = {name: value.to(device) for name, value in batch.items()}
            count = float(moved["real"].sum())
            total += float(self.loss(moved)) * count
            weight += count
        return {"loss": total / weight if weight else math.nan}


def origins_between(start: Tensor, end: Tensor, horizon: int, most: int) -> tuple[Tensor, Tensor]:
    """Evenly spaced origins whose horizons lie within [start, end) of each series.

    Args:
        start, end: (S,) the bounds, by series.
        horizon: steps that must fit.
        most: about how many to return over all series; at least one for each that has room.

    Returns:
        series (N,), origin (N,).
    """
    room = (end - start - horizon + 1).clamp(min=0)
    stride = max(1, math.ceil(int(room.sum()) / most))
    series, origin = [], []
    for index in room.nonzero().squeeze(1).tolist():
        found = torch.arange(int(end[index]) - horizon, int(start[index]) - 1, -stride).flip(0)
        series.append(torch.full_like(found, index))
        origin.append(found)
    if not series:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    return torch.cat(series), torch.cat(origin)
