"""How alike two networks are inside: units matched, spaces compared, measures side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.errors import ShapeError
from gated.inspect.measures.arrays import Floats, as_floats, real_steps
from gated.inspect.measures.needs import needed
from gated.inspect.measures.statistics import centred, enough, finite, pearson

__all__ = ["Difference", "Matching", "differences", "linear_cka", "match_units"]


@dataclass(frozen=True)
class Matching:
    """The units of one network beside those of another. Axes: H and J units, K = min(H, J) pairs.

    Attributes:
        r: (H, J) Pearson's correlation of every unit with every unit, NaN where one is constant.
        first, second: (K,) the units of each pair, in the order of the first network's.
        pairs: (K,) the correlation of each pair.
        score: the mean of `|r|` over the pairs, 0 for a pair without a correlation; 0 to 1.
    """

    r: NDArray[np.float64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    pairs: NDArray[np.float64]
    score: float


@dataclass(frozen=True)
class Difference:
    """One measure of the units of two networks.

    Attributes:
        name: the measure.
        first, second: its median over the units of each; NaN if it has none.
        distance: how far apart the two distributions are: the largest difference between the
            shares of units below any one value (Kolmogorov-Smirnov), 0 to 1.
    """

    name: str
    first: float
    second: float
    distance: float


def match_units(
    first: ArrayLike, second: ArrayLike, valid: ArrayLike | None = None, *, signed: bool = False
) -> Matching:
    """Pair the units of two networks so that the correlations of the pairs sum to the most.

    An assignment (Hungarian method) on `|r|`: a unit and its negative count as the same, since
    an LSTM with g, h and the weights that read h negated computes the same. Limits: one unit of one
    network may be spread over several of the other, which a matching misses and `linear_cka` sees;
    slow series correlate by chance, so compare the score with that of an untrained network.

    Args:
        first: (..., H), a state (or a gate) of one network over steps.
        second: (..., J), of the other, at the same steps of the same input.
        valid: (...), True where the step is real; padding may hold anything.
        signed: whether the sign counts: then r is what sums to the most.

    Returns:
        `Matching`.

    Raises:
        ShapeError: the steps differ, fewer than 3, or a valid value that is not finite.
        OptionError: SciPy is not installed.

    Source: Li, Yosinski, Clune, Lipson, Hopcroft, "Convergent learning: do different neural
    networks learn the same representations?", ICLR 2016, arXiv:1511.07543, section 3.

    Example:
        >>> h = np.random.default_rng(0).normal(size=(50, 3))
        >>> found = match_units(h, h[:, [2, 0, 1]])
        >>> found.second, round(found.score, 6)
        (array([1, 2, 0]), 1.0)
    """
    optimize = needed("scipy.optimize", "a matching of units")
    r = pearson(*_both(first, second, valid))
    known = np.nan_to_num(r)
    rows, columns = optimize.linear_sum_assignment(known if signed else np.abs(known), True)
    pairs = known[rows, columns]
    score = float(np.abs(pairs).mean()) if len(pairs) else 0.0
    return Matching(r, rows, columns, r[rows, columns], score)


def linear_cka(
    first: ArrayLike, second: ArrayLike, valid: ArrayLike | None = None, *, debiased: bool = False
) -> float:
    """Linear centered kernel alignment of two state spaces: 1 if one is the other, turned.

    ``||Y'X||² / (||X'X|| ||Y'Y||)``, Frobenius norms of centred X (N, H) and Y (N, J). It does not
    change when units are permuted, rotated or all scaled alike, and does when single units are
    scaled. Limits: with few steps per unit it is near 1 for networks that share nothing
    (`debiased=True` takes out that bias); it is governed by the directions of the most variance, so
    that a few outlying steps can decide it (Davari et al., "Reliability of CKA as a similarity
    measure in deep learning", ICLR 2023, arXiv:2210.16156); alike is not computing the same.

    Args:
        first, second, valid: as in `match_units`.
        debiased: estimate each inner product without bias (Song et al., "Feature selection via
            dependence maximization", JMLR 13, 2012); the result can then be a little below 0.

    Returns:
        0 to 1; NaN if a network's units are all constant.

    Raises:
        ShapeError: as `match_units`, or fewer than 4 steps for `debiased`.

    Source: Kornblith, Norouzi, Lee, Hinton, "Similarity of neural network representations
    revisited", ICML 2019, arXiv:1905.00414, section 3; debiased as in Nguyen, Raghu,
    Kornblith, ICLR 2021, arXiv:2010.15327.

    Example:
        >>> h = np.random.default_rng(0).normal(size=(50, 4))
        >>> turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))
        >>> round(linear_cka(h, 3 * h @ turn), 6)
        1.0
    """
    x, y = map(centred, _both(first, second, valid))
    if debiased and len(x) < 4:
        raise ShapeError(f"{len(x)} steps, expected 4 or more to estimate CKA without bias")
    inner = _unbiased if debiased else _inner
    size = inner(x, x) * inner(y, y)
    return float(inner(x, y) / np.sqrt(size)) if size > 0 else float("nan")


def differences(
    first: Mapping[str, ArrayLike], second: Mapping[str, ArrayLike]
) -> tuple[Difference, ...]:
    """Measures of the units of two networks side by side, as distributions over units.

    Medians and distances do not depend on the order of the units, nor need the networks have as
    many. A measure that only one of them has is left out.

    Args:
        first, second: measures by name, each (H,) and (J,): `UnitMeasures.columns`. inf counts as
            larger than any number, NaN as no unit.

    Returns:
        One `Difference` for each measure, in the order of `first`.

    Example:
        >>> (found,) = differences({"half-life": [1, 2, 30]}, {"half-life": [2, 30, 40, 50]})
        >>> found.first, found.second, round(found.distance, 2)
        (2.0, 35.0, 0.5)
    """
    pairs = {name: (_known(first[name]), _known(second[name])) for name in first if name in second}
    return tuple(
        Difference(name, _median(one), _median(other), _distance(one, other))
        for name, (one, other) in pairs.items()
    )


def _both(first: ArrayLike, second: ArrayLike, valid: ArrayLike | None) -> tuple[Floats, Floats]:
    """The real steps of both, (N, H) and (N, J)."""
    if np.shape(first)[:-1] != np.shape(second)[:-1]:
        raise ShapeError(
            f"the networks' values have shapes {np.shape(first)} and {np.shape(second)}: expected "
            f"the same steps, so run both on the same input"
        )
    x = finite(real_steps(first, valid, "the first network"), "the first network")
    y = finite(real_steps(second, valid, "the second network"), "the second network")
    enough(len(x))
    return x, y


def _inner(x: Floats, y: Floats) -> float:
    """The inner product of the centred kernels xx' and yy'."""
    return float(((y.T @ x) ** 2).sum())


def _unbiased(x: Floats, y: Floats) -> float:
    """The same without the bias that each step's product with itself brings, up to a factor."""
    n, a, b = len(x), (x**2).sum(axis=1), (y**2).sum(axis=1)
    rest = float(a.sum() * b.sum()) / (n - 1) - n * float(a @ b)
    return _inner(x, y) + rest / (n - 2)


def _known(values: ArrayLike) -> Floats:
    array = as_floats(values)
    return array[~np.isnan(array)]


def _median(values: Floats) -> float:
    if len(values) == 0:
        return float("nan")
    middle = np.sort(values)[[(len(values) - 1) // 2, len(values) // 2]]
    return float(middle[0] if middle[0] == middle[1] else middle.mean())


def _distance(first: Floats, second: Floats) -> float:
    if len(first) == 0 or len(second) == 0:
        return float("nan")
    at = np.concatenate([first, second])
    shares = [np.searchsorted(np.sort(v), at, side="right") / len(v) for v in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())
