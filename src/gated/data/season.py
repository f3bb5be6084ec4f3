"""The length of the season: guessed from the frequency, confirmed on the data."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gated.data.columns import Floats
from gated.data.grid import Grid

TRAINING_SHARE = 0.6  # the share of each series that any sensible split trains on
_INTEGER_CANDIDATES = (24, 12, 7, 48, 96, 52, 4)
_MOST_SERIES, _MOST_STEPS = 50, 5000
_DAY = 86_400_000_000_000  # ns


def usual_season(freq: str | None) -> int:
    """The steps in the natural cycle of a frequency; 1 if there is none.

    A day for steps from 5 minutes up, an hour for minutes, a minute for seconds, a week for
    days, a year for weeks, months and quarters.

    >>> [usual_season(freq) for freq in ("h", "30min", "D", "B", "W-SUN", "MS", "QS-OCT", "YS-JAN")]
    [24, 48, 7, 5, 52, 12, 4, 1]
    """
    if freq is None:
        return 1
    grid = Grid.of(freq)
    if grid.kind == "month":
        return 12 // grid.step if 12 % grid.step == 0 else 1
    if grid.kind == "business":
        return 5
    if grid.step == 7 * _DAY:
        return 52
    if grid.step >= _DAY:
        return 7 if grid.step == _DAY else 1
    for cycle, least in ((_DAY, _DAY // 288), (_DAY // 24, _DAY // 1440), (_DAY // 1440, 1)):
        if grid.step >= least:
            return cycle // grid.step if cycle % grid.step == 0 else 1
    return 1


def find_season(freq: str | None, values: Sequence[Floats]) -> tuple[int, str]:
    """Choose the season and say why. values: for each series (T,), NaN where missing.

    The candidate is the frequency's; integer steps try 24, 12, 7, 48, 96, 52 and 4. It holds if
    most series that are long enough (three seasons in their first 60 %, which is all that is
    looked at) have a significant autocorrelation peak at that lag. Else the season is 1.
    """
    usual = usual_season(freq)
    candidates: tuple[int, ...] = (
        (usual,) if usual > 1 else _INTEGER_CANDIDATES if freq is None else ()
    )
    head = [series[: int(TRAINING_SHARE * len(series))] for series in values[:_MOST_SERIES]]
    short = bool(candidates)
    for season in candidates:
        long = [series[-_MOST_STEPS:] for series in head if len(series) >= 3 * season]
        short = short and not long
        # tides and moving averages shift the peak of a known cycle a little
        tolerance = season // 20 if usual > 1 else 0
        if long and 2 * sum(is_seasonal(one, season, tolerance) for one in long) > len(long):
            origin = "usual for this frequency, " if usual > 1 else ""
            return season, f"{origin}confirmed by the autocorrelation of the first 60 %"
    if short:
        return 1, f"none: too short to confirm {candidates[0] if usual > 1 else 'one'}"
    return 1, "none: the autocorrelation shows no cycle" + (f" of {usual}" if usual > 1 else "")


def is_seasonal(values: Floats, season: int, tolerance: int = 0) -> bool:
    """Whether a series repeats itself after `season` steps. values (T,), NaN where missing.

    A moving average over one season is taken off, so that a trend or a random walk is not
    mistaken for a season; then the autocorrelation at this lag must be significant at 95 %
    (Bartlett's formula, as in the seasonality test of the M4 competition), and of the lags from
    a half to one and a half seasons the largest must lie within `tolerance` of it.
    """
    rest = _detrended(values, season)
    seen = np.isfinite(rest)
    count = int(seen.sum())
    if count < 2 * season or np.ptp(rest[seen]) <= 1e-12 * max(1.0, np.abs(values[seen]).max()):
        return False
    correlation = _autocorrelation(rest, seen, 1 + 3 * season // 2)
    limit = 1.645 * np.sqrt((1.0 + 2.0 * np.sum(correlation[1:season] ** 2)) / count)
    half = (season + 1) // 2
    peak = half + int(np.argmax(correlation[half:]))
    return bool(correlation[season] > limit) and abs(peak - season) <= tolerance


def _autocorrelation(rest: Floats, seen: NDArray[np.bool_], lags: int) -> Floats:
    """The autocorrelation at lags 0, 1, ..., lags - 1, over the pairs that were seen."""
    centred = np.where(seen, rest - rest[seen].mean(), 0.0)
    ends = [len(rest) - lag for lag in range(lags)]
    products = np.array([centred[-end:] @ centred[:end] for end in ends])
    pairs = np.array([np.count_nonzero(seen[-end:] & seen[:end]) for end in ends])
    correlation: Floats = products / np.maximum(pairs, 1) * pairs[0] / products[0]
    return correlation


def _detrended(values: Floats, season: int) -> Floats:
    """The series less a centred moving average of one season, missing steps left out."""
    weights = np.ones(season + 1)
    if season % 2 == 0:
        weights[[0, -1]] = 0.5
    else:
        weights = np.ones(season)
    seen = np.isfinite(values)
    total = np.convolve(np.where(seen, values, 0.0), weights, mode="same")
    weight = np.convolve(seen.astype(np.float64), weights, mode="same")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(seen, values - total / weight, np.nan)
