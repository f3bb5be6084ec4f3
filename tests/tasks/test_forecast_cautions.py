"""What a verdict says beside its sentence, and how many past forecasts a backtest takes."""

import numpy as np
import pandas as pd
import pytest
import torch

import gated
from gated.tasks.forecast.evaluate import of_training, rolling
from gated.tasks.forecast.split import Split
from gated.training import History

SMALL = {"hidden_size": 4, "max_epochs": 1, "horizon": 3, "context_length": 6, "origins": 2}


def fitted(values):
    days = pd.date_range("2024-01-01", periods=len(values))
    return gated.Forecaster(**SMALL, season=1).fit(pd.DataFrame({"ds": days, "y": values}))


def test_a_series_that_never_changes_is_judged_by_rmse_and_is_a_tie():
    found = fitted(np.full(80, 5.0)).evaluate()
    assert np.isnan(found.metrics["LSTM"]["MASE"])
    sentence, outcome = found.verdict()
    assert outcome == "tie"
    assert "RMSE" in sentence


def test_a_short_held_out_part_makes_the_verdict_a_hint():
    found = fitted(np.sin(np.arange(60.0))).evaluate()
    assert any("room for 3 forecasts that do not overlap" in said for said in found.cautions())


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [97]),
        (3, [91, 94, 97]),  # a horizon apart
        (8, [83, 85, 87, 89, 91, 93, 95, 97]),  # closer, to fit
        (500, list(range(80, 98))),  # no more than there are
    ],
)
def test_rolling_origins_end_with_the_data_and_stay_in_the_held_out_part(count, expected):
    series, origin = rolling([Split(60, 80, 100)], 3, count)
    assert origin.tolist() == expected
    assert torch.equal(series, torch.zeros_like(origin))


def test_rows_of_known_covariates_alone_continue_a_table_without_ids():
    steps = np.arange(80)
    promo = steps % 4 == 0
    days = pd.date_range("2024-01-01", periods=83)
    table = pd.DataFrame({"ds": days[:80], "sales": 5.0 + steps % 3, "promo": promo.astype(int)})
    ahead = pd.DataFrame({"ds": days[80:], "sales": np.nan, "promo": [1, 0, 0]})
    options = {**SMALL, "season": 1, "target": "sales", "future": ("promo",)}
    forecast = gated.Forecaster(**options).fit(table).predict(frame=ahead)
    assert forecast["ds"].tolist() == days[80:].tolist()


def test_where_the_network_loses_other_metrics_add_no_caution():
    found = fitted(np.arange(200.0) % 3)  # the ridge has this in full, one epoch does not
    evaluation = found.evaluate()
    assert evaluation.verdict()[1] == "lose"
    assert not [said for said in evaluation.cautions() if said.startswith("By ")]


def test_only_a_training_that_ended_with_its_best_epoch_may_want_more():
    lines = tuple({"epoch": epoch} for epoch in (1, 2, 3))
    enough = History(lines, 2, 0.5, "all epochs done", 1.0)
    more = History(lines, 3, 0.5, "all epochs done", 1.0)
    assert of_training(None) == of_training(enough) == ()
    assert "--max-epochs 6" in of_training(more)[0]
