"""That what can be learned is learned, with every loss, cell and kind of data."""

import numpy as np
import pandas as pd
import pytest
import torch
from forecast_cases import config_of, judged, panel_of, series, trained, waves

import gated
from gated.data import series_set
from gated.tasks.forecast import Forecaster
from gated.tasks.forecast.learner import loss_by_step, make_net, outputs
from gated.tasks.forecast.predict import network

# a table has neither masks nor gaps for a cell that asks for them, nor further sizes
PLAIN = [
    name
    for name in gated.cells()
    if set(gated.cell(name).graph.letters) <= {"D", "H"}
    and list(gated.cell(name).graph.inputs) == ["x"]
]


def driven(ahead):
    """A target that a random covariate decides: known two steps before it, or of the same step."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=600)
    noise = 0.1 * rng.normal(size=600)
    y = 5 + 2 * (signal if ahead else np.roll(signal, 2)) + noise
    return pd.DataFrame({"ds": np.arange(600), "y": y, "signal": signal})


LEARN = {
    "target": "y", "time_col": "ds", "horizon": 2, "context_length": 8, "season": 1,
    "hidden_size": 16, "max_epochs": 25, "learning_rate": 1e-2, "loss": "mse", "dropout": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "ahead"), [("future", True), ("past", False)])
def test_a_covariate_that_decides_the_target_is_learned(kind, ahead):
    frame = driven(ahead)
    seen = Forecaster(**{**LEARN, kind: ["signal"]}).fit(frame).evaluate().metrics
    blind = Forecaster(**LEARN).fit(frame).evaluate().metrics
    # the noise is 0.1, the signal moves the target by 2
    assert seen["LSTM"]["RMSE"] < 0.5
    assert seen["ridge"]["RMSE"] < 0.5  # the baseline is told as much as the network
    assert blind["LSTM"]["RMSE"] > 1.5
    assert blind["ridge"]["RMSE"] > 1.5


def test_the_network_beats_a_line_where_the_next_value_is_not_linear_in_the_last_ones():
    rng = np.random.default_rng(0)
    values = [0.3]
    for _ in range(1200):  # the logistic map, in chaos: no correlation from step to step
        values.append(3.9 * values[-1] * (1 - values[-1]))
    frame = pd.DataFrame({"ds": np.arange(1201), "y": np.array(values) + 0.01 * rng.normal()})
    metrics = Forecaster(**{**LEARN, "horizon": 1, "max_epochs": 40}).fit(frame).evaluate().metrics
    assert metrics["LSTM"]["RMSE"] < 0.3 * metrics["ridge"]["RMSE"]


def test_what_happened_long_ago_is_remembered():
    # every 20 steps a pulse of random sign, which returns 12 steps later: a context of 4 is blind
    rng = np.random.default_rng(0)
    y = 0.02 * rng.normal(size=2000)
    for start in range(0, 1980, 20):
        sign = rng.choice([-1.0, 1.0])
        y[start] += sign
        y[start + 12] += sign
    frame = pd.DataFrame({"ds": np.arange(2000), "y": y})
    options = {**LEARN, "horizon": 1, "skip": False, "scaling": "series", "max_epochs": 20}
    long = Forecaster(**{**options, "context_length": 16}).fit(frame).evaluate()
    short = Forecaster(**{**options, "context_length": 4, "origins": 1}).fit(frame).evaluate()
    assert long.metrics["LSTM"]["RMSE"] < 0.9 * short.metrics["LSTM"]["RMSE"]


@pytest.mark.parametrize("name", PLAIN)
def test_every_cell_of_the_catalogue_forecasts(name):
    model, evaluation = judged(name)
    found = model.predict()
    assert list(found.columns[:3]) == ["unique_id", "ds", name.upper()]
    assert np.isfinite(found.iloc[:, 2:].to_numpy()).all()
    assert evaluation.network == name.upper()


@pytest.mark.parametrize("loss", ["quantile", "mse", "mae", "huber"])
def test_every_loss_learns_waves(loss):
    frame = waves(200)
    model = trained(frame, loss=loss, max_epochs=12, windows_per_epoch=0, learning_rate=1e-2)
    metrics = model.evaluate().metrics
    assert metrics["LSTM"]["MASE"] < 0.3 * metrics["naive"]["MASE"]
    lines = model.history.lines
    assert lines[-1]["val_loss"] < lines[0]["val_loss"]


def test_the_losses_are_what_their_names_say():
    truth = torch.tensor([[1.0, 4.0]])
    point = torch.tensor([[[1.5], [1.0]]])
    expected = {"mse": [0.25, 9.0], "mae": [0.5, 3.0], "huber": [0.125, 2.5]}
    for loss, values in expected.items():
        assert loss_by_step(config_of(loss=loss), point, truth)[0].tolist() == values


def test_the_quantile_loss_is_twice_the_mean_pinball_loss():
    config = config_of(quantiles=(0.1, 0.5, 0.9))
    forecast = torch.tensor([[[1.0, 2.0, 5.0]]])
    found = loss_by_step(config, forecast, torch.tensor([[3.0]]))
    assert found.item() == pytest.approx(2 * (0.1 * 2 + 0.5 * 1 + 0.1 * 2) / 3)


def test_quantiles_come_in_order_and_are_named_by_the_interval_that_they_end():
    found = trained(waves(90), quantiles=(0.9, 0.01, 0.5)).predict()
    assert list(found.columns) == ["unique_id", "ds", "LSTM", "LSTM-lo-98", "LSTM-hi-80"]
    assert (found["LSTM-lo-98"] <= found["LSTM"]).all()
    assert (found["LSTM"] <= found["LSTM-hi-80"]).all()


def test_quantiles_that_a_network_gives_crosswise_are_put_in_order():
    config = config_of(quantiles=(0.1, 0.5, 0.9), scaling="series")
    panel = panel_of(config, series("a", np.arange(30.0)))
    net = make_net(config, 0, 0)
    with torch.no_grad():
        net.head.out.bias.copy_(torch.tensor([3.0, 1.0, 2.0]).repeat(4))
    found = network(net, panel, config, torch.tensor([0]), torch.tensor([30]))
    steps = found.quantiles[0] - panel.levels[-1].item()
    np.testing.assert_allclose(steps, [[1 * s, 2 * s, 3 * s] for s in [panel.std.item()] * 4])
    assert (found.point == found.quantiles[..., 1]).all()


def test_a_point_forecaster_has_intervals_from_its_errors_on_the_validation_part():
    model = trained(waves(90), loss="mae")
    found = model.predict()
    assert outputs(model.config) == (0.5,)
    assert (found["LSTM-lo-90"] < found["LSTM-hi-90"]).all()


@pytest.mark.parametrize(
    "options",
    [
        {"horizon": 1, "context_length": 1, "season": 1, "origins": 1},
        {"context_length": 200},
        {"origins": 60},
        {"skip": False},
        {"season_inputs": False},
        {"classic": True},
        {"precision": "64-true"},
        {"precision": "bf16-mixed"},
        {"ema_decay": 0.0, "schedule": "constant"},
    ],
    ids=str,
)
def test_the_smallest_the_largest_and_the_unusual_options_work(options):
    found = trained(waves(90), **options).predict()
    assert np.isfinite(found.iloc[:, 2:].to_numpy()).all()


def hard_series():
    """A table of series that break forecasters: what is wrong with each is its name."""
    rng = np.random.default_rng(0)
    gappy = rng.normal(10, 1, 100)
    gappy[rng.random(100) < 0.3] = np.nan
    gappy[[0, -1]] = 10.0
    silent = rng.normal(10, 1, 100)
    silent[60:84] = np.nan  # over the end of the training part, and all of the validation part
    columns = {
        "good": rng.normal(10, 1, 100),
        "constant": np.full(100, 0.1),
        "zeros": np.zeros(100),
        "gappy": gappy,
        "silent": silent,
        "huge": rng.normal(1e12, 1e11, 100),
        "short": rng.normal(10, 1, 9),
        "single": np.array([3.0]),
        "late": np.concatenate([np.full(72, 5.0), rng.normal(50, 9, 28)]),
    }
    return pd.concat(
        [
            pd.DataFrame({"unique_id": name, "ds": np.arange(len(y)), "y": y})
            for name, y in columns.items()
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize("loss", ["quantile", "mse"])
def test_series_that_break_forecasters_are_forecast_beside_good_ones(loss):
    frame = hard_series()
    model = trained(frame, loss=loss)
    found = model.predict()
    assert found.groupby("unique_id").size().eq(4).all()
    assert set(found["unique_id"]) == set(frame["unique_id"])
    assert np.isfinite(found.iloc[:, 2:].to_numpy()).all()
    still = {"constant": 0.1, "zeros": 0.0, "single": 3.0}
    rows = found[found["unique_id"].isin(still)]
    assert (rows["LSTM"] - rows["unique_id"].map(still)).abs().max() < 0.5
    metrics = model.evaluate().metrics
    assert all(np.isfinite(value) for row in metrics.values() for value in row.values())


def test_the_forecast_of_a_series_does_not_depend_on_its_companions():
    frame = waves(90, ("a", "b"))
    model = trained(frame)
    both, alone = model.predict(frame=frame), model.predict(frame=frame[frame["unique_id"] == "b"])
    rest = both.query("unique_id == 'b'").reset_index(drop=True)
    np.testing.assert_allclose(alone.iloc[:, 2:], rest.iloc[:, 2:], rtol=1e-6)


def test_a_forecast_follows_the_grid_of_its_table():
    monthly = waves(90).assign(ds=pd.date_range("2010-01-31", periods=90, freq="ME"))
    found = trained(monthly).predict()["ds"]
    assert found.tolist() == list(pd.date_range("2017-07-31", periods=4, freq="ME"))


def test_integer_time_with_a_stride_is_continued():
    frame = waves(90).assign(ds=np.arange(0, 450, 5))
    assert trained(frame).predict()["ds"].tolist() == [450, 455, 460, 465]


def test_a_wide_table_is_a_set_of_series():
    long = waves(90, ("north", "south"))
    wide = long.pivot(index="ds", columns="unique_id", values="y").reset_index()
    wide.columns.name = None
    model = trained(wide, target="*")
    assert series_set(wide, model.schema).series[1].unique_id == "south"
    assert set(model.predict()["unique_id"]) == {"north", "south"}


def test_a_network_that_was_made_draws_its_weights_from_the_seed_alone():
    config = config_of(seed=5)
    torch.manual_seed(0)
    first = make_net(config, 0, 0).state_dict()
    torch.manual_seed(1)
    again = make_net(config, 0, 0).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
