"""The table that a run learns from: read, recorded in the run, and found again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gated.errors import CheckpointError, DataError

if TYPE_CHECKING:
    import pandas as pd

SEA = "sea surface temperature"


@dataclass(frozen=True)
class Source:
    """A table, what to call it in messages, and what a run remembers of it."""

    name: str
    frame: pd.DataFrame
    record: dict[str, str]


def from_file(file: str) -> Source:
    """Read a table. Raises DataError, naming file, line and column."""
    from gated.data import read_table

    frame = read_table(file)
    record = {"file": str(Path(file).resolve()), "sha256": _digest(file)}
    return Source(file, frame, record)


def embedded() -> Source:
    """The series that comes along. Raises DataError when its package is not installed."""
    from gated.data import sea_surface_temperature

    return Source(SEA, sea_surface_temperature(), {"embedded": SEA})


def again(config: Mapping[str, Any], run: Path, other: str | None = None) -> Source:
    """The table that a run recorded; or `other`, which need not be the same.

    Raises:
        CheckpointError: the run recorded none, or the file is gone or has changed.
        DataError: it cannot be read.
    """
    if other is not None:
        return from_file(other)
    record = config.get("data")
    if not isinstance(record, dict) or not record.keys() & {"embedded", "file"}:
        raise CheckpointError(f"{run} does not say which file it learned from; give it with --data")
    if "embedded" in record:
        return embedded()
    file = record["file"]
    if not Path(file).exists():
        raise CheckpointError(
            f"{file}, which {run} learned from, is gone; bring it back, or say where it is now "
            "with --data FILE"
        )
    require_same(file, record, run, "use other rows on purpose with --data FILE")
    return from_file(file)


def require_same(file: str, record: Mapping[str, str], run: Path, remedy: str) -> None:
    """Raise CheckpointError unless the file holds what the run learned from."""
    if "sha256" in record and _digest(file) != record["sha256"]:
        raise CheckpointError(
            f"{file} has changed since {run} learned from it: its SHA-256 is another; bring the "
            f"old file back, or {remedy}"
        )


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Within the block, an error of the data that names no file gets this one's name."""
    try:
        yield
    except DataError as error:
        if file in str(error):
            raise
        raise DataError(f"{file}: {error}") from error


def _digest(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None
