"""The page of a forecaster: what it shows is what the network computed."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from forecast_cases import judged, trained, waves

import gated
from gated.inspect import half_life
from gated.inspect.report.render import render
from gated.tasks.forecast.page import build_report


def report(model, evaluation=None):
    evaluation = evaluation or model.evaluate()
    return build_report(
        model, evaluation, command="gated train", run_config={"a": 1}, environment={}
    )


def test_gates_stand_beside_the_steps_that_they_saw():
    frame = waves(90)
    frame.loc[80, "y"] = math.nan
    model = trained(frame, num_layers=2)
    view = report(model).trace
    series = model.data.series[0]
    np.testing.assert_array_equal(view.time, series.ds[-12:])
    np.testing.assert_array_equal(view.inputs["y"], series.y[-12:])
    windows = model.panel().windows(torch.tensor([0]), torch.tensor([90]))
    net = model.network
    seen = net.inputs(windows.features(12).float(), windows.y[:, :12].float())
    state = None
    for step in range(12):  # one step at a time, by the layer's own stream
        with torch.no_grad():
            _, state = net.rnn.step(seen[:, step], state)
        for k in range(2):
            layer = view.layers[f"layer {k + 1}"]
            np.testing.assert_allclose(layer["h"][step], state[0][k, 0], atol=1e-6)
            np.testing.assert_allclose(layer["c"][step], state[1][k, 0], atol=1e-6)


@pytest.mark.parametrize(("cell", "gate"), [("lstm", "f"), ("gru", "z"), ("rnn", None)])
def test_the_half_life_is_that_of_the_gate_that_keeps(cell, gate):
    found = report(trained(waves(90), cell=cell))
    memory = found.half_life["layer 1"]
    if gate is None:
        assert memory is None
    else:
        gates = found.trace.layers["layer 1"][gate]
        np.testing.assert_allclose(memory, half_life(gates[1:]))


def test_the_first_step_has_nothing_to_forget_and_does_not_count():
    model = trained(waves(60), cell="slstm", max_epochs=1, windows_per_epoch=16)
    memory = report(model).half_life["layer 1"]
    assert (memory > 0).all()  # f is 0 there, where the stabiliser comes from -inf


def test_a_cell_that_forgets_nothing_has_no_end_to_its_memory():
    memory = report(trained(waves(90), cell="nfg")).half_life["layer 1"]
    assert memory.shape == (4,)
    assert np.isinf(memory).all()


PLAIN = [name for name in gated.cells() if set(gated.cell(name).graph.letters) <= {"D", "H"}
         and len(gated.cell(name).graph.inputs) == 1]  # fmt: skip


@pytest.mark.parametrize("cell", PLAIN)
def test_the_page_is_written_for_every_cell_that_reads_one_series(cell):
    view = report(*judged(cell))
    assert set(view.trace.layers["layer 1"]) == set(gated.cell(cell).graph.equations)
    # what does not depend on the cell is drawn on other pages
    page = render(replace(view, forecasts=None, by_horizon=None, curves=None))
    assert f'"{gated.cell(cell).states[0].name}"' in page


def test_a_series_shorter_than_the_context_shows_its_own_steps_alone():
    model = trained(waves(60), context_length=100)
    view = report(model).trace
    assert len(view.time) == 60
    assert view.layers["layer 1"]["f"].shape == (60, 4)


def test_several_series_have_a_row_each_and_windows_of_each():
    model = trained(waves(90, ("a", "b", "c")))
    found = report(model)
    assert [row.series for row in found.by_series] == ["a", "b", "c"]
    assert {view.series for view in found.forecasts} == {"a", "b", "c"}


def test_a_forecast_stands_beside_its_history_and_its_truth():
    model = trained(waves(90))
    series = model.data.series[0]
    for view in report(model).forecasts:
        start = int(np.searchsorted(series.ds, view.future_time[0]))
        np.testing.assert_array_equal(view.truth, series.y[start : start + 4])
        np.testing.assert_array_equal(view.history, series.y[start - len(view.history) : start])
        assert (view.quantiles[0.5] == view.point).all()


def test_a_loaded_model_that_has_read_its_table_has_the_same_page(tmp_path):
    frame = waves(90)
    model = trained(frame)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path).read(frame)
    ours, theirs = report(model), report(loaded)
    assert theirs.headline == ours.headline
    assert theirs.curves is None
    for name, values in ours.trace.layers["layer 1"].items():
        np.testing.assert_array_equal(theirs.trace.layers["layer 1"][name], values)


def test_names_that_are_code_are_shown_as_names():
    hostile = "</script><script>alert(1)</script>"
    page = render(report(trained(waves(60, (hostile, "b")))))
    assert hostile not in page
    assert "<script>alert(1)" not in page
    assert "alert(1)" in page


@pytest.mark.parametrize("options", [{"scaling": "log"}, {"loss": "mse"}, {"season": 1}], ids=str)
def test_the_page_is_written_for_every_kind_of_forecaster(options):
    page = render(report(trained(waves(90), **options)))
    assert page.lower().startswith("<!doctype html>")


def test_the_page_of_a_constant_series_is_written():
    frame = waves(90).assign(y=4.0)
    found = report(trained(frame))
    assert "LSTM" in render(found)
