"""Which numeric columns are the target, and which are covariates."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from gated.data.columns import looks_numeric, need, numbers, shorten
from gated.data.schema import Schema
from gated.data.times import parts_of
from gated.errors import DataError, OptionError

TARGET_NAMES = ("y", "target", "value", "values")


def set_target(
    frame: pd.DataFrame,
    schema: Schema,
    target: str | Sequence[str] | None,
    covariates: Sequence[str],
) -> Schema:
    """Choose the target, which is none of the covariates. Raises OptionError and DataError."""
    if target is None:
        name, reason = _choose(frame, _values(frame, schema, covariates))
        return schema.because("target", reason, target=name)
    names = _values(frame, schema, covariates) if target == "*" else names_in(target)
    for name in names:
        need(frame, name, "--target")
        if name in _used(frame, schema):
            raise OptionError(f"--target {name}: this column is the time or the series' name")
        numbers(frame, name)
    if len(names) == 1 and target != "*":
        return schema.because("target", "as given", target=names[0])
    if not names:
        raise OptionError(f"--target {target}: the table has no numeric column")
    if schema.id_col is not None:
        raise OptionError(
            f"--target: {len(names)} columns as series, but {schema.id_col!r} names the series "
            "already; give one column"
        )
    return schema.because("target", "as given", layout="columns", target="*", values=tuple(names))


def set_covariates(
    frame: pd.DataFrame, schema: Schema, past: Sequence[str], future: Sequence[str]
) -> Schema:
    """Add the covariates; past ["*"]: every other numeric column. Raises OptionError."""
    targets = schema.values or (schema.target,)
    if list(past) == ["*"]:
        past = [name for name in _values(frame, schema, future) if name not in targets]
    taken = dict.fromkeys(_used(frame, schema), "the time or the series' name")
    taken |= dict.fromkeys(targets, "the target, whose own past is always an input")
    for option, names in (("--past", past), ("--future", future)):
        for name in names:
            need(frame, name, option)
            if name in taken:
                raise OptionError(f"{option}: {name!r} is {taken[name]}; leave it out")
            taken[name] = f"given with {option} already"
    return replace(schema, past=tuple(past), future=tuple(future))


def names_in(given: str | Sequence[str]) -> list[str]:
    """One name or several, as a list."""
    return [given] if isinstance(given, str) else list(given)


def _used(frame: pd.DataFrame, schema: Schema) -> list[str]:
    time = parts_of(frame, schema.time_col) if schema.time_col else []
    return [*time, schema.id_col] if schema.id_col else time


def _values(frame: pd.DataFrame, schema: Schema, without: Sequence[str]) -> list[str]:
    """The numeric columns that can be a target: no time, no series, no counter of the rows."""
    used = {*without, *_used(frame, schema)}
    names = [name for name in frame.columns if name not in used and looks_numeric(frame, name)]
    real = [name for name in names if not _counts_rows(frame, name)]
    return real or names


def _counts_rows(frame: pd.DataFrame, name: str) -> bool:
    column = frame[name]
    if not pd.api.types.is_integer_dtype(column) or column.isna().any():
        return False
    steps = np.arange(len(frame)) + int(column.iloc[0])
    return int(column.iloc[0]) in (0, 1) and bool((column.to_numpy() == steps).all())


def _choose(frame: pd.DataFrame, names: list[str]) -> tuple[str, str]:
    if not names:
        raise DataError(
            "the table has no numeric column to forecast; give its name with --target to see "
            "what is wrong with it"
        )
    by_lower = {name.lower(): name for name in names}
    for name in TARGET_NAMES:
        if name in by_lower:
            return by_lower[name], "by its name"
    if len(names) == 1:
        return names[0], "the only numeric column"
    changing = [name for name in names if frame[name].nunique() > 2] or names
    others = shorten([name for name in names if name != changing[-1]])
    reason = (
        f"a guess: the last of {len(names)} numeric columns; the others are {others}: give --target"
    )
    return changing[-1], reason
