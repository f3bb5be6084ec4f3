"""Laws that hold for every cell of the catalogue on every engine that runs it."""

import pytest
import torch
from cell_cases import CELLS, D, as_hx, as_states, each, layer_of, random_states, sequences
from torch import Tensor

import gated

every_cell = pytest.mark.parametrize(("cell", "engine"), CELLS)
RAGGED = [4, 0, 7, 1, 7, 3]
# what stays finite at huge inputs, and no more: a rectifier's output and what is linear in x have
# no bound
UNBOUNDED = {"rnn-relu", "indrnn", "minlstm", "mingru", "sru"}


def gradients(layer, loss: Tensor, *others: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [*others, *layer.parameters()]))


def weigh(output: Tensor, states) -> Tensor:
    """A loss that no two elements enter alike."""
    found = output.mul(torch.linspace(-1, 1, output.shape[-1], dtype=output.dtype)).sum()
    return found + sum((s * (k + 0.5)).pow(2).sum() for k, s in enumerate(as_states(states)))


@every_cell
@pytest.mark.parametrize(("cut", "batch", "layers"), [(0, 3, 1), (9, 1, 2), (1, 4, 1), (5, 2, 2)])
def test_a_sequence_in_two_parts_is_the_whole(cell, engine, cut, batch, layers):
    layer = layer_of(cell, engine, num_layers=layers, dtype=torch.float64)
    inputs = sequences(layer, 9, batch, dtype=torch.float64)
    whole, final = layer(**inputs)
    first, state = layer(**each(lambda v: v[:cut], inputs))
    second, last = layer(**each(lambda v: v[cut:], inputs), hx=state)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, final, rtol=1e-12, atol=1e-12)


@every_cell
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_stream_of_steps_is_one_run(cell, engine, batch_first):
    layer = layer_of(cell, engine, num_layers=2, batch_first=batch_first, dtype=torch.float64)
    inputs = sequences(layer, 9, 3, dtype=torch.float64)
    axis = 1 if batch_first else 0
    whole, final = layer(**each(lambda v: v.movedim(0, axis), inputs))
    steps, state = [], None
    for t in range(9):
        output, state = layer.step(**each(lambda v, t=t: v[t], inputs), state=state)
        steps.append(output)
    torch.testing.assert_close(torch.stack(steps, dim=axis), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=1e-12, atol=1e-12)


@every_cell
def test_an_unbatched_stream_is_one_run(cell, engine):
    layer = layer_of(cell, engine, batch_first=True)
    inputs, state = each(lambda v: v[:, 0], sequences(layer, 5, 1)), None
    for t, expected in enumerate(layer(**inputs)[0]):
        output, state = layer.step(**each(lambda v, t=t: v[t], inputs), state=state)
        torch.testing.assert_close(output, expected)


@every_cell
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize(("width", "batch"), [(1, 6), (3, 13), (16, 8)])
def test_permuting_the_rows_permutes_the_results(cell, engine, width, batch, ragged):
    layer = layer_of(cell, engine, (width, 7, 5), num_layers=2, bidirectional=True)
    lengths = [(5 * k) % 8 for k in range(batch)] if ragged else None
    places = torch.randperm(batch).tolist()
    inputs = sequences(layer, 7, batch)
    inputs["x"].requires_grad_()
    states = random_states(layer, batch, requires_grad=True)
    output, final = layer(**inputs, hx=as_hx(states), lengths=lengths)
    gradient = gradients(layer, weigh(output, final), inputs["x"])[0]

    moved_inputs = each(lambda v: v.detach()[:, places], inputs)
    moved_inputs["x"].requires_grad_()
    moved_states = as_hx([s.detach()[:, places] for s in states])
    moved_lengths = [lengths[k] for k in places] if ragged else None
    moved, moved_final = layer(**moved_inputs, hx=moved_states, lengths=moved_lengths)
    moved_gradient = gradients(layer, weigh(moved, moved_final), moved_inputs["x"])[0]

    results = [output, gradient, *as_states(final)]
    for after, before in zip(
        [moved, moved_gradient, *as_states(moved_final)], results, strict=True
    ):
        if engine != "torch":
            assert torch.equal(after, before[:, places])
        else:  # the last bit of PyTorch's operators is PyTorch's
            torch.testing.assert_close(after, before[:, places], rtol=1e-5, atol=1e-6)


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_faults_9_what_padding_holds_changes_nothing(cell, engine, bidirectional):
    layer = layer_of(cell, engine, num_layers=2, bidirectional=bidirectional)
    beyond = torch.arange(7).unsqueeze(1) >= torch.tensor(RAGGED)
    clean = sequences(layer, 7, 6)
    results = []
    for filling in (0.0, float("nan"), float("inf"), 1e30):
        inputs = each(lambda v, to=filling: v.masked_fill(beyond.unsqueeze(-1), to), clean)
        for value in inputs.values():
            value.requires_grad_()
        output, final = layer(**inputs, lengths=RAGGED)
        loss = weigh(output, final)
        results.append([output, *as_states(final), *gradients(layer, loss, *inputs.values())])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert torch.equal(one, two)
    assert not results[0][0][beyond].any()


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_each_row_is_computed_as_if_alone_and_as_long_as_it_is(cell, engine, bidirectional):
    layer = layer_of(
        cell, engine, num_layers=2, bidirectional=bidirectional, dtype=torch.float64
    )  # fmt: skip
    inputs = sequences(layer, 7, 6, dtype=torch.float64)
    states = random_states(layer, 6, dtype=torch.float64)
    output, final = layer(**inputs, hx=as_hx(states), lengths=RAGGED)
    for row, length in enumerate(RAGGED):
        own = as_hx([s[:, row : row + 1] for s in states])
        short = each(lambda v, n=length, k=row: v[:n, k : k + 1], inputs)
        alone, last = layer(**short, hx=own)
        torch.testing.assert_close(output[:length, row], alone[:, 0], rtol=1e-12, atol=1e-12)
        for mine, theirs in zip(as_states(final), as_states(last), strict=True):
            torch.testing.assert_close(mine[:, row], theirs[:, 0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "engine"), [(c, e) for c, e in CELLS if list(gated.cell(c).graph.inputs) == ["x"]]
)
def test_lengths_are_the_same_as_packing(cell, engine):
    layer = layer_of(cell, engine, num_layers=2, bidirectional=True, batch_first=True)
    x, lengths = torch.randn(3, 6, D), [2, 6, 4]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
    output, final = layer(x, lengths=torch.tensor(lengths))
    result, last = layer(packed)
    assert torch.equal(
        torch.nn.utils.rnn.pad_packed_sequence(result, batch_first=True)[0], output
    )  # fmt: skip
    for one, two in zip(as_states(final), as_states(last), strict=True):
        assert torch.equal(one, two)


@every_cell
def test_lengths_that_are_all_full_change_no_bit(cell, engine):
    layer = layer_of(cell, engine)
    inputs = sequences(layer, 7, 3)
    assert torch.equal(layer(**inputs, lengths=[7, 7, 7])[0], layer(**inputs)[0])


@every_cell
@pytest.mark.parametrize("lengths", [None, RAGGED], ids=["full", "ragged"])
def test_equal_calls_repeat_bit_for_bit(cell, engine, lengths):
    layer = layer_of(cell, engine, num_layers=2, bidirectional=True)
    inputs = sequences(layer, 7, 6)
    x = inputs["x"].requires_grad_()
    runs = []
    for _ in range(3):
        output, final = layer(**inputs, lengths=lengths)
        runs.append([output, *as_states(final), *gradients(layer, weigh(output, final), x)])
    for other in runs[1:]:
        assert all(torch.equal(one, two) for one, two in zip(runs[0], other, strict=True))


@every_cell
@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (0, 0)], ids=["T=0", "B=0", "both"])
def test_faults_1_and_2_nothing_in_nothing_out(cell, engine, shape):
    layer = layer_of(cell, engine, num_layers=2, bidirectional=True)
    states = random_states(layer, shape[1])
    output, final = layer(**sequences(layer, *shape), hx=as_hx(states))
    assert output.shape == (*shape, 2 * states[0].shape[-1])
    for before, after in zip(states, as_states(final), strict=True):
        assert torch.equal(before, after)
    assert all(not g.any() for g in gradients(layer, weigh(output, final)))


@every_cell
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_faults_10_one_bad_sequence_leaves_the_others_alone(cell, engine, bad):
    layer = layer_of(cell, engine, num_layers=2)
    inputs = sequences(layer, 7, 6)
    expected, final = layer(**inputs, lengths=[7, 6, 5, 7, 2, 7])
    for value in inputs.values():
        value[3, 0] = bad
    output, last = layer(**inputs, lengths=[7, 6, 5, 7, 2, 7])
    assert torch.equal(output[:, 1:], expected[:, 1:])
    for one, two in zip(as_states(last), as_states(final), strict=True):
        assert torch.equal(one[:, 1:], two[:, 1:])


@every_cell
def test_faults_11_huge_inputs_saturate_and_stay_finite(cell, engine):
    layer = layer_of(cell, engine)
    inputs = sequences(layer, 3, 2)
    inputs["x"] = torch.tensor([1e30, -1e30, 1e30]).view(3, 1, 1).repeat(1, 2, D)
    x = inputs["x"].requires_grad_()
    output, final = layer(**inputs)
    assert torch.isfinite(output).all()
    assert cell in UNBOUNDED or float(output.detach().abs().max()) <= 3
    loss = output.sum() + sum(s.sum() for s in as_states(final))
    assert all(torch.isfinite(g).all() for g in gradients(layer, loss, x))
