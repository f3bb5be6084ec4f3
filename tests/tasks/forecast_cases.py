"""Tables and series that the tests of forecasting share."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from gated.data import Health, Series, SeriesSet
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.forecast.split import Split
from gated.tasks.forecast.verdict import Evaluation
from gated.tasks.forecast.windows import Panel

TINY: dict[str, Any] = {
    "horizon": 4, "context_length": 12, "season": 6, "hidden_size": 4, "max_epochs": 2,
    "windows_per_epoch": 64, "scaling": "level", "origins": 5, "device": "cpu",
}  # fmt: skip


def waves(
    length: int = 120, ids: tuple[str, ...] = ("a",), seed: int = 0, level: float = 10.0
) -> pd.DataFrame:
    """Hourly sine waves of period 6 with a little noise, one a series."""
    rng = np.random.default_rng(seed)
    time = np.arange(length)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "unique_id": name,
                    "ds": pd.date_range("2024-01-01", periods=length, freq="h"),
                    "y": level + np.sin(time * np.pi / 3 + k) + 0.1 * rng.normal(size=length),
                }
            )
            for k, name in enumerate(ids)
        ],
        ignore_index=True,
    )


def trained(frame: pd.DataFrame, **options: Any) -> Forecaster:
    return Forecaster(**{**TINY, **options}).fit(frame)


@cache
def judged(cell: str) -> tuple[Forecaster, Evaluation]:
    """A forecaster on a cell, hardly trained, and its verdict: not to be changed."""
    options = {"num_layers": 2, "dropout": 0.1, "max_epochs": 1, "windows_per_epoch": 16}
    model = trained(waves(90), cell=cell, **options)
    return model, model.evaluate()


def config_of(**options: Any) -> ForecastConfig:
    return ForecastConfig.make({**TINY, **options})


def series(name: str, y: Any, past: Any = None, future: Any = None) -> Series:
    """A series with integer time."""
    y = np.asarray(y, dtype=float)
    past = np.zeros((len(y), 0)) if past is None else np.asarray(past, dtype=float)
    future = np.zeros((len(y), 0)) if future is None else np.asarray(future, dtype=float)
    return Series(name, np.arange(len(y)), y, past, future)


def set_of(*many: Series, season: int = 1) -> SeriesSet:
    one = many[0]
    health = Health(0, len(many), (), 0, 0, 0, 0, 0, 0, (), ())
    past = tuple(f"p{k}" for k in range(one.past.shape[1]))
    future = tuple(f"f{k}" for k in range(one.future.shape[1]))
    return SeriesSet(many, "y", past, future, "unique_id", "ds", None, season, health)


def panel_of(config: ForecastConfig, *many: Series, splits: list[Split] | None = None) -> Panel:
    from gated.tasks.forecast.scalers import Scalers

    ends = splits or [Split(len(one), len(one), len(one)) for one in many]
    scalers = Scalers.fit(many, ends, log=config.scaling == "log")
    return Panel(set_of(*many, season=config.season or 1), scalers, config)
