"""Forecasts of a trained network, and intervals around forecasts that have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.data import SeriesSet
from gated.models import ForecastNet
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.windows import Panel

Array = NDArray[np.float64]
_AT_ONCE = 512


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
    net.eval()
    context = config.context_length or 1
    weight = next(net.parameters())
    parts = []
    with torch.no_grad():
        for start in range(0, len(series), _AT_ONCE):
            chosen = slice(start, start + _AT_ONCE)
            windows = panel.windows(series[chosen], origin[chosen])
            future = windows.future[:, None, context:] if windows.future.shape[-1] else None
            out = net(
                windows.features(context).to(weight),
                windows.y[:, :context].to(weight),
                None if future is None else future.to(weight),
            )
            parts.append(windows.unscaled(out[:, 0].cpu().sort(-1).values))
    found = torch.cat(parts).numpy()
    if config.loss != "quantile":
        return Forecasts(found[..., 0])
    return Forecasts(found[..., config.quantiles.index(0.5)], found)


def units(panel: Panel, series: Tensor, origin: Tensor) -> Array:
    """(N, 1): the size of an ordinary change in each window, in the target's unit."""
    parts = [
        panel.windows(series[part], origin[part]).unit
        for part in (slice(k, k + _AT_ONCE) for k in range(0, len(series), _AT_ONCE))
    ]
    found: Array = torch.cat([torch.zeros(0, 1, dtype=torch.float64), *parts]).numpy()
    return found


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


def as_frame(
    name: str, data: SeriesSet, found: Forecasts, steps: int, quantiles: tuple[float, ...]
) -> pd.DataFrame:
    """The next `steps` of each series: unique_id, ds, the forecast and its bounds by name.

    A bound's name says which central interval it ends: "LSTM-lo-90" is the quantile 0.05.
    """
    longest = found.point.shape[1]
    columns: dict[str, Any] = {
        "unique_id": np.repeat([s.unique_id for s in data.series], steps),
        "ds": np.concatenate([data.stamps_after(s, longest)[:steps] for s in data.series]),
        name: found.point[:, :steps].ravel(),
    }
    if found.quantiles is not None:
        for column, level in enumerate(quantiles):
            if level != 0.5:
                side = "lo" if level < 0.5 else "hi"
                label = f"{name}-{side}-{100 * abs(1 - 2 * level):g}"
                columns[label] = found.quantiles[:, :steps, column].ravel()
    return pd.DataFrame(columns)
