"""The verdict by cutoff: would the network have done well at each of several past times?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gated.data import SeriesSet
from gated.tasks.forecast.verdict import Evaluation


def by_cutoff(evaluation: Evaluation, data: SeriesSet) -> dict[str, dict[str, float]]:
    """MASE of each model for each rolling origin, the mean over the series; the oldest first.

    The names are the last time stamps before the forecasts where all series share them, else
    "window 1 of 4" and so on, counted in each series.
    """
    models = list(evaluation.metrics)
    frame = evaluation.forecasts.copy()
    frame[models] = frame[models].sub(frame["y"], axis=0).abs()
    seen = frame[frame["y"].notna()]
    scales = _scales(seen, evaluation)
    keys = ["unique_id", "window"]
    errors = seen.groupby(keys, sort=False)[models].mean().reset_index()
    errors[models] = errors[models].div(errors["unique_id"].map(scales), axis=0)
    errors["first"] = errors["window"].map(frame.groupby("window")["ds"].first())
    errors["turn"] = errors.groupby("unique_id")["first"].rank().astype(int)
    turns = [rows for _, rows in errors.groupby("turn")]
    names = _names(turns, data)
    return {
        name: {m: float(rows[m].mean()) for m in models}
        for name, rows in zip(names, turns, strict=True)
    }


def _scales(seen: pd.DataFrame, evaluation: Evaluation) -> dict[str, float]:
    """What each series' errors were divided by; from the model with the largest, to be exact."""
    scales = {}
    for name, row in evaluation.by_series.items():
        worst = max(row, key=lambda model: row[model])
        scales[name] = float(seen.loc[seen["unique_id"] == name, worst].mean() / row[worst])
    return scales


def _names(turns: list[pd.DataFrame], data: SeriesSet) -> list[str]:
    if any(rows["first"].nunique() > 1 for rows in turns):
        return [f"window {k} of {len(turns)}" for k in range(1, len(turns) + 1)]
    series = next(s for s in data.series if s.unique_id == turns[0]["unique_id"].iloc[0])
    firsts = [rows["first"].to_numpy()[0] for rows in turns]
    cutoffs = series.ds[np.searchsorted(series.ds, firsts) - 1]
    return [str(text) for text in pd.Series(cutoffs).astype(str)]
