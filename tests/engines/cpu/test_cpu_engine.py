"""The CPU engine against the reference: every cell, values and gradients, ragged and full."""

from __future__ import annotations

import pytest
import torch
from fused_cases import (
    HARD,
    NEAR,
    RAGGED,
    B,
    D,
    H,
    NamedAsBuffers,
    T,
    WithoutGates,
    agree,
    by_stored_numbers,
    jacobian,
    other_sign,
    pair,
    results,
    traced,
)
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import gated
from gated.engines.cpu.build import unavailable
from gated.equations import Cell, U, W, tanh
from gated.errors import EngineError

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="needs a C++ compiler")


@pytest.mark.parametrize("lengths", [None, RAGGED], ids=["full", "ragged"])
@pytest.mark.parametrize("cell", gated.cells())
def test_every_cell_forward_and_backward_in_both_directions(cell, lengths):
    fused, reference = pair("cpu", cell, bidirectional=True, dtype=torch.float64)
    agree(results(fused, lengths), results(reference, lengths), NEAR[torch.float64])


@pytest.mark.parametrize("cell", [*HARD, "layernorm-lstm", "peephole"])
def test_in_float32(cell):
    fused, reference = pair("cpu", cell)
    agree(results(fused, RAGGED), results(reference, RAGGED), NEAR[torch.float32])


@pytest.mark.parametrize(
    ("cell", "maps"),
    [
        ("lstm", "diagonal"),
        ("gru-reset-before", "diagonal"),
        ("lstm", gated.Heads(2)),
        ("slstm", gated.Heads(2)),
    ],
    ids=str,
)
def test_other_maps(cell, maps):
    fused, reference = pair("cpu", cell, maps=maps, dtype=torch.float64)
    agree(results(fused, RAGGED), results(reference, RAGGED), NEAR[torch.float64])


def test_layers_on_layers():
    fused, reference = pair(
        "cpu", "peephole", num_layers=3, bidirectional=True, dtype=torch.float64
    )
    agree(results(fused, RAGGED), results(reference, RAGGED), NEAR[torch.float64])


def test_threads_share_the_rows_and_change_no_output():
    fused, _ = pair("cpu", "peephole", dtype=torch.float64)
    one, two = results(fused, RAGGED, threads=1), results(fused, RAGGED, threads=2)
    torch.set_num_threads(1)
    assert torch.equal(one[0], two[0])
    agree(one, two, NEAR[torch.float64])


def test_numbers_that_stand_with_the_other_sign_are_read_right():
    fused, _ = pair("cpu", "peephole", dtype=torch.float64)
    plain, other = (by_stored_numbers(fused, how) for how in (torch.clone, other_sign))
    agree(other, plain, NEAR[torch.float64])


def test_many_gradients_at_once_are_those_one_by_one():
    fused, _ = pair("cpu", "peephole", dtype=torch.float64)
    many, one = (jacobian(fused, at_once=how) for how in (True, False))
    agree([many], [one], NEAR[torch.float64])


def test_equal_calls_repeat_bit_for_bit():
    fused, _ = pair("cpu", "gru-reset-before")
    first, second = results(fused, RAGGED), results(fused, RAGGED)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("lengths", [None, RAGGED], ids=["full", "ragged"])
@pytest.mark.parametrize("cell", [*HARD, "lstmp"])
def test_a_trace_shows_every_gate_with_its_gradients(cell, lengths):
    fused, reference = pair("cpu", cell, bidirectional=True, dtype=torch.float64)
    agree(traced(fused, lengths), traced(reference, lengths), NEAR[torch.float64])


@pytest.mark.parametrize("cell", [WithoutGates, NamedAsBuffers])
def test_a_trace_where_all_names_are_states_or_as_those_of_buffers(cell):
    fused, reference = pair("cpu", cell, bidirectional=True, dtype=torch.float64)
    agree(traced(fused, RAGGED), traced(reference, RAGGED), NEAR[torch.float64])


class OneMatrix(Cell):  # in test_cpu_steps.py too: one kernel serves both
    def step(self, x, h):
        h = tanh(W.h @ x + U.h @ h)
        return h


def test_a_product_with_nothing_added_to_it():
    fused, reference = pair("cpu", OneMatrix, dtype=torch.float64)
    agree(results(fused, RAGGED), results(reference, RAGGED), NEAR[torch.float64])


def test_the_way_back_can_be_gone_twice():
    fused, _ = pair("cpu", "lstm")
    x = torch.randn(T, B, D, requires_grad=True)
    loss = fused(x)[0].square().sum()
    (once,) = torch.autograd.grad(loss, x, retain_graph=True)
    (again,) = torch.autograd.grad(loss, x)
    assert torch.equal(once, again)


def test_an_output_changed_in_place_is_found_out():
    fused, _ = pair("cpu", "lstm")
    output, _ = fused(torch.randn(T, B, D))
    output.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        output.sum().backward()


def test_permuting_the_batch_changes_no_bit():
    fused, _ = pair("cpu", "peephole")
    order = torch.randperm(B)
    x = torch.randn(T, B, D)
    found = []
    for rows in (x, x[:, order]):
        rows = rows.clone().requires_grad_()
        output, _ = fused(rows)
        found.append([output, *torch.autograd.grad(output.square().sum(), rows)])
    for one, two in zip(*found, strict=True):
        assert torch.equal(one[:, order], two)


def test_inference_keeps_nothing_and_gives_the_same():
    fused, _ = pair("cpu", "lstm")
    x = torch.randn(T, B, D)
    with torch.no_grad():
        quick = fused(x)[0]
    assert torch.equal(quick, fused(x)[0])


@pytest.mark.parametrize("cell", HARD)
def test_derivatives_of_both_orders_are_those_of_finite_differences(cell):
    layer = gated.Recurrent(cell, 2, 3, engine="cpu", dtype=torch.float64)
    torch.manual_seed(0)
    names = [name for name, _ in layer.named_parameters()]
    point = (
        torch.randn(5, 3, 2, dtype=torch.float64, requires_grad=True),
        *(weight.detach().clone().requires_grad_() for weight in layer.parameters()),
    )

    def function(x: Tensor, *weights: Tensor) -> Tensor:
        given = dict(zip(names, weights, strict=True))
        output, _ = torch.func.functional_call(layer, given, (x,), {"lengths": [5, 0, 3]})
        return output

    assert gradcheck(function, point, rtol=1e-5, atol=1e-7)
    assert gradgradcheck(function, point, rtol=1e-5, atol=1e-7, fast_mode=True)


@pytest.mark.parametrize("value", [1e30, -1e30])
def test_huge_inputs_stay_finite(value):
    fused, _ = pair("cpu", "lstm")
    x = torch.full((3, 2, D), value, requires_grad=True)
    output, _ = fused(x)
    assert torch.isfinite(output).all()
    assert torch.isfinite(torch.autograd.grad(output.sum(), x)[0]).all()


@pytest.mark.parametrize(
    ("options", "call", "reason"),
    [
        ({"maps": gated.Convolution((3,))}, {}, "it has no convolution"),
        ({"dtype": torch.float16}, {}, "float32 and float64"),
    ],
)
def test_what_it_cannot_run_is_refused_with_the_reason(options, call, reason):
    layer = gated.Recurrent("lstm", D, H, engine="cpu", **options)
    extent = (9,) if "maps" in options else ()
    with pytest.raises(EngineError, match=reason):
        layer(torch.zeros(T, B, D, *extent, dtype=options.get("dtype")), **call)


def test_auto_chooses_it_for_cells_that_pytorch_lacks():
    assert gated.Recurrent("peephole", D, H).choice(torch.zeros(T, B, D)).engine == "cpu"
