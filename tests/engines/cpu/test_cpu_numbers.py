"""The CPU engine's numbers: float32 beside PyTorch's, odd sizes, memory that was not set."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import random
import threading
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gated
from gated.engines.cpu import pool
from gated.engines.cpu.build import unavailable

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="needs a C++ compiler")
BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("float32_errors", BENCH / "float32_errors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("forget_bias", [1.0, 6.0])
def test_float32_with_its_gradients_is_at_most_twice_as_far_off_as_pytorchs(bench, forget_bias):
    sides = {
        "theirs": partial(nn.LSTM, bench.D, bench.H),
        "ours": partial(gated.LSTM, bench.D, bench.H, engine="cpu"),
    }
    truth = partial(nn.LSTM, bench.D, bench.H, dtype=torch.float64)
    found = bench.compared(sides, truth, partial(bench.lstm, forget_bias), 100, 8)
    for kind in bench.KINDS:
        assert found["ours"][kind] <= 2 * found["theirs"][kind], kind


# -- odd sizes


def pair(cell: str, width: int, hidden: int, **options: Any) -> tuple[nn.Module, nn.Module]:
    """Two layers with the same weights, on the CPU engine and on the reference."""
    letters = gated.cell(cell).graph.letters
    own = {letter: max(1, hidden // 2) for letter in letters if letter not in ("D", "H")}
    reference = gated.Recurrent(cell, width, hidden, engine="reference", **own, **options)
    fused = gated.Recurrent(cell, width, hidden, engine="cpu", **own, **options)
    fused.load_state_dict(reference.state_dict())
    return fused, reference


def results(
    layer: nn.Module, x: Tensor, lengths: list[int] | None, used: int | None = None
) -> list[Tensor]:
    """Outputs, states, and gradients of a loss of the first `used` of these."""
    x = x.clone().requires_grad_()
    output, states = layer(x, lengths=lengths)
    values = [output, *(states if isinstance(states, tuple) else (states,))]
    weighed = (
        v * torch.linspace(-1, 1, v.numel(), dtype=v.dtype).view_as(v) for v in values[:used]
    )
    loss = sum(v.sum() for v in weighed)
    wanted = [x, *layer.parameters()]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    return [*(v.detach() for v in values), *gradients]


@pytest.mark.parametrize(
    "cell",
    ["lstm", "gru", "gru-reset-before", "fgr", "layernorm-lstm", "slstm", "sru", "lstmp",
     "peephole", "mut1"],
)  # fmt: skip
def test_odd_sizes_give_what_the_reference_gives(cell):
    sizes = list(itertools.product((1, 5, 17, 33), (1, 7), (1, 2, 3, 9, 17), (1, 2, 20)))
    draw = random.Random(cell)
    for hidden, width, batch, steps in draw.sample(sizes, 12):
        directions = draw.random() < 0.5
        lengths = [draw.randint(0, steps) for _ in range(batch)] if draw.random() < 0.7 else None
        layers = pair(cell, width, hidden, bidirectional=directions, dtype=torch.float64)
        x = torch.randn(steps, batch, width, dtype=torch.float64)
        for one, two in zip(*(results(layer, x, lengths) for layer in layers), strict=True):
            scale = 1 + float(two.abs().max())
            torch.testing.assert_close(one, two, rtol=0, atol=1e-12 * scale)


# -- memory


def test_memory_that_nobody_set_is_not_read(monkeypatch):
    def poisoned(make: Any) -> Any:
        def empty(*args: Any, **options: Any) -> Tensor:
            return make(*args, **options).fill_(float("nan"))

        return empty

    x, lengths = torch.randn(5, 6, 7, dtype=torch.float64), [5, 0, 3, 1, 5, 2]
    for cell, used in itertools.product(("lstm", "gru-reset-before", "fgr", "slstm"), (1, None)):
        fused, _ = pair(cell, 7, 9, bidirectional=True, dtype=torch.float64)
        expected = results(fused, x, lengths, used)
        with monkeypatch.context() as patch:
            patch.setattr(pool, "empty", poisoned(pool.empty))
            patch.setattr(torch, "empty_like", poisoned(torch.empty_like))
            patch.setattr(torch.Tensor, "new_empty", poisoned(torch.Tensor.new_empty))
            found = results(fused, x, lengths, used)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_layers_in_turn_leave_each_other_nothing():
    one, _ = pair("lstm", 7, 9, dtype=torch.float64)
    other, _ = pair("lstm", 7, 33, dtype=torch.float64)
    x, wide = (torch.randn(20, batch, 7, dtype=torch.float64) for batch in (3, 17))
    first = results(one, x, None)
    results(other, wide.fill_(float("nan")), None)
    again = results(one, x, None)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def large(layer: nn.Module) -> Tensor:
    """The output of a call whose buffers come from the pool."""
    return layer(torch.randn(70, 64, 7, requires_grad=True))[0]


def test_a_block_comes_back_when_nobody_holds_it_and_not_before(monkeypatch):
    back = []
    monkeypatch.setattr(pool, "_give_back", back.append)
    layer = gated.LSTM(7, 64, engine="cpu")
    gc.disable()  # so that a cycle of references would keep it
    try:
        output = large(layer)
        held = weakref.ref(layer.weight_hh_l0)
        output.sum().backward()
        del layer
        part = output.detach()[3]
        del output
        given = len(back)
        del part
        assert len(back) == given + 1
        assert held() is None
    finally:
        gc.enable()


def test_what_stands_in_the_pool_is_as_any_other_tensor():
    layer, _ = pair("lstm", 7, 64)
    output = large(layer)
    assert output.untyped_storage().nbytes() == output.numel() * 4
    output.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        output.sum().backward()


def test_blocks_that_calls_have_no_use_for_go_back_to_the_system():
    layer, _ = pair("lstm", 7, 64)
    large(layer).sum().backward()
    assert pool._free
    for _ in range(200):
        layer(torch.randn(2, 3, 7))[0].sum().backward()
    assert not pool._free


def test_python_threads_may_run_one_layer_at_once():
    layer, _ = pair("lstm", 7, 64)
    inputs = [torch.randn(steps, 64, 7) for steps in (70, 90)]
    expected = [results(layer, x, None) for x in inputs]
    wrong: list[int] = []

    def run(number: int) -> None:
        for k in range(number, number + 6):
            found = results(layer, inputs[k % 2], None)
            if not all(torch.equal(a, b) for a, b in zip(found, expected[k % 2], strict=True)):
                wrong.append(k)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- some gradients, not all


def test_each_input_alone_has_the_gradient_that_it_has_among_all():
    layers = pair("lstm", 5, 6, dtype=torch.float64)
    x = torch.randn(7, 3, 5, dtype=torch.float64)
    states = [torch.randn(1, 3, 6, dtype=torch.float64) for _ in range(2)]
    names = [*dict(layers[0].named_parameters()), "x", "h0", "c0"]
    for chosen in names:
        found = []
        for layer in layers:
            leaves = {**dict(layer.named_parameters()), "x": x, "h0": states[0], "c0": states[1]}
            for name, leaf in leaves.items():
                leaf.requires_grad_(name == chosen)
            output, (h, c) = layer(x, tuple(states))
            loss = output.square().sum() + h.sum() + c.pow(3).sum()
            found += torch.autograd.grad(loss, leaves[chosen])
        torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 2)], ids=["output", "h", "c", "two"])
@pytest.mark.parametrize("lengths", [None, [7, 0, 4]], ids=["full", "ragged"])
def test_results_that_the_loss_leaves_out_change_no_gradient(used, lengths):
    layers = pair("lstm", 5, 6, dtype=torch.float64)
    x = torch.randn(7, 3, 5, dtype=torch.float64, requires_grad=True)
    found = []
    for layer in layers:
        output, states = layer(x, lengths=lengths)
        loss = sum((output, *states)[k].square().sum() for k in used)
        once = torch.autograd.grad(loss, [x, *layer.parameters()], retain_graph=True)
        twice = torch.autograd.grad(loss, [x, *layer.parameters()], retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(once, twice, strict=True))
        found.append(once)
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_a_second_derivative_of_a_gate_is_the_references():
    found = []
    x = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    layers = pair("lstm", 5, 6, dtype=torch.float64)
    for layer in layers:
        trace = layer(x, trace=True)[2]
        (once,) = torch.autograd.grad(trace["f"].square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(once.square().sum(), [x, layer.weight_hh_l0]))
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-12)
