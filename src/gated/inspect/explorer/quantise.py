"""Heat maps as bytes: 256 levels a unit, between that unit's own least and largest value."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Quantised", "quantised"]

_SAMPLE = 64  # units by which the better of two spellings is found


@dataclass(frozen=True)
class Quantised:
    """Values as bytes.

    Attributes:
        codes: (n, T) uint8; a unit's row is `low + codes / 255 * (high - low)`.
        low, high: (n,) float32.
        delta: whether each code but a row's first stands as the difference from the one before,
            modulo 256: slow units pack smaller so.
        wild: how many values were not finite; they are drawn as the nearest finite one.
    """

    codes: NDArray[np.uint8]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    delta: bool
    wild: int


def quantised(values: NDArray[Any]) -> Quantised:
    """The values (T, n) of one gate or state as bytes.

    The error is at most 1/510 of the unit's range, so a value shown to two digits is right.

    >>> import numpy as np
    >>> found = quantised(np.array([[0.0], [0.5], [1.0]]))
    >>> np.cumsum(found.codes, axis=1, dtype=np.uint8) if found.delta else found.codes
    array([[  0, 128, 255]], dtype=uint8)
    """
    rows = np.asarray(values, np.float32).T
    finite = np.isfinite(rows)
    wild = int(rows.size - finite.sum())
    low = np.where(finite, rows, np.inf).min(axis=1, initial=np.inf)
    high = np.where(finite, rows, -np.inf).max(axis=1, initial=-np.inf)
    empty = low > high
    low[empty], high[empty] = 0.0, 0.0
    span = np.where(high > low, high.astype(np.float64) - low, 1.0)
    if wild:
        rows = np.where(np.isnan(rows), low[:, None], rows)
        rows = np.clip(rows, low[:, None], high[:, None])
    codes = np.rint((rows - low[:, None].astype(np.float64)) / span[:, None] * 255).astype(np.uint8)
    delta = _packed_size(_differences(codes[:_SAMPLE])) < _packed_size(codes[:_SAMPLE])
    return Quantised(_differences(codes) if delta else codes, low, high, delta, wild)


def _differences(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.diff(codes, axis=1, prepend=np.uint8(0))


def _packed_size(codes: NDArray[np.uint8]) -> int:
    return len(zlib.compress(codes.tobytes(), 1))
