"""What is found from the data when it is not given, and the split in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gated.data import Series, SeriesSet
from gated.errors import DataError, OptionError
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
        DataError: no series is long enough to train, choose and test, or holds values to choose by.
        OptionError: a size is too small for the horizon, or logarithms are asked for where there
            are none.
    """
    longest = max(len(series) for series in data.series)
    horizon = config.horizon or (data.season if data.season > 1 else max(1, min(12, longest // 10)))
    resolved = dataclasses.replace(config, horizon=horizon, season=data.season)
    cuts = split(resolved, data.series)
    _check(resolved, data.series, cuts, horizon)
    reach = max(cut.train for cut in cuts) - horizon
    wanted = max(7 * data.season, 3 * horizon)
    context = config.context_length or max(2, min(wanted, reach // 2))
    origins = max(1, min(config.origins, (reach - context) // 2))
    scaling = _scaling(config, data.series, cuts)
    return dataclasses.replace(resolved, context_length=context, origins=origins, scaling=scaling)


def _check(
    config: ForecastConfig, series: Sequence[Series], cuts: list[Split], horizon: int
) -> None:
    """Find out before training what would only show after it."""
    for name in ("val_size", "test_size"):
        size = getattr(config, name)
        if size is not None and size < horizon:
            raise OptionError(
                f"{name}={size}: expected at least {horizon} steps, the horizon, so that one "
                f"forecast fits"
            )
    longest = max(cut.end for cut in cuts)
    if max(cut.train for cut in cuts) < horizon + 2:
        raise DataError(
            f"the longest series has {longest} steps, too few to train, choose and test with a "
            f"horizon of {horizon}: give at least {3 * horizon + 2} steps, or a shorter --horizon"
        )
    if not any(cut.train < cut.val < cut.end for cut in cuts):
        raise OptionError(
            f"val_size={config.val_size}: the longest series has {longest} steps, and these and "
            f"test_size={config.test_size} leave none to train on; expected less"
        )
    parts = zip(series, cuts, strict=True)
    if not any(np.isfinite(s.y[cut.train : cut.val]).any() for s, cut in parts):
        raise DataError(
            "no target is known in the validation part, the steps before the held-out end: nothing "
            "can choose the weights; give another --val-size or --test-size"
        )


def _scaling(config: ForecastConfig, series: Sequence[Series], cuts: list[Split]) -> str:
    """Logarithms for several series of positive values whose levels differ widely, as sales do."""
    parts = [s.y[: cut.train] for s, cut in zip(series, cuts, strict=True)]
    least = [float(np.nanmin(part)) for part in parts]
    if config.scaling == "log" and min(least) <= 0:
        name = series[least.index(min(least))].unique_id
        raise OptionError(
            f"scaling='log': series {name!r} holds {min(least):g}, expected positive values alone; "
            f"use scaling=level"
        )
    if config.scaling != "auto":
        return config.scaling
    means = [float(np.nanmean(part)) for part in parts]
    return "log" if min(least) > 0 and max(means) > _WIDE * min(means) else "level"


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
