"""Numbers: PyTorch's own error, tf32, determinism, extremes, memory that nobody set, autocast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from gpu_cases import (
    DEVICE,
    NOTED,
    TYPES,
    agree,
    compare,
    errors,
    layer,
    results,
    same_bits,
    sample,
    skip_unless_supported,
    twins,
)
from torch import nn

import gated

FUSED = ["triton-resident", "triton-stepwise"]


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if on else "highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("engine", FUSED)
def test_tf32_is_used_where_pytorch_is_told_to_and_nowhere_else(engine):
    maps = {"maps": gated.Heads(4)} if engine == "triton-resident" else {}
    mine, truth = twins("lstm", engine, width=256, hidden=256, **maps)
    with torch.no_grad():
        mine.weight_hh_l0.mul_(4)
        truth.weight_hh_l0.copy_(mine.weight_hh_l0)
    given = sample(mine, 5, 64)
    skip_unless_supported(mine, given)
    right = results(truth, given)
    apart = {}
    for on in (False, True):
        with tf32(on):
            apart[on] = max(errors(results(mine, given), right).values())
    NOTED.append(f"{apart[False]:.1e} without, {apart[True]:.1e} with tf32")
    assert apart[False] <= 1e-5
    if DEVICE == "cuda":  # the interpreter has no tf32
        assert 5e-5 < apart[True] < 2e-2


@pytest.mark.parametrize(
    ("cell", "engine", "options"),
    [
        ("lstm", "triton-stepwise", {}),
        ("layernorm-lstm", "triton-stepwise", {}),
        ("peephole", "triton-resident", {"hidden": 32, "maps": gated.Heads(2)}),
        ("indrnn", "triton-resident", {}),
        ("minlstm", "scan", {}),
    ],
    ids=str,
)
def test_float64_is_computed_in_float64(cell, engine, options):
    mine, truth = twins(cell, engine, torch.float64, bidirectional=True, **options)
    compare(mine, truth, sample(mine, 7, 5, [7, 0, 3, 5, 1]))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_are_at_most_twice_as_far_off_as_pytorchs_layer(dtype):
    kind, width = TYPES[dtype], 64
    mine, truth = twins("lstm", "triton", kind, width=width, hidden=width)
    theirs = nn.LSTM(width, width, device=DEVICE, dtype=kind)
    theirs.load_state_dict(mine.state_dict())
    given = sample(mine, 100, 16)
    x = given.x.to(DEVICE, kind)
    right = truth(given.x)[0].detach()
    off = [float((of(x)[0].double().cpu() - right).abs().max()) for of in (mine, theirs)]
    assert off[0] <= 2 * off[1], off


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("cell", "engine", "options"),
    [
        ("lstm", "triton-stepwise", {"hidden": 256}),
        ("lstm", "triton-resident", {"hidden": 128, "maps": gated.Heads(4)}),
        ("peephole", "triton", {"hidden": 500, "bidirectional": True}),
        ("minlstm", "scan", {"hidden": 300}),
        ("sru", "triton-resident", {"hidden": 300}),
    ],
    ids=str,
)
def test_equal_calls_repeat_bit_for_bit(cell, engine, options, dtype):
    of = layer(cell, engine, **options).to(TYPES[dtype])
    given = sample(of, 20, 19, [20 - k for k in range(19)])
    first = results(of, given)
    for _ in range(4):  # a graph replays from the second or third on
        noise = torch.full((1 << 20,), torch.nan, device=DEVICE)  # other addresses, other content
        same_bits(results(of, given), first)
        del noise


@pytest.mark.parametrize("engine", FUSED)
def test_permuting_the_batch_changes_no_bit(engine):
    of = layer("indrnn" if engine == "triton-resident" else "peephole", engine, 8, 64)
    x = torch.randn(9, 40, 8, device=DEVICE)
    order = torch.randperm(40, device=DEVICE)
    assert torch.equal(of(x)[0][:, order], of(x[:, order])[0])


@pytest.mark.filterwarnings("ignore")  # what has no deterministic form says so
@pytest.mark.parametrize("engine", ["triton-resident", "triton-stepwise", "scan"])
@pytest.mark.parametrize("cell", ["lstm", "gru-reset-before", "sru", "minlstm", "slstm"])
def test_memory_that_nobody_set_is_not_read(cell, engine):
    of = layer(cell, engine, bidirectional=True)
    given = sample(of, 7, 5, [7, 0, 3, 5, 1])
    skip_unless_supported(of, given)
    expected = results(of, given)
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills what is empty with NaN
    try:
        assert torch.empty(3, device=DEVICE).isnan().all()
        found = results(of, given)
    finally:
        torch.use_deterministic_algorithms(False)
    agree(found, {name: value.double().cpu() for name, value in expected.items()})


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole", "layernorm-lstm", "minlstm", "sru"])
def test_huge_inputs_stay_finite(cell, dtype):
    of = layer(cell, "triton", 5, 64).to(TYPES[dtype])
    most = 6e4 if dtype == "float16" else 1e30
    x = torch.full((3, 4, 5), most, device=DEVICE, dtype=TYPES[dtype])
    x[:, 1::2] *= -1
    plain = layer(cell, "reference", 5, 64).to(TYPES[dtype])
    plain.load_state_dict(of.state_dict())
    found = []
    for each in (of, plain):
        leaf = x.clone().requires_grad_()
        output = each(leaf)[0]
        found.append([output, *torch.autograd.grad(output.sum(), [leaf, each.weight_ih_l0])])
    for mine, right in zip(*found, strict=True):
        assert mine[right.isfinite()].isfinite().all()
    assert found[1][0].isfinite().all() or cell == "layernorm-lstm", "the case says nothing"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("engine", FUSED)
def test_types_under_autocast_are_those_of_pytorchs_layer(engine, dtype):
    maps = {"maps": gated.Heads(2)} if engine == "triton-resident" else {}
    of, theirs = layer("lstm", engine, 8, 64, **maps), nn.LSTM(8, 64, device=DEVICE)
    x = torch.randn(5, 4, 8, device=DEVICE, requires_grad=True)
    found = []
    for each in (of, theirs):
        with torch.autocast(DEVICE, dtype):
            output, (h, c) = each(x)
        gradients = torch.autograd.grad(output.float().sum(), [x, each.weight_hh_l0])
        found.append([v.dtype for v in (output, h, c, *gradients)])
    assert found[0] == found[1]


def test_a_regulariser_draws_what_the_reference_draws():
    cell = gated.zoneout("lstm", h=0.1, c=0.4)
    of, plain = layer(cell, "triton", 8, 64), layer(cell, "reference", 8, 64)
    plain.load_state_dict(of.state_dict())
    x, found = torch.randn(9, 6, 8, device=DEVICE), []
    for each in (of, plain):
        torch.manual_seed(3)
        output = each(x)[0]
        found.append([output, *torch.autograd.grad(output.square().sum(), [*each.parameters()])])
    for mine, right in zip(*found, strict=True):
        scale = max(1.0, float(right.detach().abs().max()))
        torch.testing.assert_close(mine, right, rtol=0, atol=1e-5 * scale)
