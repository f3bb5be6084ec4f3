"""Reading a column as time stamps or integer steps."""

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gated.data.columns import cells, is_plain_number, numbers, place
from gated.errors import DataError

#: datetime64[ns] for dates, int64 for integer steps.
Stamps = NDArray[np.datetime64] | NDArray[np.int64]

#: The names of columns that together hold a date.
PART_NAMES = ("year", "month", "day", "hour", "minute")

_OFFSET = re.compile(r"\d:\d\d(?::\d\d(?:\.\d+)?)?\s*(?:Z|UTC|[+-]\d\d:?\d\d)$")
_QUARTER = re.compile(r"\d{4}-?Q[1-4]")
_DATE_LIKE = re.compile(r"\d{4}|\d{1,2}[./-]\d{1,2}[./-]\d{2}")
_EPOCHS = ((1e8, 1e11, "s"), (1e11, 1e14, "ms"), (1e14, 1e17, "us"), (1e17, 1e19, "ns"))


def parts_of(frame: pd.DataFrame, name: str) -> list[str]:
    """The columns that a time column "year+month+day" is joined from; else just `name`."""
    parts = name.split("+")
    joined = name not in frame.columns and all(part in frame.columns for part in parts)
    return parts if joined else [name]


def times(frame: pd.DataFrame, name: str) -> tuple[Stamps, list[str]]:
    """A column as time stamps, with notes on how they were read.

    Dates in ISO 8601, year-month, 2024Q1, day/month/year or month/day/year, eight digits,
    seconds (or milli-, micro-, nanoseconds) since 1970. "year+month+day+hour" joins columns of
    numbers, "date+time" columns of text.
    Time stamps with a zone or an offset become UTC. Other whole numbers are integer steps.
    Raises DataError that names the line of the first cell that is missing or does not fit.
    """
    parts = parts_of(frame, name)
    if len(parts) > 1 and all(part.lower() in PART_NAMES for part in parts):
        return _from_parts(frame, parts), []
    if len(parts) > 1:
        return times(_joined(frame, parts), name)
    column = frame[name]
    if column.isna().any():
        at = int(np.argmax(column.isna().to_numpy()))
        raise DataError(f"{place(frame, at, name)}: no time; expected one in every row: fill it in")
    if isinstance(column.dtype, pd.PeriodDtype):
        return _to_ns(column.dt.to_timestamp(), frame, name), []
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _to_ns(column.dt.tz_convert("UTC").dt.tz_localize(None), frame, name), [_utc(name)]
    if pd.api.types.is_datetime64_any_dtype(column):
        return _to_ns(column, frame, name), []
    if is_plain_number(column):
        return _from_numbers(frame, name)
    return _from_text(frame, name)


def _utc(name: str) -> str:
    return f"{name}: time zones were converted to UTC"


def is_whole(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column holds whole numbers only."""
    if not is_plain_number(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
        return False
    values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return bool(np.all(np.isfinite(values) & (values == np.floor(values))))


def _joined(frame: pd.DataFrame, parts: list[str]) -> pd.DataFrame:
    """A date and a time of day, side by side, as one column of text."""
    columns = [cells(frame, part)[0] for part in parts]
    text = [
        " ".join((row[0], *(cell.replace(".", ":") for cell in row[1:])))
        for row in zip(*columns, strict=True)
    ]
    joined = pd.DataFrame({"+".join(parts): text}, index=frame.index)
    joined.attrs = frame.attrs
    return joined


def _from_parts(frame: pd.DataFrame, parts: list[str]) -> Stamps:
    table = pd.DataFrame({part.lower(): numbers(frame, part) for part in parts})
    if "day" not in table:
        table["day"] = 1
    stamps = pd.to_datetime(table, errors="coerce")
    return _to_ns(_whole(stamps, frame, "+".join(parts)), frame, "+".join(parts))


def _from_numbers(frame: pd.DataFrame, name: str) -> tuple[Stamps, list[str]]:
    values = numbers(frame, name)
    fraction = values != np.floor(values)
    if fraction.any():
        at = int(np.argmax(fraction))
        raise DataError(
            f"{place(frame, at, name)}: {values[at]:g} is neither a date nor a whole number of "
            "steps; give dates, or steps 0, 1, 2, ..."
        )
    steps = frame[name].to_numpy(dtype=np.int64)
    low, high = int(steps.min()), int(steps.max())
    if name.lower() == "year" and low >= 1678 and high <= 2261:
        return _digits(steps.astype(str), "%Y", frame, name), []
    if low >= 1678_01_01 and high <= 2261_12_31:
        return _digits(steps.astype(str), "%Y%m%d", frame, name), []
    for least, most, unit in _EPOCHS:
        if low >= least and high < most:
            return steps.astype(f"datetime64[{unit}]").astype("datetime64[ns]"), [
                f"{name}: read as {unit} since 1970-01-01 UTC"
            ]
    return steps, []


def _digits(text: Any, form: str, frame: pd.DataFrame, name: str) -> Stamps:
    stamps = pd.Series(pd.to_datetime(text, format=form, errors="coerce"))
    return _to_ns(_whole(stamps, frame, name), frame, name)


def _from_text(frame: pd.DataFrame, name: str) -> tuple[Stamps, list[str]]:
    text, missing = cells(frame, name)
    if missing.any():
        at = int(np.argmax(missing))
        raise DataError(f"{place(frame, at, name)}: no time; expected one in every row: fill it in")
    if not _DATE_LIKE.search(text[0]):
        raise _no_date(frame, 0, name, text[0])
    column = pd.Series(text)
    zoned = column.str.contains(_OFFSET).to_numpy(dtype=bool)
    if zoned.any() and not zoned.all():
        at = int(np.argmin(zoned) if zoned[0] else np.argmax(zoned))
        raise DataError(
            f"{place(frame, at, name)}: {text[at]!r} does not agree with the rows above on having "
            "an offset from UTC; give one in every row or in none"
        )
    stamps, notes = _parse(column, bool(zoned.any()), name)
    return _to_ns(_whole(stamps, frame, name), frame, name), notes


def _parse(column: Any, zoned: bool, name: str) -> tuple[Any, list[str]]:
    if column.str.fullmatch(_QUARTER).all():
        quarters = pd.PeriodIndex(column.str.replace("-", ""), freq="Q")
        return pd.Series(quarters.to_timestamp()), []
    iso = _attempt(column, zoned, format="ISO8601")
    if iso.notna().all():
        return iso, [_utc(name)] if zoned else []
    month_first = _attempt(column, zoned)
    day_first = _attempt(column, zoned, dayfirst=True)
    best = max((iso, month_first, day_first), key=lambda stamps: int(stamps.notna().sum()))
    notes = [_utc(name)] if zoned else []
    if month_first.notna().all() and day_first.notna().all() and not month_first.equals(day_first):
        by_day = _steps(day_first) < _steps(month_first)
        best = day_first if by_day else month_first
        order = "day/month" if by_day else "month/day"
        notes.append(f"{name}: read as {order}/year, the more regular reading; better use ISO 8601")
    return best, notes


def _attempt(column: Any, zoned: bool, **how: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the format was guessed
        warnings.simplefilter("ignore", FutureWarning)
        stamps = pd.to_datetime(column, errors="coerce", utc=zoned, **how)
    return stamps.dt.tz_localize(None) if zoned else stamps


def _steps(stamps: Any) -> int:
    """How irregular time stamps are: the number of different steps, in days or months."""
    ordered = stamps.drop_duplicates().sort_values()
    months = (ordered.dt.year * 12 + ordered.dt.month).diff().nunique() + ordered.dt.day.nunique()
    return int(min(months, ordered.diff().nunique() + 1))


def _whole(stamps: Any, frame: pd.DataFrame, name: str) -> Any:
    if stamps.isna().any():
        at = int(np.argmax(stamps.isna().to_numpy()))
        shown = ", ".join(str(frame[part].iloc[at]) for part in parts_of(frame, name))
        raise _no_date(frame, at, name, shown)
    return stamps


def _no_date(frame: pd.DataFrame, at: int, name: str, shown: str) -> DataError:
    return DataError(
        f"{place(frame, at, name)}: {shown!r} is not a date; expected one like 2024-01-31 or "
        "2024-01-31 13:00: correct it, or choose another time column"
    )


def _to_ns(stamps: Any, frame: pd.DataFrame, name: str) -> Stamps:
    values = stamps.to_numpy()
    years = values.astype("datetime64[Y]").astype(np.int64) + 1970
    outside = (years < 1678) | (years > 2261)
    if outside.any():
        at = int(np.argmax(outside))
        raise DataError(
            f"{place(frame, at, name)}: the year {years[at]} is outside 1678 to 2261; correct it, "
            "or number the rows instead"
        )
    result: Stamps = values.astype("datetime64[ns]")
    return result
