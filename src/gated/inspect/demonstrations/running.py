"""What the demonstrations share: weights by their symbols, gradients by step, a small training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gated.engines.reference import evaluate
from gated.inspect.demonstrations.demonstration import Array
from gated.inspect.recording.symbols import by_symbol
from gated.layers.parameters import Parameters
from gated.layers.recurrent import Recurrent

__all__ = ["Fit", "Given", "fit", "flow", "gaussian", "network", "orthogonal", "unroll"]


@dataclass(frozen=True)
class Given:
    """An initialisation by the equations' symbols: "U.f" for a parameter, "U" for a family.

    What is not named is 0; of PyTorch's two biases the first takes the value.
    """

    values: Mapping[str, Tensor | float]

    def fill(self, parameters: Parameters) -> None:
        """Fill the stored tensors of one layer and direction in place."""
        filled: set[str] = set()
        for slot in parameters.layout:
            blocks = parameters.stored[slot.name].chunk(len(slot.keys))
            for key, block in zip(slot.keys, blocks, strict=True):
                value = self.values.get(key, self.values.get(key.partition(".")[0], 0.0))
                block.copy_(torch.as_tensor(0.0 if key in filled else value, dtype=block.dtype))
                filled.add(key)


def network(
    cell: object,
    inputs: int,
    units: int,
    values: Mapping[str, Tensor | float],
    engine: str = "reference",
) -> Recurrent:
    """A layer of one cell in float64, its weights given by their symbols, D = inputs, H = units."""
    return Recurrent(
        cell, inputs, units, dtype=torch.float64, init=Given(values), engine=engine  # type: ignore[arg-type]
    )  # fmt: skip


def gaussian(units: int, radius: float, seed: int) -> Tensor:
    """A random matrix (H, H) whose largest eigenvalue has the modulus `radius`."""
    matrix = _normal(units, seed)
    matrix *= radius / float(torch.linalg.eigvals(matrix).abs().max())
    return matrix


def orthogonal(units: int, radius: float, seed: int) -> Tensor:
    """A random matrix (H, H) whose singular values, and moduli of eigenvalues, are all `radius`."""
    matrix: Tensor = torch.linalg.qr(_normal(units, seed))[0]
    return matrix.mul(radius)


def _normal(units: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(units, units, generator=draw, dtype=torch.float64)


def unroll(layer: Recurrent, x: Tensor) -> list[dict[str, Tensor]]:
    """Every equation's value at every step, each (H,), on one autograd graph.

    The first entry holds the states before the first step, entry t those after step t and its
    gates. What a step computes from a value, it computes from the tensor given here, so that a
    gradient at it is the total one: c of an LSTM also along its h.

    Args:
        layer: of one layer and direction.
        x: (T, D).
    """
    graph = layer.cell.graph
    symbols = by_symbol(layer)
    known = {n: symbols[n.label] for n in graph.nodes() if n.op == "parameter"}
    size = layer.hidden_size
    steps = [{name: x.new_zeros(size, requires_grad=True) for name in graph.previous}]
    for row in x:
        known[graph.inputs["x"]] = row
        known.update((node, steps[-1][name]) for name, node in graph.previous.items())
        values = evaluate(graph.equations.values(), known)
        steps.append({name: values[node] for name, node in graph.equations.items()})
    return steps


def flow(steps: Sequence[Mapping[str, Tensor]], loss: Tensor, name: str) -> Array:
    """The total gradient of a loss at a state before the first step and after each: (T + 1, H)."""
    leaves = [values[name] for values in steps]
    found = torch.autograd.grad(
        loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return np.asarray(torch.stack(found).numpy())


@dataclass(frozen=True)
class Fit:
    """A training: the loss and the gradient's norm before clipping, each (steps,)."""

    losses: Array
    norms: Array

    def end(self, share: float = 0.2) -> float:
        """The mean loss over the last share of the steps."""
        return float(self.losses[-max(1, int(share * len(self.losses))) :].mean())


def fit(
    layer: Recurrent,
    read: Callable[[Tensor], Tensor],
    draw: Callable[[torch.Generator], tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    seed: int,
    clip: float = math.inf,
) -> Fit:
    """Train a layer to give a number at the end of a sequence, by squared error.

    Args:
        layer: batch first.
        read: from the last output (B, H) to the answers (B,).
        draw: a new batch: x (B, T, D) and the right answers (B,).
        optimizer: over all that is learned.
        steps: batches.
        seed: of the batches.
        clip: the largest norm of the gradient.
    """
    random = torch.Generator().manual_seed(seed)
    learned = [p for group in optimizer.param_groups for p in group["params"]]
    losses, norms = [], []
    for _ in range(steps):
        x, y = draw(random)
        loss = (read(layer(x)[0][:, -1]) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norms.append(float(torch.nn.utils.clip_grad_norm_(learned, clip)))
        optimizer.step()
        losses.append(float(loss.detach()))
    return Fit(np.array(losses), np.array(norms))
