"""Statistics of columns: Pearson's r, its p-values, and their correction for many tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import ShapeError
from gated.inspect.measures.arrays import Floats
from gated.inspect.measures.needs import needed

__all__ = [
    "centred",
    "corrected",
    "enough",
    "finite",
    "p_values",
    "pearson",
    "scipy_stats",
    "standard",
]

_NEARLY_CONSTANT = 1e-13  # of the mean, below which what varies is rounding


def scipy_stats() -> Any:
    """The module.

    Raises:
        OptionError: SciPy is not installed.
    """
    return needed("scipy.stats", "a test of correlation")


def pearson(first: Floats, second: Floats) -> Floats:
    """Pearson's r of each column of (N, H) with each of (N, F): (H, F), NaN if constant."""
    return (standard(first).T @ standard(second)).clip(-1, 1)


def centred(columns: Floats) -> Floats:
    """Columns (N, H) less their means, and 0 where one is constant but for rounding."""
    mean = columns.mean(axis=0)
    found = columns - mean
    size = np.linalg.norm(found, axis=0)
    constant = size <= _NEARLY_CONSTANT * np.abs(mean) * np.sqrt(len(columns))
    constant |= (columns == columns[:1]).all(axis=0)
    return np.asarray(np.where(constant, 0.0, found))


def standard(columns: Floats) -> Floats:
    """Columns of mean 0 and length 1, NaN where one is constant."""
    found = centred(columns)
    size = np.linalg.norm(found, axis=0)
    return np.asarray(found / np.where(size == 0, np.nan, size))


def finite(steps: Floats, what: str) -> Floats:
    """Return the values (N, H) if all are finite.

    Raises:
        ShapeError: one is not.
    """
    if not np.isfinite(steps).all():
        row, column = np.argwhere(~np.isfinite(steps))[0]
        raise ShapeError(
            f"{what}: column {column} is {steps[row, column]} at a valid step, expected a finite "
            f"number; mark steps without one in valid="
        )
    return steps


def enough(count: int) -> None:
    """Check that there are steps to correlate over.

    Raises:
        ShapeError: fewer than 3.
    """
    if count < 3:
        raise ShapeError(f"{count} valid step(s) to correlate over, expected 3 or more")


def p_values(r: Floats, count: NDArray[np.int64]) -> Floats:
    """Two-sided p-values of r between independent normal series, where it is a beta on -1 to 1."""
    stats = scipy_stats()
    half = count / 2 - 1
    return np.asarray(2 * stats.beta.sf(np.abs(r), half, half, loc=-1, scale=2))


def corrected(parts: list[Floats]) -> list[Floats]:
    """p-values corrected for all of them together; NaN is no test."""
    stats = scipy_stats()
    whole = np.concatenate([part.ravel() for part in parts]) if parts else np.empty(0)
    tested = ~np.isnan(whole)
    if tested.any():
        whole[tested] = stats.false_discovery_control(whole[tested].clip(0, 1))
    cuts = np.cumsum([part.size for part in parts])[:-1]
    pieces = np.split(whole, cuts)
    return [piece.reshape(part.shape) for piece, part in zip(pieces, parts, strict=True)]
