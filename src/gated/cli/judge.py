"""`gated evaluate`, `gated backtest` and `gated report`: a trained run looked at again."""

from __future__ import annotations

from typing import Any

import click

from gated.cli.command import Command
from gated.cli.screen import Screen
from gated.cli.words import show_metrics, show_rows, show_verdict

_DATA = click.option("--data", metavar="FILE", help="Use this table, not the one of the training.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
Rows = dict[str, dict[str, float]]


@click.command(
    cls=Command,
    examples=(
        "gated evaluate runs/sales",
        "gated evaluate runs/sales --by horizon                 RMSE at each step ahead",
        "gated evaluate runs/sales --by series                  MASE of each series",
        "gated evaluate runs/sales --data /new/place/sales.csv  if the file has moved",
    ),
)
@click.argument("run")
@_DATA
@click.option("--by", type=click.Choice(["horizon", "series"]), help="Add a table of these.")
@_JSON
def evaluate(run: str, data: str | None, by: str | None, as_json: bool) -> None:
    """Judge the trained RUN beside the baselines on the held-out end of its table."""
    from gated.cli.opened import open_with_data

    screen = Screen(as_json=as_json)
    forecaster, _ = open_with_data(run, data)
    found = forecaster.evaluate()
    content = show_verdict(screen, found)
    models = list(found.metrics)
    if by == "series":
        screen.result(["", "MASE by series:"])
        show_rows(screen, "series", found.by_series, models)
    elif by == "horizon":
        screen.result(["", "RMSE by steps ahead:"])
        rmse = found.by_horizon["RMSE"]
        steps = range(forecaster.config.horizon or 1)
        show_rows(screen, "step", {str(k + 1): _row(rmse, k) for k in steps}, models)
    screen.json({"run": run, **content})


def _row(columns: dict[str, Any], k: int) -> dict[str, float]:
    return {model: float(values[k]) for model, values in columns.items()}


@click.command(
    cls=Command,
    examples=(
        "gated backtest runs/sales",
        "gated backtest runs/sales --windows 12 --json",
    ),
)
@click.argument("run")
@click.option("--windows", type=click.IntRange(1), default=4, show_default=True, metavar="K",
              help="So many forecasts of each series.")  # fmt: skip
@_DATA
@_JSON
def backtest(run: str, windows: int, data: str | None, as_json: bool) -> None:
    """Judge the trained RUN as if it had been used at K past times.

    They are one horizon apart, or closer where the held-out end is too short for that.

    The origins lie in the held-out end of the table: the network saw nothing after them.
    """
    from gated.cli.opened import open_with_data
    from gated.tasks.forecast.backtest import by_cutoff

    screen = Screen(as_json=as_json)
    forecaster, _ = open_with_data(run, data)
    found = forecaster.evaluate(windows)
    rows = by_cutoff(found, forecaster.data)
    fit = found.forecasts.groupby("unique_id")["window"].nunique().max()
    if fit < windows:
        screen.result([f"{windows} forecasts were asked for, the held-out end has room for {fit}"])
    screen.result(["MASE by the last step that was known:"])
    show_rows(screen, "cutoff", rows, list(found.metrics))
    screen.result(["", f"overall, {forecaster.config.horizon} steps ahead each:"])
    show_metrics(screen, found.metrics, found.network)
    screen.json({"run": run, "cutoffs": rows, **found.to_dict()})


@click.command(
    cls=Command,
    examples=("gated report runs/sales", "xdg-open $(gated report runs/sales)"),
)
@click.argument("run")
@_DATA
@_JSON
def report(run: str, data: str | None, as_json: bool) -> None:
    """Write the report of the trained RUN again and print its path.

    It shows the data's health, the verdict, forecasts, errors by step, learning curves, the gates
    over a real window, and how long each unit remembers. It needs no network to be read.
    `gated explain` writes the page on which every gate can be read step by step.
    """
    from gated.cli.finish import write_page
    from gated.cli.opened import open_with_data
    from gated.inspect.pages import check_target

    screen = Screen(as_json=as_json)
    forecaster, directory = open_with_data(run, data)
    check_target(directory.path / "report.html")
    page = write_page(forecaster, forecaster.evaluate(), directory)
    screen.result([str(page)])
    screen.json({"run": run, "page": page})
