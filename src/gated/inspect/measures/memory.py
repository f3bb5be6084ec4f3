"""How long a recurrent unit remembers, measured on a trace of its forget gate.

A unit whose state follows ``c_t = f_t * c_(t-1) + ...`` keeps the share ``f_t`` of what it held.
From that follow, for each unit: the half-life at its average gate (``half_life``); what is left of
each step at the end of a window (``retention``) and of any step after k more (``retention_curve``);
the steps until less than a share is left (``horizon``); and how many steps' writes stand in the
state at the end (``memory_length``).

Which gate forgets is for the caller to say: ``f`` of an LSTM, ``z`` of a GRU written as
``h = (1 - z) * n + z * h``, ``1 - z`` where the paper swaps the two.
``gated.inspect.measures.forget_factor`` finds it in the equations of any cell. A cell without such
a factor (the plain RNN) has no half-life.

Where all of them are wrong: they follow the direct path alone, from a unit's state to the same
unit's state. They are neither upper nor lower bounds on what the network remembers.

- The input gate may overwrite: ``c`` keeps the old value *and* adds a new one, which can drown or
  cancel it, though f = 1.
- The output gate may hide a value that is kept: it stays in ``c`` and nothing sees it.
- What travels through ``h`` and the recurrent weights is ignored: units refresh one another, and a
  network may remember by that for longer than any of its units. In the worked example of the tests
  the direct path from step 4 back to step 1 carries 0.260 of the gradient, all paths together
  0.9515. ``gated.inspect.measures.jacobian_norms`` measures all paths.
- The gates are those of this input; on another they differ.

The order of the steps is that in which the cell reads: a reverse direction's rows are to be turned
round first (``gated.inspect.measures.arrays.in_reading_order``). The first gate of a row acts on
the initial state, in which nothing of the input stands; the measures that follow time leave it out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.errors import OptionError, ShapeError
from gated.inspect.measures.arrays import (
    Floats,
    Mask,
    as_floats,
    in_unit_interval,
    real_steps,
    rows,
)

__all__ = ["half_life", "horizon", "memory_length", "retention", "retention_curve"]

_WHAT = "the forget gate"


def half_life(forget: ArrayLike, valid: ArrayLike | None = None) -> NDArray[np.float64]:
    """Steps after which half of a unit's state is left, at its average forget gate.

    The forget gates of successive steps multiply, so their average is the geometric mean and
    ``half-life = ln 2 / -mean(ln f)``: the half-life of exponential decay, with the decay rate
    averaged over the window. Used for LSTM units by Mahto et al., "Multi-timescale Representation
    Learning in LSTM Language Models", ICLR 2021 (there as the time constant ``T = -1 / ln f``,
    which is the half-life divided by ln 2). One gate that shuts to 0 makes it 0, however seldom
    that happens: `horizon` does not have this fault. The module's docstring says where it is wrong.

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
    gates = in_unit_interval(real_steps(forget, valid, _WHAT))
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
    gates = as_floats(forget)
    if gates.ndim != 2:
        raise ShapeError(
            f"retention: the forget gate has shape {gates.shape}, expected (T, H); "
            "pass one sequence at a time"
        )
    gates = in_unit_interval(real_steps(gates, None, _WHAT))
    left = np.ones_like(gates)
    left[:-1] = np.cumprod(gates[:0:-1], axis=0)[::-1]
    return left


def retention_curve(
    forget: ArrayLike, valid: ArrayLike | None = None, *, lags: int | None = None
) -> NDArray[np.float64]:
    """Share of the state that is left after k more steps, averaged over all steps to start from.

    ``R_k = mean over t of f_(t+1) * ... * f_(t+k)``, over every t whose row is long enough; a
    steady gate gives ``f ** k``. It averages the products, where `half_life` averages their
    logarithms, so it decays more slowly where the gate changes.

    Args:
        forget: (T, H) or (..., T, H), values of the forget gate in [0, 1].
        valid: (T,) or (..., T), True where the step is real, padding behind. None: every step.
        lags: the largest k, T - 1 if not given. It costs about B * T * H * lags multiplications.

    Returns:
        (lags + 1, H) float64, 1 at k = 0, NaN where no row has k more steps.

    Raises:
        ShapeError: wrong shape, no valid step, or a valid value that is not in [0, 1].
        OptionError: lags is negative.

    >>> retention_curve([[0.9], [0.5], [0.5], [0.5]], lags=2).ravel()
    array([1.  , 0.5 , 0.25])
    """
    gates, mask = _gates(forget, valid)
    most = _check_lags(lags, gates.shape[1])
    curve = np.full((most + 1, gates.shape[2]), np.nan)
    for k, left in zip(range(most + 1), _left(gates, mask), strict=False):
        curve[k] = left
    return curve


def horizon(
    forget: ArrayLike,
    valid: ArrayLike | None = None,
    *,
    share: float = float(np.exp(-1)),
    lags: int | None = None,
) -> NDArray[np.float64]:
    """Effective horizon: steps after which the direct path keeps less than a share.

    The first k at which `retention_curve` is below `share`. For a steady gate that is the first
    integer above ``ln(share) / ln(f)``: with the default 1/e, the time constant ``-1 / ln f``.

    Args:
        forget, valid, lags: as in `retention_curve`.
        share: what counts as forgotten, between 0 and 1.

    Returns:
        (H,) float64, in time steps; inf for a unit that keeps more than `share` for all of `lags`,
        which is a statement about this window, not about ever.

    Raises:
        ShapeError, OptionError: as `retention_curve`, or share is not between 0 and 1.

    >>> horizon([[0.5, 0.9, 1.0]] * 40, share=0.05)
    array([ 5., 29., inf])
    """
    if not 0 < share < 1:
        raise OptionError(f"share={share}: expected a number between 0 and 1, as 0.05")
    gates, mask = _gates(forget, valid)
    most = _check_lags(lags, gates.shape[1])
    found = np.full(gates.shape[2], np.inf)
    for k, left in zip(range(most + 1), _left(gates, mask), strict=False):
        found = np.where(np.isinf(found) & (left < share), k, found)
        if np.isfinite(found).all():
            break
    return found


def memory_length(forget: ArrayLike, valid: ArrayLike | None = None) -> NDArray[np.float64]:
    """Effective memory length: how many steps' writes stand in the state at a row's end.

    The sum of `retention` over the window, ``1 + f_T + f_T f_(T-1) + ...``; for a steady gate
    and a long window ``1 / (1 - f)``, the forgetting time of Tallec & Ollivier, "Can recurrent
    neural networks warp time?", ICLR 2018, arXiv:1804.11188. It is at most T, so a window shorter
    than the memory gives the window. It counts each write as 1, whatever the input gate let in.

    Args:
        forget, valid: as in `retention_curve`.

    Returns:
        (H,) float64, in time steps, 1 to T, averaged over the rows that have a step.

    Raises:
        ShapeError: as `retention_curve`.

    >>> memory_length([[0.5, 0.9, 1.0]] * 200).round(6)
    array([  2.,  10., 200.])
    """
    gates, mask = _gates(forget, valid)
    total = np.zeros((gates.shape[0], gates.shape[2]))
    for t in range(gates.shape[1]):
        total = np.where(mask[:, t, None], 1 + gates[:, t] * total, total)
    return np.asarray(total[mask[:, 0]].mean(axis=0))


def _gates(forget: ArrayLike, valid: ArrayLike | None) -> tuple[Floats, Mask]:
    """Forget gates (B, T, H), 0 at padding, and the mask (B, T)."""
    gates, mask = rows(forget, valid, _WHAT)
    in_unit_interval(gates[mask])
    return np.where(mask[..., None], gates, 0.0), mask


def _left(gates: Floats, mask: Mask) -> Iterator[Floats]:
    """The retention curve (H,) for k = 0, 1, ... as long as a row has k more steps."""
    left = mask[..., None] * np.ones_like(gates)
    for k in range(gates.shape[1]):
        if k:
            left = left[:, :-1] * gates[:, k:]
        count = mask[:, k:].sum()
        if count == 0:
            return
        yield left.sum(axis=(0, 1)) / count


def _check_lags(lags: int | None, steps: int) -> int:
    if lags is None:
        return steps - 1
    if lags < 0:
        raise OptionError(f"lags={lags}: expected 0 or more steps")
    return lags
