"""The verdict's figures against their definitions, worked out by hand."""

import json
import math

import numpy as np
import pytest
from forecast_cases import series, set_of, trained, waves

from gated.tasks.forecast.backtest import by_cutoff
from gated.tasks.forecast.predict import Forecasts, Intervals
from gated.tasks.forecast.verdict import judge

QUANTILES = (0.05, 0.5, 0.95)


def verdict(truth, point, names, data, ends, quantiles=None, stamps=None):
    truth, point = np.array(truth, float), np.array(point, float)
    if quantiles is None:
        quantiles = np.stack([point - 1, point, point + 1], axis=-1)
    stamps = stamps or [np.arange(truth.shape[1]) for _ in names]
    models = {"LSTM": Forecasts(point, quantiles)}
    return judge("LSTM", models, truth, stamps, names, data, ends, QUANTILES)


def hand_made():
    """Two windows of one series and one of another, a step unknown in each series."""
    a, b = series("a", [1, 3, 2, 6, 100]), series("b", [10, 20, 40, 80, 100])
    return verdict(
        [[2, 4], [6, math.nan], [math.nan, 100]],
        [[1, 6], [9, 5], [7, 90]],
        ["a", "a", "b"],
        set_of(a, b),
        {"a": 4, "b": 3},
    )


def test_mase_is_the_error_over_that_of_the_seasonal_naive_on_the_training_part():
    found = hand_made()
    # a: errors 1, 2, 3; steps of the training part 2, 1, 4. b: error 10; steps 10, 20
    assert found.by_series["a"]["LSTM"] == pytest.approx(2 / (7 / 3))
    assert found.by_series["b"]["LSTM"] == pytest.approx(10 / 15)
    assert found.metrics["LSTM"]["MASE"] == pytest.approx((6 / 7 + 2 / 3) / 2)


def test_mase_compares_with_a_season_before():
    a = series("a", [1, 5, 2, 9, 100])
    found = verdict([[3.0]], [[4.0]], ["a"], set_of(a, season=2), {"a": 4})
    assert found.metrics["LSTM"]["MASE"] == pytest.approx(1 / ((1 + 4) / 2))


def test_mase_leaves_out_what_is_missing_in_the_training_part():
    a = series("a", [1, math.nan, 4, 6, 100])
    found = verdict([[3.0]], [[4.0]], ["a"], set_of(a), {"a": 4})
    assert found.metrics["LSTM"]["MASE"] == pytest.approx(1 / 2)


def test_a_series_that_never_changed_has_no_mase_and_spoils_no_mean():
    a, b = series("a", [7, 7, 7, 7]), series("b", [1, 2, 3, 9])
    ends = {"a": 3, "b": 3}
    found = verdict([[7.0], [9.0]], [[8.0], [7.0]], ["a", "b"], set_of(a, b), ends)
    assert math.isnan(found.by_series["a"]["LSTM"])
    assert found.metrics["LSTM"]["MASE"] == pytest.approx(2.0)


def test_smape_is_in_percent_as_in_the_m4_competition():
    a = 200 * (1 / 3 + 2 / 10 + 3 / 15) / 3
    b = 200 * 10 / 190
    assert hand_made().metrics["LSTM"]["sMAPE"] == pytest.approx((a + b) / 2)


def test_smape_of_zero_for_zero_is_zero():
    found = verdict([[0.0]], [[0.0]], ["a"], set_of(series("a", [1, 2, 0])), {"a": 2})
    assert found.metrics["LSTM"]["sMAPE"] == 0.0


def test_rmse_is_the_mean_over_series_in_the_targets_unit():
    expected = (math.sqrt((1 + 4 + 9) / 3) + 10) / 2
    assert hand_made().metrics["LSTM"]["RMSE"] == pytest.approx(expected)


def test_wql_is_twice_the_pinball_loss_over_the_size_of_the_truth():
    def pinball(level, truth, forecast):
        return max(level * (truth - forecast), (level - 1) * (truth - forecast))

    def series_loss(pairs):
        total = sum(
            2 * pinball(level, truth, point + shift)
            for truth, point in pairs
            for level, shift in zip(QUANTILES, (-1, 0, 1), strict=True)
        )
        return total / len(QUANTILES) / sum(abs(truth) for truth, _ in pairs)

    expected = (series_loss([(2, 1), (4, 6), (6, 9)]) + series_loss([(100, 90)])) / 2
    assert hand_made().metrics["LSTM"]["WQL"] == pytest.approx(expected)


def test_coverage_is_the_share_of_truths_inside_the_mean_over_series():
    # a: 2 lies in [0, 2]; 4 not in [5, 7]; 6 not in [8, 10]. b: 100 not in [89, 91]
    assert hand_made().metrics["LSTM"]["coverage 90%"] == pytest.approx((1 / 3 + 0) / 2)


def test_coverage_is_given_for_the_intervals_that_were_forecast():
    assert [n for n in hand_made().metrics["LSTM"] if "coverage" in n] == ["coverage 90%"]


def test_errors_by_horizon_leave_out_the_steps_that_are_missing():
    found = hand_made().by_horizon
    assert found["MAE"]["LSTM"].tolist() == [2.0, 6.0]
    np.testing.assert_allclose(found["RMSE"]["LSTM"], [math.sqrt(5), math.sqrt(52)])


def test_the_table_of_forecasts_keeps_every_window_also_what_is_missing():
    table = hand_made().forecasts
    assert table["step"].tolist() == [1, 2] * 3
    assert table["window"].tolist() == [0, 0, 1, 1, 2, 2]
    assert table["y"].isna().tolist() == [False, False, False, True, True, False]
    assert table["LSTM-q0.05"].tolist() == [0, 5, 8, 4, 6, 89]


def test_the_verdict_is_plain_data():
    found = hand_made().to_dict()
    assert json.loads(json.dumps(found)) == found


def test_intervals_are_the_quantiles_of_the_errors_by_step_in_units_of_the_window():
    rng = np.random.default_rng(0)
    point, unit = rng.normal(size=(200, 3)), rng.uniform(1, 9, size=(200, 1))
    errors = rng.normal(size=(200, 3)) * [1.0, 5.0, 25.0]
    truth = point + errors * unit
    truth[0, 0] = math.nan
    found = Intervals.fit(point, truth, unit, QUANTILES).around(np.zeros((1, 3)), np.array([[2.0]]))
    for step in range(3):
        known = errors[1:, step] if step == 0 else errors[:, step]
        np.testing.assert_allclose(found[0, step], 2 * np.quantile(known, QUANTILES))


@pytest.mark.parametrize("truth", [np.full((4, 2), np.nan), np.zeros((0, 2))])
def test_intervals_without_any_error_to_learn_from_have_no_width(truth):
    point, unit = np.zeros(truth.shape), np.ones((len(truth), 1))
    found = Intervals.fit(point, truth, unit, QUANTILES).around(np.ones((1, 2)), np.ones((1, 1)))
    assert (found == 1).all()


def test_a_point_forecasters_interval_covers_as_often_as_it_says():
    frame = waves(900, ("a", "b"))
    metrics = trained(frame, loss="mse", horizon=2).evaluate().metrics
    for model in ("LSTM", "ridge", "seasonal naive"):
        assert metrics[model]["coverage 90%"] == pytest.approx(0.9, abs=0.06)
        assert metrics[model]["coverage 50%"] == pytest.approx(0.5, abs=0.12)


@pytest.fixture(scope="module")
def evaluated():
    frame = waves(150, ("a", "b"))
    frame.loc[[100, 145, 146, 260], "y"] = math.nan
    model = trained(frame)
    return model, model.evaluate(), model.evaluate(windows=3)


def test_every_window_of_the_test_part_is_judged(evaluated):
    model, evaluation, _ = evaluated
    first = evaluation.forecasts.query("step == 1")
    assert first.groupby("unique_id").size().tolist() == [22 - 4 + 1] * 2
    for name in ("a", "b"):
        stamps = evaluation.forecasts.query("unique_id == @name").groupby("window")["ds"].first()
        assert (stamps.diff().dropna() == np.timedelta64(1, "h")).all()
        last = evaluation.forecasts.query("unique_id == @name")["ds"].max()
        assert last == next(s for s in model.data.series if s.unique_id == name).ds[-1]


def test_the_truth_stands_beside_its_time_stamp(evaluated):
    model, evaluation, _ = evaluated
    for one in model.data.series:
        rows = evaluation.forecasts[evaluation.forecasts["unique_id"] == one.unique_id]
        where = np.searchsorted(one.ds, rows["ds"].to_numpy())
        np.testing.assert_array_equal(one.y[where], rows["y"])


def test_the_baselines_are_what_their_names_say(evaluated):
    model, evaluation, _ = evaluated
    for one in model.data.series:
        filled = one.y.copy()
        for step in np.flatnonzero(np.isnan(filled)):
            filled[step] = filled[step - 1]
        for _, rows in evaluation.forecasts.query("unique_id == @one.unique_id").groupby("window"):
            origin = int(np.searchsorted(one.ds, rows["ds"].to_numpy()[0]))
            assert (rows["naive"] == filled[origin - 1]).all()
            expected = [filled[origin - 6 + step % 6] for step in range(4)]
            assert rows["seasonal naive"].tolist() == expected


def test_rolling_origins_end_with_the_data_a_horizon_apart(evaluated):
    _, _, rolling = evaluated
    first = rolling.forecasts.query("step == 1 and unique_id == 'a'")["ds"]
    assert (first.diff().dropna() == np.timedelta64(4, "h")).all()
    assert len(first) == 3


def test_the_verdict_by_cutoff_is_the_mase_of_each_rolling_origin(evaluated):
    model, _, rolling = evaluated
    found = by_cutoff(rolling, model.data)
    by_hand = []
    for turn in range(3):
        values = []
        for one in model.data.series:
            train = one.y[:106]
            scale = np.nanmean(np.abs(train[6:] - train[:-6]))
            windows = rolling.forecasts.query("unique_id == @one.unique_id")
            chosen = sorted(windows["window"].unique())[turn]
            rows = windows[windows["window"] == chosen]
            values.append((rows["LSTM"] - rows["y"]).abs().mean() / scale)
        by_hand.append(np.mean(values))
    assert [row["LSTM"] for row in found.values()] == pytest.approx(by_hand)
    assert list(found) == sorted(found)
