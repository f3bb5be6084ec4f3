"""What says most in the first minute: each engine once, and what `auto` takes."""

from __future__ import annotations

import pytest
import torch
from gpu_cases import DEVICE, TYPES, compare, layer, sample, twins

import gated


@pytest.mark.parametrize(
    ("cell", "engine", "options"),
    [
        ("lstm", "triton-resident", {"maps": gated.Heads(2), "hidden": 64}),
        ("lstm", "triton-stepwise", {}),
        ("indrnn", "triton-resident", {}),
        ("minlstm", "scan", {}),
        ("peephole", "triton", {}),
        ("gru-reset-before", "triton", {}),
    ],
    ids=str,
)
def test_values_states_and_gradients_are_the_references(cell, engine, options):
    mine, truth = twins(cell, engine, **options)
    compare(mine, truth, sample(mine, 7, 5))


@pytest.mark.skipif(DEVICE != "cuda", reason="what auto takes on a GPU")
@pytest.mark.parametrize(
    ("cell", "hidden", "dtype", "taken"),
    [
        ("lstm", 768, torch.bfloat16, "torch"),  # where cuDNN's weights stay on the chip
        ("lstm", 768, torch.float16, "torch"),
        ("peephole", 768, torch.bfloat16, "triton"),
        ("layernorm-lstm", 512, torch.float32, "triton"),
        ("minlstm", 256, torch.float32, "scan"),
    ],
)
def test_auto_takes(cell, hidden, dtype, taken):
    of = layer(cell, "auto", hidden, hidden, dtype=dtype)
    engine, reason = of.choice(torch.zeros(1024, 16, hidden, device=DEVICE, dtype=dtype))
    assert engine == taken, reason


@pytest.mark.skipif(DEVICE != "cuda", reason="what auto takes on a GPU")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("lengths", [None, [9, 2, 5, 1, 9, 9, 3, 4]], ids=["full", "ragged"])
def test_auto_computes_what_the_reference_does_where_it_takes_cudnn(dtype, lengths):
    mine, truth = twins("lstm", "auto", TYPES[dtype], width=128, hidden=128)
    given = sample(mine, 9, 8, lengths)
    x = given.x.nan_to_num().to(DEVICE, TYPES[dtype])
    assert mine.choice(x, lengths=lengths).engine == "torch"
    compare(mine, truth, given)


def test_auto_never_hides_a_gate():
    of = layer("lstm", "auto", 128, 128, dtype=torch.bfloat16)
    x = torch.randn(8, 8, 128, device=DEVICE, dtype=torch.bfloat16)
    assert set(of(x, trace=True)[2]) == {"i", "f", "g", "o", "c", "h"}
