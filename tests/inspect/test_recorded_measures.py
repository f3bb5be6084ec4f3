"""Measures of recordings: rows of several calls, lengths, reverse directions and resets."""

import numpy as np
import pytest
import scipy.stats
import torch

import gated
from gated.errors import OptionError, ShapeError
from gated.inspect.measures import (
    compare,
    half_life,
    horizon,
    memory_length,
    saturation,
    steps_of,
    unit_measures,
)

D, H = 3, 4


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def recorded(layer, *calls, **kwargs):
    with gated.record(layer, **kwargs) as recording:
        for x, options in calls:
            layer(x, **options)
    return recording["layer"]


def test_rows_of_all_calls_stand_one_after_the_other():
    layer = gated.LSTM(D, H, batch_first=True)
    short, long = torch.randn(2, 5, D), torch.randn(1, 9, D)
    steps = steps_of(recorded(layer, (short, {"lengths": [5, 2]}), (long, {})))
    assert steps.values["c"].shape == (3, 9, H)
    assert steps.valid.sum(axis=1).tolist() == [5, 2, 9]
    _, _, trace = layer(long, trace=True)
    np.testing.assert_array_equal(steps.values["c"][2], trace["c"][0].detach())
    np.testing.assert_array_equal(steps.inputs["x"][0, :5], short[0])


def test_every_unit_is_measured_as_its_arrays_are():
    layer = gated.LSTM(D, H, forget_bias=1.0, dtype=torch.float64)
    x = torch.randn(30, 2, D, dtype=torch.float64)
    found = unit_measures(recorded(layer, (x, {})), share=0.5)
    _, _, trace = layer(x, trace=True)
    gates = trace["f"].detach().numpy().swapaxes(0, 1)
    np.testing.assert_allclose(found.half_life, half_life(gates[:, 1:]))
    np.testing.assert_allclose(found.horizon, horizon(gates, share=0.5))
    np.testing.assert_allclose(found.memory_length, memory_length(gates))
    np.testing.assert_array_equal(found.columns["f right-saturated"], saturation(gates).right)


def test_a_reverse_direction_forgets_in_the_order_in_which_it_reads():
    both = gated.LSTM(D, H, bidirectional=True, dtype=torch.float64)
    alone = gated.LSTM(D, H, dtype=torch.float64)
    alone.load_state_dict({n: getattr(both, f"{n}_reverse") for n in alone.state_dict()})
    x = torch.randn(12, 2, D, dtype=torch.float64)
    x[8:, 1] = 0
    turned = torch.stack([x[:, 0].flip(0), torch.cat([x[:8, 1].flip(0), x[8:, 1]])], 1)
    lengths = {"lengths": [12, 8]}
    found = unit_measures(recorded(both, (x, lengths)), direction=1)
    expected = unit_measures(recorded(alone, (turned, lengths)))
    for name, column in expected.columns.items():
        np.testing.assert_allclose(found.columns[name], column, err_msg=name)


@pytest.mark.parametrize("direction", [0, 1])
def test_memory_does_not_pass_a_reset(direction):
    """Two episodes in one row are what they are in two rows."""
    layer = gated.LSTM(D, H, bidirectional=True, forget_bias=2.0, dtype=torch.float64)
    x = torch.randn(10, 1, D, dtype=torch.float64)
    resets = torch.zeros(10, 1, dtype=torch.bool)
    resets[6] = True
    apart = torch.zeros(6, 2, D, dtype=torch.float64)
    apart[:, 0], apart[:4, 1] = x[:6, 0], x[6:, 0]
    one = unit_measures(recorded(layer, (x, {"resets": resets})), direction=direction)
    two = unit_measures(recorded(layer, (apart, {"lengths": [6, 4]})), direction=direction)
    np.testing.assert_allclose(one.half_life, two.half_life)
    steps = steps_of(recorded(layer, (x, {"resets": resets})), direction=direction)
    assert np.flatnonzero(steps.fresh[0]).tolist() == ([0, 6] if direction == 0 else [5, 9])
    last_read = steps.values["f"][0][6:] if direction == 0 else steps.values["f"][0][5::-1]
    np.testing.assert_allclose(one.memory_length, memory_length(last_read))


def test_the_stabilised_cell_is_not_said_to_forget_at_once():
    found = unit_measures(recorded(gated.Recurrent("slstm", D, H), (torch.randn(9, 2, D), {})))
    assert (found.half_life > 0).all()


def test_a_cell_that_keeps_nothing_has_saturation_alone():
    found = unit_measures(recorded(gated.RNN(D, H), (torch.randn(9, 2, D), {})))
    assert found.half_life is found.horizon is found.memory_length is None
    assert set(found.columns) == {"h left-saturated", "h right-saturated"}


@pytest.mark.parametrize("name", gated.cells())
def test_every_cell_can_be_measured(name):
    width = H if name == "mut2" else D
    layer = gated.Recurrent(name, width, H, **({"P": 2} if name == "lstmp" else {}))
    sizes = layer.cell.graph.input_sizes
    others = {n: torch.rand(6, 2, 1 if size == 1 else width) for n, size in sizes.items()}
    x = others.pop(next(iter(sizes)))
    found = unit_measures(recorded(layer, (x, others)))
    assert (found.half_life is None) == (not layer.cell.kept)
    assert all(np.shape(column) == (H,) for column in found.columns.values())


def test_of_a_convolutional_layer_channels_are_units_and_positions_are_rows():
    layer = gated.ConvLSTM(1, 2, kernel_size=3)
    x = torch.randn(5, 2, 1, 4, 6)
    one = recorded(layer, (x, {"lengths": [5, 3]}))
    steps = steps_of(one)
    assert steps.values["f"].shape == (48, 5, 2)
    assert steps.lengths.tolist() == [5] * 24 + [3] * 24
    _, _, trace = layer(x, trace=True)
    np.testing.assert_array_equal(steps.values["f"][7, :, 1], trace["f"][:, 0, 1, 1, 1].detach())
    assert unit_measures(one).half_life.shape == (2,)


def test_a_network_is_at_no_distance_from_itself():
    layer = gated.LSTM(D, H)
    one = recorded(layer, (torch.randn(20, 2, D), {"lengths": [20, 9]}))
    found = compare(one, one)
    assert found.matching.score == pytest.approx(1)
    assert found.cka == {"h": pytest.approx(1), "c": pytest.approx(1)}
    assert {row.distance for row in found.table} == {0}


def test_two_cells_are_compared_by_what_both_have():
    x = torch.randn(40, 2, D)
    lstm = recorded(gated.LSTM(D, H, forget_bias=3.0), (x, {}))
    gru = recorded(gated.GRU(D, 6), (x, {}))
    found = compare(lstm, gru)
    assert set(found.cka) == {"h"}
    assert len(found.matching.pairs) == H
    half = next(row for row in found.table if row.name == "half-life")
    columns = [unit_measures(one).half_life for one in (lstm, gru)]
    assert (half.first, half.second) == tuple(np.median(c) for c in columns)
    assert half.distance == pytest.approx(scipy.stats.ks_2samp(*columns).statistic)
    assert str(found).splitlines()[2].split() == [
        "median", "over", "units", "first", "second", "distance",
    ]  # fmt: skip


def test_other_input_is_refused():
    layer = gated.LSTM(D, H)
    one = recorded(layer, (torch.randn(20, 2, D), {}))
    other = recorded(layer, (torch.randn(20, 2, D), {"lengths": [20, 9]}))
    with pytest.raises(ShapeError, match=r"\[20, 20\] and \[20, 9\] steps in their rows"):
        compare(one, other)


def test_what_was_not_recorded_is_refused_or_left_out():
    layer, x = gated.LSTM(D, H), torch.randn(9, 2, D)
    with pytest.raises(OptionError, match="no call was recorded"):
        unit_measures(recorded(layer))
    one = recorded(layer, (x, {}), only=("f", "c"))
    assert set(unit_measures(one).saturation) == {"f"}
    with pytest.raises(OptionError, match="its output h was not recorded"):
        compare(one, one)
    with pytest.raises(OptionError, match="how much of c is kept depends on f"):
        unit_measures(recorded(layer, (x, {}), only=("c",)))
