"""Nothing from after an origin reaches its forecast; nothing held out reaches the training."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from forecast_cases import TINY, config_of, series, set_of, trained, waves
from hypothesis import given, settings
from hypothesis import strategies as st

from gated.tasks.forecast import Forecaster, baselines, predict
from gated.tasks.forecast.learner import ForecastLearner, make_net
from gated.tasks.forecast.scalers import Scalers
from gated.tasks.forecast.split import Split, split
from gated.tasks.forecast.windows import Panel

LENGTH, AHEAD = 40, 6
wild = st.sampled_from([np.nan, 0.0, -5.0, 1e-3, 1e12])


def base():
    rng = np.random.default_rng(1)
    return series(
        "a", rng.uniform(1, 9, LENGTH), rng.normal(size=(LENGTH, 1)),
        rng.normal(size=(LENGTH + AHEAD, 1)),
    )  # fmt: skip


def restless_net(config):
    """A network none of whose weights is 0, so that all that it sees can move its forecast."""
    net = make_net(config, 1, 1)
    torch.manual_seed(0)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return net


@settings(max_examples=40)
@given(
    origin=st.integers(1, LENGTH - 1),
    changes=st.lists(st.tuples(st.integers(0, LENGTH - 2), wild), min_size=1, max_size=8),
    scaling=st.sampled_from(["level", "log", "series"]),
)
def test_no_value_after_an_origin_changes_the_forecast_from_it(origin, changes, scaling):
    config = config_of(scaling=scaling, context_length=8)
    one = base()
    scalers = Scalers.fit([one], [Split(LENGTH, LENGTH, LENGTH)], log=scaling == "log")
    changed = series("a", one.y.copy(), one.past.copy(), one.future.copy())
    for step, value in changes:
        if step >= origin:
            changed.y[step] = value
            changed.past[step] = value
        if step >= origin + TINY["horizon"]:
            changed.future[step] = value
    net = restless_net(config)
    where = torch.tensor([0]), torch.tensor([origin])
    found = []
    for version in (one, changed):
        panel = Panel(set_of(version, season=6), scalers, config)
        forecasts = predict.network(net, panel, config, *where)
        found.append(
            [
                forecasts.quantiles,
                baselines.naive(panel, *where),
                baselines.seasonal_naive(panel, *where),
                predict.units(panel, *where),
            ]
        )
    for before, after in zip(*found, strict=True):
        np.testing.assert_array_equal(before, after)


def test_every_value_of_the_context_and_each_known_covariate_can_move_the_forecast():
    # without this, the test above could pass because the network sees nothing
    config = config_of(scaling="level", context_length=8, season_inputs=False)
    net, one, origin = restless_net(config), base(), 20
    scalers = Scalers.fit([one], [Split(LENGTH, LENGTH, LENGTH)], log=False)
    where = torch.tensor([0]), torch.tensor([origin])

    def forecast(version):
        panel = Panel(set_of(version, season=6), scalers, config)
        return predict.network(net, panel, config, *where).quantiles

    expected = forecast(one)
    for field in ("y", "past", "future"):
        steps = range(origin - 8, origin + (TINY["horizon"] if field == "future" else 0))
        for step in steps:
            changed = series("a", one.y.copy(), one.past.copy(), one.future.copy())
            getattr(changed, field)[step] += 1.0
            assert (forecast(changed) != expected).any(), (field, step)


def table():
    frame = waves(90, ("a", "b"))
    frame["warm"] = np.arange(180.0) % 7
    frame["open"] = np.arange(180.0) % 5
    return frame


def batches(model):
    """Every training window that a forecaster draws from, and its scalers."""
    splits = split(model.config, model.data.series)
    scalers = Scalers.fit(model.data.series, splits, log=model.config.scaling == "log")
    panel = Panel(model.data, scalers, model.config)
    learner = ForecastLearner(make_net(model.config, 1, 1), panel, splits, model.config)
    return scalers, learner.batch(torch.arange(len(learner))), splits


@settings(max_examples=25)
@given(changes=st.lists(st.tuples(st.integers(0, 25), wild), min_size=1, max_size=10))
@pytest.mark.parametrize("scaling", ["auto", "level"])
def test_no_value_of_the_held_out_parts_changes_scalers_batches_or_configuration(scaling, changes):
    options = {**TINY, "scaling": scaling, "past": ["warm"], "future": ["open"]}
    frame = table()
    expected = Forecaster(**options).read(frame)
    scalers, batch, splits = batches(expected)
    assert [cut.end - cut.train for cut in splits] == [28, 28]
    for back, value in changes:
        for last in (89, 179):
            frame.loc[last - 1 - back, ["y", "warm", "open"]] = value
    found = Forecaster(**options).read(frame)
    assert found.config == expected.config
    again, windows, _ = batches(found)
    assert again == scalers
    assert windows.keys() == batch.keys()
    for name in batch:
        assert torch.equal(windows[name], batch[name]), name


def test_no_value_of_the_test_part_changes_the_trained_weights():
    frame = waves(90)
    changed = frame.copy()
    changed.loc[76:, "y"] = 1e6 * np.arange(14)
    nets = [trained(one, dropout=0.2).network.state_dict() for one in (frame, changed)]
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])


def test_the_ridge_learns_from_the_training_part_and_chooses_on_the_validation_part():
    frame = waves(90)
    changed = frame.assign(y=frame["y"].where(frame.index < 76, -1e6))
    found = []
    for one in (frame, changed):
        model = trained(one)
        evaluation = model.evaluate()
        first = evaluation.forecasts[evaluation.forecasts["window"] == 0]
        found.append(first[["ridge", "ridge-q0.05", "naive-q0.05", "LSTM", "LSTM-q0.05"]])
    pd.testing.assert_frame_equal(*found, check_exact=True)


def test_the_split_keeps_targets_of_training_validation_and_test_apart():
    config = dataclasses.replace(config_of(), origins=7)
    cut = split(config, [series("a", np.arange(200.0))])[0]
    assert (cut.train, cut.val, cut.end) == (140, 170, 200)
    panel = Panel(
        set_of(series("a", np.arange(200.0)), season=6),
        Scalers({"a": (0.0, 1.0)}, None, [], []),
        dataclasses.replace(config, scaling="series"),
    )
    learner = ForecastLearner(make_net(config, 0, 0), panel, [cut], config)
    batch = learner.batch(torch.arange(len(learner)))
    assert batch["truth"].max() == cut.train - 1
    origins = learner.validation[1]
    assert origins.min() == cut.train
    assert origins.max() + TINY["horizon"] == cut.val
