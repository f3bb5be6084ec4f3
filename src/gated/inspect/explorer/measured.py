"""The numbers by which the explorer sorts units, from one place's trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.equations import Cell
from gated.errors import OptionError, ShapeError
from gated.inspect.explorer.views import UnitMeasure
from gated.inspect.measures import (
    forget_factor,
    half_life,
    horizon,
    memory_length,
    saturations,
)

__all__ = ["memories", "saturated"]

Array = NDArray[Any]
_WORK = 300_000_000  # multiplications for the horizon: about a second
_DIRECT = (
    "It follows the direct path alone: that the unit is written over or hidden, and what travels "
    "through h and other units, is not in it."
)


def memories(
    values: Mapping[str, Array],
    others: Mapping[str, Array],
    cell: Cell,
    step: str,
    *,
    reverse: bool,
) -> list[UnitMeasure]:
    """How long each unit remembers, by three measures; none for a cell that keeps no share.

    Args:
        values: gates and states, (T, n).
        others: the cell's inputs (T, n) and parameters, of which its factor may read some.
        cell: the layer's cell.
        step: one time step as a noun.
        reverse: whether the layer ran from the last step to the first.
    """
    try:
        kept = forget_factor({**values, **others}, cell)
        kept = kept[::-1] if reverse else kept
        known = {"half-life": half_life(kept[1:])}  # the first acts on what holds nothing yet
    except (OptionError, ShapeError):
        return []
    lags = min(len(kept) - 1, max(32, _WORK // max(1, kept.size)))
    known["horizon"] = horizon(kept, lags=lags)
    known["memory length"] = memory_length(kept)
    texts = {
        "half-life": (
            "Steps after which half of what the unit holds is left, at its average forget gate "
            f"over the {len(kept):,} {step}s shown.",
            f"{_DIRECT} Other steps, as those of the report, give another. "
            "One gate that shuts to 0 makes it 0.",
        ),
        "horizon": (
            "Steps after which less than 1/e of it is left, averaged over all steps to start from.",
            f"{_DIRECT} ∞: more than the {lags} steps that were looked at.",
        ),
        "memory length": (
            "How many steps’ writes stand in the unit at the end, each by the share that is left.",
            f"{_DIRECT} It is at most the {len(kept)} steps shown.",
        ),
    }
    return [UnitMeasure(name, v, *texts[name], f"{step}s") for name, v in known.items()]


def saturated(values: Mapping[str, Array], cell: Cell) -> dict[str, Array]:
    """Gate or candidate -> (n, 2), the shares of steps near its low and its high end.

    None of what has become NaN.
    """
    known = {name: v for name, v in values.items() if not np.isnan(v).any()}
    found = saturations(known, cell)
    return {name: np.stack([one.left, one.right], axis=1) for name, one in found.items()}
