"""The rows of a table as (series, step, values), whatever the table's layout."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gated.data.columns import Floats, cells, is_plain_number, nearest, numbers, place, table
from gated.data.grid import Ints
from gated.data.schema import Schema
from gated.data.times import Stamps, parts_of, times
from gated.errors import DataError


@dataclass(frozen=True, eq=False)
class Blocks:
    """N cells of the target, each with its series, time and covariates.

    codes (N,): index into ids. stamps (N,). y (N,), past (N, P), future (N, F): NaN where
    missing. rows (N,): the row of the table.
    """

    ids: list[str]
    codes: Ints
    stamps: Stamps
    y: Floats
    past: Floats
    future: Floats
    rows: Ints
    notes: tuple[str, ...] = ()

    def take(self, at: NDArray[Any]) -> "Blocks":
        """The cells at these positions."""
        arrays = ("codes", "stamps", "y", "past", "future", "rows")
        return replace(self, **{name: getattr(self, name)[at] for name in arrays})


def blocks(frame: pd.DataFrame, schema: Schema) -> Blocks:
    """Lay out the table as the schema says, in the order of the file. Raises DataError."""
    frame = table(frame)
    data = (_by_rows if schema.layout == "rows" else _by_columns)(frame, schema)
    return replace(data, notes=(*frame.attrs.get("notes", ()), *data.notes))


def _by_columns(frame: pd.DataFrame, schema: Schema) -> Blocks:
    names = list(schema.values) if schema.layout == "columns" else [schema.target]
    wanted = [*names, *schema.past, *schema.future, *([schema.id_col] if schema.id_col else [])]
    if schema.time_col is not None:
        wanted += parts_of(frame, schema.time_col)
    for name in wanted:
        if name not in frame.columns:
            near = nearest(name, frame.columns)
            raise DataError(f"{frame.attrs.get('file', 'the table')} has no column {name!r}{near}")
    codes, ids = _ids(frame, schema.id_col, schema.target)
    stamps, notes = _times(frame, schema, codes)
    copies = len(names)
    if schema.layout == "columns":
        ids, codes = names, np.repeat(np.arange(copies), len(frame))
    return Blocks(
        ids=ids,
        codes=codes,
        stamps=stamps[np.tile(np.arange(len(frame)), copies)],
        y=np.concatenate([numbers(frame, name) for name in names]),
        past=np.tile(_stack(frame, schema.past), (copies, 1)),
        future=np.tile(_stack(frame, schema.future), (copies, 1)),
        rows=np.tile(np.arange(len(frame)), copies),
        notes=tuple(notes),
    )


def _by_rows(frame: pd.DataFrame, schema: Schema) -> Blocks:
    names = [name for name in frame.columns if name != schema.id_col]
    codes, ids = _ids(frame, schema.id_col, "row")
    if len(ids) < len(frame):
        at = int(np.argmax(pd.Series(codes).duplicated()))
        raise DataError(
            f"{place(frame, at, schema.id_col)}: the series {ids[codes[at]]!r} is there already; "
            "expected one row for each series"
        )
    stamps: Stamps = np.arange(len(names), dtype=np.int64)
    if schema.freq is not None:
        stamps, _ = times(pd.DataFrame({"header": names}), "header")
    y = np.stack([numbers(frame, name) for name in names], axis=1)
    # what follows a series' last value is the table's shape, no row that lacks a target
    inside = np.isfinite(y[:, ::-1]).cumsum(axis=1)[:, ::-1] > 0
    inside[:, 0] = True
    none = np.empty((int(inside.sum()), 0))
    return Blocks(
        ids=ids,
        codes=np.repeat(codes, inside.sum(axis=1)),
        stamps=stamps[np.nonzero(inside)[1]],
        y=y[inside],
        past=none,
        future=none,
        rows=np.repeat(np.arange(len(frame)), inside.sum(axis=1)),
    )


def _stack(frame: pd.DataFrame, names: tuple[str, ...]) -> Floats:
    return np.stack([np.empty(len(frame)), *(numbers(frame, name) for name in names)], axis=1)[
        :, 1:
    ]


def _ids(frame: pd.DataFrame, id_col: str | None, otherwise: str) -> tuple[Ints, list[str]]:
    """For each row the number of its series, and the series' names in order of appearance."""
    if id_col is None:
        return np.zeros(len(frame), np.int64), [otherwise]
    column = frame[id_col]
    if is_plain_number(column):
        absent = column.isna().to_numpy()
    else:
        absent = np.array([not text for text in cells(frame, id_col)[0]])
    if absent.any():
        at = int(np.argmax(absent))
        raise DataError(
            f"{place(frame, at, id_col)}: no name; expected the series' name in every row"
        )
    codes, names = pd.factorize(column)
    return codes.astype(np.int64), [str(name) for name in names]


def _times(frame: pd.DataFrame, schema: Schema, codes: Ints) -> tuple[Stamps, list[str]]:
    if schema.time_col is None:
        return np.asarray(pd.Series(codes).groupby(codes).cumcount(), dtype=np.int64), []
    stamps, notes = times(frame, schema.time_col)
    if (stamps.dtype.kind == "M") != (schema.freq is not None):
        found, expected = "dates", f"integer steps of {schema.step}"
        if schema.freq is not None:
            found, expected = "whole numbers", f"dates of frequency {schema.freq}"
        raise DataError(f"column {schema.time_col!r} holds {found}; expected {expected}")
    return stamps, notes
