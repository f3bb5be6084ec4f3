"""Real data with known results: if these hold, reading, split, windows and metric are right."""

import numpy as np
import pandas as pd
import pytest

from gated.tasks.forecast import Forecaster

QUICK = {"hidden_size": 4, "max_epochs": 1, "windows_per_epoch": 64, "device": "cpu"}


@pytest.fixture(scope="module")
def m4(shared_data):
    train, test = (
        pd.read_csv(shared_data / "m4" / f"Hourly-{part}.csv", index_col=0)
        for part in ("train", "test")
    )
    rows = {name: (train.loc[name].dropna().to_numpy(), test.loc[name].to_numpy())
            for name in train.index}  # fmt: skip
    frame = pd.concat(
        [
            pd.DataFrame(
                {"unique_id": name, "ds": range(len(a) + len(b)), "y": np.concatenate([a, b])}
            )
            for name, (a, b) in rows.items()
        ],
        ignore_index=True,
    )
    model = Forecaster(horizon=48, val_size=48, test_size=48, context_length=48, **QUICK)
    return model.fit(frame).evaluate(), rows


def test_the_seasonal_naive_of_m4_hourly_has_the_organisers_smape(m4):
    evaluation, _ = m4
    assert evaluation.metrics["seasonal naive"]["sMAPE"] == pytest.approx(13.912, abs=5e-4)


def test_the_seasonal_naive_of_m4_hourly_has_the_organisers_mase_by_their_scale(m4):
    # theirs is the error over the whole Train file; ours leaves out the 48 hours that choose
    evaluation, rows = m4
    errors = evaluation.forecasts.groupby("unique_id").apply(
        lambda part: (part["seasonal naive"] - part["y"]).abs().mean(), include_groups=False
    )
    theirs = {name: np.abs(a[24:] - a[:-24]).mean() for name, (a, _) in rows.items()}
    ours = {name: np.abs(a[24:-48] - a[:-72]).mean() for name, (a, _) in rows.items()}
    assert np.mean([errors[name] / theirs[name] for name in rows]) == pytest.approx(1.193, abs=5e-4)
    expected = np.mean([errors[name] / ours[name] for name in rows])
    assert evaluation.metrics["seasonal naive"]["MASE"] == pytest.approx(expected)


def test_the_last_value_and_the_ridge_have_their_known_errors_on_etth1(shared_data):
    frame = pd.read_csv(shared_data / "ett" / "ETTh1.csv")[["date", "OT"]].iloc[: 8640 + 2 * 2880]
    model = Forecaster(
        target="OT", horizon=24, context_length=96, val_size=2880, test_size=2880, **QUICK
    ).fit(frame)
    table, scale = model.evaluate().forecasts, frame["OT"].iloc[:8640].std(ddof=0)
    assert table["window"].nunique() == 2857

    def error(name):
        return ((table[name] - table["y"]) / scale).pow(2).mean()

    assert error("naive") == pytest.approx(0.0343, abs=5e-5)
    assert error("ridge") == pytest.approx(0.0264, abs=5e-5)
