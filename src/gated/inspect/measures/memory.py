"""How long a recurrent unit remembers, measured on a trace of its forget gate.

A unit whose state follows ``c_t = f_t * c_(t-1) + ...`` keeps the share ``f_t`` of what it held.
Two measures follow from that: what is left of each step at the end of a window (``retention``),
and the number of steps after which half is left (``half_life``).

Which gate forgets is for the caller to say: ``f`` of an LSTM, ``z`` of a GRU written as
``h = (1 - z) * n + z * h``, ``1 - z`` where the paper swaps the two. A cell without such a gate
(the plain RNN) has no half-life.

Both measures follow the direct path alone. They are upper bounds on nothing and lower bounds on
nothing: the input gate may overwrite a unit that never forgets (``c`` keeps the old value *and*
adds the new one), the output gate may hide it, and what travels through ``h`` and the recurrent
weights is ignored. In the worked example of the tests the direct path from step 4 back to step 1
carries 0.260 of the gradient, all paths together carry 0.952.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.errors import ShapeError

__all__ = ["half_life", "retention"]


def half_life(forget: ArrayLike, valid: ArrayLike | None = None) -> NDArray[np.float64]:
    """Steps after which half of a unit's state is left, at its average forget gate.

    The forget gates of successive steps multiply, so their average is the geometric mean and
    ``half-life = ln 2 / -mean(ln f)``: the half-life of exponential decay, with the decay rate
    averaged over the window. Used for LSTM units by Mahto et al., "Multi-timescale Representation
    Learning in LSTM Language Models", ICLR 2021 (there as the time constant ``T = -1 / ln f``,
    which is the half-life divided by ln 2). The module's docstring says where it is wrong.

    Args:
        forget: (..., H), values of the forget gate in [0, 1]; the leading axes (T, or T and B, in
            any order) are averaged over.
        valid: (...), True where the step is real; padding may hold anything. None: every step.

    Returns:
        (H,) float64, in time steps: inf for a unit whose gate is 1 at every step, 0 for one whose
        gate is 0 at some step.

    Raises:
        ShapeError: wrong shape, no valid step, or a valid value that is not in [0, 1].

    >>> half_life([[0.5, 1.0], [0.5, 1.0]])
    array([ 1., inf])
    """
    gates = _valid_steps(forget, valid)
    with np.errstate(divide="ignore"):
        decay = -np.log(gates).mean(axis=0)
        return np.asarray(np.log(2.0) / np.abs(decay))


def retention(forget: ArrayLike) -> NDArray[np.float64]:
    """Share of the state after each step that is left at the end of the window.

    This is the direct path of the gradient: ``dc_T / dc_t = f_(t+1) * ... * f_T``, 1 for the last
    step. Hochreiter & Schmidhuber 1997 call the case f = 1 the constant error carousel.

    Args:
        forget: (T, H), values of the forget gate in [0, 1].

    Returns:
        (T, H) float64.

    Raises:
        ShapeError: wrong shape, or a value that is not in [0, 1].

    >>> retention([[0.9], [0.5], [0.5]]).ravel()
    array([0.25, 0.5 , 1.  ])
    """
    gates = np.asarray(forget, dtype=np.float64)
    if gates.ndim != 2:
        raise ShapeError(
            f"retention: the forget gate has shape {gates.shape}, expected (T, H); "
            "pass one sequence at a time"
        )
    gates = _valid_steps(gates, None)
    left = np.ones_like(gates)
    left[:-1] = np.cumprod(gates[:0:-1], axis=0)[::-1]
    return left


def _valid_steps(forget: ArrayLike, valid: ArrayLike | None) -> NDArray[np.float64]:
    """The gate's values at the real steps, (N, H), every one of them in [0, 1]."""
    gates = np.asarray(forget, dtype=np.float64)
    if gates.ndim < 2:
        raise ShapeError(
            f"the forget gate has shape {gates.shape}, expected (..., H) with at least a time axis "
            "before the units; for one unit pass forget[:, None]"
        )
    mask = np.ones(gates.shape[:-1], bool) if valid is None else np.asarray(valid)
    if mask.dtype != np.bool_ or mask.shape != gates.shape[:-1]:
        raise ShapeError(
            f"valid has shape {mask.shape} and dtype {mask.dtype}, expected bool of shape "
            f"{gates.shape[:-1]}: one value for each step of the forget gate {gates.shape}"
        )
    steps: NDArray[np.float64] = gates[mask]
    if len(steps) == 0:
        raise ShapeError(
            f"the forget gate of shape {gates.shape} has no valid step; "
            "pass a window of at least one step"
        )
    wrong = np.argwhere(~((steps >= 0) & (steps <= 1)))
    if len(wrong):
        row, unit = wrong[0]
        raise ShapeError(
            f"the forget gate of unit {unit} is {steps[row, unit]:g} at valid step {row}, expected "
            "a value in [0, 1]; mark padding in valid=, and pass the gate after its sigmoid"
        )
    return steps
