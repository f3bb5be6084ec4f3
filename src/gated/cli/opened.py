"""A trained run, opened for what comes after training."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path

from gated.cli.source import Source, again, naming
from gated.errors import CheckpointError
from gated.tasks.forecast import Forecaster
from gated.training import History, RunDirectory


def open_run(path: str) -> tuple[Forecaster, RunDirectory]:
    """The forecaster of a finished run, with the ends of its series.

    Raises:
        CheckpointError: it is no run, not finished, or damaged.
    """
    if not Path(path).is_dir():
        raise CheckpointError(f"{path}: there is no such run{_nearest(path)}")
    run = RunDirectory.open(path)
    if not run.finished:
        raise CheckpointError(
            f"{path} holds an unfinished training; go on with: "
            f"gated train forecast --resume --run {shlex.quote(path)}"
        )
    return Forecaster.from_pretrained(path), run


def _nearest(path: str) -> str:
    """The run that may be meant: of the same name in runs/, or of a similar one."""
    known = {str(found.parent): found.parent.name for found in Path("runs").glob("*/config.json")}
    same = [run for run, name in known.items() if name == path]
    close = same or difflib.get_close_matches(path, known, n=1)
    return f": did you mean {close[0]}?" if close else "; give the directory of a training"


def open_with_data(path: str, other: str | None) -> tuple[Forecaster, RunDirectory]:
    """The forecaster of a finished run, with the table that it learned from, or another.

    Raises:
        CheckpointError: as `open_run`; or the table is gone or has changed.
        DataError: the table cannot be read as the run's was.
    """
    forecaster, run = open_run(path)
    return with_table(forecaster, run, again(run.config, Path(path), other)), run


def with_table(forecaster: Forecaster, run: RunDirectory, source: Source) -> Forecaster:
    """The forecaster with this table in place of the ends of its series, and its history."""
    with naming(source.name):
        forecaster.read(source.frame, forecaster.schema)
    if run.metrics:
        forecaster.history = History(tuple(run.metrics), **run.read_json("history.json"))
    return forecaster
