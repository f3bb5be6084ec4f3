"""`Forecaster`: from a table to a trained, judged and saved forecaster."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch

from gated.data import Schema, SeriesSet, detect, series_set
from gated.errors import CheckpointError, OptionError
from gated.models import ForecastNet
from gated.tasks.forecast import evaluate, predict, stored, tail
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.learner import ForecastLearner, make_net
from gated.tasks.forecast.predict import Intervals
from gated.tasks.forecast.scalers import Scalers
from gated.tasks.forecast.split import resolve, split
from gated.tasks.forecast.verdict import Evaluation
from gated.tasks.forecast.windows import Panel
from gated.training import (
    History,
    Progress,
    RunDirectory,
    fit,
    load_model,
    load_weights,
    save_model,
)


class Forecaster:
    """A recurrent forecaster for one or many series.

    Args:
        options: the fields of `ForecastConfig` by name: horizon, context_length, cell, loss, ...

    Attributes:
        config: what was asked for; after `fit`, with all that was found from the data.
        schema: how the table was read, after `fit`.
        net: the network, after `fit`.
        history: losses by epoch, after `fit`.

    Raises:
        OptionError: an option does not exist or makes no sense.

    Example:
        >>> import numpy as np, pandas as pd, gated
        >>> days = pd.date_range("2024-01-01", periods=200)
        >>> frame = pd.DataFrame({"unique_id": "a", "ds": days, "y": np.sin(np.arange(200))})
        >>> model = gated.Forecaster(horizon=7, hidden_size=8, max_epochs=1).fit(frame)
        >>> model.predict(7).shape[0]
        7
    """

    def __init__(self, **options: Any):
        self.config = self._asked = ForecastConfig.make(options)
        self.schema: Schema | None = None
        self.net: ForecastNet | None = None
        self.history: History | None = None
        self._data: SeriesSet | None = None
        self._ends_alone = False  # whether _data is what is kept with a model, not a whole table
        self._scalers: Scalers | None = None
        self._intervals: Intervals | None = None

    @classmethod
    def from_config(cls, config: ForecastConfig) -> Self:
        """A forecaster of a configuration that is there already."""
        return cls(**{f.name: getattr(config, f.name) for f in dataclasses.fields(config)})

    def read(self, frame: pd.DataFrame, schema: Schema | None = None) -> Self:
        """Read the table and settle what was not given, without training.

        Raises:
            DataError: the table cannot be read as time series, or is too short.
        """
        config = self._asked
        self.schema = schema or detect(
            frame,
            target=config.target,
            time_col=config.time_col,
            id_col=config.id_col,
            freq=config.freq,
            season=config.season,
            past=config.past,
            future=config.future,
        )
        self._data = series_set(frame, self.schema)
        self.config = resolve(config, self._data)
        self._ends_alone = False
        return self

    def fit(
        self,
        frame: pd.DataFrame | None = None,
        *,
        run: RunDirectory | str | Path | None = None,
        resume: bool = False,
        progress: str | Progress = "silent",
    ) -> Self:
        """Train on a table.

        Args:
            frame: the table; None if `read` was called before.
            run: where configuration, metrics, checkpoints and model are written; a temporary
                directory if None.
            resume: go on with what `run` holds.
            progress: "auto", "bar", "plain" or "silent".

        Raises:
            DataError: the table cannot be read as time series, or is too short.
            TrainingError, CheckpointError, Interrupted: see `gated.training.fit`.
        """
        if frame is not None:
            self.read(frame)
        data = self._whole_table()
        splits = split(self.config, data.series)
        scalers = Scalers.fit(data.series, splits, log=self.config.scaling == "log")
        panel = Panel(data, scalers, self.config)
        net = make_net(self.config, len(data.past), len(data.future))
        learner = ForecastLearner(net, panel, splits, self.config)
        if isinstance(run, RunDirectory):
            self.history = fit(
                learner, self.config.training(), run, resume=resume, progress=progress
            )
        else:
            self.history = self._fit_in(learner, run, resume, progress)
        self.net, self._scalers, self._intervals = net.cpu(), scalers, None
        if self.config.loss != "quantile":
            windows = evaluate.validation_windows(splits, self.config)
            point = lambda s, o: predict.network(net, panel, self.config, s, o).point  # noqa: E731
            self._intervals = evaluate.calibrate(panel, windows, point, self.config)
        if isinstance(run, RunDirectory):
            self._save_beside(run.path)
        elif run is not None:
            self._save_beside(Path(run))
        return self

    def _fit_in(
        self,
        learner: ForecastLearner,
        run: str | Path | None,
        resume: bool,
        progress: str | Progress,
    ) -> History:
        with tempfile.TemporaryDirectory() as place:
            path = Path(run) if run is not None else Path(place) / "run"
            config = self.to_dict()
            opened = (
                RunDirectory.resume(path, config) if resume else RunDirectory.create(path, config)
            )
            with opened as directory:
                return fit(
                    learner, self.config.training(), directory, resume=resume, progress=progress
                )

    def predict(
        self, horizon: int | None = None, frame: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Forecast what follows each series.

        Args:
            horizon: steps, at most the horizon of the training; all of them if None.
            frame: rows that continue the series that training saw, or the history of others. The
                series' own ends if None.

        Returns:
            unique_id, ds, the forecast under the network's name, and its intervals' bounds as in
            "LSTM-lo-90", "LSTM-hi-90".

        Raises:
            OptionError: the horizon is longer than the network's.
            DataError: the table cannot be read, or future covariates do not reach far enough.
        """
        net, config = self._trained(), self.config
        longest = config.horizon or 1
        steps = longest if horizon is None else horizon
        if not 1 <= steps <= longest:
            raise OptionError(
                f"horizon={horizon}: this model was trained to forecast 1 to {longest} steps; "
                f"train with horizon={horizon} for more"
            )
        panel = self.panel() if frame is None else self.panel(self._continued(frame))
        panel.check_future(steps)
        windows = torch.arange(len(panel.data)), panel.lengths
        found = predict.network(net, panel, config, *windows)
        found = evaluate.with_quantiles(found, predict.units(panel, *windows), self._intervals)
        name = evaluate.network_name(config)
        return predict.as_frame(name, panel.data, found, steps, config.quantiles)

    def update(self, frame: pd.DataFrame) -> Self:
        """Take new rows as history: the next `predict` starts after them, for every series."""
        self._trained()
        assert self._scalers is not None
        self._data = self._continued(frame, others=True)
        self._scalers = self._scalers.covering(self._data.series)
        return self

    def save_history(self, directory: str | Path) -> None:
        """Write the series' ends, after `update`, so that `from_pretrained` starts after them."""
        self._save_beside(Path(directory))

    def evaluate(self, windows: int | None = None) -> Evaluation:
        """Judge the network beside the baselines on the held-out part of its table.

        Args:
            windows: so many rolling origins at the end of each series; all of the test part,
                evenly thinned to about 3000 windows, if None.
        """
        net, data = self._trained(), self._whole_table()
        splits = split(self.config, data.series)
        horizon = self.config.horizon or 1
        chosen = (
            evaluate.held_out(splits, horizon)
            if windows is None
            else evaluate.rolling(splits, horizon, windows)
        )
        found = evaluate.evaluate(net, self.panel(), splits, self.config, self._intervals, chosen)
        return dataclasses.replace(found, training=evaluate.of_training(self.history))

    @property
    def data(self) -> SeriesSet:
        """The series that were read."""
        return self._ready()[0]

    @property
    def network(self) -> ForecastNet:
        """The trained network."""
        return self._trained()

    def panel(self, data: SeriesSet | None = None) -> Panel:
        """Series as windows, scaled as the network sees them; its own series if None."""
        if self._scalers is None:
            raise OptionError("this forecaster is not trained: call fit(frame), or from_pretrained")
        return Panel(self.data if data is None else data, self._scalers, self.config)

    def save_pretrained(self, directory: str | Path) -> None:
        """Write model.safetensors, config.json, scalers.json and the series' ends."""
        net = self._trained()
        save_model(directory, net.state_dict(), self.to_dict())
        self._save_beside(Path(directory))

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> Self:
        """Load what `save_pretrained`, or a training run, wrote.

        Raises:
            CheckpointError: it is missing, damaged, or does not fit.
        """
        path = Path(directory)
        tensors, config = load_model(path)
        model = cls.from_dict(config)
        data = model.schema
        assert data is not None
        model.net = make_net(model.config, len(data.past), len(data.future))
        load_weights(model.net, tensors, str(path))
        model.net.eval()
        model._load_beside(path)
        return model

    def to_dict(self) -> dict[str, Any]:
        """Configuration and schema as plain data."""
        _, schema = self._ready() if self._data is not None else (None, self.schema)
        return {
            "task": "forecast",
            "forecast": self.config.to_dict(),
            "schema": None if schema is None else schema.to_dict(),
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """What `to_dict` gave."""
        if plain.get("task") != "forecast" or not plain.get("schema"):
            raise CheckpointError(
                f"this is a model of task {plain.get('task')!r}, expected 'forecast'"
            )
        model = cls(**plain["forecast"])
        model.schema = Schema.from_dict(plain["schema"])
        return model

    def _ready(self) -> tuple[SeriesSet, Schema]:
        if self._data is None or self.schema is None:
            raise OptionError("no table was read: pass one to fit(frame)")
        return self._data, self.schema

    def _whole_table(self) -> SeriesSet:
        if self._ends_alone:
            raise OptionError(
                "a loaded model knows the ends of its series alone: call read(frame) with the "
                "table that it learned from"
            )
        return self.data

    def _trained(self) -> ForecastNet:
        if self.net is None:
            raise OptionError("this forecaster is not trained: call fit(frame), or from_pretrained")
        return self.net

    def _continued(self, frame: pd.DataFrame, *, others: bool = False) -> SeriesSet:
        """The table's series, continuing those that are known; `others`: and all that are."""
        assert self.schema is not None
        new = tail.rows(frame, self.schema)
        named = set(new["unique_id"])
        timed = self.schema.time_col is not None  # without times, rows cannot continue others
        known = self._data.series if self._data else ()
        old = [s for s in known if (timed if s.unique_id in named else others)]
        parts = [tail.long_frame(dataclasses.replace(self.data, series=tuple(old)))] if old else []
        return tail.joined([*parts, new], self.schema)

    def _save_beside(self, directory: Path) -> None:
        assert self._scalers is not None
        stored.save_scalers(directory, self._scalers, self._intervals)
        ends = tail.ends(self.data, self.config.context_length or 1, log=self._scalers.log)
        stored.save_tail(ends, directory)

    def _load_beside(self, directory: Path) -> None:
        assert self.schema is not None
        self._scalers, self._intervals = stored.load_scalers(directory, self.config.quantiles)
        self._data = tail.read(stored.load_tail(directory), self.schema)
        self._ends_alone = True
