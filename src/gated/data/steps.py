"""Cells as steps on a regular grid: sorted, counted, repetitions dropped."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gated.data.columns import place
from gated.data.grid import Grid, Ints
from gated.data.layout import Blocks
from gated.data.schema import Schema
from gated.errors import DataError

_HOUR = 3_600_000_000_000  # ns
_MOST_STEPS_PER_ROW = 50  # beyond this the frequency is wrong rather than the data full of gaps


@dataclass(frozen=True, eq=False)
class Steps:
    """Cells sorted by series and time, no two of them at the same step.

    origin (N,): the grid number at which the cell's series starts. steps (N,): the whole steps
    from there. dropped: the rows that repeated another one.
    """

    data: Blocks
    origin: Ints
    steps: Ints
    dropped: int


def unique_steps(data: Blocks, frame: pd.DataFrame, schema: Schema) -> Steps:
    """Sort the cells, count their steps on the grid, and drop exact repetitions.

    Raises DataError, naming the lines, for a time off the grid and for two different rows at
    one time; and where the grid would consist of little but gaps.
    """
    grid = Grid.of(schema.freq, schema.step)
    number = grid.number(data.stamps)
    notes = list(data.notes)
    if grid.moved(data.stamps):
        notes.append(_moved(grid, data, frame, schema))
    order = np.lexsort((number, data.codes))
    data, number = data.take(order), number[order]
    first = np.flatnonzero(np.diff(data.codes, prepend=-1))
    origin = np.repeat(number[first], np.diff([*first, len(number)]))
    _check_on_grid(number, grid, data, frame, schema)
    steps = (number - origin) // grid.step
    _check_size(steps, data.codes, schema)
    again = (np.diff(data.codes, prepend=-1) == 0) & (np.diff(steps, prepend=-1) == 0)
    _check_same(again, grid, data, frame, schema)
    if hint := _spring_gaps(steps, grid, data):
        notes.append(hint)
    kept = np.flatnonzero(~again)
    return Steps(
        data=replace(data.take(kept), notes=tuple(notes)),
        origin=origin[kept],
        steps=steps[kept],
        dropped=len(np.unique(data.rows[again])),
    )


def _moved(grid: Grid, data: Blocks, frame: pd.DataFrame, schema: Schema) -> str:
    at = int(np.argmax(grid.stamps(grid.number(data.stamps)) != data.stamps))
    stamp = _show(data.stamps[at])
    if grid.kind == "business":
        raise DataError(
            f"{place(frame, int(data.rows[at]), schema.time_col)}: {stamp} is no business day; "
            "expected Monday to Friday at midnight: give --freq D"
        )
    day = "last" if grid.month_end else "first"
    return f"times such as {stamp} are stamped with the {day} day of their month"


def _check_on_grid(
    number: Ints, grid: Grid, data: Blocks, frame: pd.DataFrame, schema: Schema
) -> None:
    phase = number % grid.step
    same = np.diff(data.codes, prepend=data.codes[0]) == 0
    off = same & (np.diff(phase, prepend=phase[0]) != 0)
    if not off.any():
        return
    members = np.flatnonzero(data.codes == data.codes[np.argmax(off)])
    phases, counts = np.unique(phase[members], return_counts=True)
    usual = phases[np.argmax(counts)]
    at = members[np.argmax(phase[members] != usual)]
    count = len(members) - int(counts.max())
    freq = schema.freq or f"{schema.step} steps"
    remedy = "correct or round the times, or give another --freq"
    if 2 * count > len(members):
        remedy = "these times are irregular: round or resample them to equal steps first"
    raise DataError(
        f"{place(frame, int(data.rows[at]), schema.time_col)}: {_show(data.stamps[at])} is not on "
        f"the grid of {freq} on which the other rows lie ({count} of {len(members)} are off); "
        f"{remedy}"
    )


def _check_size(steps: Ints, codes: Ints, schema: Schema) -> None:
    ends = np.flatnonzero(np.diff(codes, append=-1))
    total = int((steps[ends] + 1).sum())
    if total > _MOST_STEPS_PER_ROW * len(steps) + 10_000:
        raise DataError(
            f"at frequency {schema.freq or schema.step} the {len(steps)} rows would make a grid of "
            f"{total} steps, nearly all missing; give a longer --freq, or look for a wrong time"
        )


def _check_same(
    again: NDArray[np.bool_], grid: Grid, data: Blocks, frame: pd.DataFrame, schema: Schema
) -> None:
    at = np.flatnonzero(again)
    both = [np.column_stack([data.y, data.past, data.future])[i] for i in (at, at - 1)]
    same = ((both[0] == both[1]) | (np.isnan(both[0]) & np.isnan(both[1]))).all(axis=1)
    if same.all():
        return
    worst = int(at[np.argmin(same)])
    here, there = sorted((int(data.rows[worst]), int(data.rows[worst - 1])))
    stamp = data.stamps[worst]
    label = frame.index.name if frame.index.name == "line" else "row"
    series = f" of series {data.ids[data.codes[worst]]!r}" if len(data.ids) > 1 else ""
    remedy = "keep one of them, or name the column that tells the series apart with --id-col"
    if grid.kind == "ns" and grid.step <= _HOUR and _clock_change(stamp):
        remedy = "clocks go back in that night: give time stamps in UTC or with their offset"
    raise DataError(
        f"{place(frame, there, schema.time_col)}: {_show(stamp)}{series} is there already, with "
        f"other values (as {label} {frame.index[here]}); expected one row for each time: {remedy}"
    )


def _spring_gaps(steps: Ints, grid: Grid, data: Blocks) -> str | None:
    if grid.kind != "ns" or grid.step > _HOUR or _HOUR % grid.step:
        return None
    inner = np.diff(data.codes) == 0
    gaps = np.flatnonzero(inner & (np.diff(steps) > 1))
    one_hour = [i for i in gaps if (steps[i + 1] - steps[i] - 1) * grid.step == _HOUR]
    spring = [i for i in one_hour if _clock_change(data.stamps[i + 1])]
    if not spring or 2 * len(spring) <= len(gaps):
        return None
    return (
        f"gaps of one hour on Sunday nights: {len(spring)} ({_show(data.stamps[spring[0] + 1])}); "
        "they look like daylight saving time; time stamps in UTC would have none"
    )


def _clock_change(stamp: Any) -> bool:
    """Whether clocks are changed around this hour somewhere: a Sunday night in the season."""
    time = pd.Timestamp(stamp)
    return time.weekday() == 6 and time.hour <= 3 and time.month in (3, 4, 9, 10, 11)


def _show(stamp: Any) -> str:
    return str(pd.Timestamp(stamp)) if isinstance(stamp, np.datetime64) else f"step {stamp}"
