"""A recording as NumPy's arrays, xarray's data set, pandas' tables."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

import gated
from gated.errors import OptionError

B, T, D, H = 3, 6, 4, 5
LENGTHS = [6, 0, 4]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.ModuleDict({"rnn": gated.LSTM(D, H, 2, bidirectional=True, batch_first=True)})


@pytest.fixture(scope="module")
def recording(model):
    with gated.record(model) as found:
        model["rnn"](torch.randn(B, T, D), lengths=LENGTHS)
    return found


def test_arrays_hold_the_values_and_nan_beyond_a_length(recording):
    arrays = recording.to_numpy()
    values = recording["rnn"].calls[0].values(1, 1)["f"].numpy()
    found = arrays["rnn.l1_reverse.f"]
    assert found.shape == (B, T, H)
    for row, length in enumerate(LENGTHS):
        assert np.array_equal(found[row, :length], values[row, :length])
        assert np.isnan(found[row, length:]).all()
    assert arrays["rnn.l0.x"].shape == (B, T, D)
    assert len(arrays) == 4 * 6 + 1


def test_the_rows_of_several_calls_stand_one_after_the_other(model):
    with gated.record(model) as recording:
        model["rnn"](torch.randn(2, 3, D))
        model["rnn"](torch.randn(1, 5, D))
    f = recording.to_numpy()["rnn.l0.f"]
    first, second = (call.values()["f"] for call in recording["rnn"].calls)
    assert f.shape == (3, 5, H)
    assert np.array_equal(f[:2, :3], first)
    assert np.isnan(f[:2, 3:]).all()
    assert np.array_equal(f[2:], second)
    assert recording.to_xarray()["rnn.call"].values.tolist() == [0, 0, 1]


def test_a_data_set_names_its_axes_and_says_what_a_variable_is(recording):
    data = recording.to_xarray()
    f = data["rnn.l0.f"]
    assert f.dims == ("batch", "time", "unit")
    assert f.attrs["equation"] == "f = σ(W_f x + U_f h₋ + b_f)"
    assert f.attrs["meaning"] == "the factor by which c keeps its last value"
    assert data["rnn.l0.h"].attrs["meaning"] == "state and output"
    assert data["rnn.length"].values.tolist() == LENGTHS
    assert float(f.sel(batch=2, time=3, unit=1)) == recording["rnn"].calls[0].values()["f"][2, 3, 1]
    assert f.mean("time", skipna=True).sizes == {"batch": B, "unit": H}


def test_axes_of_other_sizes_have_names_of_their_own():
    model = nn.ModuleDict({
        "wide": gated.LSTM(D, 8, proj_size=2),
        "frames": gated.Recurrent("gru", 1, 8, maps=gated.Convolution(3), batch_first=True),
        "signal": gated.ConvLSTM(1, 8, (3,)),
    })  # fmt: skip
    with gated.record(model) as recording:
        model["wide"](torch.randn(T, B, D))
        model["frames"](torch.randn(B, T + 1, 1, 4, 5))
        model["signal"](torch.randn(T, B, 1, 5))
    sizes = {name: value.sizes for name, value in recording.to_xarray().items()}
    assert sizes["wide.l0.c"] == {"batch": B, "time": T, "unit": 8}
    assert sizes["wide.l0.h"] == {"batch": B, "time": T, "unit_2": 2}
    assert sizes["frames.l0.z"] == {"batch": B, "time_7": 7, "unit": 8, "height": 4, "width": 5}
    assert sizes["signal.l0.f"] == {"batch": B, "time": T, "unit": 8, "width": 5}


def test_a_long_table_has_a_line_for_each_value_that_there_is(recording):
    table = recording.to_pandas()
    assert list(table) == ["layer", "name", "batch", "time", "unit", "value"]
    assert len(table) == sum(LENGTHS) * (4 * 6 * H + D)
    assert not table["value"].isna().any()
    place = (table.layer == "rnn.l1_reverse") & (table.name == "c")
    line = table[place & (table.batch == 2) & (table.time == 3) & (table.unit == 4)]
    assert line["value"].item() == recording["rnn"].calls[0].values(1, 1)["c"][2, 3, 4].item()


def test_a_wide_table_has_a_line_for_each_step_that_there_is(recording):
    table = recording.to_pandas("wide")
    assert table.shape == (sum(LENGTHS), 4 * 6 * H + D)
    found = table.loc[(2, 3), ("rnn.l1_reverse", "c", 4)]
    assert found == recording["rnn"].calls[0].values(1, 1)["c"][2, 3, 4].item()


def test_tables_of_images_say_where_a_value_stands():
    layer = gated.ConvLSTM(1, 2)
    with gated.record(layer, ("c",)) as recording:
        layer(torch.randn(2, 1, 1, 3, 4))
    expected = recording["layer"].calls[0].values()["c"][0, 1, 1, 2, 3].item()
    long = recording.to_pandas().query("name == 'c' and time == 1 and unit == 1")
    assert long.query("height == 2 and width == 3")["value"].item() == expected
    assert recording.to_pandas("wide").loc[(0, 1), ("layer.l0", "c", "1,2,3")] == expected


def test_further_inputs_stand_beside_the_first():
    layer = gated.Recurrent("gru-d", D, H)
    x, mask, delta = torch.randn(T, B, D), torch.ones(T, B, D), torch.rand(T, B, D)
    with gated.record(layer) as recording:
        layer(x, mask=mask, delta=delta, lengths=LENGTHS)
    arrays = recording.to_numpy()
    assert np.array_equal(arrays["layer.l0.delta"][0], delta[:, 0])
    assert np.isnan(arrays["layer.l0.mask"][1]).all()


def test_bfloat16_which_numpy_does_not_know_becomes_float32():
    layer = gated.GRU(D, H, dtype=torch.bfloat16)
    with gated.record(layer) as recording:
        layer(torch.randn(T, B, D).bfloat16())
    assert recording.to_numpy()["layer.l0.z"].dtype == np.float32


def test_images_of_several_sizes_are_no_one_array():
    layer = gated.ConvLSTM(1, 2)
    with gated.record(layer) as recording:
        layer(torch.randn(2, 1, 1, 3, 4))
        layer(torch.randn(2, 1, 1, 3, 5))
    with pytest.raises(OptionError, match=r"take them one by one from recording\['layer'\]"):
        recording.to_numpy()


def test_nothing_recorded_is_told(model):
    with gated.record(model) as recording:
        pass
    with pytest.raises(OptionError, match="call the model inside"):
        recording.to_xarray()


def test_another_form_is_refused(recording):
    with pytest.raises(OptionError, match="'long' or 'wide'"):
        recording.to_pandas("tall")


@pytest.mark.parametrize("package", ["xarray", "pandas"])
def test_a_package_that_is_missing_is_named_with_how_to_get_it(recording, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OptionError, match=r"pip install 'gated\[inspect\]'"):
        getattr(recording, f"to_{package}")()
