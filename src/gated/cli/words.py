"""What the commands say of a forecaster and its verdict, as lines and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gated.cli.screen import Screen

if TYPE_CHECKING:
    from gated.tasks.forecast import Evaluation, Forecaster

LEGEND = (
    "MASE: the error, divided by that of repeating the last season in training. sMAPE: in percent.",
    "WQL: how well the quantiles fit. Less is better; coverage should be what its name says.",
)


def found_in_data(forecaster: Forecaster, columns: Sequence[str] = ()) -> list[str]:
    """What was detected in the table of these columns, and what was settled from it."""
    from gated.data.columns import shorten
    from gated.tasks.forecast.split import split

    config, data, schema = forecaster.config, forecaster.data, forecaster.schema
    assert schema is not None
    lines = schema.describe()
    if unused := schema.unused(columns):
        them = "it" if len(unused) == 1 else "them"
        lines.append(f"not used: {shorten(unused)} (name {them} with --past or --future)")
    lines += [f"data: {line}" for line in data.health.describe()]
    lines += [
        f"horizon: {config.horizon} steps ahead",
        f"context: {config.context_length} steps back",
    ]
    cuts = split(config, data.series)
    train, val = sum(cut.train for cut in cuts), sum(cut.val - cut.train for cut in cuts)
    test = sum(cut.end - cut.val for cut in cuts)
    parts = f"{train:,} steps to train, {val:,} to choose the weights, {test:,} held out"
    if len(cuts) == 1 and test:
        parts += f" from {dates(data.series[0].ds[cuts[0].val :])[0]} on"
    layers = f"{config.num_layers} layer{'s' * (config.num_layers > 1)}"
    return [
        *lines,
        f"split: {parts}",
        f"network: {config.cell}, {layers} of {config.hidden_size} units, {config.loss} loss",
    ]


def dates(stamps: Any) -> list[str]:
    """Times as text, without the time of day where all of them are midnight."""
    import pandas as pd

    return [str(text) for text in pd.Series(stamps).astype(str)]


def show_verdict(screen: Screen, evaluation: Evaluation) -> dict[str, Any]:
    """Print the table and the sentence; return them as plain data."""
    sentence, outcome = evaluation.verdict()
    cautions = evaluation.cautions()
    windows = int(evaluation.forecasts["window"].nunique())
    series = len(evaluation.by_series)
    held_out = f"{windows:,} held-out windows" + (f" of {series} series" if series > 1 else "")
    screen.result([f"{held_out}:"])
    show_metrics(screen, evaluation.metrics, evaluation.network)
    screen.result(LEGEND, style="dim")
    screen.result(["", sentence], style="bold")
    screen.result(cautions)
    return {
        "verdict": sentence,
        "outcome": outcome,
        "cautions": cautions,
        "windows": windows,
        **evaluation.to_dict(),
    }


def show_metrics(
    screen: Screen, metrics: Mapping[str, Mapping[str, float]], network: str, first: str = "model"
) -> None:
    """One row a model, one column a metric; shares as percentages."""
    columns = list(next(iter(metrics.values())))
    rows = [
        [model, *(_figure(column, row[column]) for column in columns)]
        for model, row in metrics.items()
    ]
    names = [first, *columns]
    screen.table(names, rows, bold=[list(metrics).index(network)])


def show_rows(
    screen: Screen, first: str, rows: Mapping[str, Mapping[str, float]], models: Sequence[str]
) -> None:
    """One row a step, series or cutoff; one column a model."""
    cells = [[name, *(_figure("", row[model]) for model in models)] for name, row in rows.items()]
    screen.table([first, *models], cells)


def _figure(column: str, value: float) -> str:
    from gated.inspect.words import number, percent

    if column.startswith("coverage"):
        return percent(value)
    return number(value, whole=False).replace("−", "-")  # as other programs read it
