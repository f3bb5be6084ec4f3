"""The ridge: a plain ridge regression on the network's own windows, no worse than others'."""

import numpy as np
import pytest
import torch
from forecast_cases import config_of, panel_of, series

from gated.tasks.forecast.baselines import RIDGE_PENALTIES, Ridge
from gated.tasks.forecast.learner import origins_between


def between(start, end):
    return origins_between(torch.tensor([start]), torch.tensor([end]), 3, most=10**6)


def noisy(length=400):
    rng = np.random.default_rng(0)
    y = np.zeros(length)
    for t in range(2, length):
        y[t] = 0.8 * y[t - 1] - 0.5 * y[t - 2] + rng.normal()
    return 50 + 9 * y


@pytest.fixture(scope="module")
def fitted():
    config = config_of(horizon=3, context_length=8, season=1)
    panel = panel_of(config, series("a", noisy()))
    return panel, Ridge().fit(panel, between(8, 280), between(280, 340))


def by_hand(y, origins, context=8, horizon=3):
    """Contexts and targets less the last value, scaled and centred window by window."""
    z = (y - y.mean()) / y.std()
    x = np.array([z[o - context : o] - z[o - 1] for o in origins])
    return x, np.array([z[o : o + horizon] - z[o - 1] for o in origins])


def solved(x, y, penalty):
    a, b = x - x.mean(0), y - y.mean(0)
    weights = np.linalg.solve(a.T @ a + penalty * np.eye(x.shape[1]), a.T @ b)
    return lambda new: (new - x.mean(0)) @ weights + y.mean(0)


def test_the_ridge_is_the_solution_of_the_normal_equations(fitted):
    panel, ridge = fitted
    y = noisy()
    x_train, y_train = by_hand(y, range(8, 278))
    x_val, y_val = by_hand(y, range(280, 338))
    losses = {p: np.square(solved(x_train, y_train, p)(x_val) - y_val).mean()
              for p in RIDGE_PENALTIES}  # fmt: skip
    assert ridge.penalty == min(losses, key=losses.__getitem__)
    x_test, _ = by_hand(y, range(340, 398))
    ahead = solved(x_train, y_train, ridge.penalty)(x_test)
    last = np.array([y[o - 1] for o in range(340, 398)])
    found = ridge(panel, *between(340, 400))
    np.testing.assert_allclose(found, last[:, None] + ahead * y.std(), rtol=1e-9)


def test_targets_that_are_missing_are_not_learned():
    config = config_of(horizon=3, context_length=8, season=1)
    y = noisy()
    y[100:130] = np.nan
    gone = y.copy()
    panel = panel_of(config, series("a", y))
    ridge = Ridge().fit(panel, between(8, 280), between(280, 340))
    windows = [o for o in range(8, 278) if np.isfinite(gone[o : o + 3]).all()]
    filled = gone.copy()
    filled[100:130] = filled[99]
    known = gone[np.isfinite(gone)]
    z = (filled - known.mean()) / known.std()
    x = np.array([z[o - 8 : o] - z[o - 1] for o in windows])
    t = np.array([z[o : o + 3] - z[o - 1] for o in windows])
    new = np.array([z[o - 8 : o] - z[o - 1] for o in range(340, 398)])
    last = np.array([gone[o - 1] for o in range(340, 398)])
    expected = last[:, None] + solved(x, t, ridge.penalty)(new) * known.std()
    np.testing.assert_allclose(ridge(panel, *between(340, 400)), expected, rtol=1e-9)


def test_a_constant_series_is_repeated():
    config = config_of(horizon=3, context_length=8, season=1)
    panel = panel_of(config, series("a", np.full(60, 7.0)))
    ridge = Ridge().fit(panel, between(8, 40), between(40, 50))
    np.testing.assert_allclose(ridge(panel, *between(50, 60)), 7.0)
