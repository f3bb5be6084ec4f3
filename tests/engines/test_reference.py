"""The reference engine runs any cell as its equations say, step by step and row by row."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import gated
from gated.engines.reference import evaluate
from gated.equations import Cell, U, W, b, maximum, sigmoid, tanh

sys.path.insert(0, str(Path(__file__).parents[1] / "equations"))
import equation_numerics as numerics
from small_cells import SMALL

T, D, H, P = 6, 3, 4, 2
CELLS = [*gated.cells(), *SMALL]


def _name(cell: object) -> str:
    return cell if isinstance(cell, str) else cell.name


def layer_with(cell, weights, **options) -> gated.Recurrent:
    """A layer that holds weights given by symbol, one row of blocks for each stored tensor."""
    own = {k: P for k in gated.cell(cell).graph.letters if k not in ("D", "H")}
    layer = gated.Recurrent(cell, D, H, engine="reference", dtype=torch.float64, **own, **options)
    with torch.no_grad():
        for slot in layer._layout:
            blocks = [torch.from_numpy(weights[key]) for key in slot.keys]
            # PyTorch's second bias counts too: leave it at 0 where it stands for the same symbol
            if slot.name == "bias_hh":
                blocks = [
                    value if key.startswith("b_h") else 0 * value
                    for key, value in zip(slot.keys, blocks, strict=True)
                ]
            layer.get_parameter(f"{slot.name}_l0").copy_(torch.cat(blocks))
    return layer


@pytest.mark.parametrize("cell", CELLS, ids=_name)
def test_every_value_is_what_the_equations_give_step_by_step(cell):
    records, weights = numerics.run(gated.cell(cell), T, seed=3)
    layer = layer_with(cell, weights)
    graph = layer.cell.graph
    inputs = {
        name: torch.from_numpy(np.stack([record[name] for record in records])).unsqueeze(1)
        for name in graph.inputs
    }
    _, _, trace = layer(inputs.pop("x"), **inputs, trace=True)
    for name in graph.equations:
        expected = np.stack([record[name] for record in records])
        np.testing.assert_allclose(
            trace[name][:, 0].detach(), expected, rtol=1e-12, atol=1e-12, err_msg=name
        )


ALONE = [cell for cell in CELLS if list(gated.cell(cell).graph.inputs) == ["x"]]


@pytest.mark.parametrize("cell", ALONE, ids=_name)
def test_the_reverse_direction_is_the_forward_one_on_the_sequence_turned_round(cell):
    own: dict = {k: P for k in gated.cell(cell).graph.letters if k not in ("D", "H")}
    own |= {"engine": "reference", "dtype": torch.float64}
    both = gated.Recurrent(cell, D, H, bidirectional=True, **own)
    one = gated.Recurrent(cell, D, H, **own)
    one.load_state_dict(
        {k.removesuffix("_reverse"): v for k, v in both.state_dict().items() if "reverse" in k}
    )
    x, lengths = torch.randn(T, 3, D, dtype=torch.float64), [6, 0, 4]
    output, final = both(x, lengths=lengths)
    turned = x.clone()
    for row, length in enumerate(lengths):
        turned[:length, row] = x[:length, row].flip(0)
    expected, last = one(turned, lengths=lengths)
    width = expected.shape[-1]
    for row, length in enumerate(lengths):
        torch.testing.assert_close(output[:length, row, width:], expected[:length, row].flip(0))
    finals = final if isinstance(final, tuple) else (final,)
    lasts = last if isinstance(last, tuple) else (last,)
    for both_ways, forward in zip(finals, lasts, strict=True):
        torch.testing.assert_close(both_ways[1], forward[0])


class Stabilised(Cell):
    """A state that starts at -inf, as the running maximum of the sLSTM does."""

    initial = {"m": -math.inf}

    def step(self, x, h, m):
        m = maximum(m, W.m @ x)
        h = tanh(W.h @ x + U @ h + b) * sigmoid(m)
        return h, m


def test_a_state_that_starts_at_minus_infinity_does_not_spoil_gradients():
    layer = gated.Recurrent(Stabilised, D, H)
    x = torch.randn(T, 3, D, requires_grad=True)
    output, (_, m) = layer(x, lengths=[6, 0, 3])
    output.sum().backward()
    assert torch.isfinite(output).all()
    assert torch.isneginf(m[0, 1]).all()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(w.grad).all() for w in layer.parameters())


def test_states_of_another_size_than_h_are_given_and_returned_in_it():
    layer = gated.Recurrent("lstmp", D, H, P=P, engine="reference")
    h, c = torch.randn(1, 2, P), torch.randn(1, 2, H)
    output, (h_n, c_n) = layer(torch.randn(T, 2, D), (h, c))
    assert (output.shape, h_n.shape, c_n.shape) == ((T, 2, P), (1, 2, P), (1, 2, H))


def test_a_state_that_the_input_alone_sets_needs_no_loop():
    class Memoryless(Cell):
        def step(self, x, h):
            h = tanh(W @ x + b)
            return h

    layer, x = gated.Recurrent(Memoryless, D, H, bidirectional=True), torch.randn(T, 2, D)
    output, final = layer(x, lengths=[6, 2])
    expected = torch.tanh(x @ layer.weight_ih_l0.T + layer.bias_l0)
    torch.testing.assert_close(output[:, 0, :H], expected[:, 0])
    torch.testing.assert_close(final[0], torch.stack([expected[5, 0], expected[1, 1]]))


def test_without_biases_they_count_as_0():
    layer = gated.Recurrent("gru-reset-before", D, H, bias=False)
    full = gated.Recurrent("gru-reset-before", D, H)
    full.load_state_dict({**layer.state_dict(), "bias_l0": torch.zeros(3 * H)}, strict=True)
    x = torch.randn(T, 2, D)
    assert torch.equal(layer(x)[0], full(x)[0])


def test_evaluate_computes_the_nodes_asked_for_from_those_known():
    graph = gated.cell("lstm").graph
    f, c_before = torch.tensor([0.25]), torch.tensor([8.0])
    i, g = torch.tensor([0.5]), torch.tensor([2.0])
    known = {graph.equations[n]: v for n, v in {"f": f, "i": i, "g": g}.items()}
    known[graph.previous["c"]] = c_before
    c = graph.updates["c"]
    assert evaluate([c], known)[c].item() == 0.25 * 8 + 0.5 * 2


def test_one_row_of_many_is_not_mixed_with_another():
    layer = gated.Recurrent("gru-reset-before", D, H, num_layers=2)
    x = torch.randn(T, 4, D, requires_grad=True)
    layer(x, lengths=[6, 2, 5, 0])[0][:, 2].sum().backward()
    assert x.grad[:5, 2].abs().min() > 0
    assert not x.grad[:, [0, 1, 3]].any()
    assert not x.grad[5:].any()
