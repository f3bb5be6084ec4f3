"""The end of each series, kept with the model, so that a forecast starts hot and goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gated.data import Schema, Series, SeriesSet, fill_forward, series_set
from gated.tasks.forecast.scalers import levels


def long_frame(data: SeriesSet) -> pd.DataFrame:
    """A set of series as one long table: unique_id, ds, y and covariates."""
    return _joined([_columns(one, data) for one in data.series])


def ends(data: SeriesSet, context: int, *, log: bool) -> pd.DataFrame:
    """The same of the ends that a forecast needs: a context, and one step before it.

    That step holds what gaps are filled with, should the context begin with one. With `log` no
    value that has no logarithm is among it.
    """
    return _joined([_end(one, data, context + 1, log) for one in data.series])


def _joined(parts: list[dict[str, NDArray[Any]]]) -> pd.DataFrame:
    return pd.DataFrame({name: np.concatenate([p[name] for p in parts]) for name in parts[0]})


def _columns(one: Series, data: SeriesSet) -> dict[str, NDArray[Any]]:
    ahead = len(one.future) - len(one) if data.future else 0
    padding = np.full(ahead, np.nan)
    columns = {
        "unique_id": np.full(len(one) + ahead, one.unique_id, dtype=object),
        "ds": np.concatenate([one.ds, data.stamps_after(one, ahead)]),
        "y": np.concatenate([one.y, padding]),
    }
    for k, name in enumerate(data.past):
        columns[f"past:{name}"] = np.concatenate([one.past[:, k], padding])
    for k, name in enumerate(data.future):
        columns[f"future:{name}"] = one.future[:, k]
    return columns


def _end(one: Series, data: SeriesSet, steps: int, log: bool) -> dict[str, NDArray[Any]]:
    cut = len(one) - steps
    columns = _columns(one, data)
    if cut <= 0:
        return columns
    kept = {name: column[cut:].copy() for name, column in columns.items()}
    usable = np.isfinite(levels(one.y[: cut + 1], log))
    kept["y"][0] = one.y[: cut + 1][usable][-1] if usable.any() else one.y[cut]
    for name in list(columns)[3:]:
        kept[name][0] = fill_forward(columns[name][: cut + 1], start=np.nan)[0][-1]
    return kept


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


def rows(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """A new table as `long_frame` has it, with the rows that hold known covariates alone.

    Raises:
        DataError: the table cannot be read.
    """
    if not schema.future:
        return long_frame(series_set(frame, schema))
    ahead = long_frame(series_set(frame, replace(schema, target=schema.future[0])))
    ahead["y"] = np.nan
    if schema.id_col is None:  # one series, named by its target
        ahead["unique_id"] = schema.target
    if frame[schema.target].replace("", np.nan).isna().all():
        return ahead
    return pd.concat([ahead, long_frame(series_set(frame, schema))], ignore_index=True)


def joined(parts: list[pd.DataFrame], schema: Schema) -> SeriesSet:
    """Tables of rows as one: where several know a value, the last one counts."""
    both = pd.concat(parts, ignore_index=True)
    return read(both.groupby(["unique_id", "ds"], as_index=False, sort=False).last(), schema)


def read(frame: pd.DataFrame, schema: Schema) -> SeriesSet:
    """The table of `long_frame` as series, with the names of the table it was made from."""
    data = series_set(frame, long_schema(schema))
    return replace(data, target=schema.target, past=schema.past, future=schema.future)
