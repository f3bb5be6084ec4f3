"""Further inputs by name: time gaps and masks, laid out as the sequence, checked as it is."""

import numpy as np
import pytest
import torch
from cell_cases import as_states, each, layer_of, sequences
from torch.nn.utils.rnn import pack_sequence

import gated
from gated.equations import Cell, W, tanh
from gated.errors import OptionError, ShapeError

T, B, D, H = 6, 4, 3, 5
LENGTHS = [6, 0, 4, 1]
CELLS = ["gru-d", "t-lstm"]
both_cells = pytest.mark.parametrize("cell", CELLS)


def built(cell, **options):
    layer = layer_of(cell, "auto", (D, H, 2), dtype=torch.float64, **options)
    return layer, sequences(layer, T, B, dtype=torch.float64)


def t_lstm_by_hand(layer, x, delta):
    """Baytas et al. 2017, section 3.1, one row."""
    own = {name.removesuffix("_l0"): value for name, value in layer.named_parameters()}
    h = c = x.new_zeros(H)
    outputs = []
    for now, gap in zip(x, delta, strict=True):
        short = torch.tanh(own["W_d"] @ c + own["b_d"])
        adjusted = c - short + short / torch.log(np.e + gap)
        sums = own["weight_ih"] @ now + own["weight_hh"] @ h + own["bias"]
        i, f, g, o = sums.chunk(4)
        c = f.sigmoid() * adjusted + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs), (h, c)


def test_the_gap_of_each_step_is_that_of_its_row_and_step():
    layer, inputs = built("t-lstm")
    output, (h, c) = layer(**inputs, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        if length:
            mine = each(lambda v, k=row, n=length: v[:n, k], inputs)
            expected, (h_last, c_last) = t_lstm_by_hand(layer, **mine)
            torch.testing.assert_close(output[:length, row], expected)
            torch.testing.assert_close(h[0, row], h_last)
            torch.testing.assert_close(c[0, row], c_last)


@both_cells
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_batch_first_further_inputs_are_laid_out_as_the_sequence(cell, lengths):
    layer, inputs = built(cell)
    rows = layer_of(cell, "auto", (D, H, 2), dtype=torch.float64, batch_first=True)
    rows.load_state_dict(layer.state_dict())
    output, final = rows(**each(lambda v: v.transpose(0, 1), inputs), lengths=lengths)
    expected, last = layer(**inputs, lengths=lengths)
    assert torch.equal(output.transpose(0, 1), expected)
    for one, two in zip(as_states(final), as_states(last), strict=True):
        assert torch.equal(one, two)


@both_cells
def test_unbatched_further_inputs_have_no_batch_axis(cell):
    layer, inputs = built(cell)
    output, _ = layer(**each(lambda v: v[:, 2], inputs))
    torch.testing.assert_close(output, layer(**inputs)[0][:, 2])


@both_cells
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_stream_takes_those_of_its_step(cell, batch_first):
    layer, inputs = built(cell, batch_first=batch_first)
    seen = each(lambda v: v.transpose(0, 1), inputs) if batch_first else inputs
    expected, last = layer(**seen)
    state = None
    for t in range(T):
        output, state = layer.step(**each(lambda v, t=t: v[t], inputs), state=state)
        torch.testing.assert_close(output, expected[:, t] if batch_first else expected[t])
    torch.testing.assert_close(state, last)


def test_gradients_reach_further_inputs():
    layer, inputs = built("t-lstm")
    delta = inputs["delta"].requires_grad_()
    output, _ = layer(**inputs, lengths=LENGTHS)
    (gradient,) = torch.autograd.grad(output.sum(), delta)
    valid = torch.arange(T).unsqueeze(1) < torch.tensor(LENGTHS)
    # a first step has no memory to discount
    assert (gradient[1:][valid[1:]] != 0).all()
    assert not gradient[~valid].any()


def test_every_layer_of_a_stack_sees_them():
    layer, inputs = built("t-lstm", num_layers=2)
    below = layer_of("t-lstm", "auto", (D, H, 2), dtype=torch.float64)
    above = layer_of("t-lstm", "auto", (H, H, 2), dtype=torch.float64)
    weights = layer.state_dict()
    below.load_state_dict({k: v for k, v in weights.items() if k.endswith("l0")})
    above.load_state_dict({k.replace("l1", "l0"): v for k, v in weights.items() if "l1" in k})
    middle, _ = below(**inputs)
    torch.testing.assert_close(layer(**inputs)[0], above(middle, delta=inputs["delta"])[0])


@both_cells
def test_what_is_masked_in_padding_or_missing_may_be_nan(cell):
    layer, inputs = built(cell)
    beyond = (torch.arange(T).unsqueeze(1) >= torch.tensor(LENGTHS)).unsqueeze(-1)
    expected, _ = layer(**inputs, lengths=LENGTHS)
    spoiled = each(lambda v: v.masked_fill(beyond, float("nan")), inputs)
    if cell == "gru-d":
        spoiled["x"] = spoiled["x"].masked_fill(inputs["mask"] == 0, float("nan"))
    assert torch.equal(layer(**spoiled, lengths=LENGTHS)[0], expected)


X, GAP = torch.zeros(T, B, D), torch.zeros(T, B, 1)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({}, ShapeError, "delta is missing; expected x, delta"),
        ({"delta": None}, TypeError, "delta is NoneType, expected a torch.Tensor"),
        ({"delta": 1.0}, TypeError, "delta is float"),
        ({"delta": GAP.numpy()}, TypeError, "delta is ndarray"),
        ({"delta": GAP.long()}, TypeError, "delta has dtype torch.int64, the weights have"),
        ({"delta": GAP.bool()}, TypeError, "delta has dtype torch.bool"),
        ({"delta": GAP.double()}, ShapeError, "delta has dtype torch.float64"),
        ({"delta": GAP.to("meta")}, ShapeError, "delta is on meta"),
        ({"delta": X}, ShapeError, r"delta has shape \(6, 4, 3\), expected 1 feature in"),
        ({"delta": GAP[..., 0]}, ShapeError, r"delta has shape \(6, 4\), expected 1 feature in"),
        ({"delta": GAP[:5]}, ShapeError, r"delta has shape \(5, 4, 1\), x has \(6, 4, 3\)"),
        ({"delta": GAP[:, :1]}, ShapeError, r"delta has shape \(6, 1, 1\), x has"),
        ({"delta": GAP[:, 0]}, ShapeError, r"delta has shape \(6, 1\), x has"),
        ({"delta": GAP.transpose(0, 1)}, ShapeError, r"delta has shape \(4, 6, 1\), x has"),
        ({"delta": GAP, "mask": X}, ShapeError, "mask is not an input of this cell; expected x"),
        ({"Delta": GAP}, ShapeError, "Delta is not an input.*did you mean delta"),
        ({"delta": GAP, "length": [6] * 4}, ShapeError, "length is not .*did you mean lengths"),
        ({"delta": GAP, "reset": GAP}, ShapeError, "did you mean resets"),
        ({"delta": GAP, "truncat": 3}, ShapeError, "did you mean truncate"),
    ],
)
def test_a_wrong_input_is_named(given, error, says):
    layer = gated.Recurrent("t-lstm", D, H)
    with pytest.raises(error, match=says) as caught:
        layer(X, **given)
    assert isinstance(caught.value, ShapeError)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({}, ShapeError, "delta is missing"),
        ({"delta": None}, TypeError, "delta is NoneType"),
        ({"delta": GAP[0, :2]}, ShapeError, r"delta has shape \(1, 2, 1\), x has \(1, 4, 3\)"),
        ({"delta": GAP}, ShapeError, r"delta has shape \(6, 4, 1\), one step has \(B, features\)"),
        ({"delta": GAP[0], "mask": X[0]}, ShapeError, "mask is not an input of this cell"),
        ({"delta": GAP[0], "lengths": [1] * 4}, ShapeError, "lengths is not an input"),
        ({"delta": GAP[0], "hx": (X[0], X[0])}, ShapeError, "hx is not .*expected x, delta, state"),
        ({"delta": GAP[0], "trace": True}, ShapeError, "trace is not an input"),
    ],
)
def test_a_wrong_input_of_a_step_is_named(given, error, says):
    layer = gated.Recurrent("t-lstm", D, H)
    with pytest.raises(error, match=says):
        layer.step(X[0], **given)


def test_a_cell_of_one_input_takes_no_others():
    with pytest.raises(ShapeError, match="mask is not an input of this cell; expected x, hx"):
        gated.LSTM(D, H)(X, mask=X)


def test_a_packed_sequence_has_no_place_for_them():
    layer = gated.Recurrent("t-lstm", D, H)
    with pytest.raises(ShapeError, match="carries vectors of x alone; pass padded tensors"):
        layer(pack_sequence([torch.zeros(3, D)]), delta=GAP)


def test_masks_of_the_size_of_x_allow_one_layer_only():
    with pytest.raises(OptionError, match=r"mask has the size of the input.*use num_layers=1"):
        gated.Recurrent("gru-d", D, H, num_layers=2)


def test_an_input_that_a_step_would_take_for_the_state_is_refused():
    class Taken(Cell):
        inputs = {"x": "D", "state": 1}

        def step(self, x, state, h):
            h = tanh(W @ x + h) * state
            return h

    with pytest.raises(OptionError, match="input state cannot be passed by name"):
        gated.Recurrent(Taken, D, H)


def test_an_input_that_a_call_would_take_for_an_option_is_refused():
    class Taken(Cell):
        inputs = {"x": "D", "truncate": 1}

        def step(self, x, truncate, h):
            h = tanh(W @ x + h) * truncate
            return h

    with pytest.raises(OptionError, match="input truncate cannot be passed by name"):
        gated.Recurrent(Taken, D, H)


@pytest.mark.parametrize("sizes", [(3, 8), (8, 8)], ids=["other width", "the same by accident"])
def test_layers_above_the_first_cannot_read_what_belongs_to_the_input(sizes):
    with pytest.raises(OptionError, match="only the first layer sees; use num_layers=1"):
        gated.Recurrent("gru-d", *sizes, num_layers=2)
