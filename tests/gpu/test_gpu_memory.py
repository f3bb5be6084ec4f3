"""Memory: what stays after many shapes, and what a forward pass without gradients keeps."""

from __future__ import annotations

import gc
import random

import pytest
import torch
from gpu_cases import DEVICE, layer

import gated

pytestmark = pytest.mark.skipif(DEVICE != "cuda", reason="counts the GPU's memory")
MB = 1 << 20


def held() -> tuple[int, int]:
    """Bytes of tensors, and bytes taken from the device."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated(), torch.cuda.memory_reserved()


@pytest.mark.parametrize("learns", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize(
    ("cell", "engine", "options"),
    [
        ("lstm", "triton-stepwise", {}),
        ("lstm", "triton-resident", {"maps": gated.Heads(2)}),
        ("minlstm", "scan", {}),
    ],
    ids=["stepwise", "heads", "scan"],
)
def test_memory_does_not_grow_with_the_number_of_shapes(cell, engine, options, learns):
    of = layer(cell, engine, 32, 64, **options)
    draw = random.Random(0)
    before = (0, 0)
    for call in range(400):
        x = torch.randn(draw.randint(1, 40), draw.randint(1, 32), 32, device=DEVICE)
        with torch.set_grad_enabled(learns):
            for _ in range(3 if call % 8 == 0 else 1):  # some shapes come again at once
                output = of(x)[0]
                if learns:
                    output.sum().backward()
        of.zero_grad()
        del x, output
        if call == 200:
            before = held()
    after = held()
    grown = [(b - a) / MB for a, b in zip(before, after, strict=True)]
    assert grown[0] <= 10, grown
    assert grown[1] <= 40, grown


def test_a_layer_that_is_gone_leaves_nothing():
    def once() -> None:
        of = layer("lstm", "triton-stepwise", 32, 256)
        x = torch.randn(20, 16, 32, device=DEVICE)
        for _ in range(5):
            of(x)[0].sum().backward()

    once()
    before = held()
    for _ in range(5):
        once()
    assert held()[0] - before[0] <= 1 * MB


def test_a_forward_pass_without_gradients_keeps_only_its_results():
    of = layer("lstm", "triton", 64, 512)
    x = torch.randn(200, 32, 64, device=DEVICE)
    with torch.no_grad():
        for _ in range(4):  # until what is kept for equal calls is kept
            of(x)
        before, _ = held()
        output, state = of(x)
    size = sum(v.numel() * 4 for v in (output, *state))
    assert held()[0] - before <= 1.1 * size + 8 * MB
