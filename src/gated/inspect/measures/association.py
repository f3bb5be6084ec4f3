"""What kinds of steps a unit tells apart.

Limits as in `gated.inspect.measures.correlation`: steps of a series are not independent, so that
p-values are too small, and what goes along with a label need not be used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.errors import OptionError, ShapeError
from gated.inspect.measures.arrays import Floats, timed
from gated.inspect.measures.statistics import (
    corrected,
    enough,
    finite,
    p_values,
    pearson,
    scipy_stats,
    standard,
)

__all__ = ["Association", "association"]


@dataclass(frozen=True)
class Association:
    """How far labels tell units apart. Axes: H units, C different labels.

    Attributes:
        classes: (C,) the labels that occur, sorted.
        eta_squared: (H,) the share of a unit's variance between the labels, NaN if constant.
        p: (H,) p-values of the F-test that all labels have one mean, corrected.
        r: (H, C) point-biserial correlation with each label against the rest.
        r_p: (H, C) its p-values, corrected.
    """

    classes: NDArray[np.generic]
    eta_squared: NDArray[np.float64]
    p: NDArray[np.float64]
    r: NDArray[np.float64]
    r_p: NDArray[np.float64]


def association(
    values: ArrayLike, labels: ArrayLike, valid: ArrayLike | None = None
) -> Association:
    """How far labels that are kinds, not numbers, tell each unit apart.

    Eta squared, the correlation ratio: the variance between the labels' means as a share of the
    unit's whole variance, 0 if the label says nothing of the unit, 1 if it says all; it is the R
    squared of a one-way analysis of variance (Fisher 1925), whose F-test gives p. It grows with the
    number of labels by chance alone, (C - 1) / (N - 1) on average. Which label it is, the
    point-biserial correlation with each label against the rest says: Pearson's with 1 and 0.

    Args:
        values: (T, H) or (..., T, H).
        labels: (T,) or (..., T), anything that sorts; for one label a row, broadcast it.
        valid: as in `correlation`.

    Returns:
        `Association`, p-values corrected over all units, and over all units and labels.

    Raises:
        ShapeError: shapes do not fit, a valid value is not finite, or fewer than 3 steps.
        OptionError: only one label occurs, or SciPy is not installed.

    Example:
        >>> found = association([[0.1], [0.1], [0.8], [0.9], [0.7]], list("aabbb"))
        >>> found.classes, found.eta_squared.round(2), found.r.round(2)
        (array(['a', 'b'], dtype='<U1'), array([0.97]), array([[-0.98,  0.98]]))
    """
    names = np.asarray(labels)
    array, mask = timed(values, valid)
    if names.shape != np.asarray(values).shape[:-1]:
        raise ShapeError(
            f"labels have shape {names.shape}, expected {np.asarray(values).shape[:-1]}: one for "
            f"each step of the values"
        )
    units, names = finite(array[mask], "the values"), names.reshape(mask.shape)[mask]
    enough(len(units))
    classes, which = np.unique(names, return_inverse=True)
    if len(classes) < 2:
        raise OptionError(f"every step has the label {classes[0]!r}: expected two or more")
    marks = np.eye(len(classes))[which]
    r = pearson(units, marks)
    eta, p = _variance_between(units, marks)
    (p,), (r_p,) = corrected([p]), corrected([p_values(r, np.array(len(units)))])
    return Association(classes, eta, p, r, r_p)


def _variance_between(units: Floats, marks: Floats) -> tuple[Floats, Floats]:
    """Eta squared and the p-value of the F-test, each (H,), from units (N, H) and marks (N, C)."""
    unit, sizes = standard(units), marks.sum(axis=0)
    eta = ((marks.T @ unit) ** 2 / sizes[:, None]).sum(axis=0).clip(None, 1)
    between, within = len(sizes) - 1, len(units) - len(sizes)
    if within == 0:
        return eta, np.full_like(eta, np.nan)
    with np.errstate(divide="ignore"):
        ratio = (eta / between) / ((1 - eta) / within)
    return eta, np.asarray(scipy_stats().f.sf(ratio, between, within))
