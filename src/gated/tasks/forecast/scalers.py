"""What takes series to the scale that the network sees, fitted on the training parts alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.data import Series, fill_forward
from gated.errors import DataError
from gated.tasks.forecast.split import Split

Array = NDArray[np.float64]
Pair = tuple[float, float]
_ROUNDING = 1e-12  # a spread this small beside the values is the arithmetic's, not the data's


@dataclass(frozen=True)
class Scalers:
    """Mean and spread of each series' target, and of each column of covariates.

    spread: in logarithms the one spread that all series share, so that relative errors count alike
    in each; None otherwise.
    """

    target: dict[str, Pair]
    spread: float | None
    past: list[Pair]
    future: list[Pair]

    @classmethod
    def fit(cls, series: Sequence[Series], splits: Sequence[Split], *, log: bool) -> Scalers:
        """From the training parts; with `log`, of the targets' logarithms."""
        parts = list(zip(series, splits, strict=True))
        target = {s.unique_id: mean_spread(levels(s.y[: cut.train], log)) for s, cut in parts}
        spread = float(np.median([one for _, one in target.values()])) if log else None
        if spread is not None:
            target = {name: (mean, spread) for name, (mean, _) in target.items()}
        return cls(
            target=target,
            spread=spread,
            past=_columns([s.past[: cut.train] for s, cut in parts]),
            future=_columns([s.future[: cut.train] for s, cut in parts]),
        )

    @property
    def log(self) -> bool:
        """Whether the network sees logarithms."""
        return self.spread is not None

    def covering(self, series: Sequence[Series]) -> Scalers:
        """These, and for each series that training never saw those of the history it brings."""
        new = [one for one in series if one.unique_id not in self.target]
        found = {s.unique_id: mean_spread(levels(s.y, self.log)) for s in new}
        if self.spread is not None:
            found = {name: (mean, self.spread) for name, (mean, _) in found.items()}
        return dataclasses.replace(self, target={**self.target, **found})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "target": {name: list(pair) for name, pair in self.target.items()},
            "spread": self.spread,
            "past": [list(pair) for pair in self.past],
            "future": [list(pair) for pair in self.future],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Scalers:
        """What `to_dict` gave."""
        return cls(
            {name: (a, b) for name, (a, b) in plain["target"].items()},
            plain["spread"],
            [(a, b) for a, b in plain["past"]],
            [(a, b) for a, b in plain["future"]],
        )


def levels(y: Array, log: bool) -> Array:
    """The target, or its logarithm: missing where it is missing, or has none."""
    return np.log(y, out=np.full_like(y, np.nan), where=y > 0) if log else y


def filled_levels(series: Series, log: bool) -> tuple[Array, NDArray[np.bool_]]:
    """The levels of a series, gaps filled from the past, and where they are real.

    Raises:
        DataError: logarithms are needed, and no value is positive.
    """
    found = levels(series.y, log)
    seen = found[np.isfinite(found)]
    if not len(seen):
        raise DataError(
            f"series {series.unique_id!r} holds no positive value, and this network works on "
            f"logarithms: leave it out, or train with scaling=level"
        )
    return fill_forward(found, start=float(seen[0]))


def scaled(values: Array, pairs: Sequence[Pair]) -> Array:
    """Covariates (T, P) scaled; a missing one counts as the last known, before any as the mean."""
    if not pairs:
        return values
    means, spreads = np.array(pairs).T
    return fill_forward((values - means) / spreads)[0]


def mean_spread(values: Array) -> Pair:
    """Mean and standard deviation; of what never changes its size, or 1, takes the latter's place.

    >>> mean_spread(np.array([1.0, np.nan, 3.0])), mean_spread(np.full(9, 0.1))
    ((2.0, 1.0), (0.1, 0.1))
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    mean, spread = float(known.mean()), float(known.std())
    size = float(np.abs(known).max())
    return mean, spread if spread > _ROUNDING * size else size or 1.0


def _columns(parts: Sequence[Array]) -> list[Pair]:
    return [mean_spread(column) for column in np.concatenate(parts).T]
