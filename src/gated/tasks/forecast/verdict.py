"""The verdict: the network beside the baselines on windows that nothing was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gated.data import SeriesSet
from gated.inspect.report.views import Outcome
from gated.inspect.words import cautions, verdict
from gated.tasks.forecast.predict import Forecasts

METRICS = ("MASE", "sMAPE", "RMSE", "WQL")
LEVELS = (50, 80, 90)
_FEW = 5  # windows that do not overlap
Array = NDArray[Any]


@dataclass(frozen=True)
class Evaluation:
    """Figures on held-out windows.

    Attributes:
        network: the network's name in the tables.
        metrics: model -> metric -> value, each the mean over series: MASE (scaled by the seasonal
            naive's error on the training part), sMAPE in percent (M4's), RMSE in the target's
            unit, WQL (weighted quantile loss), "coverage 90%" and the like as shares.
        by_horizon: metric (MAE, RMSE) -> model -> (h,).
        by_series: series -> model -> MASE.
        training: what is to be said of how training ended, one sentence each.
        forecasts: a table with unique_id, cutoff, ds, y and each model's point forecast and
            quantiles (columns "LSTM", "LSTM-q0.05", ...).
    """

    network: str
    metrics: dict[str, dict[str, float]]
    by_horizon: dict[str, dict[str, Array]]
    by_series: dict[str, dict[str, float]]
    forecasts: pd.DataFrame
    training: tuple[str, ...] = ()

    def verdict(self) -> tuple[str, Outcome]:
        """The sentence: does the network beat the best baseline, and by how much?"""
        return verdict(self.metrics, self.network, self._decisive())

    def cautions(self) -> list[str]:
        """What the sentence does not say and its reader should know."""
        targets = {f"coverage {level}%": level / 100 for level in LEVELS}
        network, metric = self.network, self._decisive()
        # where the network loses, that other metrics say so too is no news
        metrics = {network: self.metrics[network]} if self.verdict()[1] == "lose" else self.metrics
        found = cautions(metrics, network, metric, targets)
        apart = self._apart()
        if apart < _FEW:
            found.append(
                f"The held-out part has room for {apart} forecasts that do not overlap: take the "
                f"verdict as a hint."
            )
        return [*found, *self.training]

    def _decisive(self) -> str:
        """MASE, unless it is not defined, as for a series that never changes."""
        return "MASE" if np.isfinite(self.metrics[self.network]["MASE"]) else "RMSE"

    def _apart(self) -> int:
        """How many windows there are that do not overlap, over all series."""
        steps = self.forecasts.groupby("unique_id")["ds"].nunique()
        return int((steps // self.forecasts["step"].max()).sum())

    def table(self) -> pd.DataFrame:
        """The metrics, one row a model."""
        return pd.DataFrame(self.metrics).T

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; without the forecasts."""
        return {
            "network": self.network,
            "metrics": self.metrics,
            "by_horizon": {
                metric: {model: values.tolist() for model, values in models.items()}
                for metric, models in self.by_horizon.items()
            },
            "by_series": self.by_series,
        }


def judge(
    network: str,
    models: Mapping[str, Forecasts],
    truth: Array,
    stamps: list[Array],
    names: list[str],
    data: SeriesSet,
    train_ends: Mapping[str, int],
    quantiles: tuple[float, ...],
) -> Evaluation:
    """Compare models on N windows.

    Args:
        network: which of the models is the network.
        models: forecasts by name, with quantiles.
        truth: (N, h), NaN where missing: those steps do not count.
        stamps: for each window the h time stamps.
        names: for each window its series.
        data: for the season and the training parts.
        train_ends: where each series' training part ends.
        quantiles: levels of the forecasts' last axis.
    """
    frame = _table(models, truth, stamps, names, quantiles)
    seen = frame[np.isfinite(frame["y"])]
    train = _training(data, train_ends, set(names))
    by_series = _mase(seen, list(models), train, data.season)
    metrics = {
        model: {
            "MASE": float(by_series[model].mean()),
            **_errors(seen, model),
            "WQL": _quantile_loss(seen, model, quantiles),
            **_coverages(seen, model, quantiles),
        }
        for model in models
    }
    return Evaluation(
        network=network,
        metrics=metrics,
        by_horizon=_by_horizon(seen, list(models)),
        by_series={str(name): by_series.loc[name].to_dict() for name in by_series.index},
        forecasts=frame,
    )


def _table(
    models: Mapping[str, Forecasts],
    truth: Array,
    stamps: list[Array],
    names: list[str],
    quantiles: tuple[float, ...],
) -> pd.DataFrame:
    count, horizon = truth.shape
    columns: dict[str, Any] = {
        "unique_id": np.repeat(np.array(names, dtype=object), horizon),
        "window": np.repeat(np.arange(count), horizon),
        "step": np.tile(np.arange(1, horizon + 1), count),
        "ds": np.concatenate(stamps),
        "y": truth.ravel(),
    }
    for model, forecasts in models.items():
        columns[model] = forecasts.point.ravel()
        if forecasts.quantiles is not None:
            for k, level in enumerate(quantiles):
                columns[f"{model}-q{level:g}"] = forecasts.quantiles[..., k].ravel()
    return pd.DataFrame(columns)


def _training(data: SeriesSet, ends: Mapping[str, int], wanted: set[str]) -> pd.DataFrame:
    parts = []
    for one in data.series:
        if one.unique_id in wanted:
            part = slice(0, ends[one.unique_id])
            columns = {"unique_id": one.unique_id, "ds": one.ds[part], "y": one.y[part]}
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _mase(frame: pd.DataFrame, models: list[str], train: pd.DataFrame, season: int) -> pd.DataFrame:
    """MASE by series; the scale of a series too short for its season, or constant, is NaN."""
    from utilsforecast.losses import mase

    found = mase(frame, models, seasonality=season, train_df=train).set_index("unique_id")
    return found.replace([np.inf, -np.inf], np.nan)


def _errors(frame: pd.DataFrame, model: str) -> dict[str, float]:
    from utilsforecast.losses import rmse, smape

    return {
        "sMAPE": float(200 * smape(frame, [model])[model].mean()),
        "RMSE": float(rmse(frame, [model])[model].mean()),
    }


def _quantile_loss(frame: pd.DataFrame, model: str, quantiles: tuple[float, ...]) -> float:
    from utilsforecast.losses import scaled_crps

    columns = {model: [f"{model}-q{level:g}" for level in quantiles]}
    return float(scaled_crps(frame, columns, np.array(quantiles))[model].mean())


def _coverages(frame: pd.DataFrame, model: str, quantiles: tuple[float, ...]) -> dict[str, float]:
    found = {}
    for level in LEVELS:
        low, high = (1 - level / 100) / 2, (1 + level / 100) / 2
        low, high = round(low, 4), round(high, 4)
        if low in quantiles and high in quantiles:
            inside = frame["y"].between(frame[f"{model}-q{low:g}"], frame[f"{model}-q{high:g}"])
            found[f"coverage {level}%"] = float(inside.groupby(frame["unique_id"]).mean().mean())
    return found


def _by_horizon(frame: pd.DataFrame, models: list[str]) -> dict[str, dict[str, Array]]:
    mae: dict[str, Array] = {}
    rmse: dict[str, Array] = {}
    for model in models:
        error = frame[model] - frame["y"]
        mae[model] = error.abs().groupby(frame["step"]).mean().to_numpy()
        rmse[model] = np.sqrt(error.pow(2).groupby(frame["step"]).mean().to_numpy())
    return {"MAE": mae, "RMSE": rmse}
