"""The end of each series, kept with the model, so that a forecast starts hot and goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from gated.data import Schema, Series, SeriesSet, series_set
from gated.errors import CheckpointError

FILE = "tail.parquet"


def long_frame(data: SeriesSet, steps: int | None = None) -> pd.DataFrame:
    """A set of series as one long table: unique_id, ds, y, covariates; the last `steps` of each."""
    return pd.concat([_frame(one, data, steps) for one in data.series], ignore_index=True)


def _frame(one: Series, data: SeriesSet, steps: int | None) -> pd.DataFrame:
    ahead = len(one.future) - len(one) if data.future else 0
    stamps = np.concatenate([one.ds, data.stamps_after(one, ahead)]) if ahead else one.ds
    padding = np.full(ahead, np.nan)
    columns = {"unique_id": one.unique_id, "ds": stamps, "y": np.concatenate([one.y, padding])}
    for k, name in enumerate(data.past):
        columns[f"past:{name}"] = np.concatenate([one.past[:, k], padding])
    for k, name in enumerate(data.future):
        columns[f"future:{name}"] = one.future[:, k]
    frame = pd.DataFrame(columns)
    return frame if steps is None else frame.tail(steps + ahead)


def long_schema(schema: Schema) -> Schema:
    """How the table of `long_frame` is read."""
    return Schema(
        layout="long",
        target="y",
        time_col="ds",
        id_col="unique_id",
        freq=schema.freq,
        season=schema.season,
        step=schema.step,
        past=tuple(f"past:{name}" for name in schema.past),
        future=tuple(f"future:{name}" for name in schema.future),
    )


def joined(old: pd.DataFrame, new: pd.DataFrame, schema: Schema) -> SeriesSet:
    """Old rows continued by new ones; where both have a step, the new one counts."""
    both = pd.concat([old, new], ignore_index=True)
    both = both.drop_duplicates(["unique_id", "ds"], keep="last")
    return read(both, schema)


def read(frame: pd.DataFrame, schema: Schema) -> SeriesSet:
    """The table of `long_frame` as series, with the names of the table it was made from."""
    data = series_set(frame, long_schema(schema))
    return replace(data, target=schema.target, past=schema.past, future=schema.future)


def save(frame: pd.DataFrame, directory: Path) -> None:
    """Write the tail beside the model, whole or not at all."""
    temporary = directory / f".{FILE}.new"
    frame.to_parquet(temporary, index=False)
    temporary.replace(directory / FILE)


def load(directory: Path) -> pd.DataFrame:
    """Read the tail. Raises CheckpointError when it is missing or damaged."""
    try:
        return pd.read_parquet(directory / FILE)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{directory / FILE} cannot be read ({error}); give the history as a file instead"
        ) from error
