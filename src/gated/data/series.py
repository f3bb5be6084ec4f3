"""A table as a set of regular time series, and what was found to be wrong with it."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gated.data.columns import Floats
from gated.data.grid import Grid
from gated.data.layout import blocks
from gated.data.schema import Schema
from gated.data.steps import Steps, unique_steps
from gated.data.times import Stamps
from gated.errors import DataError


@dataclass(frozen=True, eq=False)
class Series:
    """One series on a regular grid of time, NaN where a value is missing.

    ds (T,): datetime64[ns] or int64, equally spaced. y (T,): starts and ends with a value.
    past (T, P). future (T+K, F): longer than y where the table knows K steps ahead.
    """

    unique_id: str
    ds: Stamps
    y: Floats
    past: Floats
    future: Floats

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Health:
    """What the table held, plain data for the report.

    gaps: steps that had no row and were inserted as missing; missing: rows without a target;
    longest_gap: the longest run of either; trimmed: rows without a target before the first or
    after the last value of a series, which were left out; spans: for each series its id, start,
    end, length and number of missing steps.
    """

    rows: int
    series: int
    spans: tuple[dict[str, Any], ...]
    duplicates_dropped: int
    gaps: int
    longest_gap: int
    missing: int
    trimmed: int
    future_rows: int
    constant: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as dicts, lists, text and numbers, for JSON."""
        plain = dataclasses.asdict(self)
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()
        }

    def describe(self) -> list[str]:
        """The lines that tell a person about the data: what it is, then what is wrong."""
        lengths = [span["length"] for span in self.spans]
        span = (
            f"{min(lengths)}"
            if min(lengths) == max(lengths)
            else f"{min(lengths)} to {max(lengths)}"
        )
        lines = [f"{self.rows} rows, {self.series} series of {span} steps"]
        if self.series == 1:
            lines[0] += f", from {self.spans[0]['start']} to {self.spans[0]['end']}"
        if self.gaps or self.missing:
            lines.append(
                f"missing: {self.gaps} steps without a row, {self.missing} rows without a target; "
                f"the longest gap has {self.longest_gap} steps"
            )
        return [*lines, *self.notes]


@dataclass(frozen=True, eq=False)
class SeriesSet:
    """One or many series that share a frequency, a target and covariates."""

    series: tuple[Series, ...]
    target: str
    past: tuple[str, ...]
    future: tuple[str, ...]
    id_col: str | None
    time_col: str | None
    freq: str | None
    season: int
    health: Health
    step: int = 1

    def __len__(self) -> int:
        return len(self.series)

    def stamps_after(self, series: Series, count: int) -> Stamps:
        """The `count` time stamps that follow the end of a series on its grid."""
        grid = Grid.of(self.freq, self.step)
        last = grid.number(series.ds[-1:])[0]
        return grid.stamps(last + grid.step * np.arange(1, count + 1, dtype=np.int64))


def series_set(frame: pd.DataFrame, schema: Schema) -> SeriesSet:
    """Read a table as the schema says: sorted by time, on a regular grid, gaps as NaN.

    Rows that repeat the series, the time and all values of another are dropped and counted.
    Steps without a target at the start of a series are left out, and so are those at its end,
    unless they hold a future covariate: then they are the known future.
    Raises DataError, naming the line, for text or infinity in a numeric column, a time that is
    missing or off the grid, two different rows for one time; and if no series has a value.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"ds": ["2024-01-01", "2024-01-04", "2024-01-02"], "y": [1, 4, 2]})
    >>> schema = Schema(layout="long", target="y", time_col="ds", freq="D")
    >>> series_set(frame, schema).series[0].y.tolist()
    [1.0, 2.0, nan, 4.0]
    """
    cells = unique_steps(blocks(frame, schema), frame, schema)
    codes = cells.data.codes
    grid = Grid.of(schema.freq, schema.step)
    bounds = [*np.flatnonzero(np.diff(codes, prepend=-1)), len(codes)]
    tally = _Tally()
    series = []
    for start, stop in itertools.pairwise(bounds):
        one = _one(cells, slice(start, stop), grid, tally)
        if one is not None:
            series.append(one)
    if not series:
        raise DataError(f"column {schema.target!r} holds no value; expected at least one number")
    return SeriesSet(
        series=tuple(series),
        target=schema.target,
        past=schema.past,
        future=schema.future,
        id_col=schema.id_col,
        time_col=schema.time_col,
        freq=schema.freq,
        season=schema.season,
        health=_health(len(frame), series, cells, tally),
        step=schema.step,
    )


@dataclass
class _Tally:
    gaps: int = 0
    missing: int = 0
    trimmed: int = 0
    empty: int = 0


def _one(cells: Steps, part: slice, grid: Grid, tally: _Tally) -> Series | None:
    data, steps = cells.data, cells.steps[part]
    seen = np.flatnonzero(np.isfinite(data.y[part]))
    if not len(seen):
        tally.empty += 1
        return None
    known = np.flatnonzero(np.isfinite(data.future[part]).any(axis=1))
    last = int(seen[-1])
    ahead = max(last, int(known[-1])) if len(known) else last
    first, length = int(seen[0]), int(steps[last] - steps[seen[0]]) + 1
    total = int(steps[ahead] - steps[first]) + 1
    rows = slice(part.start + first, part.start + ahead + 1)
    at = cells.steps[rows] - steps[first]
    y = _scatter(data.y[rows, None], at, total)[:length, 0]
    tally.gaps += length - (last - first + 1)
    tally.missing += (last - first + 1) - len(seen)
    tally.trimmed += len(steps) - (ahead - first + 1)
    return Series(
        unique_id=data.ids[int(data.codes[part.start])],
        ds=grid.stamps(cells.origin[part.start] + grid.step * (steps[first] + np.arange(length))),
        y=y,
        past=_scatter(data.past[rows], at, total)[:length],
        future=_scatter(data.future[rows], at, total),
    )


def _scatter(values: Floats, at: NDArray[np.int64], total: int) -> Floats:
    full = np.full((total, values.shape[1]), np.nan)
    full[at] = values
    return full


def _health(rows: int, series: Sequence[Series], cells: Steps, tally: _Tally) -> Health:
    runs = [_longest_run(np.isnan(one.y)) for one in series]
    constant = tuple(one.unique_id for one in series if np.nanmin(one.y) == np.nanmax(one.y))
    notes = list(cells.data.notes)
    if cells.dropped:
        notes.append(f"rows that repeat another row exactly, dropped: {cells.dropped}")
    if tally.trimmed:
        notes.append(f"rows before the first or after the last value, left out: {tally.trimmed}")
    if tally.empty:
        notes.append(f"series without any value, left out: {tally.empty}")
    if constant:
        named = ", ".join(constant[:3]) + (", ..." if len(constant) > 3 else "")
        notes.append(f"series that never change: {len(constant)} of {len(series)} ({named})")
    return Health(
        rows=rows,
        series=len(series),
        spans=tuple(_span(one) for one in series),
        duplicates_dropped=cells.dropped,
        gaps=tally.gaps,
        longest_gap=max(runs),
        missing=tally.missing,
        trimmed=tally.trimmed,
        future_rows=sum(len(one.future) - len(one) for one in series)
        if cells.data.future.shape[1]
        else 0,
        constant=constant,
        notes=tuple(notes),
    )


def _span(one: Series) -> dict[str, Any]:
    dates = one.ds.dtype.kind == "M"
    ends = [str(pd.Timestamp(stamp)) if dates else int(stamp) for stamp in one.ds[[0, -1]]]
    missing = int(np.isnan(one.y).sum())
    return {
        "unique_id": one.unique_id, "start": ends[0], "end": ends[1],
        "length": len(one), "missing": missing,
    }  # fmt: skip


def _longest_run(flags: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return int(np.max(edges[1::2] - edges[::2], initial=0))


def fill_forward(values: Floats, start: float = 0.0) -> tuple[Floats, NDArray[np.bool_]]:
    """Fill missing steps with the last value before them, so that nothing leaks from the future.

    values (T,) or (T, D), NaN where missing. Where nothing was seen yet, `start` stands (after
    scaling, 0 is the mean). Returns the filled copy and a mask of the same shape, True where a
    value was observed: the loss leaves out targets where it is False.

    >>> fill_forward(np.array([np.nan, 2.0, np.nan, 4.0]))[0].tolist()
    [0.0, 2.0, 2.0, 4.0]
    """
    observed = np.isfinite(values)
    time = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    latest = np.maximum.accumulate(np.where(observed, time, -1), axis=0)
    filled = np.take_along_axis(values, np.maximum(latest, 0), axis=0)
    return np.where(latest >= 0, filled, start), observed
