"""Finding out what a table means: time, series, target, frequency, season."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gated.data.columns import cells, is_plain_number, looks_numeric, need, table
from gated.data.grid import canonical, infer_freq, most_common_step
from gated.data.roles import names_in, set_covariates, set_target
from gated.data.schema import Schema
from gated.data.season import find_season
from gated.data.series import series_set
from gated.data.timecol import find_time, reads_as_time
from gated.data.times import parts_of, times
from gated.errors import DataError, OptionError

ID_NAMES = ("unique_id", "id", "series", "series_id", "item_id", "item")
_COUNTED = re.compile(r"(\D*)(\d+)")


def detect(
    frame: pd.DataFrame,
    *,
    target: str | Sequence[str] | None = None,
    time_col: str | None = None,
    id_col: str | None = None,
    freq: str | None = None,
    season: int | None = None,
    past: str | Sequence[str] = (),
    future: str | Sequence[str] = (),
) -> Schema:
    """Decide how to read a table as time series; what is given is taken as given.

    Time: see `gated.data.timecol.find_time`. Series: a column named as in ID_NAMES, or the one
    (of text, else of whole numbers) that tells rows of the same time apart. Target: a column
    named y, target or value; else the only numeric column; else the last one, as in the ETT
    files, and `why` says which others there were. `target="*"` (or several names): each numeric
    column is a series of its own. A table without time, whose first column holds names and
    whose other columns are counted (V2, V3, ...) or dated, has one series in each row, as in
    the M4 files. `past="*"` takes every other numeric column.
    Frequency: the most common step. Season: see `gated.data.season.find_season`.

    Raises OptionError, with the nearest name, for a column that the table lacks or an option
    that does not fit; DataError for data that cannot be read as time series.

    >>> frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=9), "sold": range(9)})
    >>> schema = detect(frame)
    >>> (schema.time_col, schema.target, schema.freq)
    ('when', 'sold', 'D')
    """
    frame = table(frame)
    if season is not None and season < 1:
        raise OptionError(f"--season {season}: expected a number of steps of at least 1 (1: none)")
    if freq is not None:
        freq = canonical(freq)
    schema = _by_rows(frame, target, time_col, id_col, past, future)
    if schema is None:
        behind, ahead = names_in(past), names_in(future)
        values = [*names_in(target or ()), *behind, *ahead]
        schema = _time_and_series(frame, time_col, id_col, values)
        schema = set_target(frame, schema, target, [*behind, *ahead])
        schema = set_covariates(frame, schema, behind, ahead)
    schema, natural = _frequency(frame, schema, freq)
    return _season(frame, schema, natural, season)


def _by_rows(
    frame: pd.DataFrame,
    target: str | Sequence[str] | None,
    time_col: str | None,
    id_col: str | None,
    past: str | Sequence[str],
    future: str | Sequence[str],
) -> Schema | None:
    """The schema of a table that holds one series in each row; None if this is none."""
    if time_col is not None or (target is not None and target != "*"):
        return None
    name = id_col if id_col is not None and id_col in frame.columns else str(frame.columns[0])
    others = [other for other in frame.columns if other != name]
    if len(others) < 3 or not (_are_counted(others) or _are_dates(others)):
        return None
    if is_plain_number(frame[name]) and id_col is None and name.lower() not in ID_NAMES:
        return None
    if not is_plain_number(frame[name]) and reads_as_time(frame, name):
        return None
    if not all(is_plain_number(frame[other]) or looks_numeric(frame, other) for other in others):
        return None
    if past or future:
        raise OptionError(
            "--past and --future: this table holds one series in each row, which leaves no place "
            "for covariates; give one row for each series and time"
        )
    why = {"time": "the header's dates" if _are_dates(others) else "the columns in their order"}
    return Schema(layout="rows", target="*", id_col=name, values=tuple(others), why=why)


def _are_counted(names: list[str]) -> bool:
    found = [_COUNTED.fullmatch(name) for name in names]
    counts = [int(match[2]) for match in found if match]
    same = len({match[1] for match in found if match}) == 1
    return len(counts) == len(names) and same and bool((np.diff(counts) == 1).all())


def _are_dates(names: list[str]) -> bool:
    try:
        stamps, _ = times(pd.DataFrame({"header": names}), "header")
    except DataError:
        return False
    return stamps.dtype.kind == "M"


def _time_and_series(
    frame: pd.DataFrame, time_col: str | None, id_col: str | None, values: Sequence[str]
) -> Schema:
    if time_col is not None:
        for part in parts_of(frame, time_col):
            need(frame, part, "--time-col")
        reason = "as given"
    else:
        time_col, reason = find_time(frame)
    schema = Schema(layout="long", target="", time_col=time_col, why={"time": reason})
    if id_col is not None:
        if time_col is not None and id_col in parts_of(frame, time_col):
            raise OptionError(f"--id-col {id_col}: this column is the time")
        name = need(frame, id_col, "--id-col")
        return schema.because("series", "as given", id_col=name)
    by_lower = {name.lower(): name for name in frame.columns}
    for name in ID_NAMES:
        # a column that numbers the rows is no series' name
        if name in by_lower and 1 <= frame[by_lower[name]].nunique() < max(len(frame), 2):
            return schema.because("series", "by its name", id_col=by_lower[name])
    apart = _tells_apart(frame, time_col, values) if time_col is not None else None
    if apart is not None:
        why = "it tells rows of the same time apart"
        return schema.because("series", why, id_col=apart)
    return schema


def _tells_apart(frame: pd.DataFrame, time_col: str, values: Sequence[str]) -> str | None:
    """The column that names the series where times repeat: text, else the fewest numbers."""
    parts = parts_of(frame, time_col)
    repeated = frame.duplicated(subset=parts).sum()
    if not repeated:
        return None
    names = [name for name in frame.columns if name not in (*parts, *values)]
    text = [name for name in names if not looks_numeric(frame, name)]
    whole = [name for name in names if pd.api.types.is_integer_dtype(frame[name])]
    for name in [*text, *sorted(whole, key=lambda name: len(set(frame[str(name)])))]:
        repeats = 2 * frame[name].nunique() <= len(frame)
        # a few rows given twice must not hide the series: they are reported as such later
        if repeats and 20 * frame.duplicated(subset=[*parts, name]).sum() < repeated:
            return str(name)
    return None


def _frequency(frame: pd.DataFrame, schema: Schema, freq: str | None) -> tuple[Schema, str | None]:
    """Set the frequency; also return the one that the season follows from."""
    if schema.layout == "rows":
        stamps: Any = np.arange(len(schema.values))
        codes = np.zeros(len(stamps), np.int64)
        if _are_dates(list(schema.values)):
            stamps, _ = times(pd.DataFrame({"header": schema.values}), "header")
    elif schema.time_col is None:
        return schema, freq
    else:
        stamps, _ = times(frame, schema.time_col)
        groups = _series_of(frame, schema)
        codes = pd.factorize(groups)[0].astype(np.int64)
    if stamps.dtype.kind != "M":
        step = most_common_step(codes, stamps.astype(np.int64))
        return replace(schema, step=step), freq
    if freq is not None:
        return schema.because("frequency", "as given", freq=freq), freq
    found = infer_freq(codes, stamps)
    if found is None:
        raise DataError(
            f"column {schema.time_col!r}: no series has two different times, so there is no "
            "frequency to see; give --freq"
        )
    return schema.because("frequency", "the most common step", freq=found), found


def _series_of(frame: pd.DataFrame, schema: Schema) -> Any:
    if schema.id_col is None:
        return np.zeros(len(frame))
    column = frame[schema.id_col]
    return column if is_plain_number(column) else np.array(cells(frame, schema.id_col)[0])


def _season(frame: pd.DataFrame, schema: Schema, natural: str | None, season: int | None) -> Schema:
    if season is not None:
        return schema.because("season", "as given", season=season)
    series = series_set(frame, schema).series
    found, reason = find_season(natural, [one.y for one in series])
    return schema.because("season", reason, season=found)
