"""What a report page shows, as plain data: a task fills these, the page draws them.

    Report
    ├── ForecastView   one held-out window: history, truth, forecast, intervals, baselines
    ├── SeriesRow      one series: the network's error beside the baselines'
    ├── CurvesView     training and validation loss by epoch
    └── TraceView      one window: the input, and every gate and state of every layer

A part that is None is absent from the page. Times are datetime64 or numbers of steps. A model has
the same name in every part: it gets the same colour and dash in every chart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gated.errors import ShapeError

__all__ = ["CurvesView", "ForecastView", "Outcome", "Report", "SeriesRow", "TraceView"]

Array = NDArray[Any]
Outcome = Literal["win", "lose", "tie", "none"]


@dataclass(frozen=True)
class ForecastView:
    """One held-out window of one series. F future steps, N steps of history.

    ``quantiles`` maps a level in (0, 1) to (F,); levels q and 1 - q make a band. ``baselines`` maps
    a model's name to (F,). ``truth`` may hold NaN where a value is missing.
    """

    series: str
    history_time: Array
    history: Array
    future_time: Array
    truth: Array
    point: Array
    quantiles: Mapping[float, Array] = field(default_factory=dict)
    baselines: Mapping[str, Array] = field(default_factory=dict)
    label: str = ""  # what tells this window from the others of the series, e.g. its start

    def __post_init__(self) -> None:
        where = f"forecast of series {self.series!r}"
        _same_length(where, "history", self.history, len(self.history_time))
        steps = len(self.future_time)
        _same_length(where, "truth", self.truth, steps)
        _same_length(where, "point", self.point, steps)
        for level, values in self.quantiles.items():
            _same_length(where, f"quantile {level:g}", values, steps)
        for name, values in self.baselines.items():
            _same_length(where, f"baseline {name!r}", values, steps)


@dataclass(frozen=True)
class SeriesRow:
    """One series: the network's error, and each baseline's, in the report's ``series_metric``."""

    series: str
    network: float
    baselines: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CurvesView:
    """Loss by epoch. ``best`` is the epoch (an element of ``epochs``) whose weights were kept."""

    epochs: Array
    train: Array
    validation: Array
    best: int | None = None
    loss: str = "loss"

    def __post_init__(self) -> None:
        _same_length("learning curves", "train", self.train, len(self.epochs))
        _same_length("learning curves", "validation", self.validation, len(self.epochs))


@dataclass(frozen=True)
class TraceView:
    """What every unit did over one window of T steps.

    ``inputs`` maps a column to (T,), the target first. ``layers`` maps a label ("layer 1",
    "layer 1, backward") to that layer's trace: name of a gate or state -> (T, H), in the order in
    which the panels stand. ``meanings`` says in plain words what a gate or state does.
    """

    time: Array
    inputs: Mapping[str, Array]
    layers: Mapping[str, Mapping[str, Array]]
    meanings: Mapping[str, str] = field(default_factory=dict)
    series: str = ""

    def __post_init__(self) -> None:
        steps = len(self.time)
        for name, values in self.inputs.items():
            _same_length("trace", f"input {name!r}", values, steps)
        for label, gates in self.layers.items():
            for name, values in gates.items():
                if np.ndim(values) != 2 or len(values) != steps:
                    raise ShapeError(
                        f"trace of {label!r}: {name} has shape {np.shape(values)}, expected "
                        f"(T={steps}, H); pass one sequence of the batch"
                    )


@dataclass(frozen=True)
class Report:
    """Everything one page shows, in the order of the page.

    ``metrics`` maps model -> metric -> value; lower is better, except for a metric named in
    ``targets``, whose value (a share in [0, 1]) should be near the target. ``network`` is the name
    of the network among the models; it stands first in every table.

    ``half_life`` maps a layer's label (as in ``trace.layers``, whose units it sorts) to (H,) steps,
    or to None for a layer whose cell has no forget gate. ``references`` are lengths to compare it
    with, in steps: {"one day": 24, "context": 168}. ``step`` is one time step as a countable noun.
    """

    title: str
    headline: str
    cautions: Sequence[str] = ()
    subtitle: str = ""
    outcome: Outcome = "none"
    step: str = "step"
    network: str = ""
    health: Mapping[str, object] | None = None
    health_notes: Sequence[str] = ()
    metrics: Mapping[str, Mapping[str, float]] | None = None
    targets: Mapping[str, float] = field(default_factory=dict)
    by_horizon: Mapping[str, Mapping[str, Array]] | None = None
    by_series: Sequence[SeriesRow] | None = None
    series_metric: str = "MASE"
    forecasts: Sequence[ForecastView] | None = None
    curves: CurvesView | None = None
    trace: TraceView | None = None
    half_life: Mapping[str, Array | None] | None = None
    references: Mapping[str, float] = field(default_factory=dict)
    equations: Sequence[str] | None = None
    equations_source: str = ""
    config: Mapping[str, object] | None = None
    environment: Mapping[str, object] | None = None
    command: str | None = None


def _same_length(where: str, name: str, values: Array, expected: int) -> None:
    if np.shape(values) != (expected,):
        raise ShapeError(
            f"{where}: {name} has shape {np.shape(values)}, expected ({expected},): "
            "one value for each of its times"
        )
