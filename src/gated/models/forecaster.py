"""`ForecastNet`: a recurrent network that forecasts all steps of a horizon at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gated.errors import ShapeError
from gated.layers import Recurrent


class ForecastNet(nn.Module):
    """A recurrent layer over the context, and a head that forecasts the whole horizon.

    Axes: B batch, T time, D features a step, K origins, h horizon, Q outputs a step (one for a
    point forecast, else one a quantile), F future covariates.

    The forecast is the last value of the context, plus a linear function of the context (`skip`,
    the autoregressive highway of Lai et al. 2018, section 3.5), plus the head's function of the
    hidden state. The last two start at 0, so training starts from "nothing changes". One pass
    over a window forecasts from its last K steps as origins, so that a window teaches K times.

    Args:
        cell: name or class of the cell.
        features: D, the target's own columns included.
        horizon: h.
        context_length: C, the steps that the linear part sees.
        outputs: Q.
        hidden_size: H.
        num_layers: of the recurrent part.
        dropout: on hidden states, between layers and before the head, in training.
        future: F, covariates known ahead; the head sees those of the step it forecasts.
        season: S; if above 1, each step also sees the S values up to it, relative to it.
        skip: whether the last value and the linear part are there; without, this is the classic
            recurrent layer with a linear head.
        engine: of the recurrent layer.

    Example:
        >>> import torch
        >>> net = ForecastNet("lstm", features=1, horizon=4, context_length=12, outputs=3)
        >>> x = torch.randn(2, 12, 1)
        >>> net(x, x[..., 0]).shape
        torch.Size([2, 1, 4, 3])
    """

    def __init__(
        self,
        cell: str,
        features: int,
        horizon: int,
        context_length: int,
        outputs: int,
        *,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        future: int = 0,
        season: int = 1,
        skip: bool = True,
        engine: str = "auto",
    ):
        super().__init__()
        self.horizon, self.outputs, self.context_length = horizon, outputs, context_length
        self.lags = season if season > 1 else 0
        self.rnn = Recurrent(
            cell,
            features + self.lags,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            engine=engine,
        )
        self.dropout = nn.Dropout(dropout)
        self.head: _Head | _FutureHead = (
            _FutureHead(hidden_size, horizon, outputs, future)
            if future
            else _Head(hidden_size, horizon, outputs)
        )
        self.skip = nn.Linear(context_length, horizon, bias=False) if skip else None
        if self.skip is not None:
            nn.init.zeros_(self.skip.weight)
            self.head.start_at_zero()

    def forward(
        self, features: Tensor, target: Tensor, future: Tensor | None = None, origins: int = 1
    ) -> Tensor:
        """Forecast from the last `origins` steps of each window.

        Args:
            features: (B, T, D), T = C + K - 1: what the recurrent part sees.
            target: (B, T), the target as the network sees it.
            future: (B, K, h, F), the covariates of the steps to forecast.
            origins: K.

        Returns:
            (B, K, h, Q): the forecast from each origin, oldest first.
        """
        steps = features.shape[1]
        hidden, _ = self.rnn(self.inputs(features, target))
        hidden = self.dropout(hidden[:, steps - origins :])
        forecast: Tensor = self.head(hidden, future)
        if self.skip is None:
            return forecast
        last = target[:, steps - origins :]
        context = target[:, -(self.context_length + origins - 1) :].unfold(
            1, self.context_length, 1
        )
        linear: Tensor = self.skip(context - last.unsqueeze(-1))
        return forecast + (last.unsqueeze(-1) + linear).unsqueeze(-1)

    def inputs(self, features: Tensor, target: Tensor) -> Tensor:
        """(B, T, D + S): what the recurrent part reads at each step."""
        if not self.lags:
            return features
        before = nn.functional.pad(target, (self.lags - 1, 0), mode="replicate")
        season = before.unfold(1, self.lags, 1) - target.unsqueeze(-1)
        return torch.cat([features, season], dim=-1)


class _Head(nn.Module):
    """The same hidden state for every step of the horizon."""

    def __init__(self, hidden_size: int, horizon: int, outputs: int):
        super().__init__()
        self.shape = (horizon, outputs)
        self.out = nn.Linear(hidden_size, horizon * outputs)

    def start_at_zero(self) -> None:
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, hidden: Tensor, future: Tensor | None) -> Tensor:
        out: Tensor = self.out(hidden)
        return out.reshape(*out.shape[:-1], *self.shape)


class _FutureHead(nn.Module):
    """A context for each step of the horizon, joined by that step's covariates."""

    def __init__(self, hidden_size: int, horizon: int, outputs: int, future: int, width: int = 16):
        super().__init__()
        self.shape = (horizon, width)
        self.context = nn.Linear(hidden_size, horizon * width)
        self.future = nn.Linear(future, width)
        self.out = nn.Linear(width, outputs)

    def start_at_zero(self) -> None:
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, hidden: Tensor, future: Tensor | None) -> Tensor:
        if future is None:
            raise ShapeError("this network has future covariates: pass future (B, K, h, F)")
        context = self.context(hidden)
        context = context.reshape(*context.shape[:-1], *self.shape)
        out: Tensor = self.out(torch.nn.functional.gelu(context + self.future(future)))
        return out
