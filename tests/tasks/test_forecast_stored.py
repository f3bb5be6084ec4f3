"""Saved, loaded, continued and interrupted: nothing is lost and nothing changes."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from forecast_cases import TINY, trained, waves

from gated.errors import CheckpointError, DataError, OptionError
from gated.tasks.forecast import Forecaster, forecaster
from gated.training import Interrupted


def reloaded(model, path):
    model.save_pretrained(path)
    return Forecaster.from_pretrained(path)


def same(first, second):
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def with_covariates(length=100):
    frame = waves(length, ("a", "b"))
    rng = np.random.default_rng(3)
    frame["warm"] = rng.normal(size=2 * length)
    frame["open"] = rng.integers(0, 2, size=2 * length).astype(float)
    return frame


@pytest.mark.parametrize(
    "options",
    [{}, {"loss": "mse"}, {"num_layers": 2}, {"cell": "gru"}, {"precision": "64-true"},
     {"scaling": "log"}, {"classic": True}, {"context_length": 300}],
    ids=str,
)  # fmt: skip
def test_a_loaded_model_forecasts_the_same_bits(options, tmp_path):
    model = trained(waves(90, ("a", "b")), **options)
    loaded = reloaded(model, tmp_path)
    same(loaded.predict(), model.predict())
    assert loaded.config == model.config
    assert loaded.schema == model.schema


@pytest.mark.parametrize("scaling", ["level", "log"])
def test_a_gap_over_the_start_of_the_kept_end_is_filled_from_before_it(scaling, tmp_path):
    frame = with_covariates()
    frame.loc[80:91, ["y", "warm", "open"]] = math.nan  # the context of 12 begins at row 88
    frame.loc[79, "y"] = 0.5 if scaling == "level" else 0.0
    frame.loc[[198, 199], "open"] = math.nan
    ahead = frame.iloc[[99] * 4 + [199] * 4].copy()
    ahead["ds"] += np.tile(pd.to_timedelta([1, 2, 3, 4], "h"), 2)
    ahead[["y", "warm", "open"]] = [math.nan, math.nan, 1.0]
    frame = pd.concat([frame, ahead], ignore_index=True)
    model = trained(frame, past=["warm"], future=["open"], scaling=scaling)
    same(reloaded(model, tmp_path).predict(), model.predict())


def test_new_rows_continue_a_loaded_model_as_if_it_had_had_them_all(tmp_path):
    frame = waves(100, ("a", "b"))
    old, new = frame[frame["ds"] < frame["ds"][90]], frame[frame["ds"] >= frame["ds"][90]]
    model = trained(old)
    loaded = reloaded(model, tmp_path)
    expected = model.predict(frame=frame)
    assert expected["ds"].min() == frame["ds"][99] + pd.Timedelta(1, "h")
    same(loaded.predict(frame=new), expected)
    same(loaded.update(new).predict(), expected)
    loaded.save_history(tmp_path)
    same(Forecaster.from_pretrained(tmp_path).predict(), expected)


def test_an_update_keeps_the_series_that_it_does_not_name(tmp_path):
    frame = waves(100, ("a", "b"))
    model = trained(frame)
    more = waves(104).iloc[100:]
    loaded = reloaded(model, tmp_path).update(more)
    found = loaded.predict().groupby("unique_id")["ds"].min()
    assert found["a"] - found["b"] == pd.Timedelta(4, "h")


def test_predicting_from_a_table_forecasts_its_series_alone(tmp_path):
    model = reloaded(trained(waves(100, ("a", "b"))), tmp_path)
    assert set(model.predict(frame=waves(104).iloc[100:])["unique_id"]) == {"a"}


def test_a_new_row_with_an_empty_target_does_not_erase_a_known_one(tmp_path):
    frame = waves(100)
    model = reloaded(trained(frame), tmp_path)
    again = pd.concat([frame.iloc[95:98].assign(y=math.nan), waves(101).iloc[100:]])
    whole = pd.concat([frame, waves(101).iloc[100:]])
    same(model.predict(frame=again), model.predict(frame=whole))


def test_a_series_never_seen_is_forecast_from_its_own_history_at_its_own_size(tmp_path):
    model = trained(waves(150, ("a", "b")), max_epochs=1)
    other = waves(60, ("new",)).assign(y=lambda f: 1e6 + 1e5 * (f["y"] - 10))
    found = model.predict(frame=other)["LSTM"]
    assert found.between(1e6 - 2e5, 1e6 + 2e5).all()
    loaded = reloaded(model, tmp_path).update(other)
    loaded.save_history(tmp_path)
    kept = Forecaster.from_pretrained(tmp_path).predict().query("unique_id == 'new'")
    assert kept["LSTM"].tolist() == found.tolist()


def test_a_forecast_does_not_depend_on_the_size_of_a_series_never_seen():
    model = trained(waves(150, ("a", "b")))
    small = waves(60, ("new",))
    large = small.assign(y=small["y"] * 1024)
    np.testing.assert_allclose(
        model.predict(frame=large)["LSTM"], 1024 * model.predict(frame=small)["LSTM"], rtol=1e-5
    )


@pytest.fixture(scope="module")
def ahead_model():
    frame = with_covariates()
    return frame, trained(frame, past=["warm"], future=["open"])


def rows_ahead(frame, count, value=1.0):
    last = frame.groupby("unique_id").tail(1)
    rows = pd.concat([last.assign(ds=last["ds"] + pd.Timedelta(k + 1, "h")) for k in range(count)])
    return rows.assign(y=math.nan, warm=math.nan, open=value).reset_index(drop=True)


def test_future_covariates_that_are_missing_are_asked_for(ahead_model):
    _, model = ahead_model
    expected = "'a': the future covariates open end 4 steps before the horizon does: add rows"
    with pytest.raises(DataError, match=re.escape(expected)):
        model.predict()


def test_rows_of_known_covariates_alone_continue_the_series(ahead_model, tmp_path):
    frame, model = ahead_model
    ahead = rows_ahead(frame, 4)
    found = reloaded(model, tmp_path).predict(frame=ahead)
    same(found, model.predict(frame=pd.concat([frame, ahead])))
    assert len(found) == 8


def test_a_covariate_that_is_empty_within_the_horizon_is_asked_for(ahead_model):
    frame, model = ahead_model
    ahead = rows_ahead(frame, 4)
    ahead.loc[7, "open"] = math.nan
    with pytest.raises(DataError, match="'b': the future covariates open end 1 steps before"):
        model.predict(frame=ahead)


def test_a_shorter_horizon_needs_only_its_own_covariates(ahead_model):
    frame, model = ahead_model
    short = model.predict(2, frame=rows_ahead(frame, 2))
    whole = model.predict(frame=rows_ahead(frame, 4))
    same(short, whole.groupby("unique_id").head(2).reset_index(drop=True))


@pytest.mark.parametrize("horizon", [0, -1, 5])
def test_a_horizon_that_was_not_trained_is_refused(ahead_model, horizon):
    with pytest.raises(OptionError, match="trained to forecast 1 to 4 steps"):
        ahead_model[1].predict(horizon)


def test_a_loaded_model_is_not_judged_on_the_ends_that_it_keeps(tmp_path):
    frame = waves(100)
    model = trained(frame)
    loaded = reloaded(model, tmp_path)
    for call in (loaded.evaluate, loaded.fit):
        with pytest.raises(OptionError, match=r"read\(frame\) with the table that it learned"):
            call()
    loaded.read(frame, loaded.schema)
    assert loaded.evaluate().metrics == model.evaluate().metrics


@pytest.mark.parametrize("call", ["predict", "evaluate", "panel"])
def test_what_needs_training_says_so(call):
    with pytest.raises(OptionError, match="not trained"):
        getattr(Forecaster(**TINY), call)()


def test_a_second_fit_finds_everything_anew():
    options = {"hidden_size": 4, "max_epochs": 1, "windows_per_epoch": 32}
    short, long = (waves(n).assign(ds=np.arange(n)) for n in (60, 400))
    again = Forecaster(**options).fit(long)
    model = Forecaster(**options).fit(short)
    assert model.config.horizon != again.config.horizon
    assert model.fit(long).config == again.config


def test_two_fits_with_one_seed_are_equal_and_another_seed_is_not():
    one, two, other = (
        trained(waves(90), seed=seed, dropout=0.2).network.state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_fit_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    trained(waves(90))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("call", "turn"), [("batch", 3), ("validate", 1)])
def test_an_interrupted_fit_goes_on_bit_for_bit(call, turn, tmp_path, monkeypatch):
    frame = waves(90)
    options = {"dropout": 0.2, "loss": "mse", "checkpoint_seconds": 0.0}
    whole = Forecaster(**TINY, **options).fit(frame, run=tmp_path / "whole")

    struck = iter(range(1000))
    method = getattr(forecaster.ForecastLearner, call)

    def strike(self, *args):
        if next(struck) == turn:
            raise Interrupted("stopped", 130)
        return method(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(forecaster.ForecastLearner, call, strike)
        with pytest.raises(Interrupted):
            Forecaster(**TINY, **options).fit(frame, run=tmp_path / "run")
    resumed = Forecaster(**TINY, **options).fit(frame, run=tmp_path / "run", resume=True)
    same(resumed.predict(), whole.predict())
    for name in ("model.safetensors", "metrics.jsonl", "scalers.json", "tail.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    same(Forecaster.from_pretrained(tmp_path / "run").predict(), whole.predict())


def test_resuming_with_another_table_is_refused(tmp_path):
    Forecaster(**TINY).fit(waves(90), run=tmp_path / "run")
    with pytest.raises(CheckpointError):
        Forecaster(**{**TINY, "horizon": 3}).fit(waves(90), run=tmp_path / "run", resume=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved")
    trained(waves(90, ("a", "b")), loss="mse").save_pretrained(path)
    return path


@pytest.mark.parametrize("name", ["scalers.json", "tail.parquet"])
def test_a_file_beside_the_model_that_is_missing_is_named(saved, name, tmp_path):
    copy(saved, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        Forecaster.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["scalers.json", "tail.parquet"])
def test_every_bit_that_is_flipped_beside_the_model_is_found(saved, name, tmp_path):
    copy(saved, tmp_path)
    whole = (saved / name).read_bytes()
    reference = Forecaster.from_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    for position in rng.choice(len(whole), 60, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        (tmp_path / name).write_bytes(damaged)
        try:
            loaded = Forecaster.from_pretrained(tmp_path)
        except CheckpointError:
            continue
        # white space of JSON, or the case of a digit's exponent, may change and say the same
        assert name == "scalers.json"
        assert loaded._scalers == reference._scalers


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("name", ["scalers.json", "tail.parquet"])
def test_a_file_beside_the_model_that_was_cut_off_is_refused(saved, name, share, tmp_path):
    copy(saved, tmp_path)
    whole = (saved / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=name):
        Forecaster.from_pretrained(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", "7", '{"target": {}, "sha256": "0"}'])
def test_scalers_that_are_something_else_are_refused(saved, content, tmp_path):
    copy(saved, tmp_path)
    (tmp_path / "scalers.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"scalers\.json"):
        Forecaster.from_pretrained(tmp_path)


def copy(source, target):
    for one in source.iterdir():
        (target / one.name).write_bytes(one.read_bytes())


def test_series_ids_come_back_whatever_they_are(tmp_path):
    names = ("=1+1", "../up", "<script>", "sha256=" + "0" * 64, "日本")
    model = trained(waves(60, names), max_epochs=1)
    found = reloaded(model, tmp_path).predict()
    same(found, model.predict())
    assert set(found["unique_id"]) == set(names)


@pytest.mark.parametrize("name", ["y", "ds", "window", "LSTM", "step", "past:y"])
def test_covariates_may_have_the_names_of_our_own_columns(name, tmp_path):
    frame = waves(90).rename(columns={"y": "sales", "ds": "when", "unique_id": "shop"})
    frame[name] = np.arange(90.0) % 4
    model = trained(frame, target="sales", time_col="when", id_col="shop", past=[name])
    same(reloaded(model, tmp_path).predict(), model.predict())
    assert model.evaluate().metrics["LSTM"]["MASE"] > 0
