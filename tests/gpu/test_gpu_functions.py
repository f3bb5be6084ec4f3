"""The functions of generated kernels on the device, over a grid, in units in the last place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from gpu_cases import DEVICE, NOTED, layer
from torch import Tensor
from torch.nn import functional as F

from gated.equations import Cell, U, W, absolute, exp, log, relu, sigmoid, softplus, sqrt, tanh

ROWS, UNITS = 512 if DEVICE == "cuda" else 32, 32
# two where a device rounds division and roots well; its approximations add about two
UNITS_OFF = 4


def applied(function: Callable[..., object]) -> type[Cell]:
    """A cell whose state becomes a function of itself."""

    class Applied(Cell):
        def step(self, x, h):
            h = function(h) + 0.0 * (W.a @ x)
            return h

    return Applied


EXACT: dict[str, tuple[Callable[..., object], Callable[[Tensor], Tensor]]] = {
    "tanh": (tanh, torch.tanh),
    "sigmoid": (sigmoid, torch.sigmoid),
    "softplus": (softplus, lambda v: v.clamp(min=0) + torch.log1p(torch.exp(-v.abs()))),
    "exp": (exp, torch.exp),
    "log": (log, torch.log),
    "sqrt": (sqrt, torch.sqrt),
    "absolute": (absolute, torch.abs),
    "relu": (relu, F.relu),
}


def grid(name: str) -> Tensor:
    """Near 0, where functions bend, and on to where results end; above 0 for log and sqrt."""
    count = ROWS * UNITS // 8
    parts = [torch.linspace(-end, end, count) for end in (1e-6, 1e-2, 0.3, 1, 5, 20, 80)]
    points = torch.cat([*parts, torch.logspace(-30, 30, count)])
    if name == "exp":
        points = points.clamp(-87, 88)
    return points.abs().clamp(min=1e-30) if name in ("log", "sqrt") else points


def computed(name: str, points: Tensor, engine: str) -> tuple[Tensor, Tensor]:
    """The function's values and slopes."""
    of = layer(applied(EXACT[name][0]), engine, 2, UNITS)
    start = points.view(1, ROWS, UNITS).to(DEVICE).requires_grad_()
    output, _ = of(torch.zeros(1, ROWS, 2, device=DEVICE), start)
    (slope,) = torch.autograd.grad(output.sum(), start)
    return output.detach().cpu().flatten(), slope.cpu().flatten()


@pytest.mark.parametrize("engine", ["triton-resident", "triton-stepwise"])
@pytest.mark.parametrize("name", EXACT)
def test_within_units_in_the_last_place(name, engine):
    points = grid(name)
    got, slope = computed(name, points, engine)
    exact = points.double().requires_grad_()
    wanted = EXACT[name][1](exact)
    (slopes,) = torch.autograd.grad(wanted.sum(), exact)
    wanted = wanted.detach()
    rounded = wanted.float()
    unit = (torch.nextafter(rounded.abs(), torch.tensor(torch.inf)) - rounded.abs()).double()
    apart = (got.double() - wanted).abs() / unit
    apart[rounded.abs() < torch.finfo(torch.float32).tiny] = 0  # the device may flush these to 0
    worst = int(apart.nan_to_num(torch.inf).argmax())
    NOTED.append(f"{float(apart[worst]):.2f} units")
    assert apart[worst] <= UNITS_OFF, (
        f"{name}({float(points[worst])!r}) is {float(apart[worst]):.2f} off"
    )
    # 1 - y² of a y near 1 is off by what y is off by
    allowed = 1e-5 * slopes.abs() + 4 * torch.finfo(torch.float32).eps
    assert ((slope.double() - slopes).abs() <= allowed).all()


@pytest.mark.parametrize("engine", ["triton-resident", "triton-stepwise"])
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus"])
def test_no_finite_number_gives_nan_and_a_nan_stays_one(name, engine):
    points = torch.zeros(ROWS * UNITS)
    most = torch.finfo(torch.float32).max
    points[:7] = torch.tensor([most, -most, torch.inf, -torch.inf, torch.nan, -1e30, 1e30])
    got, _ = computed(name, points, engine)
    assert got.isnan().nonzero().flatten().tolist() == [4]
    exact = EXACT[name][1](points)
    assert torch.equal(got[[0, 1, 5, 6]], exact[[0, 1, 5, 6]])


class Mixed(Cell):
    """U, so that a product stands beside the functions."""

    def step(self, x, h):
        h = tanh(U.h @ h + W.h @ x)
        return h


@pytest.mark.parametrize("engine", ["triton-resident", "triton-stepwise"])
def test_infinite_inputs_saturate_beside_a_product(engine):
    of = layer(Mixed, engine, 1, 16)
    x = torch.full((3, 2, 1), 3e38, device=DEVICE)
    assert of(x)[0].isfinite().all()
