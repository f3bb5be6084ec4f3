"""From a trained network to its verdict: windows chosen, models run, figures computed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gated.errors import DataError
from gated.models import ForecastNet
from gated.tasks.forecast import baselines, predict
from gated.tasks.forecast.baselines import Ridge
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.learner import origins_between
from gated.tasks.forecast.predict import Array, Forecasts, Intervals
from gated.tasks.forecast.split import Split
from gated.tasks.forecast.verdict import Evaluation, judge
from gated.tasks.forecast.windows import Panel
from gated.training import History

NAIVE, SEASONAL, RIDGE = "naive", "seasonal naive", "ridge"
_MOST = 3000  # held-out windows, over all series
_CALIBRATION = 1000  # validation windows that intervals are taken from

Windows = tuple[Tensor, Tensor]
Point = Callable[[Tensor, Tensor], Array]


def network_name(config: ForecastConfig) -> str:
    """The network's name in tables and columns."""
    return config.cell.upper()


def calibrate(panel: Panel, windows: Windows, point: Point, config: ForecastConfig) -> Intervals:
    """Intervals of a point forecaster from its errors on validation windows."""
    truth = panel.truth(*windows).numpy()
    return Intervals.fit(point(*windows), truth, predict.units(panel, *windows), config.quantiles)


def held_out(splits: list[Split], horizon: int) -> Windows:
    """The windows of the verdict: evenly spaced origins over the test parts."""
    start = torch.tensor([cut.val for cut in splits])
    end = torch.tensor([cut.end for cut in splits])
    return origins_between(start, end, horizon, _MOST)


def rolling(splits: list[Split], horizon: int, count: int) -> Windows:
    """`count` origins of each series that end with its data, a horizon apart where there is room.

    With less room they stand closer; no two are the same, so there may be fewer.

    Raises:
        DataError: no test part is long enough for one window.
    """
    series, origin = [], []
    for index, cut in enumerate(splits):
        room = cut.end - cut.val - horizon
        if room < 0:
            continue
        step = max(1, min(horizon, room // max(1, count - 1)))
        found = [cut.end - horizon - back for back in range(0, room + 1, step)][:count][::-1]
        series += [index] * len(found)
        origin += found
    if not series:
        raise DataError(
            f"no series has {horizon} held-out steps: train with a larger --test-size, or a "
            f"shorter --horizon"
        )
    return torch.tensor(series), torch.tensor(origin)


def evaluate(
    net: ForecastNet,
    panel: Panel,
    splits: list[Split],
    config: ForecastConfig,
    intervals: Intervals | None,
    windows: Windows,
) -> Evaluation:
    """Judge the network beside the baselines on `windows`.

    The ridge is fitted on training windows; what gives no quantiles itself gets them from its
    errors on validation windows.

    Raises:
        DataError: there are no windows.
    """
    if not len(windows[0]):
        raise DataError(
            f"no series has {config.horizon} steps after its validation part to be judged on: give "
            f"more data, or a shorter --horizon"
        )
    validation = _between(splits, "train", "val", config, _CALIBRATION)
    truth, unit = panel.truth(*windows).numpy(), predict.units(panel, *windows)
    models = {network_name(config): with_quantiles(
        predict.network(net, panel, config, *windows), unit, intervals
    )}  # fmt: skip
    for name, point in _baselines(panel, splits, config, validation).items():
        found = calibrate(panel, validation, point, config)
        models[name] = with_quantiles(Forecasts(point(*windows)), unit, found)
    names = [panel.data.series[i].unique_id for i in windows[0].tolist()]
    horizon = config.horizon or 1
    stamps = [
        panel.data.series[i].ds[o : o + horizon]
        for i, o in zip(windows[0].tolist(), windows[1].tolist(), strict=True)
    ]
    ends = {s.unique_id: cut.train for s, cut in zip(panel.data.series, splits, strict=True)}
    name = network_name(config)
    return judge(name, models, truth, stamps, names, panel.data, ends, config.quantiles)


def of_training(history: History | None) -> tuple[str, ...]:
    """What a verdict should say of a training: that it may have ended too early."""
    if history is None or history.best_epoch != len(history.lines):
        return ()
    epochs = "1 epoch" if len(history.lines) == 1 else f"{len(history.lines)} epochs"
    return (
        f"Training ended after {epochs}, all that it was given, and the last was the best: more "
        f"may help (--max-epochs {2 * len(history.lines)}).",
    )


def with_quantiles(forecasts: Forecasts, unit: Array, intervals: Intervals | None) -> Forecasts:
    """Forecasts with the intervals' quantiles, where they have none of their own."""
    if forecasts.quantiles is not None or intervals is None:
        return forecasts
    return Forecasts(forecasts.point, intervals.around(forecasts.point, np.asarray(unit)))


def _baselines(
    panel: Panel, splits: list[Split], config: ForecastConfig, validation: Windows
) -> dict[str, Point]:
    train = _between(splits, "", "train", config, 20_000)
    found: dict[str, Point] = {NAIVE: lambda s, o: baselines.naive(panel, s, o)}
    if (config.season or 1) > 1:
        found[SEASONAL] = lambda s, o: baselines.seasonal_naive(panel, s, o)
    if len(train[0]) > 1:
        ridge = Ridge().fit(panel, train, validation)
        found[RIDGE] = lambda s, o: ridge(panel, s, o)
    return found


def _between(
    splits: list[Split], start: str, end: str, config: ForecastConfig, most: int
) -> Windows:
    """Evenly spaced windows between two ends of the split; "" stands for the first full context."""
    context, horizon = config.context_length or 1, config.horizon or 1
    first = [
        getattr(cut, start) if start else max(1, min(context, cut.train // 2)) for cut in splits
    ]
    last = [getattr(cut, end) for cut in splits]
    return origins_between(torch.tensor(first), torch.tensor(last), horizon, most)


def validation_windows(splits: list[Split], config: ForecastConfig) -> Windows:
    """The windows that intervals are calibrated on."""
    return _between(splits, "train", "val", config, _CALIBRATION)
