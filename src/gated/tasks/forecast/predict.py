"""Forecasts of a trained network, and of the baselines, on the same windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.models import ForecastNet
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.windows import Panel

Array = NDArray[np.float64]
_AT_ONCE = 512
RIDGE_PENALTIES = tuple(10.0**k for k in range(-1, 5))


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of N windows over h steps.

    point (N, h); quantiles (N, h, Q) or None while a model has none.
    """

    point: Array
    quantiles: Array | None = None


def network(
    net: ForecastNet, panel: Panel, config: ForecastConfig, series: Tensor, origin: Tensor
) -> Forecasts:
    """The network's forecasts; quantiles in ascending order. None of them if it gives points."""
    panel.check_future(series, origin)
    net.eval()
    context = config.context_length or 1
    device = next(net.parameters()).device
    parts = []
    with torch.no_grad():
        for start in range(0, len(series), _AT_ONCE):
            chosen = slice(start, start + _AT_ONCE)
            windows = panel.windows(series[chosen], origin[chosen])
            future = windows.future[:, None, context:] if windows.future.shape[-1] else None
            out = net(
                windows.features(context).to(device),
                windows.y[:, :context].to(device),
                None if future is None else future.to(device),
            )
            parts.append(windows.unscaled(out[:, 0].cpu().sort(-1).values))
    found = torch.cat(parts).numpy()
    if config.loss != "quantile":
        return Forecasts(found[..., 0])
    return Forecasts(found[..., config.quantiles.index(0.5)], found)


Baseline = Callable[[Panel, Tensor, Tensor], Array]


def naive(panel: Panel, series: Tensor, origin: Tensor) -> Array:
    """The last value, over the whole horizon."""
    windows = panel.windows(series, origin)
    context = panel.config.context_length or 1
    last = windows.y[:, context - 1 : context].expand(-1, panel.config.horizon or 1)
    found: Array = windows.unscaled(last).numpy()
    return found


def seasonal_naive(panel: Panel, series: Tensor, origin: Tensor) -> Array:
    """The values of one season before, or of as many seasons before as it takes."""
    season, horizon = panel.config.season or 1, panel.config.horizon or 1
    back = torch.arange(horizon) % season - season
    at = (origin.unsqueeze(1) + back).clamp(min=0)
    found: Array = panel.y[panel.starts[series].unsqueeze(1) + at].numpy()
    return found


class Ridge:
    """A ridge autoregression on the network's windows: scaled alike, last value subtracted.

    One linear function of the context for each step of the horizon; the penalty is the best of
    `RIDGE_PENALTIES` on the validation windows.
    """

    def __init__(self, most: int = 20_000):
        self.most = most
        self.model: Any = None
        self.penalty = 0.0

    def fit(
        self,
        panel: Panel,
        train: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
    ) -> Ridge:
        """Fit on training windows (series, origin), choose the penalty on validation windows."""
        from sklearn.linear_model import Ridge as Regression

        x, y, _ = self._tables(panel, *_thin(train, self.most))
        x_val, y_val, real = self._tables(panel, *validation)
        tried = []
        for penalty in RIDGE_PENALTIES:
            model = Regression(alpha=penalty).fit(x, y)
            error = np.where(real, model.predict(x_val).reshape(y_val.shape) - y_val, 0.0)
            tried.append((float(np.square(error).mean()) if len(error) else 0.0, penalty, model))
        _, self.penalty, self.model = min(tried, key=lambda trial: trial[0])
        return self

    def __call__(self, panel: Panel, series: Tensor, origin: Tensor) -> Array:
        """Forecasts (N, h) of these windows."""
        context = panel.config.context_length or 1
        parts = []
        for start in range(0, len(series), _AT_ONCE):
            chosen = slice(start, start + _AT_ONCE)
            windows = panel.windows(series[chosen], origin[chosen])
            past = windows.y[:, :context]
            last = past[:, -1:]
            ahead = self.model.predict((past - last).numpy()).reshape(len(past), -1)
            parts.append(windows.unscaled(torch.from_numpy(ahead) + last).numpy())
        return np.concatenate(parts)

    def _tables(self, panel: Panel, series: Tensor, origin: Tensor) -> tuple[Any, Any, Any]:
        context = panel.config.context_length or 1
        windows = panel.windows(series, origin)
        y = windows.y.double()  # in float32 a small penalty leaves the system singular
        past, ahead = y[:, :context], y[:, context:]
        last = past[:, -1:]
        return (past - last).numpy(), (ahead - last).numpy(), windows.observed[:, context:].numpy()


def _thin(windows: tuple[Tensor, Tensor], most: int) -> tuple[Tensor, Tensor]:
    step = max(1, -(-len(windows[0]) // most))
    return windows[0][::step], windows[1][::step]


class Intervals:
    """Quantiles around a point forecast, from its errors on the validation windows.

    For each step of the horizon the quantiles of the errors, each divided by its window's unit:
    split conformal prediction (Vovk 2005), by step. With few validation windows they are rough.
    """

    def __init__(self, errors: Array, quantiles: tuple[float, ...]):
        self.errors, self.quantiles = errors, quantiles  # (h, Q) in units of a window

    @classmethod
    def fit(
        cls, point: Array, truth: Array, unit: Array, quantiles: tuple[float, ...]
    ) -> Intervals:
        """From forecasts and truths (N, h) of validation windows and their units (N, 1)."""
        relative = (truth - point) / unit
        empty = ~np.isfinite(relative).any(axis=0)
        relative[:, empty] = 0.0
        if not len(relative):
            relative = np.zeros((1, point.shape[1]))
        return cls(np.nanquantile(relative, quantiles, axis=0).T, quantiles)

    def around(self, point: Array, unit: Array) -> Array:
        """(N, h, Q) around (N, h)."""
        found: Array = point[..., None] + self.errors * unit[..., None]
        return found
