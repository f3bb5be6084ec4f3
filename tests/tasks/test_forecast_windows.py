"""Windows: what the network sees, against a loop over steps that says it in plain Python."""

import math

import numpy as np
import pytest
import torch
from forecast_cases import config_of, panel_of, series, set_of
from hypothesis import given
from hypothesis import strategies as st

from gated.errors import DataError
from gated.tasks.forecast.learner import ForecastLearner, make_net, origins_between
from gated.tasks.forecast.scalers import Scalers
from gated.tasks.forecast.split import Split
from gated.tasks.forecast.windows import Panel

rng = np.random.default_rng(0)


def holed(values, *at):
    values = np.array(values, dtype=float)
    values[list(at)] = np.nan
    return values


def last_known(values, t, default):
    """The newest value at or before t that is known."""
    for k in range(min(t, len(values) - 1), -1, -1):
        if math.isfinite(values[k]):
            return values[k]
    return default


def naive_window(one, scalers, config, origin, origins):
    """One window, step by step: y, observed, covariates, future."""
    context, horizon, log = config.context_length, config.horizon, config.scaling == "log"
    mean, std = scalers.target[one.unique_id]
    usable = [math.log(v) if log and v > 0 else math.nan if log else v for v in one.y]
    first = next(v for v in usable if math.isfinite(v))
    y, observed, covariates, future = [], [], [], []
    for t in range(origin - context, origin + origins - 1 + horizon):
        inside = 0 <= t < len(one.y)
        at = min(max(t, 0), len(one.y) - 1)
        y.append((last_known(usable, at, first) - mean) / std)
        observed.append(inside and math.isfinite(usable[t]))
        row = []
        for k, (m, s) in enumerate(scalers.past):
            row.append((last_known(one.past[:, k], at, m) - m) / s)
        ahead = min(max(t, 0), len(one.future) - 1)
        known = []
        for k, (m, s) in enumerate(scalers.future):
            known.append((last_known(one.future[:, k], ahead, m) - m) / s)
        covariates.append(row + known)
        future.append(known)
    seen = [v for v, o in zip(y[:context], observed[:context], strict=True) if o]
    centre = sum(seen) / len(seen) if seen and config.scaling != "series" else 0.0
    return [v - centre for v in y], observed, covariates, future


CASES = [
    series("long", holed(rng.normal(5, 1, 40), 7, 8, 9, 20), holed(rng.normal(size=(40, 1)), 0, 1),
           rng.normal(size=(47, 2))),
    series("short", holed(rng.normal(50, 9, 6), 2), rng.normal(size=(6, 1)),
           holed(rng.normal(size=(6, 2)), 0)),
    series("constant", np.full(15, 0.1), np.zeros((15, 1)), np.ones((18, 2))),
]  # fmt: skip


@pytest.mark.parametrize("scaling", ["level", "series", "log"])
@pytest.mark.parametrize("origins", [1, 3])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_window_is_what_a_loop_over_its_steps_gives(which, origins, scaling):
    config = config_of(context_length=5, horizon=4, scaling=scaling)
    splits = [Split(30, 35, 40), Split(6, 6, 6), Split(15, 15, 15)]
    scalers = Scalers.fit(CASES, splits, log=scaling == "log")
    panel = Panel(set_of(*CASES), scalers, config)
    one = CASES[which]
    for origin in range(1, len(one) + 1):
        found = panel.windows(torch.tensor([which]), torch.tensor([origin]), origins)
        y, observed, covariates, future = naive_window(one, scalers, config, origin, origins)
        np.testing.assert_allclose(found.y[0], y, rtol=1e-12, atol=1e-12)
        assert found.observed[0].tolist() == observed
        np.testing.assert_allclose(found.covariates[0], covariates, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.future[0], future, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scaling", ["level", "series", "log"])
def test_unscaled_undoes_the_scaling(scaling):
    config = config_of(context_length=5, horizon=4, scaling=scaling)
    panel = panel_of(config, *CASES[:1])
    found = panel.windows(torch.tensor([0]), torch.tensor([30]))
    np.testing.assert_allclose(found.unscaled(found.y)[0], CASES[0].y[25:34], rtol=1e-12)


def test_the_truth_is_missing_where_the_table_is_and_beyond_its_end():
    config = config_of(horizon=4)
    panel = panel_of(config, series("a", [1, 2, 3, math.nan, 5]))
    truth = panel.truth(torch.tensor([0, 0]), torch.tensor([2, 4]))
    np.testing.assert_array_equal(
        truth, [[3, math.nan, 5, math.nan], [5, math.nan, math.nan, math.nan]]
    )


def test_a_value_without_a_logarithm_is_missing_for_the_network_and_known_to_the_verdict():
    config = config_of(context_length=3, horizon=1, scaling="log")
    panel = panel_of(config, series("a", [4, 0, -1, 2]), splits=[Split(1, 1, 4)])
    found = panel.windows(torch.tensor([0]), torch.tensor([3]))
    assert found.observed[0].tolist() == [True, False, False, True]
    np.testing.assert_allclose(found.unscaled(found.y)[0], [4, 4, 4, 2])
    assert panel.truth(torch.tensor([0]), torch.tensor([1])).item() == 0


def test_a_series_without_any_logarithm_is_refused_by_name():
    config = config_of(scaling="log")
    known = series("known", [1, 2, 3])
    scalers = Scalers.fit([known], [Split(3, 3, 3)], log=True)
    with pytest.raises(DataError, match=r"'zeros' holds no positive value.*scaling=level"):
        Panel(set_of(known, series("zeros", [0, 0])), scalers, config)


def test_scalers_are_mean_and_deviation_of_what_the_training_part_holds():
    one = series("a", [1, 3, math.nan, 1e9, 1e9], [[0], [2], [4], [1e9], [1e9]])
    scalers = Scalers.fit([one], [Split(3, 4, 5)], log=False)
    assert scalers.target == {"a": (2.0, 1.0)}
    assert scalers.past == [(2.0, pytest.approx(math.sqrt(8 / 3)))]


def test_logarithms_share_one_spread_so_that_relative_errors_count_alike():
    quiet, loud = series("quiet", np.exp([0.0, 2.0])), series("loud", np.exp([7.0, 13.0]))
    scalers = Scalers.fit([quiet, loud], [Split(2, 2, 2)] * 2, log=True)
    assert scalers.spread == pytest.approx(2.0)
    assert scalers.target["quiet"] == pytest.approx((1.0, 2.0))
    assert scalers.target["loud"] == pytest.approx((10.0, 2.0))


@pytest.mark.parametrize("value", [0.1, 1e6, -3.0, 0.0])
def test_a_constant_series_is_scaled_by_its_size(value):
    scalers = Scalers.fit([series("a", [value] * 10)], [Split(10, 10, 10)], log=False)
    mean, spread = scalers.target["a"]
    assert (mean, spread) == (pytest.approx(value), abs(value) or 1.0)


def test_a_series_that_training_never_saw_is_scaled_by_its_own_history():
    scalers = Scalers.fit([series("a", [1, 3])], [Split(2, 2, 2)], log=False)
    both = scalers.covering([series("a", [1e6, 2e6]), series("b", [100, 300])])
    assert both.target == {"a": (2.0, 1.0), "b": (200.0, 100.0)}


def test_scalers_come_back_from_json():
    import json

    scalers = Scalers.fit(CASES, [Split(5, 6, 6)] * 3, log=True)
    assert Scalers.from_dict(json.loads(json.dumps(scalers.to_dict()))) == scalers


def learner_of(config, many, splits):
    panel = panel_of(config, *many, splits=splits)
    net = make_net(config, many[0].past.shape[1], many[0].future.shape[1])
    return ForecastLearner(net, panel, splits, config)


@given(
    length=st.integers(8, 40),
    context=st.integers(1, 12),
    horizon=st.integers(1, 5),
    origins=st.integers(1, 6),
)
def test_training_windows_hold_each_origin_of_the_training_part_and_nothing_after_it(
    length, context, horizon, origins
):
    # the value of a step is its number, and the scaling is undone by hand
    config = config_of(
        context_length=context, horizon=horizon, origins=origins, season=1, scaling="series"
    )
    train = length - 2 * horizon
    if train - horizon < 1:
        return
    splits = [Split(train, train + horizon, length)]
    learner = learner_of(config, [series("a", np.arange(length))], splits)
    mean, std = learner.panel.mean.item(), learner.panel.std.item()
    batch = learner.batch(torch.arange(len(learner)))
    steps = (batch["truth"].double() * std + mean).round().long()
    last = (batch["target"].double() * std + mean).round().long()[:, context - 1 :]
    taught = steps[batch["real"]]
    assert taught.max() == train - 1
    whole = batch["real"].all(-1)
    np.testing.assert_array_equal(steps[whole], last[whole][:, None] + torch.arange(1, horizon + 1))
    reached = set(last[whole].tolist())
    first = context - 1 if train - horizon - origins + 1 >= context else max(reached)
    assert set(range(first, train - horizon)) <= reached


def test_an_origin_that_nothing_was_observed_before_teaches_nothing():
    y = [5.0] + [math.nan] * 9 + list(range(10))
    config = config_of(context_length=4, horizon=2, origins=2, season=1)
    learner = learner_of(config, [series("a", y)], [Split(16, 18, 20)])
    origin = learner.first[0] + torch.arange(len(learner))
    batch = learner.batch(torch.arange(len(learner)))
    for k, start in enumerate(origin.tolist()):
        for j in range(2):
            seen = np.isfinite(y[start - 4 : start + j]).any()
            expected = [bool(seen) and math.isfinite(y[start + j + s]) for s in range(2)]
            assert batch["real"][k, j].tolist() == expected


def test_a_series_with_room_for_one_origin_still_teaches_beside_long_ones():
    config = config_of(context_length=6, horizon=2, origins=5, season=1)
    many = [series("long", np.arange(60.0)), series("short", [3, 1, 2, 5, 4, 6, 7])]
    splits = [Split(56, 58, 60), Split(3, 5, 7)]
    learner = learner_of(config, many, splits)
    assert learner.count.tolist() == [56 - 2 - 5 + 1 - 6 + 1, 1]
    batch = learner.batch(torch.tensor([len(learner) - 1]))
    mean, std = learner.panel.mean[1], learner.panel.std[1]
    centre = learner.panel.windows(torch.tensor([1]), learner.first[1:]).centre
    taught = (batch["truth"].double() + centre) * std + mean
    # only the last of the five origins lies after the first step
    np.testing.assert_allclose(taught[batch["real"]], [1, 2], rtol=1e-6)


def test_validation_windows_forecast_the_validation_part_alone():
    start, end = torch.tensor([10, 3, 50]), torch.tensor([16, 5, 50])
    found, origin = origins_between(start, end, 3, most=100)
    assert list(zip(found.tolist(), origin.tolist(), strict=True)) == [
        (0, 10), (0, 11), (0, 12), (0, 13)
    ]  # fmt: skip


def test_origins_are_thinned_evenly_and_the_last_is_kept():
    series_of, origin = origins_between(torch.tensor([0, 0]), torch.tensor([100, 4]), 1, most=20)
    assert (np.diff(origin[series_of == 0]) == 6).all()
    assert origin[series_of == 0][-1] == 99
    assert origin[series_of == 1].tolist() == [3]
