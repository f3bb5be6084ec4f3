"""`gated demo`: the whole way without a file."""

import json
from pathlib import Path

import pytest

from gated.cli import demo


@pytest.fixture
def short(monkeypatch, tmp_path):
    """The demo with hardly any training: what it learns is not the question here."""
    pytest.importorskip("bokeh_sampledata")
    monkeypatch.chdir(tmp_path)
    small = {"hidden_size": 2, "max_epochs": 1, "windows_per_epoch": 8, "context_length": 8,
             "test_size": 300, "val_size": 300, "season_inputs": False}  # fmt: skip
    monkeypatch.setattr("gated.cli.demo._OPTIONS", demo._OPTIONS | small)


def test_demo_forecasts_a_day_of_half_hours_and_says_where_the_page_is(gated, short):
    shown = gated("demo")
    assert shown.code == 0
    assert "frequency: 30min" in shown.out
    assert "horizon: 48 steps ahead" in shown.out
    assert "page: runs/demo/report.html" in shown.out
    assert Path("runs/demo/report.html").exists()


def test_demo_replaces_an_earlier_demo_and_nothing_else(gated, short):
    assert gated("demo", "--quiet").code == 0
    assert gated("demo", "--quiet").code == 0
    config = json.loads(Path("runs/demo/config.json").read_text())
    Path("runs/demo/config.json").write_text(json.dumps(config | {"data": {"file": "mine.csv"}}))
    shown = gated("demo")
    assert shown.code == 2
    assert "holds a run that is no demo" in shown.line


def test_a_demo_can_be_evaluated_and_continued_like_any_run(gated, short):
    assert gated("demo", "--quiet").code == 0
    assert gated("evaluate", "runs/demo").code == 0
    assert "is trained already" in gated("train", "forecast", "--resume", "--run", "runs/demo").out
