"""Odd sizes, long and wide ones, heads, diagonals, stacks of layers."""

from __future__ import annotations

import pytest
import torch
from gpu_cases import DEVICE, ENGINES, TYPES, agree, compare, layer, results, sample, twins

import gated

HARD = ["lstm", "gru-reset-before", "fgr", "layernorm-lstm", "slstm", "sru", "minlstm"]
LONG = 100_000 if DEVICE == "cuda" else 50


@pytest.mark.parametrize("cell", HARD)
@pytest.mark.parametrize("engine", ENGINES)
def test_many_steps_of_an_odd_width(cell, engine):
    mine, truth = twins(cell, engine, hidden=37)
    compare(mine, truth, sample(mine, 63, 5))


@pytest.mark.parametrize("cell", ["lstm", "gru", "layernorm-lstm", "slstm", "minlstm"])
@pytest.mark.parametrize("engine", ["triton", "scan"])
def test_many_units_and_rows(cell, engine):
    mine, truth = twins(cell, engine, width=19, hidden=500)
    compare(mine, truth, sample(mine, 9, 33, [9 - k % 10 for k in range(33)]))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("heads", "hidden"), [(2, 64), (3, 111), (12, 768), (4, 512)])
@pytest.mark.parametrize("cell", ["lstm", "gru", "gru-reset-before", "peephole", "slstm"])
def test_heads_in_one_kernel(cell, heads, hidden, dtype):
    options = {"maps": gated.Heads(heads), "hidden": hidden, "bidirectional": True}
    mine, truth = twins(cell, "triton-resident", TYPES[dtype], **options)
    compare(mine, truth, sample(mine, 7, 5, [7, 0, 3, 5, 1]))


@pytest.mark.parametrize("engine", ["triton-resident", "triton-stepwise"])
@pytest.mark.parametrize("cell", ["lstm", "gru-reset-before", "slstm", "peephole"])
def test_diagonal_maps(cell, engine):
    mine, truth = twins(cell, engine, maps="diagonal", hidden=300)
    compare(mine, truth, sample(mine, 7, 5, [7, 0, 3, 5, 1]))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("cell", ["lstm", "peephole"])
def test_layers_on_layers_in_both_directions(cell, dtype):
    mine, truth = twins(cell, "triton", TYPES[dtype], num_layers=3, bidirectional=True)
    compare(mine, truth, sample(mine, 7, 5, [7, 0, 3, 5, 1]))


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (2, 1), (1, 17), (0, 3), (3, 0), (5, 130)])
@pytest.mark.parametrize("engine", ["triton-resident", "triton-stepwise", "scan"])
def test_few_and_no_steps_and_rows(engine, steps, batch):
    mine, truth = twins("mingru" if engine == "scan" else "lstm", engine, hidden=32)
    compare(mine, truth, sample(mine, steps, batch))


@pytest.mark.parametrize(("cell", "engine"), [("indrnn", "triton-resident"), ("minlstm", "scan")])
def test_a_hundred_thousand_steps(cell, engine):
    mine, truth = twins(cell, engine, width=2, hidden=8)
    given = sample(mine, LONG, 1)
    with torch.no_grad():
        right = truth(given.x)[0]
    x = given.x.to(DEVICE, torch.float32).requires_grad_()
    output = mine(x)[0]
    agree({"output": output.detach()}, {"output": right})
    assert torch.autograd.grad(output[-1].sum(), x)[0].isfinite().all()


def test_time_may_be_cut_and_rows_dealt_out():
    of = layer("peephole", "triton", 8, 64)
    x = torch.randn(40, 6, 8, device=DEVICE)
    whole, (h, c) = of(x)
    first, state = of(x[:17])
    second, (h_cut, c_cut) = of(x[17:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.stack([h_cut, c_cut]), torch.stack([h, c]), rtol=0, atol=1e-6)
    few = of(x[:, 2:4])[0]
    torch.testing.assert_close(few, whole[:, 2:4], rtol=0, atol=1e-6)


def test_results_are_those_of_a_stream_of_steps():
    of = layer("slstm", "triton", 8, 64)
    x = torch.randn(6, 3, 8, device=DEVICE)
    with torch.no_grad():
        whole, state, parts = of(x)[0], None, []
        for now in x:
            output, state = of.step(now, state)
            parts.append(output)
    torch.testing.assert_close(torch.stack(parts), whole, rtol=0, atol=1e-6)


def test_what_pads_the_rows_gets_no_gradient():
    of = layer("lstm", "triton", 8, 64)
    given = sample(of, 9, 4, [9, 2, 0, 5])
    gradient = results(of, given)["gradient of x"]
    assert not any(gradient[n:, row].any() for row, n in enumerate([9, 2, 0, 5]))
