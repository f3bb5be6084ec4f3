"""The page of a forecaster: its verdict, its forecasts, and what it remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gated.data import SeriesSet
from gated.equations import Cell
from gated.equations.render import latex_lines
from gated.inspect.measures import forget_factor, half_life
from gated.inspect.report.views import CurvesView, ForecastView, Report, SeriesRow, TraceView
from gated.inspect.words import plural
from gated.models import ForecastNet
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.verdict import LEVELS, Evaluation

_VIEWS = 6
_HISTORY = 3  # horizons of history before a forecast, at least
_MEANINGS = {
    "f": "how much of c is kept", "i": "how much of g is written into c",
    "g": "what could be written", "o": "how much of c is shown",
    "c": "the memory", "h": "the output",
    "r": "how much of h the proposal sees", "z": "how much of h is kept", "n": "the proposed new h",
}  # fmt: skip
STEPS = {"h": "hour", "D": "day", "W": "week", "MS": "month", "ME": "month", "min": "minute",
          "QS": "quarter", "YS": "year", "s": "second"}  # fmt: skip


def build_report(
    forecaster: Forecaster,
    evaluation: Evaluation,
    *,
    command: str,
    run_config: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> Report:
    """Everything the page shows.

    Args:
        forecaster: trained, with the table it was trained on.
        evaluation: its verdict on the held-out part.
        command: what reproduces it.
        run_config: configuration to print.
        environment: versions and machine to print.
    """
    data, net = forecaster.data, forecaster.network
    headline, outcome = evaluation.verdict()
    trace, memory = _inside(forecaster, data, net)
    several = len(evaluation.by_series) > 1
    return Report(
        title=f"Forecast of {target_name(data)}",
        headline=headline,
        outcome=outcome,
        cautions=evaluation.cautions(),
        subtitle=_subtitle(forecaster, data),
        step=STEPS.get(data.freq or "", "step"),
        network=evaluation.network,
        health=_health(data),
        health_notes=_notes(data),
        metrics=evaluation.metrics,
        targets={f"coverage {level}%": level / 100 for level in LEVELS},
        by_horizon=evaluation.by_horizon,
        by_series=_rows(evaluation) if several else None,
        forecasts=_forecasts(evaluation, data, forecaster.config.quantiles),
        curves=_curves(forecaster),
        trace=trace,
        half_life=memory,
        references=_references(forecaster),
        equations=latex_lines(net.rnn.cell.graph),
        equations_source=net.rnn.cell.source,
        config=run_config,
        environment=environment,
        command=command,
    )


def target_name(data: SeriesSet) -> str:
    """What is forecast, for a heading."""
    return data.target if data.target != "*" else f"{len(data)} series"


def _subtitle(forecaster: Forecaster, data: SeriesSet) -> str:
    config = forecaster.config
    series = f"{len(data)} series" if len(data) > 1 else "one series"
    return (
        f"{series}; {config.horizon} steps ahead from the last {config.context_length}; "
        f"{config.cell}, {plural(config.num_layers, 'layer')} of {config.hidden_size} units"
    )


def _health(data: SeriesSet) -> dict[str, object]:
    health = data.health
    lengths = [span["length"] for span in health.spans]
    rows: dict[str, object] = {
        "rows": health.rows,
        "series": health.series,
        "steps": lengths[0] if len(set(lengths)) == 1 else f"{min(lengths)} to {max(lengths)}",
        "from": min(str(span["start"]) for span in health.spans),
        "to": max(str(span["end"]) for span in health.spans),
        "frequency": data.freq or "integer steps",
        "season": data.season if data.season > 1 else "none found",
        "missing steps": health.gaps + health.missing,
    }
    if health.gaps + health.missing:
        rows["longest gap"] = health.longest_gap
    return rows


def _notes(data: SeriesSet) -> list[str]:
    notes = list(data.health.notes)
    if data.health.gaps + data.health.missing:
        notes.append(
            "Missing steps are filled with the last value before them as input, marked as not "
            "observed, and left out of the loss and of every figure."
        )
    return notes


def _rows(evaluation: Evaluation) -> list[SeriesRow]:
    return [
        SeriesRow(
            name,
            float(row[evaluation.network]),
            {model: float(v) for model, v in row.items() if model != evaluation.network},
        )
        for name, row in evaluation.by_series.items()
    ]


def _forecasts(
    evaluation: Evaluation, data: SeriesSet, quantiles: tuple[float, ...]
) -> list[ForecastView]:
    """Windows spread over series and time, the last one first."""
    frame = evaluation.forecasts
    first = frame.groupby("window", sort=True)["unique_id"].first()
    chosen = _spread(first)
    return [_view(frame[frame["window"] == w], evaluation, data, quantiles) for w in chosen]


def _spread(series_of: pd.Series[Any]) -> list[int]:
    """The last window of up to six series; of fewer series, also earlier windows."""
    names = list(dict.fromkeys(series_of))
    names = [names[k] for k in sorted({round(k) for k in np.linspace(0, len(names) - 1, _VIEWS)})]
    each = max(1, _VIEWS // len(names))
    found: list[int] = []
    for name in names:
        windows = series_of.index[series_of == name].to_numpy()
        spots = np.linspace(len(windows) - 1, 0, each).round().astype(int)
        found += dict.fromkeys(int(windows[spot]) for spot in spots)
    return found


def _view(
    rows: pd.DataFrame, evaluation: Evaluation, data: SeriesSet, quantiles: tuple[float, ...]
) -> ForecastView:
    name = str(rows["unique_id"].iloc[0])
    series = next(one for one in data.series if one.unique_id == name)
    start = int(np.searchsorted(series.ds, rows["ds"].to_numpy()[0]))
    length = max(_HISTORY * len(rows), 2 * data.season)
    past = slice(max(0, start - length), start)
    network = evaluation.network
    others = [model for model in evaluation.metrics if model != network]
    return ForecastView(
        series=name,
        history_time=series.ds[past],
        history=series.y[past],
        future_time=rows["ds"].to_numpy(),
        truth=rows["y"].to_numpy(),
        point=rows[network].to_numpy(),
        quantiles={q: rows[f"{network}-q{q:g}"].to_numpy() for q in quantiles},
        baselines={model: rows[model].to_numpy() for model in others},
        label=f"from {rows['ds'].iloc[0]}",
    )


def _curves(forecaster: Forecaster) -> CurvesView | None:
    history = forecaster.history
    if history is None or not history.lines:
        return None
    lines = history.lines

    def column(name: str) -> NDArray[np.float64]:
        return np.array([np.nan if line[name] is None else line[name] for line in lines])

    return CurvesView(
        epochs=np.array([line["epoch"] for line in lines]),
        train=column("train_loss"),
        validation=column("val_loss"),
        best=history.best_epoch,
        loss=f"{forecaster.config.loss} loss, scaled",
    )


def _inside(
    forecaster: Forecaster, data: SeriesSet, net: ForecastNet
) -> tuple[TraceView, dict[str, NDArray[Any] | None]]:
    """Gates and states over the last context of the first series, and each unit's half-life."""
    context = forecaster.config.context_length or 1
    series = data.series[0]
    windows = forecaster.panel().windows(torch.tensor([0]), torch.tensor([len(series)]))
    weight = next(net.parameters())
    seen = windows.features(context).to(weight), windows.y[:, :context].to(weight)
    with torch.no_grad():
        _, _, trace = net.rnn(net.inputs(*seen), trace=True)
    steps = min(context, len(series))
    layers: dict[str, dict[str, NDArray[Any]]] = {}
    memory: dict[str, NDArray[Any] | None] = {}
    for k in range(trace.num_layers):
        values = trace.at(k)
        label = f"layer {k + 1}"
        layers[label] = {n: v[0, -steps:].numpy() for n, v in values.items()}
        memory[label] = _half_life(net.rnn.cell, values)
    inputs = {data.target if data.target != "*" else series.unique_id: series.y[-steps:]}
    for k, name in enumerate(data.past):
        inputs[name] = series.past[-steps:, k]
    return (
        TraceView(series.ds[-steps:], inputs, layers, _MEANINGS, series.unique_id),
        memory,
    )


def _half_life(cell: Cell, values: Mapping[str, torch.Tensor]) -> NDArray[Any] | None:
    """From the factor by which the cell keeps its memory, found in its equations."""
    if not cell.kept:
        return None
    forget = forget_factor(values, cell)[0]
    # the first step's gate acts on the initial state, in which nothing stands: the sLSTM's is 0
    return half_life(forget[1:] if len(forget) > 1 else forget)


def _references(forecaster: Forecaster) -> dict[str, float]:
    config = forecaster.config
    found = {"context": float(config.context_length or 1), "horizon": float(config.horizon or 1)}
    if (config.season or 1) > 1:
        found["season"] = float(config.season or 1)
    return found
