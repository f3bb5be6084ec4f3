"""The GPU engine in Triton's interpreter against the reference: every cell, both strategies."""

from __future__ import annotations

import pytest
import torch
from fused_cases import (
    HARD,
    NEAR,
    D,
    H,
    NamedAsBuffers,
    WithoutGates,
    agree,
    by_stored_numbers,
    jacobian,
    other_sign,
    pair,
)
from fused_cases import results as results_of
from fused_cases import traced as traced_of
from torch.autograd import gradgradcheck

import gated
from gated.cells import cell
from gated.engines.triton import ONE
from gated.engines.triton.loops import Generated
from gated.equations import Cell, U, W, tanh
from gated.errors import EngineError

STRATEGIES = list(ONE)
T, RAGGED = 4, [4, 0, 2, 3, 1]
HALF = [torch.bfloat16, torch.float16]


def results(layer, lengths):
    return results_of(layer, lengths, steps=T)


def traced(layer):
    return traced_of(layer, RAGGED, steps=T)


@pytest.mark.parametrize("cell", gated.cells())
@pytest.mark.parametrize("engine", STRATEGIES)
def test_every_cell_forward_and_backward_in_both_directions(engine, cell):
    fused, reference = pair(engine, cell, bidirectional=True, dtype=torch.float64)
    agree(results(fused, RAGGED), results(reference, RAGGED), NEAR[torch.float64])


@pytest.mark.parametrize("engine", STRATEGIES)
@pytest.mark.parametrize("cell", ["lstm", "gru-reset-before"])
def test_rows_of_one_length(cell, engine):
    fused, reference = pair(engine, cell, dtype=torch.float64)
    agree(results(fused, None), results(reference, None), NEAR[torch.float64])


@pytest.mark.parametrize("engine", STRATEGIES)
@pytest.mark.parametrize("cell", HARD)
def test_in_float32(cell, engine):
    fused, reference = pair(engine, cell)
    agree(results(fused, RAGGED), results(reference, RAGGED), NEAR[torch.float32])


@pytest.mark.parametrize("engine", STRATEGIES)
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_16_bits_are_nearer_to_the_truth_than_a_loop_of_16_bit_operations(engine, dtype):
    fused, loop = pair(engine, "lstm", dtype=dtype)
    exact = pair(engine, "lstm", dtype=torch.float64)[1]
    exact.load_state_dict(loop.state_dict())
    x = torch.randn(T, 16, D, dtype=dtype)
    with torch.no_grad():
        right = exact(x.double())
        ours, theirs = (distances(layer(x), right) for layer in (fused, loop))
    assert all(a <= b for a, b in zip(ours, theirs, strict=True)), (ours, theirs)


def distances(found, right):
    """How far outputs and states are from the truth, as root of the mean square."""
    pairs = zip((found[0], *found[1]), (right[0], *right[1]), strict=True)
    return [float((one.double() - two).square().mean().sqrt()) for one, two in pairs]


@pytest.mark.parametrize("engine", STRATEGIES)
@pytest.mark.parametrize(
    ("cell", "maps"),
    [
        ("lstm", "diagonal"),
        ("gru-reset-before", "diagonal"),
        ("lstm", gated.Heads(2)),
        ("slstm", gated.Heads(3)),
    ],
    ids=str,
)
def test_other_maps(cell, maps, engine):
    fused, reference = pair(engine, cell, maps=maps, dtype=torch.float64)
    agree(results(fused, RAGGED), results(reference, RAGGED), NEAR[torch.float64])


def test_layers_on_layers():
    options = {"num_layers": 2, "bidirectional": True, "dtype": torch.float64}
    fused, reference = pair("triton", "peephole", **options)
    agree(results(fused, RAGGED), results(reference, RAGGED), NEAR[torch.float64])


@pytest.mark.parametrize("engine", STRATEGIES)
@pytest.mark.parametrize("cell", ["fgr", "slstm", "lstmp", WithoutGates, NamedAsBuffers])
def test_a_trace_shows_every_gate_with_its_gradients(cell, engine):
    fused, reference = pair(engine, cell, bidirectional=True, dtype=torch.float64)
    agree(traced(fused), traced(reference), NEAR[torch.float64])


@pytest.mark.parametrize("engine", STRATEGIES)
def test_a_trace_in_16_bits_has_the_type_of_the_call(engine):
    layer = gated.LSTM(D, H, engine=engine, dtype=torch.bfloat16)
    _, _, trace = layer(torch.randn(3, 2, D, dtype=torch.bfloat16), trace=True)
    assert {trace[name].dtype for name in trace} == {torch.bfloat16}


class OneMatrix(Cell):
    def step(self, x, h):
        h = tanh(W.h @ x + U.h @ h)
        return h


@pytest.mark.parametrize("engine", STRATEGIES)
def test_a_product_with_nothing_added_to_it(engine):
    fused, reference = pair(engine, OneMatrix, dtype=torch.float64)
    agree(results(fused, RAGGED), results(reference, RAGGED), NEAR[torch.float64])


@pytest.mark.parametrize("engine", STRATEGIES)
def test_numbers_that_stand_with_the_other_sign_are_read_right(engine):
    fused, _ = pair(engine, "peephole", dtype=torch.float64)
    plain, other = (by_stored_numbers(fused, how) for how in (torch.clone, other_sign))
    agree(other, plain, NEAR[torch.float64])


def test_many_gradients_at_once_are_those_one_by_one():
    fused, _ = pair("triton", "peephole", dtype=torch.float64)
    many, one = (jacobian(fused, at_once=how) for how in (True, False))
    agree([many], [one], NEAR[torch.float64])


@pytest.mark.parametrize("engine", STRATEGIES)
def test_equal_calls_repeat_bit_for_bit(engine):
    fused, _ = pair(engine, "peephole")
    first, second = results(fused, RAGGED), results(fused, RAGGED)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("engine", STRATEGIES)
def test_the_way_back_can_be_gone_twice(engine):
    fused, _ = pair(engine, "lstm")
    x = torch.randn(3, 2, D, requires_grad=True)
    loss = fused(x)[0].square().sum()
    (once,) = torch.autograd.grad(loss, x, retain_graph=True)
    (again,) = torch.autograd.grad(loss, x)
    assert torch.equal(once, again)


@pytest.mark.parametrize("engine", STRATEGIES)
@pytest.mark.parametrize("cell", ["lstm", "slstm"])
def test_a_row_of_nan_and_one_of_huge_numbers_change_no_other(cell, engine):
    fused, _ = pair(engine, cell)
    x = torch.randn(4, 5, D)
    bad = x.clone()
    bad[:, 1], bad[:, 3] = torch.nan, 1e30
    with torch.no_grad():
        (output, _), (spoilt, _) = fused(x), fused(bad)
    assert torch.equal(output[:, [0, 2, 4]], spoilt[:, [0, 2, 4]])
    assert spoilt[:, 1].isnan().all()
    assert spoilt[:, 3].isfinite().all()


@pytest.mark.parametrize("engine", STRATEGIES)
def test_nan_in_padding_changes_nothing(engine):
    fused, _ = pair(engine, "lstm")
    x, lengths = torch.randn(4, 3, D), [4, 0, 2]
    padded = x.clone()
    padded[2:, 2], padded[:, 1] = torch.nan, torch.nan
    found = []
    for each in (x, padded):
        each.requires_grad_()
        output, states = fused(each, lengths=lengths)
        (gradient,) = torch.autograd.grad(output.sum(), each)
        found.append([output, *states, gradient])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("engine", STRATEGIES)
def test_a_sequence_in_chunks_is_the_whole_one(engine):
    fused, _ = pair(engine, "peephole", dtype=torch.float64)
    x = torch.randn(6, 3, D, dtype=torch.float64)
    with torch.no_grad():
        whole, end = fused(x)
        first, state = fused(x[:2])
        second, last = fused(x[2:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=1e-14)
    torch.testing.assert_close(last, end, rtol=0, atol=1e-14)


def test_second_derivatives_are_those_of_finite_differences():
    layer = gated.LSTM(1, 2, engine="triton", dtype=torch.float64)
    names = [name for name, _ in layer.named_parameters()]
    point = (
        torch.randn(2, 2, 1, dtype=torch.float64, requires_grad=True),
        *(weight.detach().clone().requires_grad_() for weight in layer.parameters()),
    )

    def function(x, *weights):
        given = dict(zip(names, weights, strict=True))
        output, _ = torch.func.functional_call(layer, given, (x,), {"lengths": [2, 1]})
        return output

    assert gradgradcheck(function, point, rtol=1e-5, atol=1e-7, fast_mode=True)


def test_a_strategy_asked_for_by_name_says_why_it_cannot():
    layer = gated.LSTM(D, 4096, engine="triton-resident")
    with pytest.raises(EngineError, match="'triton-resident' cannot run this: resident: "):
        layer(torch.zeros(2, 1, D))


def test_what_stands_in_the_way_of_sizes_is_found_once_for_a_setting_of_tf32(monkeypatch):
    asked = []
    loops = Generated(cell("lstm").graph, torch.float32, False, "resident")
    resident = loops.strategies["resident"]
    monkeypatch.setattr(resident, "obstacle", lambda sizes: asked.append(sizes["H"]))
    for size in (8, 8, 16):
        loops.strategy({"D": 4, "H": size})
    assert asked == [8, 16]
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        loops.strategy({"D": 4, "H": 8})
    finally:
        torch.set_float32_matmul_precision(before)
    assert asked == [8, 16, 8]
