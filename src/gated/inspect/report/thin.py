"""Large traces made small enough for a page: steps are averaged, units are picked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_steps", "middle_times", "pick_units"]

Array = NDArray[Any]


def average_steps(values: Array, width: int) -> Array:
    """Means over blocks of ``width`` steps along the first axis.

    (T, ...) becomes (ceil(T / width), ...). The last block may be shorter.
    Missing values (NaN) are left out of a block's mean.

    >>> average_steps(np.array([1.0, 3.0, 5.0]), 2)
    array([2., 5.])
    """
    if width == 1:
        return values
    starts = np.arange(0, len(values), width)
    present = ~np.isnan(values)
    total = np.add.reduceat(np.where(present, values, 0.0), starts, axis=0)
    count = np.add.reduceat(present.astype(np.float64), starts, axis=0)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


def middle_times(times: Array, width: int) -> Array:
    """The time in the middle of each block of ``width`` steps, where a heat map's cell is centred.

    >>> middle_times(np.arange(7), 3)
    array([1, 4, 6])
    """
    starts = np.arange(0, len(times), width)
    return times[np.minimum(starts + (width - 1) // 2, len(times) - 1)]


def pick_units(half_life: Array | None, count: int, limit: int) -> NDArray[np.intp]:
    """The units to draw, shortest memory first: evenly spaced ranks, both ends included.

    Without half-lives the units keep their order. Equal half-lives keep it too.

    >>> pick_units(np.array([9.0, 1.0, 4.0, 2.0]), 4, 3)
    array([1, 3, 0])
    """
    order = np.arange(count) if half_life is None else np.argsort(half_life, kind="stable")
    if count <= limit:
        return order
    return order[np.linspace(0, count - 1, limit).astype(np.intp)]
