"""`truncate`: gradients flow back at most to the last multiple of so many steps."""

import pytest
import torch
from cell_cases import as_hx, as_states, each, layer_of, random_states, sequences
from episodes import table, weigh
from torch.nn.utils.rnn import pack_sequence

import gated
from gated.errors import OptionError, ShapeError

T, B, D, H = 7, 4, 4, 5
LENGTHS = [7, 5, 0, 3]
RESETS = table([[2], [3, 4], [1], []], T)
CELLS = [
    ("lstm", "torch"), ("lstm", "reference"), ("gru", "torch"), ("slstm", "reference"),
    ("fgr", "reference"), ("gru-d", "reference"), ("t-lstm", "reference"),
]  # fmt: skip
some_cells = pytest.mark.parametrize(("cell", "engine"), CELLS)
ways = pytest.mark.parametrize(
    "options",
    [{}, {"lengths": LENGTHS}, {"resets": RESETS}, {"lengths": LENGTHS, "resets": RESETS}],
    ids=["full", "ragged", "resets", "both"],
)


def built(cell, engine, **options):
    layer = layer_of(cell, engine, num_layers=2, dtype=torch.float64, **options)
    inputs = sequences(layer, T, B, dtype=torch.float64)
    inputs["x"].requires_grad_()
    return layer, inputs, random_states(layer, B, dtype=torch.float64, requires_grad=True)


def detached(state):
    return as_hx([s.detach() for s in as_states(state)])


def by_hand(layer, steps, inputs, state, lengths=None, resets=None):
    """Row by row, chunks run one by one, each from the detached states of the one before."""
    outputs, finals = [], []
    for row, length in enumerate(lengths or [T] * B):
        own = each(lambda v, k=row: v[:, k : k + 1], inputs)
        last, output = as_hx([s[:, row : row + 1] for s in as_states(state)]), []
        for start in range(0, length, steps):
            stop = min(start + steps, length)
            part = each(lambda v, a=start, z=stop: v[a:z], own)
            anew = None if resets is None else resets[start:stop, row : row + 1]
            before = detached(last) if start else last
            result, last = layer(**part, hx=before, resets=anew)
            output.append(result)
        size = as_states(state)[0].shape[-1]
        outputs.append(torch.cat([*output, inputs["x"].new_zeros(T - length, 1, size)]))
        finals.append(as_states(last))
    return torch.cat(outputs, 1), as_hx([torch.cat(rows, 1) for rows in zip(*finals, strict=True)])


@some_cells
@ways
@pytest.mark.parametrize("steps", [1, 3, 7, 100])
def test_outputs_and_states_are_those_of_the_whole_run(cell, engine, options, steps):
    layer, inputs, states = built(cell, engine)
    expected, last = layer(**inputs, hx=as_hx(states), **options)
    output, final = layer(**inputs, hx=as_hx(states), truncate=steps, **options)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(final, last, rtol=1e-12, atol=1e-12)


@some_cells
@ways
@pytest.mark.parametrize("steps", [1, 3])
def test_gradients_are_those_of_chunks_run_from_detached_states(cell, engine, options, steps):
    layer, inputs, states = built(cell, engine)
    wanted = [inputs["x"], *states, *layer.parameters()]
    gradients = []
    for output, final in (
        layer(**inputs, hx=as_hx(states), truncate=steps, **options),
        by_hand(layer, steps, inputs, as_hx(states), **options),
    ):
        gradients.append(torch.autograd.grad(weigh(output, final), wanted))
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("engine", ["torch", "reference"])
@pytest.mark.parametrize(
    ("step", "first"), [(0, 0), (2, 0), (3, 3), (5, 3), (6, 6)], ids=lambda v: str(v)
)
def test_a_gradient_flows_back_to_the_start_of_its_chunk_and_no_further(engine, step, first):
    layer = gated.LSTM(D, H, num_layers=2, engine=engine)
    x = torch.randn(T, B, D, requires_grad=True)
    output, _ = layer(x, truncate=3)
    (gradient,) = torch.autograd.grad(output[step].pow(2).sum(), x)
    assert not gradient[:first].any()
    assert (gradient[first : step + 1] != 0).any(-1).all()
    assert not gradient[step + 1 :].any()


@pytest.mark.parametrize(("steps", "first"), [(3, 6), (7, 0), (4, 4)])
def test_a_loss_on_the_final_states_reaches_the_last_chunk(steps, first):
    layer = gated.LSTM(D, H)
    x = torch.randn(T, B, D, requires_grad=True)
    _, (h, c) = layer(x, truncate=steps)
    (gradient,) = torch.autograd.grad(h.sum() + c.sum(), x)
    assert not gradient[:first].any()
    assert (gradient[first:] != 0).any(-1).all()


def test_a_loss_on_the_final_states_reaches_the_chunk_in_which_each_row_ends():
    layer = gated.LSTM(D, H)
    x = torch.randn(T, B, D, requires_grad=True)
    start = [torch.randn(1, B, H, requires_grad=True) for _ in range(2)]
    _, (h, c) = layer(x, tuple(start), truncate=3, lengths=LENGTHS)
    gradient, of_start = torch.autograd.grad(h.sum() + c.sum(), [x, start[1]])
    reached = [[int(t) for t in (row != 0).any(-1).nonzero()] for row in gradient.unbind(1)]
    assert reached == [[6], [3, 4], [], [0, 1, 2]]
    assert torch.equal(of_start[0, 2], torch.ones(H))


def test_an_initial_state_that_is_learnt_gets_the_gradient_of_the_first_chunk():
    layer = gated.GRU(D, H)
    x, h = torch.randn(T, B, D), torch.randn(1, B, H, requires_grad=True)
    output, _ = layer(x, h, truncate=3)
    (gradient,) = torch.autograd.grad(output.sum(), h)
    (expected,) = torch.autograd.grad(layer(x[:3], h)[0].sum(), h)
    torch.testing.assert_close(gradient, expected)


@some_cells
def test_calls_that_carry_a_detached_state_are_one_call(cell, engine):
    layer, inputs, _ = built(cell, engine)
    wanted = [inputs["x"], *layer.parameters()]
    output, final = layer(**inputs, truncate=3)
    expected = torch.autograd.grad(weigh(output, final), wanted)
    first, state = layer(**each(lambda v: v[:6], inputs), truncate=3)
    second, last = layer(**each(lambda v: v[6:], inputs), hx=detached(state), truncate=3)
    torch.testing.assert_close(torch.cat([first, second]), output)
    gradients = torch.autograd.grad(weigh(torch.cat([first, second]), last), wanted)
    for one, two in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


@some_cells
@ways
def test_the_trace_is_that_of_the_whole_run(cell, engine, options):
    layer, inputs, states = built(cell, "auto")
    _, _, expected = layer(**inputs, hx=as_hx(states), trace=True, **options)
    output, final, trace = layer(**inputs, hx=as_hx(states), trace=True, truncate=3, **options)
    assert list(trace) == list(expected)
    for index in range(layer.num_layers):
        for name, value in trace.at(index).items():
            torch.testing.assert_close(value, expected.at(index)[name], rtol=1e-12, atol=1e-12)
    name = layer.cell.states[0].name
    assert torch.equal(trace.at(layer.num_layers - 1)[name], output)
    if not options:
        assert torch.equal(trace.at(layer.num_layers - 1)[name][-1], as_states(final)[0][-1])


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_time_is_cut_where_it_stands(lengths):
    layer, twin = gated.LSTM(D, H, batch_first=True), gated.LSTM(D, H)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(B, T, D, requires_grad=True)
    output, final, trace = layer(x, truncate=3, lengths=lengths, resets=RESETS.T, trace=True)
    expected, last, shown = twin(
        x.transpose(0, 1), truncate=3, lengths=lengths, resets=RESETS, trace=True
    )
    assert torch.equal(output, expected.transpose(0, 1))
    assert torch.equal(final[1], last[1])
    assert torch.equal(trace["f"], shown["f"].transpose(0, 1))
    one, two = (torch.autograd.grad(value.pow(2).sum(), x)[0] for value in (output, expected))
    assert torch.equal(one, two)


@pytest.mark.parametrize("batch_first", [False, True])
def test_an_unbatched_sequence_is_cut_too(batch_first):
    layer = gated.LSTM(D, H, batch_first=batch_first)
    x = torch.randn(T, D, requires_grad=True)
    output, (h, _) = layer(x, truncate=3)
    torch.testing.assert_close(output, layer(x)[0])
    assert h.shape == (1, H)
    (gradient,) = torch.autograd.grad(output[5].sum(), x)
    assert not gradient[:3].any()
    assert gradient[3:6].any(-1).all()


def test_lengths_may_be_a_tensor():
    layer, x = gated.LSTM(D, H), torch.randn(T, B, D)
    expected, _ = layer(x, truncate=3, lengths=LENGTHS)
    assert torch.equal(layer(x, truncate=3, lengths=torch.tensor(LENGTHS))[0], expected)


@pytest.mark.parametrize("shape", [(0, B), (T, 0)], ids=["T=0", "B=0"])
def test_faults_1_and_2_nothing_in_nothing_out(shape):
    layer = gated.LSTM(D, H, num_layers=2)
    states = random_states(layer, shape[1])
    output, final, trace = layer(torch.randn(*shape, D), as_hx(states), truncate=3, trace=True)
    assert output.shape == (*shape, H)
    assert [value.shape for (value,) in trace["f"]] == [(*shape, H)] * 2
    if shape[0] == 0:
        for before, after in zip(states, final, strict=True):
            assert torch.equal(before, after)


def test_a_residual_stack_is_cut_too():
    layer = gated.LSTM(H, H, num_layers=3, residual=True)
    x = torch.randn(T, B, H)
    torch.testing.assert_close(layer(x, truncate=2), layer(x))


def test_hooks_run_once_a_call():
    layer, calls = gated.LSTM(D, H), []
    layer.register_forward_hook(lambda *_: calls.append(1))
    layer(torch.randn(T, B, D), truncate=2)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("steps", "error", "says"),
    [
        (0, ValueError, "truncate is 0, expected at least 1"),
        (-3, ValueError, "truncate is -3"),
        (2.0, TypeError, "truncate is 2.0"),
        (True, TypeError, "truncate is True"),
        ("3", TypeError, "truncate is '3'"),
    ],
)
def test_steps_that_make_no_sense_are_named(steps, error, says):
    with pytest.raises(error, match=says) as caught:
        gated.LSTM(D, H)(torch.randn(T, B, D), truncate=steps)
    assert isinstance(caught.value, OptionError)


def test_a_bidirectional_layer_is_refused():
    with pytest.raises(OptionError, match=r"truncate=3 .*needs bidirectional=False"):
        gated.LSTM(D, H, bidirectional=True)(torch.randn(T, B, D), truncate=3)


def test_a_packed_sequence_is_refused():
    with pytest.raises(OptionError, match="a padded tensor with lengths= for a PackedSequence"):
        gated.LSTM(D, H)(pack_sequence([torch.randn(3, D)]), truncate=3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"lengths": [7, 8, 1, 1]}, r"lengths\[1\] is 8, expected an integer from 0 to T = 7"),
        ({"resets": RESETS[:6]}, r"resets has shape \(6, 4\), expected \(7, 4\)"),
        ({"hx": (torch.zeros(1, 3, H),) * 2}, r"h0 has shape \(1, 3, 5\)"),
        ({"mask": torch.zeros(T, B, D)}, "mask is not an input of this cell"),
    ],
)
def test_bad_arguments_are_named_as_in_a_whole_run(arguments, says):
    with pytest.raises(ShapeError, match=says):
        gated.LSTM(D, H)(torch.randn(T, B, D), truncate=3, **arguments)
