"""What every measure begins with: values over time, and which of their steps are real."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "as_floats",
    "in_reading_order",
    "in_unit_interval",
    "real_steps",
    "rows",
    "timed",
    "valid_steps",
]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def valid_steps(lengths: ArrayLike, steps: int) -> Mask:
    """Which steps are real: (B, T) from lengths (B,), as every measure's `valid` wants it.

    Raises:
        ShapeError: lengths is not (B,) or a length is not in 0 to `steps`.

    Example:
        >>> valid_steps([2, 0], 3).astype(int)
        array([[1, 1, 0],
               [0, 0, 0]])
    """
    known = np.asarray(lengths)
    if known.ndim != 1 or (len(known) and not 0 <= known.min() <= known.max() <= steps):
        raise ShapeError(
            f"lengths {known.tolist()} do not fit: expected (B,), each 0 to {steps}, the steps"
        )
    return np.asarray(np.arange(steps) < known[:, None])


def real_steps(values: ArrayLike, valid: ArrayLike | None, what: str = "the values") -> Floats:
    """The values at the real steps, (N, H) from (..., H), in float64.

    Raises:
        ShapeError: no time axis, a mask that does not fit, or no real step.
    """
    array, mask = _masked(values, valid, what)
    steps: Floats = array[mask]
    if len(steps) == 0:
        raise ShapeError(
            f"{what} of shape {array.shape} has no valid step; pass a window of at least one step"
        )
    return steps


def timed(
    values: ArrayLike, valid: ArrayLike | None, what: str = "the values"
) -> tuple[Floats, Mask]:
    """Values (B, T, H) and mask (B, T), from values (T, H) or (..., T, H).

    Raises:
        ShapeError: no time axis, or a mask that does not fit.
    """
    array, mask = _masked(values, valid, what)
    steps, units = array.shape[-2:]
    rows = mask.size // steps if steps else 0
    return array.reshape(rows, steps, units), mask.reshape(rows, steps)


def rows(
    values: ArrayLike, valid: ArrayLike | None, what: str = "the values"
) -> tuple[Floats, Mask]:
    """As `timed`, for what follows memory from step to step.

    Raises:
        ShapeError: as `real_steps`, or a row whose real steps do not stand at its beginning.
    """
    array, mask = timed(values, valid, what)
    late = np.argwhere(mask[:, 1:] & ~mask[:, :-1])
    if len(late):
        row, step = late[0]
        raise ShapeError(
            f"valid is False at step {step} of row {row} and True after it, expected real steps "
            f"first and padding behind them: cut the row in two there"
        )
    if not mask.any():
        raise ShapeError(
            f"{what} of shape {array.shape} has no valid step; pass a window of at least one step"
        )
    return array, mask


def in_unit_interval(steps: Floats, what: str = "the forget gate") -> Floats:
    """Return values (N, H) if they all lie in [0, 1].

    Raises:
        ShapeError: one does not, or is NaN.
    """
    wrong = np.argwhere(~((steps >= 0) & (steps <= 1)))
    if len(wrong):
        row, unit = wrong[0]
        raise ShapeError(
            f"{what} of unit {unit} is {steps[row, unit]:g} at valid step {row}, expected "
            "a value in [0, 1]; mark padding in valid=, and pass the gate after its sigmoid"
        )
    return steps


def in_reading_order(values: ArrayLike, lengths: ArrayLike) -> Floats:
    """Values (B, T, H) of a reverse direction, each row turned round within its length.

    A recording holds a reverse direction in time order of the input. What follows memory from
    step to step wants the order in which the cell read them.

    Example:
        >>> in_reading_order([[[1.0], [2.0], [0.0]]], [2]).ravel()
        array([2., 1., 0.])
    """
    array = as_floats(values)
    known = np.asarray(lengths)[:, None]
    time = np.arange(array.shape[1])
    turned = np.where(time < known, known - 1 - time, time)
    return np.take_along_axis(array, turned[..., None], axis=1)


def as_floats(values: ArrayLike | Tensor) -> Floats:
    """Any array, or a tensor wherever it is and whatever graph it stands on, in float64."""
    detach = getattr(values, "detach", None)
    return np.asarray(detach().double().cpu() if detach else values, dtype=np.float64)


def _masked(values: ArrayLike, valid: ArrayLike | None, what: str) -> tuple[Floats, Mask]:
    array = as_floats(values)
    if array.ndim < 2:
        raise ShapeError(
            f"{what} has shape {array.shape}, expected (..., H) with at least a time axis "
            "before the units; for one unit pass values[:, None]"
        )
    mask = np.ones(array.shape[:-1], bool) if valid is None else np.asarray(valid)
    if mask.dtype != np.bool_ or mask.shape != array.shape[:-1]:
        raise ShapeError(
            f"valid has shape {mask.shape} and dtype {mask.dtype}, expected bool of shape "
            f"{array.shape[:-1]}: one value for each step of {what} {array.shape}"
        )
    return array, mask
