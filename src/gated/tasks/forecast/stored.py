"""What stands beside a model: the scalers as JSON, the ends of the series as Parquet.

Both are written atomically and carry a SHA-256 of themselves.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gated.errors import CheckpointError
from gated.tasks.forecast.predict import Intervals
from gated.tasks.forecast.scalers import Scalers
from gated.training import RunDirectory
from gated.training.atomic import write_atomically

TAIL = "tail.parquet"
SCALERS = "scalers.json"
_BLANK = b"sha256=" + b"0" * 64
_SEAL = re.compile(rb"sha256=[0-9a-f]{64}")


def save_scalers(directory: Path, scalers: Scalers, intervals: Intervals | None) -> None:
    """Write what undoes the scaling, and the errors that intervals are made of."""
    errors = None if intervals is None else intervals.errors.tolist()
    content = {**scalers.to_dict(), "interval_errors": errors}
    RunDirectory(directory).write_json(SCALERS, {**content, "sha256": _digest(content)})


def load_scalers(directory: Path, quantiles: tuple[float, ...]) -> tuple[Scalers, Intervals | None]:
    """What `save_scalers` wrote. Raises CheckpointError when it is missing or damaged."""
    content = RunDirectory(directory).read_json(SCALERS)
    said = content.pop("sha256", None) if isinstance(content, dict) else None
    if said != _digest(content):
        raise CheckpointError(
            f"{directory / SCALERS} is damaged or was edited: its checksum does not match; restore "
            f"it, or train again"
        )
    errors = content["interval_errors"]
    intervals = None if errors is None else Intervals(np.array(errors), quantiles)
    return Scalers.from_dict(content), intervals


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def save_tail(frame: pd.DataFrame, directory: Path) -> None:
    """Write the ends of the series."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"gated": _BLANK.decode()})
    data = sink.getvalue()
    write_atomically(directory / TAIL, _with_seal(data, data.rindex(_BLANK), _seal(data)))


def load_tail(directory: Path) -> pd.DataFrame:
    """What `save_tail` wrote. Raises CheckpointError when it is missing or damaged."""
    path = directory / TAIL
    remedy = "give the history as a file instead"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; {remedy}") from error
    found = list(_SEAL.finditer(data))  # the last: a series may have such a name
    if not found or _seal(_with_seal(data, found[-1].start(), _BLANK)) != found[-1][0]:
        raise CheckpointError(f"{path} is damaged: its checksum does not match; {remedy}")
    return pd.read_parquet(io.BytesIO(data))


def _seal(data: bytes) -> bytes:
    return b"sha256=" + hashlib.sha256(data).hexdigest().encode()


def _with_seal(data: bytes, at: int, seal: bytes) -> bytes:
    return data[:at] + seal + data[at + len(seal) :]
