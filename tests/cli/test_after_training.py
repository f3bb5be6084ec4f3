"""`gated evaluate`, `backtest`, `predict` and `report` on a finished run."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_shops import SMALL, shops

from gated import Forecaster

NEW = pd.DataFrame({"unique_id": "north", "ds": pd.date_range("2024-04-30", periods=3), "y": 12.0})


def test_evaluate_gives_the_verdict_by_series_and_by_step(gated, run):
    by_series = gated("evaluate", run, "--by", "series").out
    by_step = gated("evaluate", run, "--by", "horizon").out
    assert "MASE by series" in by_series
    assert "north" in by_series
    rows = by_step.partition("RMSE by steps ahead")[2].splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4", "5", "6", "7"]


def test_evaluate_again_gives_the_figures_of_the_training(gated, place):
    options = ("--hidden-size=4", "--context-length=14", "--max-epochs=1", "--horizon=7")
    first = json.loads(gated("train", "forecast", "shops.csv", *options, "--json").out)
    again = json.loads(gated("evaluate", "runs/shops", "--json").out)
    assert again["metrics"] == first["metrics"]
    assert again["by_horizon"] == first["by_horizon"]


def test_evaluate_refuses_a_table_that_is_gone_until_it_is_told_where_it_is(gated, place, run):
    config = json.loads((run / "config.json").read_text())
    Path(config["data"]["file"]).rename("moved.csv")
    try:
        shown = gated("evaluate", run)
        assert shown.code == 2
        assert "is gone" in shown.line
        assert "--data" in shown.line
        assert gated("evaluate", run, "--data", "moved.csv").code == 0
    finally:
        Path("moved.csv").rename(config["data"]["file"])


def test_evaluate_refuses_a_table_that_has_changed(gated, run):
    file = Path(json.loads((run / "config.json").read_text())["data"]["file"])
    before = file.read_bytes()
    file.write_bytes(before + b"north,2024-06-01,10\n")
    try:
        shown = gated("evaluate", run)
    finally:
        file.write_bytes(before)
    assert shown.code == 2
    assert "has changed" in shown.line


def test_backtest_judges_each_cutoff_as_by_hand(gated, run):
    content = json.loads(gated("backtest", run, "--windows", "2", "--json").out)
    frame = shops()
    values = {name: part["y"].to_numpy() for name, part in frame.groupby("unique_id")}

    def naive_mase(y, origin):
        # the training part is what is left of 120 by two held-out parts of 15 % each
        scale = np.abs(y[7:84] - y[: 84 - 7]).mean()
        return np.abs(y[origin : origin + 7] - y[origin - 1]).mean() / scale

    for cutoff, origin in (("2024-04-15", 106), ("2024-04-22", 113)):
        expected = np.mean([naive_mase(y, origin) for y in values.values()])
        assert content["cutoffs"][cutoff]["naive"] == pytest.approx(expected, rel=1e-6)
    assert len(content["cutoffs"]) == 2


def test_predict_writes_the_forecast_of_every_series(gated, run):
    assert gated("predict", run, "--output", "out.csv").code == 0
    written = pd.read_csv("out.csv")
    expected = Forecaster.from_pretrained(run).predict()
    assert len(written) == 14
    np.testing.assert_array_equal(written["LSTM"], expected["LSTM"])
    assert written["ds"].iloc[0] == "2024-04-30"  # the day after the table's last


def test_a_name_that_is_a_formula_is_written_harmless(gated, run):
    gated("predict", run, "--output", "out.csv")
    names = {line.split(",")[0] for line in Path("out.csv").read_text().splitlines()[1:]}
    assert names == {"north", "'=1+1"}


def test_predict_prints_a_table_or_json_where_no_output_is_given(gated, run):
    lines = gated("predict", run, "--horizon", "2").out.splitlines()
    content = json.loads(gated("predict", run, "--horizon", "2", "--json").out)
    assert len(lines) == 1 + 2 * 2
    assert [row["ds"] for row in content["forecasts"][:2]] == ["2024-04-30", "2024-05-01"]


def test_predict_goes_on_after_new_rows_and_forgets_them(gated, run):
    NEW.to_csv("new.csv", index=False)
    shown = gated("predict", run, "new.csv", "--horizon", "1").out.splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [["north", "2024-05-03"]]
    first = gated("predict", run, "--horizon", "1").out.splitlines()[1]
    assert first.split()[1] == "2024-04-30"


def test_update_keeps_new_rows_and_the_other_series(gated, run):
    NEW.to_csv("new.csv", index=False)
    with_file = gated("predict", run, "new.csv", "--update", "--horizon", "1").out.splitlines()
    later = gated("predict", run, "--horizon", "1").out.splitlines()
    assert later[1] == with_file[1]
    assert [line.split()[:2] for line in later[1:]] == [
        ["north", "2024-05-03"],
        ["=1+1", "2024-04-30"],
    ]


def test_an_update_that_fails_leaves_the_history_as_it_was(gated, run):
    before = (run / "tail.parquet").read_bytes()
    NEW.to_csv("new.csv", index=False)
    shown = gated("predict", run, "new.csv", "--update", "--output", "no/such/folder.csv")
    assert shown.code == 2
    assert (run / "tail.parquet").read_bytes() == before


def test_a_series_that_was_never_seen_is_forecast_from_its_rows(gated, run):
    shops(names=("south",)).to_csv("south.csv", index=False)
    lines = gated("predict", run, "south.csv").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["south"] * 7


def test_covariates_known_ahead_continue_those_of_the_training(gated, place):
    rows = shops(rows=127, names=("north",)).assign(holiday=np.arange(127) % 2)
    known, ahead = rows.iloc[:120], rows.iloc[119:].copy()
    known.to_csv("shops.csv", index=False)
    ahead.loc[120:, "y"] = None
    ahead.to_csv("ahead.csv", index=False)
    gated("train", "forecast", "shops.csv", *SMALL, "--horizon=7", "--future=holiday")
    shown = gated("predict", "runs/shops")
    assert shown.code == 2
    assert "the future covariates holiday end 7 steps before the horizon does" in shown.line

    assert gated("predict", "runs/shops", "ahead.csv", "--output", "out.csv").code == 0
    whole = pd.concat([known, ahead.iloc[1:]])
    expected = Forecaster.from_pretrained("runs/shops").read(whole).predict()
    np.testing.assert_array_equal(pd.read_csv("out.csv")["LSTM"], expected["LSTM"])


def test_more_steps_than_were_trained_are_refused(gated, run):
    shown = gated("predict", run, "--horizon", "8")
    assert (shown.code, shown.out) == (2, "")
    assert "--horizon 8: this model was trained to forecast 1 to 7 steps" in shown.line


def test_report_writes_the_page_and_prints_its_path(gated, run):
    (run / "report.html").unlink()
    assert gated("report", run).out == f"{run / 'report.html'}\n"
    page = (run / "report.html").read_text()
    assert "beats the network (LSTM)" in page
    assert "seasonal naive" in page


@pytest.mark.parametrize("command", ["evaluate", "backtest", "predict", "report", "explain"])
def test_a_run_that_is_not_there_is_looked_for_nearby(gated, run, command):
    shown = gated(command, "shops")
    assert shown.code == 2
    assert "did you mean runs/shops" in shown.line
