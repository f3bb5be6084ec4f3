"""`resets`: a row starts anew in mid-sequence, as if its episodes had been run one by one."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from cell_cases import as_hx, as_states, each, layer_of, random_states, sequences
from episodes import by_hand, table, weigh
from torch.nn.utils.rnn import pack_sequence

import gated
from gated.errors import ShapeError

T, B, D, H = 7, 7, 4, 5
# never; at once; at the last step; always; beyond the row's end too; in a row without a step; twice
WHERE = [[], [0], [6], [0, 1, 2, 3, 4, 5, 6], [2, 5], [0, 3], [1, 3]]
LENGTHS = [7, 7, 7, 7, 4, 0, 5]
RESETS = table(WHERE, T)
CELLS = [
    ("lstm", "torch"), ("lstm", "reference"), ("gru", "torch"), ("rnn", "reference"),
    ("slstm", "reference"), ("fgr", "reference"), ("gru-d", "reference"), ("t-lstm", "reference"),
]  # fmt: skip
some_cells = pytest.mark.parametrize(("cell", "engine"), CELLS)


def built(cell, engine, **options):
    """A layer in float64, its inputs and initial states, which all take gradients."""
    layer = layer_of(cell, engine, num_layers=2, dtype=torch.float64, **options)
    inputs = sequences(layer, T, B, dtype=torch.float64)
    inputs["x"].requires_grad_()
    return layer, inputs, random_states(layer, B, dtype=torch.float64, requires_grad=True)


@some_cells
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_a_run_with_resets_is_its_episodes_run_one_by_one(cell, engine, bidirectional, lengths):
    layer, inputs, states = built(cell, engine, bidirectional=bidirectional)
    output, final = layer(**inputs, hx=as_hx(states), resets=RESETS, lengths=lengths)
    expected, last = by_hand(layer, inputs, states, RESETS, lengths or [T] * B)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(as_states(final), last, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)

    wanted = [inputs["x"], *states, *layer.parameters()]
    mine = torch.autograd.grad(weigh(output, final), wanted)
    theirs = torch.autograd.grad(weigh(expected, as_hx(last)), wanted)
    for one, two in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


@some_cells
def test_without_a_state_a_reset_at_step_0_changes_nothing(cell, engine):
    layer = layer_of(cell, engine)
    inputs = sequences(layer, T, 3)
    expected, last = layer(**inputs)
    output, final = layer(**inputs, resets=table([[0], [], [0]], T))
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(final, last)


@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_no_gradient_and_no_value_crosses_a_reset(engine):
    layer = gated.LSTM(D, H, num_layers=2, engine=engine)
    x = torch.randn(T, 1, D, requires_grad=True)
    h, c = (torch.randn(2, 1, H, requires_grad=True) for _ in range(2))
    resets = table([[3]], T)
    output, final = layer(x, (h, c), resets=resets)
    loss = output[3:].pow(2).sum() + sum(s.sum() for s in final)
    gradient, *others = torch.autograd.grad(loss, [x, h, c])
    assert gradient[3:].abs().sum() > 0
    assert not gradient[:3].any()
    assert not any(g.any() for g in others)

    spoiled = x.detach().clone()
    spoiled[:3] = float("nan")
    again, last = layer(spoiled, (h, c), resets=resets)
    assert torch.equal(again[3:], output[3:])
    for one, two in zip(last, final, strict=True):
        assert torch.equal(one, two)


def test_in_the_second_direction_too_nothing_crosses_a_reset():
    layer = gated.LSTM(D, H, bidirectional=True)
    x = torch.randn(T, 1, D, requires_grad=True)
    output, (h_n, _) = layer(x, resets=table([[3]], T))
    (gradient,) = torch.autograd.grad(output[:3].pow(2).sum(), x, retain_graph=True)
    assert not gradient[3:].any()
    # the second direction ends at the row's start, the first at its end
    first, second = (torch.autograd.grad(h_n[k].sum(), x, retain_graph=True)[0] for k in (0, 1))
    assert not first[:3].any()
    assert first[3:].all()
    assert second[:3].all()
    assert not second[3:].any()


@some_cells
def test_faults_9_what_padding_holds_changes_nothing(cell, engine):
    layer, inputs, states = built(cell, engine, bidirectional=True)
    beyond = (torch.arange(T).unsqueeze(1) >= torch.tensor(LENGTHS)).unsqueeze(-1)
    runs = []
    for filling in (0.0, float("nan")):
        filled = each(lambda v, to=filling: v.detach().masked_fill(beyond, to), inputs)
        filled["x"].requires_grad_()
        output, final = layer(**filled, hx=as_hx(states), resets=RESETS, lengths=LENGTHS)
        wanted = [filled["x"], *states, *layer.parameters()]
        gradients = torch.autograd.grad(weigh(output, final), wanted)
        runs.append([output, *as_states(final), *gradients])
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_batch_first_resets_are_laid_out_as_the_input(bidirectional):
    layer = gated.GRU(D, H, batch_first=True, bidirectional=bidirectional)
    twin = gated.GRU(D, H, bidirectional=bidirectional)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, D)
    output, final = layer(x.transpose(0, 1), resets=RESETS.T, lengths=LENGTHS)
    expected, last = twin(x, resets=RESETS, lengths=LENGTHS)
    assert torch.equal(output.transpose(0, 1), expected)
    assert torch.equal(final, last)


@pytest.mark.parametrize("batch_first", [False, True])
def test_an_unbatched_run_takes_one_row_of_resets(batch_first):
    layer = gated.LSTM(D, H, batch_first=batch_first)
    x, resets = torch.randn(T, D), RESETS[:, 6]
    output, (h, c) = layer(x, resets=resets)
    before, _ = layer(x[:1])
    middle, _ = layer(x[1:3])
    after, (h_last, c_last) = layer(x[3:])
    torch.testing.assert_close(output, torch.cat([before, middle, after]))
    torch.testing.assert_close(h, h_last)
    torch.testing.assert_close(c, c_last)


@some_cells
def test_a_stream_of_steps_with_resets_is_one_run(cell, engine):
    layer, inputs, states = built(cell, engine)
    output, final = layer(**inputs, hx=as_hx(states), resets=RESETS)
    steps, state = [], as_hx(states)
    for t in range(T):
        now = each(lambda v, t=t: v[t], inputs)
        out, state = layer.step(**now, state=state, resets=RESETS[t])
        steps.append(out)
    torch.testing.assert_close(torch.stack(steps), output, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=1e-12, atol=1e-12)


def test_an_unbatched_stream_takes_one_reset_a_step():
    layer, x = gated.LSTM(D, H), torch.randn(T, D)
    output, _ = layer(x, resets=RESETS[:, 6])
    state = None
    for t in range(T):
        out, state = layer.step(x[t], state, resets=RESETS[t, 6])
        torch.testing.assert_close(out, output[t])


def test_a_row_of_the_slstm_reset_beside_a_live_one_stays_finite_there_and_back():
    layer = gated.Recurrent("slstm", D, H, num_layers=2)
    x = torch.randn(T, 2, D, requires_grad=True)
    output, final, trace = layer(x, resets=table([[0, 3], []], T), trace=True)
    loss = output.pow(2).sum() + sum(s.pow(2).sum() for s in final)
    loss = loss + sum(value.sum() for layers in trace.values() for (value,) in layers)
    gradients = torch.autograd.grad(loss, [x, *layer.parameters()])
    for value in (output, *final, *gradients):
        assert torch.isfinite(value).all()
    assert (gradients[0] != 0).any(-1).all()


@some_cells
def test_a_trace_is_that_of_the_episodes_each_at_its_steps(cell, engine):
    layer = layer_of(cell, "auto", dtype=torch.float64)
    inputs = sequences(layer, T, B, dtype=torch.float64)
    _, _, trace = layer(**inputs, resets=RESETS, lengths=LENGTHS, trace=True)
    for row, where, end in ((4, [0, 2, 4], 4), (6, [0, 1, 3, 5], 5)):
        for start, stop in pairwise(where):
            part = each(lambda v, a=start, z=stop, k=row: v[a:z, k], inputs)
            _, _, alone = layer(**part, trace=True)
            for name, value in alone.items():
                torch.testing.assert_close(trace[name][start:stop, row], value)
        assert all(not trace[name][end:, row].any() for name in trace)
    assert all(not trace[name][:, 5].any() for name in trace)


@pytest.mark.parametrize("engine", ["torch", "reference"])
@pytest.mark.parametrize("resets", [RESETS & False, table([[], [5]], T)], ids=["none", "beyond"])
def test_resets_that_touch_no_step_change_no_bit(engine, resets):
    layer = gated.LSTM(D, H, engine=engine, bidirectional=True)
    batch = resets.shape[1]
    x, lengths = torch.randn(T, batch, D), [T, 4, *[T] * batch][:batch]
    output, final = layer(x, resets=resets, lengths=lengths)
    expected, last = layer(x, lengths=lengths)
    assert torch.equal(output, expected)
    for one, two in zip(final, last, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("engine", ["torch", "reference"])
@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (0, 0)], ids=["T=0", "B=0", "both"])
def test_faults_1_and_2_nothing_in_nothing_out(engine, shape):
    layer = gated.LSTM(D, H, engine=engine, bidirectional=True)
    states = random_states(layer, shape[1])
    output, final = layer(
        torch.randn(*shape, D), as_hx(states), resets=torch.ones(shape, dtype=torch.bool)
    )
    assert output.shape == (*shape, 2 * H)
    for before, after in zip(states, final, strict=True):
        assert torch.equal(before, after)


def test_faults_3_rows_without_a_step_keep_the_state_given_whatever_their_resets():
    layer = gated.LSTM(D, H)
    states = random_states(layer, 2)
    resets = torch.ones(T, 2, dtype=torch.bool)
    output, final = layer(torch.randn(T, 2, D), as_hx(states), resets=resets, lengths=[0, 0])
    assert not output.any()
    for before, after in zip(states, final, strict=True):
        assert torch.equal(before, after)


def test_pytorchs_fused_operators_run_rows_that_start_anew():
    layer, x = gated.LSTM(D, H, bidirectional=True), torch.randn(T, B, D)
    assert layer.choice(x, resets=RESETS).engine == "torch"


@pytest.mark.parametrize(
    ("resets", "error", "says"),
    [
        (RESETS.float(), TypeError, r"resets is torch.float32, expected .*booleans"),
        (RESETS.long(), TypeError, "resets is torch.int64"),
        (RESETS.numpy(), TypeError, "resets is ndarray, expected a torch.Tensor of booleans"),
        (RESETS.tolist(), TypeError, "resets is list"),
        (RESETS[:, :6], ShapeError, r"resets has shape \(7, 6\), expected \(7, 7\)"),
        (RESETS[:6], ShapeError, r"resets has shape \(6, 7\), expected \(7, 7\)"),
        (RESETS.unsqueeze(-1), ShapeError, r"resets has shape \(7, 7, 1\), expected \(7, 7\)"),
        (RESETS[0], ShapeError, r"resets has shape \(7,\), expected \(7, 7\)"),
    ],
)
def test_bad_resets_are_named(resets, error, says):
    with pytest.raises(error, match=says) as caught:
        gated.LSTM(D, H)(torch.randn(T, B, D), resets=resets)
    assert isinstance(caught.value, ShapeError)


@pytest.mark.parametrize(
    ("resets", "error", "says"),
    [
        (np.zeros(3, dtype=bool), TypeError, "resets is ndarray, expected a torch.Tensor"),
        (True, TypeError, "resets is bool"),
        (torch.zeros(3), TypeError, "resets is torch.float32"),
        (torch.zeros(2, dtype=torch.bool), ShapeError, r"shape \(2,\), expected \(3,\)"),
        (torch.zeros(1, 3, dtype=torch.bool), ShapeError, r"shape \(1, 3\), expected \(3,\)"),
    ],
)
@pytest.mark.parametrize("batch_first", [False, True])
def test_bad_resets_of_a_step_are_named(resets, error, says, batch_first):
    with pytest.raises(error, match=says):
        gated.LSTM(D, H, batch_first=batch_first).step(torch.randn(3, D), resets=resets)


def test_a_packed_sequence_takes_no_resets_and_says_what_to_do():
    with pytest.raises(ShapeError, match="pass padded tensors with lengths="):
        gated.LSTM(D, H)(pack_sequence([torch.randn(3, D)]), resets=RESETS)
