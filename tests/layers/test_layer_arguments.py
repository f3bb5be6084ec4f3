"""What a layer is given that it cannot use is refused by an error that says what and why."""

import numpy as np
import pytest
import torch
from cell_cases import CELLS, as_hx, each, layer_of, random_states, sequences
from torch.nn.utils.rnn import pack_sequence

import gated
from gated.equations import Cell, U, W, b, p, sigmoid, tanh
from gated.errors import CellError, OptionError, ShapeError

ENGINES = ["torch", "reference"]


@pytest.fixture(params=ENGINES)
def lstm(request):
    return gated.LSTM(4, 5, engine=request.param)


class Gap(Cell):
    """An extra input by name: the time since the last step."""

    inputs = {"x": "D", "gap": 1}

    def step(self, x, gap, h):
        h = tanh(W @ x + U @ h + b) * sigmoid(p * gap)
        return h


# Rows of the table of faults


def test_faults_1_no_rows_give_empty_outputs_and_zero_gradients(lstm):
    x = torch.zeros(3, 0, 4, requires_grad=True)
    output, (h, c) = lstm(x)
    assert output.shape == (3, 0, 5)
    assert h.shape == c.shape == (1, 0, 5)
    (output.sum() + h.sum()).backward()
    assert x.grad.shape == (3, 0, 4)
    assert all(not w.grad.any() for w in lstm.parameters())


def test_faults_2_no_steps_give_empty_outputs_and_the_initial_state(lstm):
    h0, c0 = (torch.randn(1, 3, 5, requires_grad=True) for _ in range(2))
    output, (h, c) = lstm(torch.zeros(0, 3, 4), (h0, c0))
    assert output.shape == (0, 3, 5)
    assert torch.equal(h, h0)
    assert torch.equal(c, c0)
    (output.sum() + (2 * h).sum()).backward()
    assert torch.equal(h0.grad, torch.full((1, 3, 5), 2.0))
    assert all(not w.grad.any() for w in lstm.parameters())


def test_faults_2_the_state_returned_after_no_steps_is_a_copy(lstm):
    h0, c0 = torch.zeros(1, 3, 5), torch.zeros(1, 3, 5)
    with torch.no_grad():
        _, (h, _) = lstm(torch.zeros(0, 3, 4), (h0, c0))
    h += 1
    assert not h0.any()


def test_faults_3_a_row_of_length_0_ends_in_its_initial_state_with_outputs_0(lstm):
    h0, c0 = torch.randn(1, 3, 5), torch.randn(1, 3, 5)
    output, (h, c) = lstm(torch.randn(6, 3, 4), (h0, c0), lengths=[4, 0, 6])
    assert not output[:, 1].any()
    assert torch.equal(h[:, 1], h0[:, 1])
    assert torch.equal(c[:, 1], c0[:, 1])
    assert not torch.equal(h[:, 0], h0[:, 0])


def test_faults_3_all_rows_of_length_0(lstm):
    h0, c0 = torch.randn(1, 2, 5), torch.randn(1, 2, 5)
    output, (h, c) = lstm(torch.randn(6, 2, 4), (h0, c0), lengths=[0, 0])
    assert output.shape == (6, 2, 5)
    assert not output.any()
    assert torch.equal(h, h0)
    assert torch.equal(c, c0)


@pytest.mark.parametrize(
    ("lengths", "index", "got"),
    [
        ([2, 7, 1], 1, "7"),
        ([2, 3, -1], 2, "-1"),
        ([float("nan"), 1, 1], 0, "nan"),
        (torch.tensor([1.0, 2.5, 3.0]), 1, "2.5"),
    ],
)
def test_faults_4_a_wrong_length_is_named_by_its_index(lstm, lengths, index, got):
    with pytest.raises(ShapeError, match=rf"lengths\[{index}\] is {got}.*0 to T = 6"):
        lstm(torch.randn(6, 3, 4), lengths=lengths)


@pytest.mark.parametrize("lengths", [[1, 2], [[1, 2, 3]], torch.tensor(3)])
def test_faults_4_lengths_are_one_for_each_row(lstm, lengths):
    with pytest.raises(ShapeError, match=r"lengths has shape .* expected \(3,\)"):
        lstm(torch.randn(6, 3, 4), lengths=lengths)


@pytest.mark.parametrize(
    "lengths", [3, "abc", [None, 1, 2], torch.tensor([True, True, False]), [1j, 1, 1]]
)
def test_faults_4_lengths_are_numbers(lstm, lengths):
    with pytest.raises(TypeError, match=r"lengths .* expected .*integers"):
        lstm(torch.randn(6, 3, 4), lengths=lengths)


@pytest.mark.parametrize(
    ("hx", "error", "says"),
    [
        (lambda s: (s[:, :2], s), ShapeError, r"h0 has shape \(1, 2, 5\), expected \(1, 3, 5\)"),
        (lambda s: (s, s[..., :4]), ShapeError, r"c0 has shape \(1, 3, 4\), expected \(1, 3, 5\)"),
        (lambda s: (s.double(), s), ShapeError, "h0 has dtype torch.float64"),
        (lambda s: (s, s.to("meta")), ShapeError, "c0 is on meta, the input is on cpu"),
        (lambda s: s, TypeError, r"hx is Tensor, expected a tuple \(h0, c0\)"),
        (lambda s: (s,), ShapeError, r"hx holds 1 states, expected 2: \(h0, c0\)"),
        (lambda s: (s, None), TypeError, "c0 is NoneType"),
        (lambda s: (s[0], s[0]), ShapeError, r"h0 has shape \(3, 5\), expected \(1, 3, 5\)"),
    ],
)
def test_faults_5_a_wrong_initial_state_is_named(lstm, hx, error, says):
    with pytest.raises(error, match=says):
        lstm(torch.randn(6, 3, 4), hx(torch.zeros(1, 3, 5)))


def test_faults_5_a_cell_of_one_state_takes_a_tensor():
    with pytest.raises(TypeError, match="h0 is tuple, expected a"):
        gated.GRU(4, 5)(torch.randn(6, 3, 4), (torch.zeros(1, 3, 5),))


@pytest.mark.parametrize(("cell", "engine"), CELLS)
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        lambda x: x.repeat_interleave(2, dim=2)[..., ::2],
        lambda x: x.repeat_interleave(3, dim=0)[::3],
    ],
    ids=["transposed", "strided features", "strided time"],
)
def test_faults_6_layout_in_memory_changes_no_bit(cell, view, engine):
    layer = layer_of(cell, engine)
    inputs = sequences(layer, 6, 3)
    seen = each(view, inputs)
    assert torch.equal(layer(**seen)[0], layer(**inputs)[0])
    assert torch.equal(
        layer(**seen, lengths=[6, 2, 4])[0], layer(**inputs, lengths=[6, 2, 4])[0]
    )  # fmt: skip


@pytest.mark.parametrize(("cell", "engine"), CELLS)
def test_faults_6_overlapping_inputs_and_states_change_no_bit(cell, engine):
    layer = layer_of(cell, engine)
    inputs = each(lambda v: v.expand(6, 3, -1), sequences(layer, 6, 1))
    wide = [s.expand(-1, 3, -1) for s in random_states(layer, 1)]
    tight = [s.contiguous() for s in wide]
    assert torch.equal(
        layer(**inputs, hx=as_hx(wide))[0],
        layer(**each(torch.Tensor.contiguous, inputs), hx=as_hx(tight))[0],
    )


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(6, 3, 4, dtype=torch.long), "x has dtype torch.int64"),
        (torch.zeros(6, 3, 4, dtype=torch.complex64), "x has dtype torch.complex64"),
        (np.zeros((6, 3, 4), dtype=np.float32), "x is ndarray, expected a torch.Tensor"),
        (None, "x is NoneType, expected a torch.Tensor"),
        ([[1.0]], "x is list"),
    ],
)
def test_faults_7_an_input_of_the_wrong_kind_is_a_type_error(lstm, x, says):
    with pytest.raises(TypeError, match=says):
        lstm(x)
    with pytest.raises(TypeError, match=says.split(" has")[0]):
        lstm.step(x[0] if isinstance(x, torch.Tensor) else x)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"hidden_size": True}, TypeError, "hidden_size is True"),
        ({"hidden_size": 5.0}, TypeError, "hidden_size is 5.0"),
        ({"hidden_size": 0}, ValueError, "hidden_size is 0, expected at least 1"),
        ({"input_size": -1}, ValueError, "input_size is -1"),
        ({"num_layers": 0}, ValueError, "num_layers is 0"),
        ({"dropout": float("nan")}, ValueError, "dropout is nan"),
        ({"dropout": 1.5}, ValueError, "dropout is 1.5"),
        ({"dropout": True}, TypeError, "dropout is True"),
        ({"bias": 1}, TypeError, "bias is 1"),
        ({"batch_first": None}, TypeError, "batch_first is None"),
        ({"proj_size": 5}, ValueError, "proj_size is 5, expected less than hidden_size = 5"),
        ({"proj_size": -1}, ValueError, "proj_size is -1"),
        ({"engine": "cuda"}, ValueError, "engine='cuda'.*'auto', 'cpu', .*'reference'"),
        ({"dtype": torch.int64}, TypeError, "dtype is torch.int64"),
    ],
)
def test_faults_7_an_option_that_makes_no_sense_is_named(options, error, says):
    with pytest.raises(error, match=says) as caught:
        gated.LSTM(**{"input_size": 4, "hidden_size": 5, **options})
    assert isinstance(caught.value, OptionError)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: gated.LSTM(4, 5, bidirectionl=True), "bidirectionl: did you mean 'bidirectional'"),
        (lambda: gated.GRU(4, 5, numlayers=2), "numlayers: did you mean 'num_layers'"),
        (lambda: gated.RNN(4, 5, nonlinearty="relu"), "did you mean 'nonlinearity'"),
        (lambda: gated.Recurrent("lstm", 4, 5, residuals=True), "did you mean 'residual'"),
        (lambda: gated.Recurrent("lstm", 4, 5, forgetbias=1.0), "did you mean 'forget_bias'"),
        (lambda: gated.LSTM(4, 5, xyzzy=1), "no option xyzzy; known are input_size, hidden_size"),
        (lambda: gated.LSTM(4, 5, init="orthogonl"), "did you mean 'orthogonal'"),
        (lambda: gated.Recurrent("pephole", 4, 5), "did you mean 'peephole'"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(build, says):
    with pytest.raises((OptionError, CellError), match=says):
        build()


def test_a_layer_of_ones_own_knows_the_names_of_its_own_options():
    class Tagger(gated.LSTM):
        def __init__(self, input_size, hidden_size, tag_count=3, **options):
            super().__init__(input_size, hidden_size, **options)

    with pytest.raises(OptionError, match="no option tagcount: did you mean 'tag_count'"):
        Tagger(4, 5, tagcount=2)


def test_faults_8_an_input_of_another_float_type_is_refused_not_cast(lstm):
    with pytest.raises(ShapeError, match=r"x has dtype torch.float64.*torch.float32.*\.to\(\)"):
        lstm(torch.randn(6, 3, 4, dtype=torch.float64))


# Shapes


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((6, 3, 7), r"x has shape \(6, 3, 7\), expected 4 features"),
        ((4,), "expected three axes, or two if unbatched"),
        ((1, 6, 3, 4), "expected three axes, or two if unbatched"),
    ],
)
def test_an_input_of_the_wrong_shape_is_told_the_right_one(lstm, shape, says):
    with pytest.raises(ShapeError, match=says):
        lstm(torch.randn(shape))


def test_an_input_on_another_device_is_named(lstm):
    with pytest.raises(ShapeError, match="x is on meta, the weights are on cpu"):
        lstm(torch.zeros(6, 3, 4, device="meta"))


def test_a_packed_sequence_has_its_lengths_in_itself(lstm):
    with pytest.raises(ShapeError, match="PackedSequence has its lengths in itself"):
        lstm(pack_sequence([torch.randn(3, 4)]), lengths=[3])


def test_a_packed_sequence_of_the_wrong_width_is_told_so(lstm):
    with pytest.raises(ShapeError, match=r"x.data has shape \(3, 7\), expected 4 features"):
        lstm(pack_sequence([torch.randn(3, 7)]))


# Streams


def test_a_bidirectional_layer_refuses_to_stream_and_says_why():
    with pytest.raises(OptionError, match="starts at the end of the sequence"):
        gated.LSTM(4, 5, bidirectional=True).step(torch.randn(3, 4))


def test_a_step_has_no_axis_for_time(lstm):
    with pytest.raises(ShapeError, match=r"one step has \(B, features\)"):
        lstm.step(torch.randn(1, 3, 4))


# Extra inputs and sizes


def test_an_extra_input_is_passed_by_name():
    layer = gated.Recurrent(Gap, 4, 5)
    x, gap = torch.randn(6, 3, 4), torch.rand(6, 3, 1)
    output, _ = layer(x, gap=gap)
    h = torch.zeros(3, 5)
    for t in range(6):
        pre = x[t] @ layer.weight_ih_l0.T + h @ layer.weight_hh_l0.T + layer.bias_l0
        h = torch.tanh(pre) * torch.sigmoid(layer.p_l0 * gap[t])
        torch.testing.assert_close(output[t], h)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, x: m(x), "gap is missing; expected x, gap"),
        (lambda m, x: m(x, gap=x[..., :1], mask=x), "mask is not an input of this cell"),
        (lambda m, x: m(x, gap=x), r"gap has shape \(6, 3, 4\), expected 1 feature in"),
        (lambda m, x: m(x, gap=x[:5, :, :1]), r"gap has shape \(5, 3, 1\), x has \(6, 3, 4\)"),
        (lambda m, x: m(x, gap=None), "gap is NoneType"),
        (lambda m, x: m.step(x[0]), "gap is missing"),
    ],
)
def test_a_wrong_extra_input_is_named(call, says):
    with pytest.raises(ShapeError, match=says):
        call(gated.Recurrent(Gap, 4, 5), torch.randn(6, 3, 4))


def test_a_cell_without_extra_inputs_refuses_them(lstm):
    with pytest.raises(ShapeError, match="gap is not an input of this cell"):
        lstm(torch.randn(6, 3, 4), gap=torch.rand(6, 3, 1))


def test_extra_inputs_stream_and_batch_like_the_sequence():
    layer = gated.Recurrent(Gap, 4, 5, batch_first=True)
    x, gap = torch.randn(3, 6, 4), torch.rand(3, 6, 1)
    output, final = layer(x, gap=gap, lengths=[6, 6, 6])
    state = None
    for t in range(6):
        out, state = layer.step(x[:, t], state, gap=gap[:, t])
        torch.testing.assert_close(out, output[:, t])
    torch.testing.assert_close(state, final)
    torch.testing.assert_close(layer(x[0], gap=gap[0])[0], output[0])


def test_a_first_input_of_any_name_is_the_sequence():
    class Named(Cell):
        inputs = {"u": "D"}

        def step(self, u, h):
            h = tanh(W @ u + U @ h + b)
            return h

    x, rnn, named = torch.randn(6, 3, 4), gated.RNN(4, 5, bias=False), gated.Recurrent(Named, 4, 5)
    named.load_state_dict(
        {k: rnn.state_dict().get(k, torch.zeros(5)) for k in named.state_dict()}
    )  # fmt: skip
    torch.testing.assert_close(named(x)[0], rnn(x)[0])


def test_an_input_whose_name_a_call_already_uses_is_refused():
    class Taken(Cell):
        inputs = {"x": "D", "lengths": 1}

        def step(self, x, lengths, h):
            h = tanh(W @ x + U @ h + b) * lengths
            return h

    with pytest.raises(OptionError, match="input lengths cannot be passed by name"):
        gated.Recurrent(Taken, 4, 5)


def test_a_cell_without_inputs_is_refused():
    class Alone(Cell):
        inputs = {}

        def step(self, h):
            h = tanh(U @ h + b)
            return h

    with pytest.raises(OptionError, match="has no input"):
        gated.Recurrent(Alone, 4, 5)


@pytest.mark.parametrize(
    ("cell", "sizes", "says"),
    [
        ("lstmp", {}, "size P is missing"),
        ("lstm", {"P": 3}, "size P means nothing"),
        ("lstmp", {"P": 0}, "P is 0"),
    ],
)
def test_the_sizes_that_a_cell_names_must_be_given(cell, sizes, says):
    with pytest.raises(OptionError, match=says):
        gated.Recurrent(cell, 4, 5, **sizes)


def test_inputs_of_the_size_of_x_allow_one_layer_only():
    class Masked(Cell):
        inputs = {"x": "D", "mask": "D"}

        def step(self, x, mask, h):
            h = tanh(W @ (x * mask) + U @ h + b)
            return h

    with pytest.raises(OptionError, match=r"mask has the size of the input.*num_layers=1"):
        gated.Recurrent(Masked, 4, 5, num_layers=2)


def test_an_unknown_cell_is_refused_with_the_nearest_name():
    with pytest.raises(CellError, match="did you mean 'lstm'"):
        gated.Recurrent("lsmt", 4, 5)


def test_parameters_that_would_be_stored_under_one_name_are_refused():
    class Clash(Cell):
        def step(self, x, h):
            from gated.equations import Family

            h = tanh(W @ x + U @ h + Family("weight_ih") * h)
            return h

    with pytest.raises(CellError, match="two parameters would be stored as weight_ih"):
        gated.Recurrent(Clash, 4, 5)
