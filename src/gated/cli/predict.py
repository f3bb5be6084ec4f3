"""`gated predict`: what comes next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from gated.cli.command import Command
from gated.cli.screen import Screen
from gated.cli.words import dates

if TYPE_CHECKING:
    import pandas as pd

    from gated.tasks.forecast import Forecaster

_EXAMPLES = (
    "gated predict runs/sales                              after the end of the training's table",
    "gated predict runs/sales --output forecast.csv",
    "gated predict runs/sales today.csv                    after new rows, or for other series",
    "gated predict runs/sales today.csv --update           and keep these rows for the next call",
    "gated predict runs/sales --horizon 3 --json",
)
_ON_SCREEN = 60  # rows; a file takes any number


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("run")
@click.argument("file", required=False)
@click.option("--output", "-o", metavar="FILE", help="Write a CSV file instead of a table.")
@click.option("--horizon", type=int, metavar="N",
              help="Steps ahead, at most the horizon of the training.")  # fmt: skip
@click.option("--update", is_flag=True, help="Keep FILE's rows as history for the next call.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def predict(
    run: str,
    file: str | None,
    output: str | None,
    horizon: int | None,
    update: bool,
    as_json: bool,
) -> None:
    """Forecast with the trained RUN what follows its series, or the rows of FILE.

    FILE has the columns of the training's table. Its rows continue the series that RUN knows; a
    series that it never saw is forecast from its rows alone. Bounds of intervals are named lo and
    hi with the share of the interval in percent.
    """
    from gated.cli.opened import open_run

    if update and file is None:
        raise click.UsageError("--update keeps the rows of FILE: give the FILE")
    forecaster, directory = open_run(run)
    forecasts = _forecasts(forecaster, run, file, horizon)
    if output is not None:
        from gated.data import write_csv

        write_csv(forecasts, output)
    if update:  # last, so that an error before it leaves the history as it was
        forecaster.save_history(directory.path)
    screen = Screen(as_json=as_json)
    if output is None:
        _show(screen, forecasts)
    else:
        screen.result([f"{output}: {len(forecasts):,} rows"])
    if as_json:
        screen.json({"run": run, "output": output, "forecasts": _records(forecasts)})


def _forecasts(
    forecaster: Forecaster, run: str, file: str | None, horizon: int | None
) -> pd.DataFrame:
    from gated.cli.fields import Options
    from gated.cli.source import naming
    from gated.data import read_table
    from gated.errors import OptionError

    try:
        if file is None:
            return _from_ends(forecaster, run, horizon)
        frame = read_table(file)
        with naming(file):
            found = forecaster.predict(horizon, frame)
            forecaster.update(frame)
            return found
    except OptionError as error:
        raise Options({"horizon": horizon}, {}).locate(error) from error


def _from_ends(forecaster: Forecaster, run: str, horizon: int | None) -> pd.DataFrame:
    from gated.errors import DataError

    try:
        return forecaster.predict(horizon)
    except DataError as error:
        raise DataError(f"{run}: {error}, and give the table as FILE") from error


def _records(forecasts: pd.DataFrame) -> Any:
    return forecasts.assign(ds=dates(forecasts["ds"])).to_dict(orient="records")


def _show(screen: Screen, forecasts: pd.DataFrame) -> None:
    """All of it where it is piped; what fits to a terminal: the point and one interval."""
    if not sys.stdout.isatty():
        shown, rest = forecasts, 0
    else:
        shown, rest = forecasts.head(_ON_SCREEN)[_narrow(forecasts)], len(forecasts) - _ON_SCREEN
    texts = shown.assign(ds=dates(shown["ds"]))
    rows = [[_cell(cell) for cell in row] for row in texts.itertuples(index=False)]
    screen.table([str(name) for name in shown.columns], rows)
    if rest > 0:
        screen.result([f"and {rest:,} rows more: write them all with --output FILE"])


def _narrow(forecasts: pd.DataFrame) -> list[str]:
    names = [str(name) for name in forecasts.columns]
    levels = {name.rsplit("-", 1)[1] for name in names if "-lo-" in name}
    widest = "80" if "80" in levels else max(levels, key=float, default="")
    ends = (f"-lo-{widest}", f"-hi-{widest}")
    return [*names[:3], *(name for name in names[3:] if name.endswith(ends))]


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
