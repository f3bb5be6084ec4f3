"""Writing a table as CSV: whole or not at all, and harmless to open in a spreadsheet."""

import csv
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

import pandas as pd

from gated.errors import DataError

_NEVER_TEXT = "iufbMm"  # numbers, flags and times, as numpy spells them
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_csv(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a frame, without its index, as UTF-8 CSV.

    Text that a spreadsheet would run as a formula (it starts with = + - @, tab or carriage
    return, and is no plain number) gets a leading apostrophe, in cells and in names. Numbers and
    times are written as they are, so that reading gives the same values back.
    The file appears whole or not at all. Raises DataError if it cannot be written.
    """
    safe = frame.copy()
    for position, name in enumerate(frame.columns):
        column = frame[name] if frame.columns.is_unique else frame.iloc[:, position]
        if column.dtype.kind not in _NEVER_TEXT:
            safe.isetitem(position, [escape_formula(cell) for cell in column])
    safe.columns = pd.Index([escape_formula(name) for name in frame.columns])
    # the csv module leaves a lone carriage return unquoted, and what follows it in a new row
    returns = any(isinstance(cell, str) and "\r" in cell for cell in _texts(safe))
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    with atomic_text(path) as file:
        safe.to_csv(file, index=False, lineterminator="\n", quoting=quoting)


def _texts(frame: pd.DataFrame) -> Iterator[Any]:
    yield from frame.columns
    for _, column in frame.items():
        if column.dtype.kind not in _NEVER_TEXT:
            yield from column


def escape_formula(cell: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would run; leave everything else.

    >>> [escape_formula(cell) for cell in ("=1+1", "-5", "north", -5)]
    ["'=1+1", '-5', 'north', -5]
    """
    if not isinstance(cell, str) or not cell.startswith(_FORMULA_STARTS):
        return cell
    try:
        float(cell if cell.isascii() and cell == cell.strip() else "x")
    except ValueError:
        return "'" + cell
    return cell


@contextmanager
def atomic_text(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a text file that takes its name only when it is complete and on the disk.

    Raises DataError if it cannot be written; then the former file, if any, is untouched.
    """
    target = Path(path)
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("w", encoding="utf-8", newline="") as file:  # a pipe, /dev/stdout
            yield file
        return
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written: {error.strerror}; choose another path"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
