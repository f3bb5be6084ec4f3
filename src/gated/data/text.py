"""From the bytes of a file to clean text, or an error that names file, line and column."""

import csv
import difflib
import gzip
import zlib
from pathlib import Path

from gated.errors import DataError

DELIMITERS = (",", ";", "\t", "|")

_BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_UTF8_MARK = b"\xef\xbb\xbf"


def spot(file: str, line: int | None = None, column: str | int | None = None) -> str:
    """Name a place in a file, the way every message of this room does.

    >>> spot("sales.csv", 7, "y")
    "sales.csv, line 7, column 'y'"
    """
    text = file
    if line is not None:
        text += f", line {line}"
    if column is not None:
        text += f", column {column!r}"
    return text


def read_bytes(path: Path) -> bytes:
    """Read a whole file, unpacking gzip, which is known by its first bytes.

    Raises DataError where the file is missing, a folder, unreadable or a damaged archive.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {_nearest_file(path)}") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; give one CSV or Parquet file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch or pack it again") from None


def decode(data: bytes, file: str) -> str:
    """Decode UTF-8, taking off a leading byte-order mark.

    Raises DataError, with line and column, at the first byte that no UTF-8 text file holds:
    another encoding's byte-order mark, NUL, a bad sequence, a byte-order mark further in.
    """
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            raise DataError(
                f"{spot(file, 1, 1)}: the byte-order mark of {encoding}; expected UTF-8: "
                f"convert it with iconv -f {encoding} -t UTF-8"
            )
    if data.startswith(b"PK\x03\x04"):
        raise DataError(f"{file} is a zip or Excel file; export the table as CSV or Parquet")
    data = data.removeprefix(_UTF8_MARK)
    if (at := data.find(b"\0")) >= 0:
        raise DataError(
            f"{_spot_of_byte(data, at, file)}: a NUL byte; expected UTF-8 text: "
            "remove it, or convert the file from UTF-16 with iconv"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{_spot_of_byte(data, error.start, file)}: byte 0x{data[error.start]:02X} is not "
            "UTF-8; convert the file, for example with iconv -f WINDOWS-1252 -t UTF-8"
        ) from None
    if (at := data.find(_UTF8_MARK)) >= 0:
        raise DataError(
            f"{_spot_of_byte(data, at, file)}: a byte-order mark inside the file; expected one "
            "at the start at most: were two files joined? Remove it"
        )
    return text


def _spot_of_byte(data: bytes, at: int, file: str) -> str:
    lines = data[:at].splitlines(keepends=True) or [b""]
    if lines[-1].endswith((b"\n", b"\r")):
        lines.append(b"")
    header = data[:1_000_000].splitlines()[0].decode("utf-8", "replace")
    delimiter = max(DELIMITERS, key=header.count)
    cells = next(csv.reader([lines[-1].decode("utf-8", "replace")], delimiter=delimiter), [""])
    names = next(csv.reader([header], delimiter=delimiter), [])
    number = max(len(cells), 1)
    in_body = len(lines) > 1 and number <= len(names)
    return spot(file, len(lines), names[number - 1].strip() if in_body else number)


def _nearest_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"the folder {path.parent} cannot be read either"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / near[0]}?" if near else "check the path"
