"""Reading a table from CSV or Parquet, with errors that name file, line and column."""

import csv
import io
import itertools
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gated.data.columns import MISSING
from gated.data.text import DELIMITERS, decode, read_bytes, spot
from gated.errors import DataError

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_DECIMAL_POINT = re.compile(r"[+-]?\d+\.\d+([eE][+-]?\d+)?")
_SOUND_CELL = r'(?:"[^"]*+(?:""[^"]*+)*+"|[^"D\r\n][^D\r\n]*+|)D'  # and the delimiter D behind it
_SAMPLE = 100  # lines that decide on the delimiter and on the decimal sign


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a CSV or Parquet file into a DataFrame that remembers where its rows stood.

    CSV: UTF-8, with or without byte-order mark, plain or gzip; comma, semicolon, tab or bar
    between cells (seen from the file); a decimal comma where the delimiter is not a comma.
    The first line holds the names; a first line of numbers is taken as data. A column becomes
    numbers if all its cells are numbers or missing; missing are the spellings in
    `gated.data.columns.MISSING`, in any case. A text column keeps its cells as they are,
    the empty ones missing; so do numbers with leading zeros, which are names.

    The index, named "line", holds each row's physical line, counted from 1; for Parquet it is
    named "row". `frame.attrs["file"]` is the path as given.

    Raises DataError, naming file, line and column, for a ragged row, an unclosed quote, NUL,
    another encoding than UTF-8, duplicate names, no rows; and for a file that cannot be read.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "sales.csv")
    >>> _ = path.write_text("ds;y\\n2024-01-01;1,5\\n2024-01-02;\\n")
    >>> read_table(path)["y"].tolist()
    [1.5, nan]
    """
    file = os.fspath(path)
    data = read_bytes(Path(path))
    if data.startswith(b"PAR1"):
        frame = _parquet(data, file)
    elif Path(path).suffix.lower() in (".parquet", ".pq"):
        raise DataError(f"{file} is named like a Parquet file but is none; is it complete?")
    else:
        frame = _csv(decode(data, file), file)
    frame.attrs["file"] = file
    return frame


def _parquet(data: bytes, file: str) -> pd.DataFrame:
    import pyarrow

    try:
        frame = pd.read_parquet(io.BytesIO(data))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{file}: damaged Parquet file: {first}; write it again") from None
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    if frame.empty:
        raise DataError(f"{file}: no rows; expected a table with at least one")
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame


def _csv(text: str, file: str) -> pd.DataFrame:
    delimiter = _delimiter(text)
    rows, lines = _rows(text, delimiter, file)
    names, notes = _names(rows, lines, file)
    if not notes:
        del rows[0], lines[0]
    while rows and not any(rows[-1]):  # spreadsheets leave ",,,," at the end
        del rows[-1], lines[-1]
    if not rows:
        raise DataError(f"{file}: no rows; expected a header line and at least one row below it")
    comma = delimiter != "," and _has_decimal_comma(rows)
    cells = zip(*rows, strict=True)
    table = {name: _column(column, comma) for name, column in zip(names, cells, strict=True)}
    frame = pd.DataFrame(table, index=pd.Index(lines, name="line"))
    frame.attrs.update(notes=notes, decimal="," if comma else ".")
    return frame


def _delimiter(text: str) -> str:
    """The character that cuts most lines into as many cells as the first one, two at least."""
    head = list(zip(range(_SAMPLE), io.StringIO(text, newline=""), strict=False))

    def score(delimiter: str) -> tuple[float, int]:
        try:
            rows = [row for row in csv.reader((l for _, l in head), delimiter=delimiter) if row]
        except csv.Error:
            return (0.0, 0)
        width = len(rows[0]) if rows else 0
        share = sum(len(row) == width for row in rows) / max(len(rows), 1)
        return (share if width > 1 else 0.0, width)

    return max(DELIMITERS, key=score)


def _rows(text: str, delimiter: str, file: str) -> tuple[list[list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    previous = 0
    try:
        for row in reader:
            first, previous = previous + 1, reader.line_num
            if not row:
                if not (rows and len(rows[0]) == 1):
                    continue
                row = [""]  # a table of one column: an empty line is a missing value
            rows.append(row)
            lines.append(first)
            if len(row) != len(rows[0]):
                raise DataError(_ragged(rows[0], row, first, previous, file))
    except csv.Error:
        names = rows[0] if rows else []
        raise DataError(_quote_fault(text, previous, delimiter, file, names)) from None
    return rows, lines


def _ragged(names: list[str], row: list[str], first: int, last: int, file: str) -> str:
    missing = len(row) < len(names)
    column = names[len(row)].strip() if missing else len(names) + 1
    message = f"{spot(file, first, column)}: the row has {len(row)} cells, the header {len(names)}"
    if last > first:
        return f"{message}; a quoted cell runs on to line {last}: close its quote"
    if missing:
        return f"{message}; add the missing cells (empty where unknown)"
    return f"{message}; remove the surplus, or put quotes around a cell that holds the delimiter"


def _quote_fault(text: str, after: int, delimiter: str, file: str, names: list[str]) -> str:
    """Say where the quote stands that breaks the record starting behind line `after`."""
    record = "".join(list(io.StringIO(text, newline=""))[after:])
    sound = re.compile(_SOUND_CELL.replace("D", re.escape(delimiter)))
    at, number = 0, 1
    while cell := sound.match(record, at):
        at, number = cell.end(), number + 1
    line = after + 1 + record.count("\n", 0, at)
    place = spot(file, line, names[number - 1].strip() if number <= len(names) else number)
    if not record.startswith('"', at):
        return f"{place}: a cell of more than {csv.field_size_limit()} characters; is it a table?"
    return (
        f"{place}: a quote is opened here and not closed before a delimiter, the end of the line "
        "or of the file; close it, or double each quote that belongs to the text"
    )


def _names(rows: list[list[str]], lines: list[int], file: str) -> tuple[list[str], list[str]]:
    """The names of the columns, and a note if the first line holds none."""
    if not rows:
        raise DataError(f"{file}: no rows; the file is empty")
    header = [cell.strip() for cell in rows[0]]
    if _is_data(header):
        note = f"line {lines[0]} holds numbers, not names: the columns are named column 1, 2, ..."
        return [f"column {i}" for i in range(1, len(header) + 1)], [note]
    names = [name or f"column {i}" for i, name in enumerate(header, 1)]
    for name, count in Counter(names).items():
        if count > 1:
            first = names.index(name)
            again = names.index(name, first + 1)
            raise DataError(
                f"{spot(file, lines[0], name)}: cells {first + 1} and {again + 1} of the header "
                "have the same name; rename one"
            )
    return names, []


def _is_data(header: list[str]) -> bool:
    try:
        numbers = [float(cell) for cell in header]
    except ValueError:
        return False
    counted = len(numbers) > 1 and all(b - a == 1 for a, b in itertools.pairwise(numbers))
    return not counted  # 2001,2002,... and 0,1,2,... are names


def _has_decimal_comma(rows: list[list[str]]) -> bool:
    cells = [cell for row in rows[:_SAMPLE] for cell in row]
    return any(map(_DECIMAL_COMMA.fullmatch, cells)) and not any(
        map(_DECIMAL_POINT.fullmatch, cells)
    )


def _column(cells: tuple[str, ...], comma: bool) -> Any:
    plain = [cell.replace(",", ".") for cell in cells] if comma else cells
    values = np.asarray(pd.to_numeric(np.array(plain, dtype=object), errors="coerce"))
    text = any(cell[:1] == "0" and cell.isdigit() and cell != "0" for cell in cells)
    if values.dtype.kind == "f":
        unread = np.flatnonzero(np.isnan(values))
        text = text or any(cells[i].strip().lower() not in MISSING for i in unread)
        text = text or (bool(np.any(np.abs(values) >= 2.0**63)) and any(map(_is_long, cells)))
    return [cell or None for cell in cells] if text else values


def _is_long(cell: str) -> bool:
    """Digits of which a float would lose some: they name something, and measure nothing."""
    return cell.isdigit() and len(cell) > 18
