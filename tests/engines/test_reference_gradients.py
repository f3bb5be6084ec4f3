"""The reference engine's derivatives, against finite differences in float64, rows ragged."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.overrides import TorchFunctionMode

import gated
from gated.equations import Cell
from gated.equations.graph import length

sys.path.insert(0, str(Path(__file__).parents[1] / "equations"))
from small_cells import SMALL

T, B, D, H, P = 5, 3, 2, 3, 2
LENGTHS = [5, 0, 3]
TIGHT = {"rtol": 1e-5, "atol": 1e-7}
# the Jacobian along random directions, not element by element
ALONG = {**TIGHT, "fast_mode": True}
CELLS = [*gated.cells(), *SMALL]


def _name(cell: object) -> str:
    return cell if isinstance(cell, str) else cell.name


class Kinks(TorchFunctionMode):
    """Notes how far from their kinks rectifiers, extremes and selections are evaluated."""

    EDGES = {
        torch.relu: lambda v: v,
        torch.abs: lambda v: v,
        torch.maximum: torch.sub,
        torch.minimum: torch.sub,
        torch.Tensor.gt: torch.sub,
    }

    def __init__(self):
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self.EDGES:
            self.seen.append(self.EDGES[function](*args).detach().flatten())
        return function(*args, **(kwargs or {}))

    def far_and_on_both_sides(self) -> bool:
        """Whether a small step crosses no kink, and both sides of some are visited."""
        seen = torch.cat(self.seen) if self.seen else torch.tensor([-1.0, 1.0])
        return bool(seen.abs().min() > 1e-3 and seen.min() < 0 < seen.max())


def problem(cell: str | type[Cell], *, own_start: bool = False, **options):
    """A layer as a function of everything that goes in, and a point away from its kinks."""
    for seed in range(200):
        torch.manual_seed(seed)
        function, point = drawn(cell, own_start, **options)
        with Kinks() as kinks:
            function(*point)
        if kinks.far_and_on_both_sides():
            return function, point
    raise AssertionError(f"{_name(cell)}: no point away from its kinks")


def drawn(cell: str | type[Cell], own_start: bool, **options):
    """The same at a random point; `own_start` leaves the initial states to the cell."""
    own = {k: P for k in gated.cell(cell).graph.letters if k not in ("D", "H")}
    layer = gated.Recurrent(cell, D, H, engine="reference", dtype=torch.float64, **own, **options)
    letters = {"D": D, "H": H, **own}
    inputs = {
        name: torch.randn(T, B, length(size, letters))
        for name, size in layer.cell.graph.input_sizes.items()
    }
    if "delta" in inputs:
        inputs["delta"].abs_()
    if "mask" in inputs:  # a mask of 0 stands at the edge of `select`: what is missing has -1 here
        inputs["mask"].sign_()
    states = {} if own_start else start(layer, letters)
    with torch.no_grad():  # also what starts at 1 or at 0 is checked at some other value
        for weight in layer.parameters():
            weight.uniform_(-0.7, 0.7)
    weights = dict(layer.named_parameters())
    values = {**inputs, **states, **weights}
    point = [v.detach().double().clone().requires_grad_() for v in values.values()]

    def function(*moved: Tensor):
        at = dict(zip(values, moved, strict=True))
        hx = tuple(at[name] for name in states)
        call = {name: at[name] for name in inputs} | {"lengths": LENGTHS}
        call["hx"] = (hx if len(hx) > 1 else hx[0]) if hx else None
        swapped = {name: at[name] for name in weights}
        output, final = torch.func.functional_call(layer, swapped, (), call)
        final = final if isinstance(final, tuple) else (final,)
        # no difference can be taken of the state that a row of length 0 never left
        return (output, *(state[..., [0, 2], :] if own_start else state for state in final))

    return function, tuple(point)


def start(layer: gated.Recurrent, letters: dict[str, int]) -> dict[str, Tensor]:
    """Random finite initial states, the sLSTM's normaliser above 0."""
    states = {
        f"{s.name}0": torch.randn(layer.num_directions, B, length(s.size, letters))
        for s in layer.cell.states
    }
    if layer.cell.name == "slstm":
        states["n0"].abs_().add_(1)
    return states


@pytest.mark.parametrize("cell", CELLS, ids=_name)
def test_gradients_of_inputs_weights_and_states_are_those_of_finite_differences(cell):
    function, point = problem(cell)
    assert gradcheck(function, point, **TIGHT)


@pytest.mark.parametrize("cell", gated.cells())
def test_gradients_are_right_in_both_directions(cell):
    function, point = problem(cell, bidirectional=True)
    assert gradcheck(function, point, **ALONG)


def test_gradients_in_both_directions_are_right_element_by_element():
    function, point = problem("lstm", bidirectional=True)
    assert gradcheck(function, point, **TIGHT)


@pytest.mark.parametrize("cell", CELLS, ids=_name)
def test_faults_14_second_derivatives_are_those_of_finite_differences(cell):
    function, point = problem(cell)
    assert gradgradcheck(function, point, **ALONG)


def test_faults_14_a_stabiliser_that_starts_at_minus_infinity_has_both_derivatives():
    function, point = problem("slstm", own_start=True)
    assert gradcheck(function, point, **TIGHT)
    assert gradgradcheck(function, point, **ALONG)


def test_what_is_missing_may_be_nan_and_leaves_the_other_derivatives_right():
    function, point = drawn("gru-d", own_start=False)
    x, mask, *others = point
    missing = mask.detach() < 0
    x = x.detach().masked_fill(missing, float("nan"))
    mask = 1.0 - missing.double()
    assert missing.any()
    assert not missing.all()
    assert gradcheck(function, (x, mask, *others), **TIGHT)
    assert gradgradcheck(function, (x, mask, *others), **ALONG)


# PyTorch scripts some of its own forward-mode rules
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("cell", gated.cells())
def test_forward_mode_is_that_of_finite_differences(cell):
    function, point = problem(cell)
    assert gradcheck(function, point, check_forward_ad=True, check_backward_ad=False, **ALONG)


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
