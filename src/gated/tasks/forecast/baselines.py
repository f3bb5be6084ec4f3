"""What any network must beat: baselines on the network's own windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.tasks.forecast.windows import Panel, Windows

Array = NDArray[np.float64]
RIDGE_PENALTIES = tuple(10.0**k for k in range(-1, 5))
_AT_ONCE = 512
_NUMBERS = 10_000_000  # in the table that a ridge is fitted on: 80 MB


def naive(panel: Panel, series: Tensor, origin: Tensor) -> Array:
    """The last value, over the whole horizon."""
    last = panel.y[panel.starts[series] + origin - 1]
    found: Array = last.unsqueeze(1).expand(-1, panel.config.horizon or 1).numpy()
    return found


def seasonal_naive(panel: Panel, series: Tensor, origin: Tensor) -> Array:
    """The values of the last season, repeated; before a series' start, its first value."""
    season, horizon = panel.config.season or 1, panel.config.horizon or 1
    back = torch.arange(horizon) % season - season
    at = (origin.unsqueeze(1) + back).clamp(min=0)
    found: Array = panel.y[panel.starts[series].unsqueeze(1) + at].numpy()
    return found


class Ridge:
    """A ridge autoregression on the network's windows: scaled alike, last value subtracted.

    One linear function of the context, of its covariates and of those known ahead, for each step
    of the horizon; the penalty is the best of `RIDGE_PENALTIES` on the validation windows.
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.penalty = 0.0

    def fit(
        self, panel: Panel, train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor]
    ) -> Ridge:
        """Fit on training windows (series, origin), choose the penalty on validation windows."""
        from sklearn.linear_model import Ridge as Regression

        width = _width(panel)
        x, y = _learnable(panel, *_thin(train, max(_NUMBERS // width, 2)))
        x_val, y_val, real = _tables(panel, *validation)
        tried = []
        for penalty in RIDGE_PENALTIES:
            model = Regression(alpha=penalty).fit(x, y)
            error = np.where(real, model.predict(x_val).reshape(y_val.shape) - y_val, 0.0)
            tried.append((float(np.square(error).sum()), penalty, model))
        _, self.penalty, self.model = min(tried, key=lambda trial: trial[0])
        return self

    def __call__(self, panel: Panel, series: Tensor, origin: Tensor) -> Array:
        """Forecasts (N, h) of these windows."""
        parts = []
        for windows, seen, last in _parts(panel, series, origin):
            ahead = self.model.predict(seen).reshape(len(seen), -1)
            parts.append(windows.unscaled(torch.from_numpy(ahead) + last).numpy())
        return np.concatenate(parts)


def _learnable(panel: Panel, series: Tensor, origin: Tensor) -> tuple[Array, Array]:
    """Contexts and targets of the windows whose targets are all real, if there are enough."""
    x, y, real = _tables(panel, series, origin)
    whole = real.all(axis=1)
    return (x[whole], y[whole]) if whole.sum() > x.shape[1] else (x, y)


def _tables(panel: Panel, series: Tensor, origin: Tensor) -> tuple[Array, Array, NDArray[np.bool_]]:
    """What is seen (N, ...), and targets (N, h) less the last value; which targets are real."""
    context = panel.config.context_length or 1
    x, y, real = [], [], []
    for windows, seen, last in _parts(panel, series, origin):
        x.append(seen)
        y.append((windows.y[:, context:] - last).numpy())
        real.append(windows.observed[:, context:].numpy())
    return np.concatenate(x), np.concatenate(y), np.concatenate(real)


def _width(panel: Panel) -> int:
    """The numbers of one window: what is seen, and the targets."""
    context, horizon = panel.config.context_length or 1, panel.config.horizon or 1
    past, future = len(panel.data.past), len(panel.data.future)
    return context * (1 + past + future) + horizon * (1 + future)


def _parts(panel: Panel, series: Tensor, origin: Tensor) -> Iterator[tuple[Windows, Array, Tensor]]:
    """Windows a few at a time, with what the ridge sees of them and their last values (B, 1)."""
    context = panel.config.context_length or 1
    for start in range(0, len(series), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        windows = panel.windows(series[part], origin[part])
        last = windows.y[:, context - 1 : context]
        seen = [windows.y[:, :context] - last, windows.covariates[:, :context].flatten(1)]
        seen.append(windows.future[:, context:].flatten(1))
        yield windows, torch.cat(seen, dim=1).double().numpy(), last


def _thin(windows: tuple[Tensor, Tensor], most: int) -> tuple[Tensor, Tensor]:
    step = max(1, -(-len(windows[0]) // most))
    return windows[0][::step], windows[1][::step]
