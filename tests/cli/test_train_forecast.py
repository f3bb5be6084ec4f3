"""`gated train forecast`: what is said before, after, and written."""

import hashlib
import json
from pathlib import Path

import pytest
from small_shops import SMALL, shops


def train(gated, *more):
    return gated("train", "forecast", "shops.csv", "--horizon=7", *SMALL, *more)


def test_what_was_found_is_said_before_training_and_the_verdict_after(gated, place):
    out = train(gated).out
    found, _, verdict = out.partition("held-out windows of 2 series")
    assert "frequency: D" in found
    assert "season: 7" in found
    assert "horizon: 7 steps ahead" in found
    assert "split: 168 steps to train, 36 to choose the weights, 36 held out" in found
    assert "seasonal naive" in verdict


def test_a_network_that_loses_is_told_so(gated, place):
    assert "beats the network (LSTM)" in train(gated).out  # two epochs of four units are too few


def test_the_run_holds_everything_and_the_data_it_came_from(gated, place):
    train(gated, "--seed=3")
    run = Path("runs/shops")
    config = json.loads((run / "config.json").read_text())
    assert config["data"] == {
        "file": str(place / "shops.csv"),
        "sha256": hashlib.sha256(Path("shops.csv").read_bytes()).hexdigest(),
    }
    assert config["options"]["seed"] == 3
    names = {path.name for path in run.iterdir()}
    assert names >= {"model.safetensors", "metrics.jsonl", "scalers.json", "environment.json"}
    assert "gated train forecast" in (run / "report.html").read_text()


def test_json_is_one_object_on_stdout_and_remarks_go_to_stderr(gated, place):
    shown = train(gated, "--json")
    content = json.loads(shown.out)
    assert content["outcome"] in ("win", "lose", "tie")
    assert content["metrics"].keys() == {"LSTM", "naive", "seasonal naive", "ridge"}
    assert content["config"]["forecast"]["horizon"] == 7
    assert "frequency: D" in shown.err


def test_quiet_prints_the_verdict_alone(gated, place):
    shown = train(gated, "--quiet")
    assert shown.err == ""
    assert "frequency" not in shown.out
    assert "held-out windows" in shown.out


def test_without_run_the_directory_gets_the_files_name_and_the_next_free_number(gated, place):
    train(gated)
    assert "run: runs/shops-2" in train(gated).out
    assert Path("runs/shops-2/model.safetensors").exists()


def test_a_run_that_is_there_is_kept_unless_overwrite_is_given(gated, run):
    before = (run / "model.safetensors").read_bytes()
    refused = train(gated, "--run", run, "--seed=1")
    assert refused.code == 2
    assert "--overwrite" in refused.line
    assert (run / "model.safetensors").read_bytes() == before
    assert train(gated, "--run", run, "--seed=1", "--overwrite").code == 0
    assert (run / "model.safetensors").read_bytes() != before


def test_classic_is_one_flag_and_what_is_given_beside_it_wins(gated, place):
    train(gated, "--classic")
    forecast = json.loads(Path("runs/shops/config.json").read_text())["forecast"]
    assert (forecast["loss"], forecast["skip"], forecast["hidden_size"]) == ("mse", False, 4)


def test_lists_take_commas_and_repetition(gated, place):
    frame = shops().assign(price=1.0, holiday=0.0, rain=range(240))
    frame.to_csv("shops.csv", index=False)
    train(gated, "--past", "price,rain", "--past", "holiday")
    schema = json.loads(Path("runs/shops/config.json").read_text())["schema"]
    assert schema["past"] == ["price", "rain", "holiday"]


def test_a_finished_run_resumed_says_so_and_keeps_its_model_and_history(gated, run):
    kept = {n: (run / n).read_bytes() for n in ("model.safetensors", "tail.parquet")}
    shown = train(gated, "--run", run, "--resume")
    assert shown.code == 0
    assert "is trained already" in shown.out
    assert {name: (run / name).read_bytes() for name in kept} == kept


def test_a_run_is_not_resumed_with_other_options(gated, run):
    shown = train(gated, "--run", run, "--resume", "--seed=9")
    assert shown.code == 2
    assert "forecast.seed: 0 became 9" in shown.line


def test_a_run_is_not_resumed_with_other_rows(gated, run):
    with open("shops.csv", "a") as file:
        file.write("north,2024-06-01,10\n")
    shown = train(gated, "--run", run, "--resume")
    assert shown.code == 2
    assert "shops.csv has changed" in shown.line


def test_a_training_that_cannot_begin_leaves_no_run(gated, place):
    shown = train(gated, "--device", "abacus", "--quiet")
    assert shown.code == 2
    assert "--device 'abacus'" in shown.line
    assert not Path("runs/shops").exists()


@pytest.mark.slow
def test_etth1_is_understood_without_a_word(gated, shared_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = ("--test-size=200", "--val-size=200", "--horizon=24", "--max-epochs=1")
    out = gated("train", "forecast", shared_data / "ett/ETTh1.csv", *SMALL, *sizes).out
    assert "time: date (by its name)" in out
    assert "target: OT" in out
    assert "frequency: h" in out
    assert "season: 24" in out
    assert "data: 17420 rows, 1 series of 17420 steps" in out


def test_a_column_that_is_not_used_is_named(gated, place):
    shops().assign(promo=1, price=2.0, note="x").to_csv("shops.csv", index=False)
    found = train(gated, "--past=price").out
    assert "  not used: promo, note (name them with --past or --future)\n" in found


def test_a_training_that_was_still_getting_better_says_so(gated, place):
    out = train(gated, "--max-epochs=1").out  # the second option counts
    assert "the last was the best: more may help (--max-epochs 2)" in out
    assert "the last was the best" in Path("runs/shops/report.html").read_text()
