"""`explorer.view`: from any model to what the page shows."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import gated
from gated.errors import OptionError
from gated.inspect import explorer
from gated.inspect.explorer.meanings import meanings
from gated.inspect.explorer.payload import payload
from gated.inspect.measures import half_life
from gated.inspect.measures.clamping import clamp
from gated.inspect.measures.gradient import gradient_flow

T, D, H = 40, 2, 6
CELLS = ["rnn", "lstmp", "gru-d", "mut2", "slstm", "sru", "fgr", "t-lstm"]


class Model(nn.Module):
    """Two layers of a cell in both directions, dropout, and a head."""

    def __init__(self, cell: str = "lstm"):
        super().__init__()
        self.rnn = gated.Recurrent(cell, D, H, 2, batch_first=True, bidirectional=True, dropout=0.5)
        self.head = nn.Linear(2 * H, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model()


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(3, T, D)


def test_values_are_those_of_the_layer_by_place_and_name(model, x):
    view = explorer.view(model, x, row=1)
    model.eval()
    trace = model.rnn(x, trace=True)[2]
    assert [place.label for place in view.places] == [
        "layer 1, forward", "layer 1, backward", "layer 2, forward", "layer 2, backward"
    ]  # fmt: skip
    for k, place in enumerate(view.places):
        assert list(place.values) == ["i", "f", "g", "o", "c", "h"]
        assert place.reverse == (k % 2 == 1)
        for name, values in place.values.items():
            truth = trace.at(*divmod(k, 2))[name][1].detach().numpy()
            np.testing.assert_allclose(values, truth, atol=1e-6)


def test_a_deeper_layer_reads_what_the_one_below_gave(model, x):
    view = explorer.view(model, x)
    below = np.concatenate([place.values["h"] for place in view.places[:2]], axis=1)
    np.testing.assert_array_equal(view.places[2].x, below)
    np.testing.assert_array_equal(view.places[3].x, below)


def test_the_model_is_left_as_it_was(model, x):
    x = x[:, :6]
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explorer.view(
        model, x, loss=lambda m: m(x).sum(),
        clamps=explorer.Clamps(lambda m: m(x).mean(), "mean", units=1),
    )  # fmt: skip
    assert model.training
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_half_lives_are_those_of_the_forget_gate_and_sort_units(model, x):
    place = explorer.view(model, x).places[0]
    assert [m.name for m in place.measures] == ["half-life", "horizon", "memory length"]
    np.testing.assert_allclose(place.measures[0].values, half_life(place.values["f"][1:]))


def test_a_backward_layer_is_measured_in_the_order_in_which_it_reads(x):
    torch.manual_seed(2)
    both = gated.LSTM(D, H, batch_first=True, bidirectional=True)
    alone = gated.LSTM(D, H, batch_first=True)
    alone.load_state_dict(
        {n.removesuffix("_reverse"): v for n, v in both.state_dict().items() if "reverse" in n}
    )
    backward = explorer.view(both, x).places[1]
    turned = explorer.view(alone, x.flip(1)).places[0]
    for one, other in zip(backward.measures, turned.measures, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-5)


def test_gradients_are_those_of_autograd(model, x):
    def loss(m):
        return m(x)[0, -1].square().sum()

    model.eval()
    place = explorer.view(model, x, loss=loss).places[2]
    output, _ = model.rnn(x)
    slope = torch.autograd.grad(model.head(output)[0, -1].square().sum(), output)[0]
    # of the top layer's h at the last step, nothing comes later that could read it
    truth = slope[0, -1, :H].norm()
    total = next(c for c in place.curves if (c.state, c.kind) == ("h", "total"))
    assert total.values[-1] == pytest.approx(float(truth), rel=1e-5)
    assert [(c.state, c.kind) for c in place.curves] == [
        ("h", "total"), ("c", "total"), ("c", "direct path")
    ]  # fmt: skip


def test_clamping_is_the_change_of_the_metric():
    torch.manual_seed(0)
    x = torch.randn(2, 8, D)
    layers = nn.ModuleDict({"rnn": gated.LSTM(D, 3, 2, batch_first=True)})
    layers.forward = lambda x: layers["rnn"](x)[0]

    def metric(m):
        return float(m(x).detach().square().mean())

    view = explorer.view(layers, x, clamps=explorer.Clamps(metric, "square"))
    with clamp(layers, {("rnn", 1, 0): {"f": {2: 1.0}}}):
        clamped = metric(layers)
    assert view.metric.value == pytest.approx(metric(layers))
    change = view.places[1].clamped["f = 1"][2]
    assert change == pytest.approx(clamped - metric(layers), abs=1e-7)
    assert list(view.places[1].clamped) == ["f = 1", "i = 0", "o = 1", "frozen"]
    assert set(view.places[1].whole) == {"f = 1", "i = 0", "o = 1"}


def test_units_with_the_longest_memory_are_clamped_first(x):
    torch.manual_seed(0)
    layer = gated.LSTM(D, H, batch_first=True)
    with torch.no_grad():
        layer.bias_ih_l0[H : 2 * H] = torch.tensor([0.0, 5, 0, 6, 0, 0])
    clamps = explorer.Clamps(lambda m: float(m(x)[0].mean()), "mean", units=2)
    place = explorer.view(layer, x, clamps=clamps).places[0]
    known = ~np.isnan(place.clamped["frozen"])
    assert np.flatnonzero(known).tolist() == [1, 3]


def test_top_activations_are_the_largest_of_all_rows(model, x):
    batches = [x, torch.randn(4, T, D)]
    shown = torch.cat(batches)[..., 0].numpy()
    search = explorer.Search(batches, lambda row, step: f"row {row} step {step}", shown, "all",
                             lambda row, step: step if row == 0 else None)  # fmt: skip
    tops = explorer.view(model, x, search=search).places[0].tops
    model.eval()
    c = torch.cat([model.rnn(b, trace=True)[2].at(0)["c"] for b in batches]).detach().numpy()
    for unit in range(H):
        best = np.abs(c[..., unit]).max(axis=1)
        rows = np.argsort(-best)[:5]
        steps = np.abs(c[rows, :, unit]).argmax(axis=1)
        assert tops.labels[unit] == [f"row {r} step {s}" for r, s in zip(rows, steps, strict=True)]
        assert tops.steps[unit] == [s if r == 0 else None for r, s in zip(rows, steps, strict=True)]
        np.testing.assert_allclose(tops.values[unit], c[rows, steps, unit], rtol=1e-5)
        middle = tops.activity[unit, :, tops.middle]
        np.testing.assert_allclose(middle, tops.values[unit], rtol=1e-6)
        np.testing.assert_array_equal(tops.inputs[unit, :, tops.middle], shown[rows, steps])


def test_a_row_is_shown_as_far_as_it_is_long():
    layer = gated.LSTM(D, H, batch_first=True)

    class Lengths(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = layer

        def forward(self, x, lengths):
            return self.rnn(x, lengths=lengths)

    view = explorer.view(Lengths(), (torch.randn(2, T, D), torch.tensor([T, 7])), row=1)
    assert view.places[0].x.shape == (7, D)
    assert len(view.time) == 7


@pytest.mark.parametrize("cell", CELLS)
def test_any_cell_of_the_catalogue_becomes_a_page(cell):
    sizes = {"P": 4} if cell == "lstmp" else {}
    layer = gated.Recurrent(cell, H, H, batch_first=True, **sizes)
    names = [name for name in layer.cell.graph.inputs if name != "x"]
    more = {name: torch.ones(1, T, 1 if cell == "t-lstm" else H) for name in names}

    class Fed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = layer

        def forward(self, x):
            return self.rnn(x, **more)

    view = explorer.view(Fed(), torch.randn(1, T, H))
    content, _ = payload(view)
    json.dumps(content, allow_nan=False)
    assert content["places"][0]["cell"] == cell
    assert explorer.render(view).startswith("<!doctype html>")


def test_words_follow_from_the_equations():
    assert meanings(gated.cell("gru"))["z"] == "how much of h is kept"
    assert meanings(gated.cell("mingru"))["z"] == "how much of h is replaced"
    assert meanings(gated.cell("rnn")) == {"h": "the output"}


def test_a_model_without_a_layer_is_refused(x):
    with pytest.raises(OptionError):
        explorer.view(nn.Linear(D, 1), x)


def test_a_row_that_is_not_there_is_refused(model, x):
    with pytest.raises(OptionError, match="row 3 has no step, the batch has 3 rows"):
        explorer.view(model, x, row=3)


def test_images_are_refused():
    layer = gated.Recurrent("lstm", 1, 2, maps=gated.Convolution(3))
    with pytest.raises(OptionError, match="its states are images"):
        explorer.view(layer, torch.randn(3, 1, 1, 8))


def test_clamping_no_unit_is_refused():
    with pytest.raises(OptionError, match="units=0: expected 1 or more"):
        explorer.Clamps(lambda m: 0.0, "m", units=0)


def test_progress_is_told(model, x):
    told = []
    explorer.view(
        model, x, loss=lambda m: m(x).sum(), progress=lambda what, done, total: told.append(what)
    )
    assert told == ["recording", "gradient flow"]


def test_two_cells_of_one_name_keep_their_own_equations():
    layers = nn.Sequential(
        gated.LSTM(D, 4, batch_first=True), Taken(), gated.LSTM(4, 4, batch_first=True, maps=MAPS)
    )
    content, _ = payload(explorer.view(layers, torch.randn(1, T, D)))
    assert [place["program"] for place in content["places"]] == ["lstm", "lstm, 2"]
    assert [place["label"] for place in content["places"]] == ["0", "2"]


MAPS = {"U": "diagonal"}


class Taken(nn.Module):
    """The output alone, of output and states."""

    def forward(self, found):
        return found[0]


class Windows(nn.Module):
    """A stream in two chunks, and where it ends the last chunk afresh."""

    def __init__(self, afresh):
        super().__init__()
        self.rnn, self.afresh = gated.LSTM(D, H, batch_first=True), afresh

    def forward(self, x):
        first, second = x.chunk(2, 1)
        a, states = self.rnn(first)
        b, _ = self.rnn(second, states)
        found = torch.cat([a, b], 1)
        return (10 * found[:, -1] + self.rnn(second)[0][:, -1]) if self.afresh else found


def norms(place, state="c", kind="total"):
    return next(c.values for c in place.curves if (c.state, c.kind) == (state, kind))


def test_curves_are_those_of_the_call_that_is_shown(x):
    model = Windows(afresh=True)
    place = explorer.view(model, x, loss=lambda m: m(x).sum()).places[0]
    alone = gradient_flow(model.rnn, lambda rnn: rnn(x[:, T // 2 :])[0][:, -1].sum())["layer"]
    np.testing.assert_allclose(norms(place), alone.norms("c")[0], rtol=1e-5)
    np.testing.assert_allclose(
        norms(place, kind="direct path"), alone.norms("c", "direct")[0], rtol=1e-5
    )


def test_a_stream_s_curve_is_that_of_the_whole_sequence(x):
    model = Windows(afresh=False)
    view = explorer.view(model, x, loss=lambda m: m(x)[:, -1].sum())
    whole = gradient_flow(model.rnn, lambda rnn: rnn(x)[0][:, -1].sum())["layer"]
    np.testing.assert_allclose(norms(view.places[0]), whole.norms("c")[0], rtol=1e-5)
    # chunk by chunk the direct path is not that of the whole
    assert {c.kind for c in view.places[0].curves} == {"total"}
    assert "chunk by chunk" in view.notes[0]


def test_a_loss_of_other_sequences_is_refused(x):
    layer = gated.LSTM(D, H, batch_first=True)
    with pytest.raises(OptionError, match=f"reads 5 steps of row 0 where with x it reads {T}"):
        explorer.view(layer, x, loss=lambda m: m(x[:, :5])[0].sum())


def test_each_module_keeps_its_mode(x):
    model = nn.Sequential(gated.LSTM(D, H, batch_first=True))
    model[0].eval()
    explorer.view(model, x)
    assert (model.training, model[0].training) == (True, False)


def test_half_lives_are_measured_before_values_are_rounded(x):
    layer = gated.LSTM(D, H, batch_first=True, forget_bias=25.0).double()
    place = explorer.view(layer, x.double()).places[0]
    forget = layer(x.double(), trace=True)[2]["f"][0]
    np.testing.assert_allclose(place.measures[0].values, half_life(forget[1:]))
    assert np.isfinite(place.measures[0].values).all()


def test_a_run_that_became_nan_is_shown_without_its_shares(x):
    x = x.clone()
    x[0, 5] = torch.nan
    place = explorer.view(gated.LSTM(D, H, batch_first=True), x).places[0]
    assert np.isnan(place.values["f"][5:]).all()
    assert (place.saturation, place.measures) == ({}, [])
