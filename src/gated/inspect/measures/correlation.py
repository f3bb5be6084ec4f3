"""What units go along with: features of the input, and labels.

Limits of everything here:

- The steps of a series are not independent, and the tests count them as if they were: with slow
  series p-values are far too small (two random walks that have nothing to do with each other are
  "significant" most of the time: Granger & Newbold, "Spurious regressions in econometrics", 1974).
  Read r and eta squared as effect sizes, and check a finding on other sequences.
- What goes along with a feature need not be used, nor caused by it: clamp the unit to see.
- Pearson sees straight lines, Spearman what rises or falls throughout; a unit that answers to
  |x| is missed by both.
- The correction is for the tests of one call, not for all that were ever tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.errors import OptionError, ShapeError
from gated.inspect.measures.arrays import Floats, Mask, timed
from gated.inspect.measures.statistics import (
    corrected,
    enough,
    finite,
    p_values,
    pearson,
    scipy_stats,
)

__all__ = ["Correlation", "correlation", "correlations"]

Method = Literal["pearson", "spearman"]


@dataclass(frozen=True)
class Correlation:
    """Correlation of units with features. Axes: H units, F features, K lags.

    Attributes:
        r: (H, F), or (K, H, F) if several lags were asked for; NaN where one is constant.
        p: the same shape: two-sided p-values for r = 0, corrected for all tests of the call.
        count: how many pairs of steps, an integer, or (K,).
    """

    r: NDArray[np.float64]
    p: NDArray[np.float64]
    count: NDArray[np.int64]


def correlation(
    values: ArrayLike,
    features: ArrayLike,
    valid: ArrayLike | None = None,
    *,
    method: Method = "pearson",
    lags: int | Sequence[int] = 0,
) -> Correlation:
    """Correlation of each unit's value with each feature, over all real steps.

    p-values are those of `scipy.stats.pearsonr` and `spearmanr`, corrected by Benjamini & Hochberg
    (1995) over every unit, feature and lag of the call: of those below 0.05, a share of 0.05 is
    expected to be chance, were the steps independent. The module says why they are not.

    Args:
        values: (T, H) or (..., T, H), any gate or state.
        features: (T, F) or (..., T, F): inputs, or labels that are numbers, as labels[..., None].
        valid: (T,) or (..., T), True where the step is real; padding may hold anything.
        method: "pearson", or "spearman" for ranks, which ties share.
        lags: the value at t is compared with the feature at t - lag, within a row: above 0 the unit
            remembers, below 0 it foretells. One, or several.

    Returns:
        `Correlation`; a unit or feature that is constant has NaN, without a warning.

    Raises:
        ShapeError: shapes do not fit, a valid step holds NaN or inf, or fewer than 3 pairs.
        OptionError: no such method, or SciPy is not installed.

    Example:
        >>> x = np.sin(np.arange(40.0))[:, None]
        >>> delayed = np.concatenate([np.zeros((2, 1)), x[:-2]])
        >>> correlation(delayed, x, lags=[0, 2]).r.ravel().round(2)
        array([-0.41,  1.  ])
    """
    found = correlations({"": values}, features, valid, method=method, lags=lags)
    return found[""]


def correlations(
    values: Mapping[str, ArrayLike],
    features: ArrayLike,
    valid: ArrayLike | None = None,
    *,
    method: Method = "pearson",
    lags: int | Sequence[int] = 0,
) -> dict[str, Correlation]:
    """`correlation` for every gate and state by name, p-values corrected for all of them together.

    Args:
        values: by name, each (..., T, H), as `call.to_numpy()` gives them.
        features, valid, method, lags: as in `correlation`.

    Raises:
        ShapeError, OptionError: as `correlation`.
    """
    if method not in ("pearson", "spearman"):
        raise OptionError(f"method={method!r}: expected 'pearson' or 'spearman'")
    one = isinstance(lags, int | np.integer)
    several = [lags] if isinstance(lags, int | np.integer) else list(lags)
    if not several:
        raise OptionError("lags=[]: expected at least one, 0 for the step itself")
    found = {}
    for name, value in values.items():
        first, second, mask = _alongside(value, features, valid)
        parts = [_at_lag(first, second, mask, lag, method) for lag in several]
        r, count = (np.array(part) for part in zip(*parts, strict=True))
        found[name] = (r, p_values(r, count[:, None, None]), count)
    adjusted = corrected([p for _, p, _ in found.values()])
    return {
        name: Correlation(r[0], p[0], count[0]) if one else Correlation(r, p, count)
        for (name, (r, _, count)), p in zip(found.items(), adjusted, strict=True)
    }


def _alongside(
    values: ArrayLike, features: ArrayLike, valid: ArrayLike | None
) -> tuple[Floats, Floats, Mask]:
    first, mask = timed(values, valid)
    second, _ = timed(features, None, "features")
    if np.shape(values)[:-1] != np.shape(features)[:-1]:
        raise ShapeError(
            f"the values have shape {np.shape(values)} and the features {np.shape(features)}: "
            f"expected the same steps, (..., T, H) and (..., T, F)"
        )
    return first, second, mask


def _at_lag(
    first: Floats, second: Floats, mask: Mask, lag: int, method: Method
) -> tuple[Floats, int]:
    """r (H, F) and the number of pairs."""
    steps = first.shape[1]
    late, early = slice(max(lag, 0), steps + min(lag, 0)), slice(max(-lag, 0), steps - max(lag, 0))
    if abs(lag) >= steps:
        raise ShapeError(f"lag {lag} leaves no pair: there are {steps} steps")
    both = mask[:, late] & mask[:, early]
    units, features = first[:, late][both], second[:, early][both]
    units, features = finite(units, "the values"), finite(features, "features")
    enough(len(units))
    if method == "spearman":
        rank = scipy_stats().rankdata
        units, features = rank(units, axis=0), rank(features, axis=0)
    return pearson(units, features), len(units)
