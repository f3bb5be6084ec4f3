"""What is found from the data when it is not given, and the split in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gated.data import Series, SeriesSet
from gated.errors import DataError
from gated.tasks.forecast.config import ForecastConfig

_HELD_OUT = 0.15
_WIDE = 10  # times that levels of series differ before relative errors are what matters


@dataclass(frozen=True)
class Split:
    """Where a series' parts end: training [0, train), validation [train, val), test [val, end)."""

    train: int
    val: int
    end: int


def resolve(config: ForecastConfig, data: SeriesSet) -> ForecastConfig:
    """Fill in horizon and context length from the season and the lengths.

    The horizon is a season (or a tenth of the series, at most 12), the context the longer of seven
    seasons and three horizons, as far as the training part reaches.

    Raises:
        DataError: no series is long enough to train, choose and test.
    """
    longest = max(len(series) for series in data.series)
    horizon = config.horizon or (data.season if data.season > 1 else max(1, min(12, longest // 10)))
    resolved = dataclasses.replace(config, horizon=horizon, season=data.season)
    reach = max(part.train for part in split(resolved, data.series)) - horizon
    if reach < 2:
        raise DataError(
            f"the longest series has {longest} steps, too few to train, choose and test with a "
            f"horizon of {horizon}: give at least {3 * horizon + 2} steps, or a shorter --horizon"
        )
    wanted = config.context_length or max(7 * data.season, 3 * horizon)
    context = config.context_length or max(2, min(wanted, reach // 2))
    origins = max(1, min(config.origins, (reach - context) // 2))
    scaling = _scaling(data) if config.scaling == "auto" else config.scaling
    return dataclasses.replace(resolved, context_length=context, origins=origins, scaling=scaling)


def _scaling(data: SeriesSet) -> str:
    """Logarithms for several series of positive values whose levels differ widely, as sales do."""
    levels = [float(np.nanmean(series.y)) for series in data.series]
    positive = all(float(np.nanmin(series.y)) > 0 for series in data.series)
    return "log" if positive and max(levels) > _WIDE * min(levels) else "level"


def split(config: ForecastConfig, series: Sequence[Series]) -> list[Split]:
    """The parts of each series; a part is at least one horizon or, in short series, empty."""
    return [_split(config, len(one)) for one in series]


def _split(config: ForecastConfig, length: int) -> Split:
    horizon = config.horizon or 1
    share = max(horizon, round(_HELD_OUT * length))
    test, val = config.test_size or share, config.val_size or share
    if length - test - val < horizon + 2 and not (config.test_size and config.val_size):
        test, val = config.test_size or horizon, config.val_size or horizon
    test = test if length - test >= 2 else 0
    val = val if length - test - val >= 2 else 0
    return Split(length - test - val, length - test, length)
