"""`gated.record`: what it records is what was computed, by the truth of others."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import gated
from gated.errors import OptionError
from gated.layers.trace import Trace

B, T, D, H = 3, 6, 4, 5
LENGTHS = [6, 0, 4]


def recorded(layer, *args, only=None, **kwargs):
    """The one call of a layer."""
    with gated.record(layer, only) as recording:
        layer(*args, **kwargs)
    (call,) = recording["layer"].calls
    return call


def lstm_by_hand(x, weights):
    """The LSTM of the textbook in NumPy: gates and states of each step of one sequence."""
    w, u, b = weights
    h = c = np.zeros(u.shape[1])
    steps = []
    for x_t in x:
        i, f, g, o = np.split(w @ x_t + u @ h + b, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        g = np.tanh(g)
        c = f * c + i * g
        h = o * np.tanh(c)
        steps.append({"i": i, "f": f, "g": g, "o": o, "c": c, "h": h})
    return {name: np.stack([step[name] for step in steps]) for name in steps[0]}


def test_the_worked_example_is_that_of_the_source():
    layer = gated.LSTM(2, 2, batch_first=True, dtype=torch.float64)
    for name, parameter in layer.named_parameters():
        nn.init.constant_(parameter, 0.0 if "bias" in name else 0.5)
    x = torch.tensor([[[0.5, -0.1], [0.3, 0.8], [0.1, -0.2], [0.9, 0.7]]], dtype=torch.float64)
    found = recorded(layer, x).values()
    matrices = np.full((8, 2), 0.5)
    expected = lstm_by_hand(x[0].numpy(), (matrices, matrices, np.zeros(8)))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name][0], value, rtol=1e-12)
    printed = [[0.549834, 0.108524, 0.059437], [0.647812, 0.422538, 0.258520],
               [0.551942, 0.346668, 0.184027], [0.727907, 0.801769, 0.484076]]  # fmt: skip
    columns = torch.stack([found[name][0, :, 0] for name in ("f", "c", "h")], 1)
    np.testing.assert_allclose(columns, printed, atol=1e-6)


def test_both_directions_stand_in_the_time_of_the_input():
    layer = gated.LSTM(D, H, batch_first=True, bidirectional=True, dtype=torch.float64)
    x = torch.randn(B, T, D, dtype=torch.float64)
    call = recorded(layer, x, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        for direction, end in enumerate(("l0", "l0_reverse")):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            w, u, *biases = (getattr(layer, f"{n}_{end}").detach().numpy() for n in names)
            found = call.values(0, direction)
            sequence = x[row, :length].numpy()[:: -1 if direction else 1]
            if not length:
                assert not any(value[row].any() for value in found.values())
                continue
            for name, value in lstm_by_hand(sequence, (w, u, sum(biases))).items():
                own = found[name][row]
                np.testing.assert_allclose(own[:length], value[:: -1 if direction else 1])
                assert not own[length:].any()


@pytest.mark.parametrize("cell", gated.cells())
def test_values_are_those_of_a_trace(cell):
    sizes = {"P": 2} if cell == "lstmp" else {}
    layers = 1 if cell == "gru-d" else 2
    layer = gated.Recurrent(cell, H, H, layers, bidirectional=layers > 1, **sizes)
    units = layer._takes.inputs
    inputs = {name: torch.rand(T, B, size) for name, size in units.items()}
    x = inputs.pop(layer._takes.first)
    call = recorded(layer, x, lengths=LENGTHS, **inputs)
    _, _, trace = layer(x, lengths=LENGTHS, trace=True, **inputs)
    for i in range(layers):
        for j in range(layer.num_directions):
            for name, value in trace.at(i, j).items():
                assert torch.equal(call.values(i, j)[name], value.transpose(0, 1)), name
    assert list(call.inputs()) == list(units)


def test_the_last_layers_h_is_the_output_and_feeds_the_next():
    layer = gated.LSTM(D, H, num_layers=2)
    x = torch.randn(T, B, D)
    with gated.record(layer) as recording:
        output, _ = layer(x)
    (call,) = recording["layer"].calls
    assert torch.equal(call.x, x.transpose(0, 1))
    assert torch.equal(call.inputs(1)["x"], call.values(0)["h"])
    assert torch.equal(call.values(1)["h"], output.transpose(0, 1))


@pytest.mark.parametrize("options", [{"merge": "sum"}, {"residual": True}, {"merge": "concat"}])
def test_what_a_layer_of_a_stack_read_gives_what_it_made(options):
    layer = gated.LSTM(H, H, num_layers=3, bidirectional="merge" in options, **options)
    call = recorded(layer, torch.randn(T, B, H))
    for index in range(3):
        one = gated.LSTM(layer.all_weights[index * layer.num_directions][0].shape[1], H)
        own = zip(one.parameters(), layer.all_weights[index * layer.num_directions], strict=True)
        for parameter, value in own:
            parameter.data = value.data
        output, _ = one(call.inputs(index)["x"].transpose(0, 1))
        torch.testing.assert_close(call.values(index)["h"], output.transpose(0, 1))


def test_dropout_between_layers_is_recorded_as_it_fell():
    layer = gated.LSTM(D, 50, num_layers=2, dropout=0.5)
    call = recorded(layer, torch.randn(T, B, D))
    below, read = call.values(0)["h"], call.inputs(1)["x"]
    dropped = read == 0
    assert 0.3 < dropped.float().mean() < 0.7
    torch.testing.assert_close(read[~dropped], 2 * below[~dropped])


def test_the_noise_of_a_regulariser_is_in_what_is_recorded():
    layer = gated.Recurrent(gated.zoneout("lstm", h=0.0, c=0.5), D, 50)
    call = recorded(layer, torch.randn(T, B, D))
    c = call.values()["c"]
    before = torch.cat([torch.zeros(B, 1, 50), c[:, :-1]], 1)
    assert 0.3 < (c == before).float().mean() < 0.7
    layer.eval()
    assert not (recorded(layer, torch.randn(T, B, D)).values()["c"] == before).any()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("form", ["lengths", "packed", "unbatched", "chunks", "episodes"])
def test_batch_comes_first_however_the_input_came(batch_first, form):
    layer = gated.LSTM(D, H, batch_first=batch_first)
    x = torch.randn(1 if form == "unbatched" else B, T, D)
    given, lengths, options = (x if batch_first else x.transpose(0, 1)), [T] * len(x), {}
    if form == "lengths":
        lengths = options["lengths"] = LENGTHS
    elif form == "packed":
        lengths = [6, 1, 4]
        given = pack_padded_sequence(given, lengths, batch_first, enforce_sorted=False)
    elif form == "unbatched":
        given = x[0]
    elif form == "chunks":
        options["truncate"] = 4
    else:
        starts = torch.zeros(B, T, dtype=torch.bool)
        starts[1, 2] = True
        options["resets"] = starts if batch_first else starts.T
    call = recorded(layer, given, **options)
    assert call.lengths.tolist() == lengths
    assert call.lengths.dtype == torch.int64
    for row, length in enumerate(lengths):
        assert torch.equal(call.x[row, :length], x[row, :length])
        assert not call.x[row, length:].any()
        begins = [0, 2] if (form, row) == ("episodes", 1) else [0]
        for start, end in zip(begins, [*begins[1:], length], strict=True):
            _, _, trace = layer(x[row, start:end], trace=True)
            for name, value in trace.items():
                torch.testing.assert_close(call.values()[name][row, start:end], value)
        assert not call.values()["f"][row, length:].any()
    assert call.starts["c"].shape == (1, len(x), H)
    assert repr(call) == f"Call(B={len(x)}, T={T}, i, f, g, o, c, h)"
    if form == "episodes":
        assert torch.equal(call.resets, starts)


def test_initial_states_are_those_given_or_the_cells_own():
    layer = gated.LSTM(D, H, num_layers=2)
    h, c = torch.randn(2, B, H), torch.randn(2, B, H)
    call = recorded(layer, torch.randn(T, B, D), (h, c))
    assert torch.equal(call.initial["c"], c[0])
    assert torch.equal(call.starts["h"], h)
    own = recorded(gated.Recurrent("slstm", D, H), torch.randn(T, B, D)).initial
    assert torch.equal(own["m"], torch.full((B, H), -torch.inf))
    assert torch.equal(own["c"], torch.zeros(B, H))


def test_images_keep_their_axes():
    layer = gated.ConvLSTM(1, 2, batch_first=True)
    frames = torch.randn(B, T, 1, 4, 5)
    call = recorded(layer, frames, lengths=LENGTHS)
    _, _, trace = layer(frames, lengths=LENGTHS, trace=True)
    assert call.values()["f"].shape == (B, T, 2, 4, 5)
    assert torch.equal(call.values()["f"], trace["f"])
    assert torch.equal(call.x[0], frames[0])
    assert call.initial["c"].shape == (B, 2, 4, 5)


@pytest.mark.parametrize("shape", [(0, B, D), (T, 0, D)])
def test_nothing_is_recorded_of_nothing(shape):
    call = recorded(gated.LSTM(D, H), torch.randn(shape))
    assert call.values()["f"].shape == (shape[1], shape[0], H)


def test_half_precision_is_recorded_as_it_is():
    layer = gated.LSTM(D, H, dtype=torch.bfloat16)
    assert recorded(layer, torch.randn(T, B, D).bfloat16()).values()["f"].dtype == torch.bfloat16


def test_values_are_free_of_the_graph_unless_asked_for():
    layer = gated.LSTM(D, H)
    x = torch.randn(T, B, D)
    assert not recorded(layer, x).values()["f"].requires_grad
    with gated.record(layer, detach=False) as recording:
        layer(x, lengths=LENGTHS)
    with torch.no_grad():
        f = recording["layer"].calls[0].values()["f"]
    f.sum().backward()
    ours = layer.weight_hh_l0.grad.clone()
    layer.zero_grad()
    layer(x, lengths=LENGTHS, trace=True)[2]["f"].sum().backward()
    assert torch.equal(ours, layer.weight_hh_l0.grad)


def test_a_step_of_training_leaves_what_was_recorded():
    layer = gated.LSTM(D, H)
    optimiser = torch.optim.SGD(layer.parameters(), 1.0)
    x = torch.randn(T, B, D)
    expected = layer(x, trace=True)[2]
    expected = {name: value.detach().clone() for name, value in expected.items()}
    with gated.record(layer) as recording:
        output, _ = layer(x)
        output.sum().backward()
        optimiser.step()
    found = recording["layer"].calls[0].values()
    for name, value in expected.items():
        assert torch.equal(found[name], value.transpose(0, 1))


def test_the_parts_of_a_model_are_found_by_their_names_and_shared_ones_once():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.ModuleDict({"rnn": gated.LSTM(D, H)})
            self.again = self.encoder["rnn"]
            self.frames = gated.ConvLSTM(1, 2)
            self.idle = gated.GRU(D, H)

        def forward(self, x):
            self.frames(torch.randn(2, 1, 1, 3, 3))
            return self.again(self.encoder["rnn"](x)[0][..., :D])

    with gated.record(Model()) as recording:
        Model()(torch.randn(T, B, D))  # another one
        assert not any(one.calls for one in recording.values())
    model = Model()
    with gated.record(model) as recording:
        model(torch.randn(T, B, D))
    calls = {name: len(one.calls) for name, one in recording.items()}
    assert calls == {"encoder.rnn": 2, "frames": 1, "idle": 0}
    assert recording["encoder.rnn"].cell.name == "lstm"
    with pytest.raises(KeyError, match=r"'rnn' was not recorded, these were: encoder\.rnn"):
        recording["rnn"]


def test_only_some_names_are_kept_and_no_memory_of_others():
    layer = gated.LSTM(D, H, num_layers=2)
    call = recorded(layer, torch.randn(T, B, D), only=("f", "c"))
    assert list(call.values(1)) == ["f", "c"]
    assert call.values(1)["f"].untyped_storage().nbytes() == T * B * H * 4
    assert list(recorded(layer, torch.randn(T, B, D), only="h").values()) == ["h"]


def test_layers_without_the_names_asked_for_are_not_recorded():
    model = nn.ModuleList([gated.LSTM(D, H), gated.GRU(D, H)])
    with gated.record(model, ("z",)) as recording:
        assert list(recording) == ["1"]


def test_a_name_that_no_layer_has_is_told_with_those_there_are():
    model = nn.ModuleList([gated.LSTM(D, H), gated.GRU(D, H)])
    message = r"no layer has forget; 0 \(lstm\) has i, f, g, o, c, h; 1 \(gru\) has r, z, n, h"
    with pytest.raises(OptionError, match=message), gated.record(model, ("f", "forget")):
        pass


def test_a_caller_that_asks_for_the_trace_gets_it():
    layer = gated.LSTM(D, H)
    with gated.record(layer, ("f",)) as recording:
        *_, trace = layer(torch.randn(T, B, D), trace=True)
    assert isinstance(trace, Trace)
    assert torch.equal(trace["f"], recording["layer"].calls[0].values()["f"].transpose(0, 1))
    assert "c" in trace
