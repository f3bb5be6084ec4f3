"""Reading one column of a table as numbers, naming the first cell that is none."""

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gated.data.text import spot
from gated.errors import DataError, OptionError

Floats = NDArray[np.float64]

#: Cells read as missing, in any case. Sentinels such as -999 are numbers and never guessed.
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "?"})


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Check that a frame is a table: rows, names that are text and differ, times as a column.

    A DatetimeIndex becomes the column "ds" (or keeps its own name). Raises DataError.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"expected a pandas DataFrame, got {type(frame).__name__}")
    if isinstance(frame.index, (pd.DatetimeIndex, pd.PeriodIndex)):
        name = str(frame.index.name or "ds")
        frame = frame.rename_axis(index=name).reset_index()
    if not all(isinstance(name, str) for name in frame.columns):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if not len(frame):
        raise DataError(f"{frame.attrs.get('file', 'the table')}: no rows; expected at least one")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"two columns have the name {twice!r}; rename one")
    return frame


def place(frame: pd.DataFrame, row: int, column: str | None = None) -> str:
    """Name the place of the row at position `row`: by line where it was read from a file."""
    label = frame.index[row]
    file = frame.attrs.get("file")
    if frame.index.name == "line" and file:
        return spot(file, int(label), column)
    return spot(f"{file}, row {label}" if file else f"row {label}", None, column)


def need(frame: pd.DataFrame, name: str, option: str) -> str:
    """Return `name` if the table has this column; else raise OptionError with the nearest."""
    if name in frame.columns:
        return name
    raise OptionError(
        f"{option}: the table has no column {name!r}{nearest(name, frame.columns)}; "
        f"it has {shorten(frame.columns)}"
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest the nearest of `names`, ignoring case; empty if none is near.

    >>> nearest("targt", ["ds", "Target"])
    ", did you mean 'Target'?"
    """
    by_lower = {other.lower(): other for other in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f", did you mean {by_lower[near[0]]!r}?" if near else ""


def shorten(names: Iterable[str], most: int = 8) -> str:
    """List names, leaving out the end of a long list.

    >>> shorten("abcd", most=2)
    'a, b and 2 more'
    """
    given = list(names)
    text = ", ".join(given[:most])
    return text if len(given) <= most else f"{text} and {len(given) - most} more"


def cells(frame: pd.DataFrame, name: str) -> tuple[list[str], NDArray[np.bool_]]:
    """A text column as stripped strings, and which of them are missing."""
    column = frame[name]
    absent = column.isna().to_numpy()
    text = ["" if gone else str(cell).strip() for cell, gone in zip(column, absent, strict=True)]
    missing = np.array([cell.lower() in MISSING for cell in text], dtype=bool)
    return text, missing


def is_plain_number(column: pd.Series) -> bool:
    """Whether pandas holds the column as numbers (booleans among them)."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column)


def looks_numeric(frame: pd.DataFrame, name: str) -> bool:
    """Whether most cells of a column are numbers, so that the others are faults in it."""
    if is_plain_number(frame[name]):
        return bool(frame[name].notna().any())
    if pd.api.types.is_datetime64_any_dtype(frame[name]):
        return False
    text, missing = cells(frame, name)
    present = int((~missing).sum())
    values = _parse(text, frame)
    return present > 0 and int(np.isfinite(values).sum()) >= 0.8 * present


def numbers(frame: pd.DataFrame, name: str) -> Floats:
    """A column as float64, NaN where a cell is missing.

    A text column whose cells are all true or false (a holiday flag, say) becomes 1 and 0.
    Raises DataError that names line, column and value for text and for infinite values.
    """
    if is_plain_number(frame[name]):
        values: Floats = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        text, missing = cells(frame, name)
        values = _parse(text, frame)
        bad = np.isnan(values) & ~missing
        if bad.any():
            values = _flags(text, missing, values)
            bad = np.isnan(values) & ~missing
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(
                f"{place(frame, at, name)}: {text[at]!r} is not a number; expected a number or an "
                "empty cell: correct it, or choose another column"
            )
    if np.isinf(values).any():
        at = int(np.argmax(np.isinf(values)))
        raise DataError(
            f"{place(frame, at, name)}: an infinite value; expected a finite number: "
            "correct it or leave the cell empty"
        )
    return values


def _parse(text: list[str], frame: pd.DataFrame) -> Floats:
    if frame.attrs.get("decimal") == ",":
        text = [cell.replace(",", ".") for cell in text]
    parsed: Any = pd.to_numeric(np.array(text, dtype=object), errors="coerce")
    return np.asarray(parsed, dtype=np.float64)


def _flags(text: list[str], missing: NDArray[np.bool_], values: Floats) -> Floats:
    flags = np.array([{"true": 1.0, "false": 0.0}.get(cell.lower(), np.nan) for cell in text])
    return values if (np.isnan(flags) & ~missing).any() else flags
