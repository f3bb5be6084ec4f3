"""Layers on a fused engine beside the reference: the same weights, inputs and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import gated
from gated.equations import Cell, U, V, W, p, tanh

D, H, P, T, B = 5, 6, 4, 7, 5
RAGGED = [7, 0, 3, 5, 1]
# what each number type allows between two orders of summation
NEAR = {torch.float64: 1e-12, torch.float32: 1e-5}
HARD = ["lstm", "gru-reset-before", "fgr", "slstm"]


class WithoutGates(Cell):
    def step(self, x, h, c):
        c = tanh(W @ x + U @ h)
        h = 0.5 * h + c
        return h, c


class NamedAsBuffers(Cell):
    def step(self, x, h, products, stream_0):
        given_0 = tanh(W @ x + U @ h + p * products)
        products = 0.5 * products + V @ (given_0 * given_0)
        stream_0 = given_0 * stream_0
        h = tanh(products + stream_0)
        return h, products, stream_0


def pair(
    engine: str, cell: str | type[Cell], **options: Any
) -> tuple[gated.Recurrent, gated.Recurrent]:
    """Two layers with the same weights, on an engine and on the reference."""
    letters = (gated.cell(cell) if isinstance(cell, str) else cell).graph.letters
    own = {letter: P for letter in letters if letter not in ("D", "H")}
    torch.manual_seed(0)
    reference = gated.Recurrent(cell, D, H, engine="reference", **own, **options)
    fused = gated.Recurrent(cell, D, H, engine=engine, **own, **options)
    fused.load_state_dict(reference.state_dict())
    return fused, reference


def results(
    layer: gated.Recurrent, lengths: list[int] | None, threads: int = 1, steps: int = T
) -> list[Tensor]:
    """Outputs, states and the gradients of everything that goes in."""
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    dtype = next(layer.parameters()).dtype
    graph = layer.cell.graph
    letters = {"D": D, "H": H, **layer.sizes}
    widths = [letters[n] if isinstance(n, str) else n for n in graph.input_sizes.values()]
    x, *others = [torch.rand(steps, B, n, dtype=dtype) * 2 - 0.5 for n in widths]
    others = [value.abs() for value in others]
    sizes = [letters[s.size] if isinstance(s.size, str) else s.size for s in graph.states]
    rows = layer.num_layers * layer.num_directions
    states = [torch.rand(rows, B, n, dtype=dtype) + 0.5 for n in sizes]
    everything = [value.requires_grad_() for value in (x, *others, *states)]
    further = dict(zip(list(graph.input_sizes)[1:], others, strict=True))
    hx = tuple(states) if len(states) > 1 else states[0]
    output, final = layer(x, hx, lengths=lengths, **further)
    found = [output, *(final if isinstance(final, tuple) else (final,))]
    loss = sum((value * torch.randn_like(value)).sum() for value in found)
    wanted = [*everything, *layer.parameters()]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    return [*found, *gradients]


def traced(layer: gated.Recurrent, lengths: list[int] | None, steps: int = T) -> list[Tensor]:
    """Every named value of a layer in both directions, and the gradients that follow from them."""
    torch.manual_seed(1)
    x = torch.randn(steps, B, D, dtype=torch.float64, requires_grad=True)
    _, _, trace = layer(x, lengths=lengths, trace=True)
    shown = [value for name in trace for value in (trace.at(0, 0)[name], trace.at(0, 1)[name])]
    loss = sum((value * torch.randn_like(value)).sum() for value in shown)
    gradients = torch.autograd.grad(
        loss, [x, *layer.parameters()], allow_unused=True, materialize_grads=True
    )
    return [*shown, *gradients]


def other_sign(value: Tensor) -> Tensor:
    """The same numbers, which stand in memory with the other sign."""
    value = torch.complex(torch.zeros_like(value), -value).conj().imag
    assert value.is_neg()
    return value


def by_stored_numbers(layer: gated.Recurrent, stored: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Output and gradients where parameters and the output's gradient are stored in a way."""
    torch.manual_seed(1)
    x = torch.randn(2, 3, D, dtype=torch.float64)
    weights = {n: stored(w.detach()).requires_grad_() for n, w in layer.named_parameters()}
    output, _ = torch.func.functional_call(layer, weights, (x,))
    return [
        output,
        *torch.autograd.grad(output, weights.values(), stored(torch.randn_like(output))),
    ]


def agree(one: list[Tensor], two: list[Tensor], near: float) -> None:
    for a, b in zip(one, two, strict=True):
        scale = 1 + float(b.detach().abs().max()) if b.numel() else 1
        torch.testing.assert_close(a, b, rtol=0, atol=near * scale)


def jacobian(layer: gated.Recurrent, *, at_once: bool) -> Tensor:
    """The derivative of each output of two steps by each input, together or one by one."""
    torch.manual_seed(1)
    x = torch.randn(2, 1, D, dtype=torch.float64)
    found: Tensor = torch.autograd.functional.jacobian(lambda v: layer(v)[0], x, vectorize=at_once)
    return found


class Recorder:
    """Stands in for the operators, and notes with which arguments they are called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            return getattr(torch.ops.gated, name)(*arguments)

        return call
