"""The reference engine's derivatives, against finite differences in float64, rows ragged."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import gated
from gated.equations import Cell

sys.path.insert(0, str(Path(__file__).parents[1] / "equations"))
from small_cells import SMALL, Clipped, IndRNN

T, B, D, H, P = 5, 3, 2, 3, 2
LENGTHS = [5, 0, 3]
TIGHT = {"rtol": 1e-5, "atol": 1e-7}
CELLS = [*gated.cells(), *SMALL]
KINKED = (Clipped, IndRNN)  # and the catalogue's rnn-relu: second derivatives are 0 or undefined
SMOOTH = [cell for cell in CELLS if cell != "rnn-relu" and cell not in KINKED]


def _name(cell: object) -> str:
    return cell if isinstance(cell, str) else cell.name


def problem(cell: str | type[Cell], *, bidirectional: bool = False):
    """A layer as a function of everything that goes in, and that point."""
    own = {k: P for k in gated.cell(cell).graph.letters if k not in ("D", "H")}
    layer = gated.Recurrent(
        cell, D, H, bidirectional=bidirectional, engine="reference", dtype=torch.float64, **own
    )
    letters = {"D": D, "H": H, **own}

    def units(size: str | int) -> int:
        return letters[size] if isinstance(size, str) else size

    names = list(layer.cell.graph.input_sizes)
    inputs = [torch.randn(T, B, units(n)) for n in layer.cell.graph.input_sizes.values()]
    states = [torch.randn(layer.num_directions, B, units(s.size)) for s in layer.cell.states]
    if _name(cell) == "scalar-lstm":
        states[2] = states[2].abs() + 1  # n divides
    if "seen" in [s.name for s in layer.cell.states]:
        inputs[1:] = [value.abs() for value in inputs[1:]]
    weights = dict(layer.named_parameters())
    point = [v.double().requires_grad_() for v in (*inputs, *states)]
    point += [w.detach().clone().requires_grad_() for w in weights.values()]

    def function(*values: Tensor):
        x, *extra = values[: len(names)]
        given = values[len(names) : len(names) + len(states)]
        swapped = dict(zip(weights, values[len(names) + len(states) :], strict=True))
        hx = tuple(given) if len(given) > 1 else given[0]
        options = {"lengths": LENGTHS, **dict(zip(names[1:], extra, strict=True))}
        output, final = torch.func.functional_call(layer, swapped, (x, hx), options)
        return (output, *(final if isinstance(final, tuple) else (final,)))

    return function, tuple(point)


@pytest.mark.parametrize("cell", CELLS, ids=_name)
def test_gradients_of_inputs_weights_and_states_are_those_of_finite_differences(cell):
    function, point = problem(cell)
    assert gradcheck(function, point, **TIGHT)


@pytest.mark.parametrize("cell", gated.cells())
def test_gradients_are_right_in_both_directions(cell):
    function, point = problem(cell, bidirectional=True)
    assert gradcheck(function, point, **TIGHT)


@pytest.mark.parametrize("cell", SMOOTH, ids=_name)
def test_faults_14_second_derivatives_are_those_of_finite_differences(cell):
    function, point = problem(cell)
    assert gradgradcheck(function, point, **TIGHT, fast_mode=True)


# PyTorch scripts some of its own forward-mode rules
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("cell", gated.cells())
def test_forward_mode_is_that_of_finite_differences(cell):
    function, point = problem(cell)
    assert gradcheck(function, point, check_forward_ad=True, check_backward_ad=False, **TIGHT)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_faults_14_double_backward_works_on_pytorchs_operators_too(name, dtype):
    fast = getattr(gated, name)(D, H, dtype=dtype, engine="torch")
    exact = getattr(gated, name)(D, H, dtype=torch.float64, engine="reference")
    exact.load_state_dict(fast.state_dict())
    seconds = []
    for layer in (fast, exact):
        x = torch.linspace(-1, 1, T * B * D, dtype=layer.weight_ih_l0.dtype).view(T, B, D)
        x.requires_grad_()
        loss = layer(x)[0].pow(2).sum()
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        seconds.append(torch.autograd.grad(first.pow(2).sum(), [x, layer.weight_hh_l0]))
    limit = 1e-5 if dtype == torch.float32 else 1e-12
    for one, two in zip(*seconds, strict=True):
        torch.testing.assert_close(one.double(), two, rtol=limit, atol=limit)
