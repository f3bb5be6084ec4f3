"""Clipping the gradient's norm, on a small training that explodes without it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gated.inspect.demonstrations.demonstration import (
    Curves,
    Demonstration,
    Line,
    Table,
    conclude,
)
from gated.inspect.demonstrations.numbers import number
from gated.inspect.demonstrations.running import Fit, Given, fit, gaussian
from gated.layers.recurrent import Recurrent

__all__ = ["run", "train"]

GUESS = 0.25  # the error of always answering 0: the right answers are ±0.5
LEARNED = 0.02


def run(
    steps: int = 150,
    clip: float = 1.0,
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5),
    length: int = 40,
    units: int = 16,
    radius: float = 2.0,
    rate: float = 0.2,
) -> Demonstration:
    """An RNN learns to recall the sign of its first input, with and without clipping.

    Args:
        steps: batches of a training.
        clip: the largest norm that the gradient may have.
        seeds: one training of each kind for each.
        length: T of a sequence.
        units: H.
        radius: the largest modulus of an eigenvalue of U at the start.
        rate: the learning rate of plain gradient descent.
    """
    sizes = _Sizes(length, units, radius, rate)
    free = [train(seed, steps, math.inf, sizes) for seed in seeds]
    held = [train(seed, steps, clip, sizes) for seed in seeds]
    learned, learned_free = (sum(one.end() < LEARNED for one in kind) for kind in (held, free))
    shown = _telling(free, held)
    rows = tuple(
        (seed, a.end(), float(a.norms.max()), b.end(), float(b.norms.max()))
        for seed, a, b in zip(seeds, free, held, strict=True)
    )
    columns = ("start", "free: error", "free: norm", "clipped: error", "clipped: norm")
    return conclude(
        "clipping",
        learned > learned_free,
        done=_done(sizes, steps, len(seeds), clip),
        found=(
            f"With clipping {learned} of {len(seeds)} learn it (error below {LEARNED:g}), without "
            f"{learned_free} of {len(seeds)}. Always answering 0 has the error {GUESS:g}.",
            _told(free[shown], held[shown], seeds[shown]),
            "Clipping shortens a step and keeps its direction. It brings back nothing that has "
            f"vanished. With it, {len(seeds) - learned} of {len(seeds)} still fail.",
        ),
        tables=(Table("error at the end, and the largest norm of the gradient", columns, rows),),
        curves=(_losses(free[shown], held[shown], seeds[shown]), _norms(free[shown], clip)),
        numbers={"learned with": learned, "learned without": learned_free},
    )


@dataclass(frozen=True)
class _Sizes:
    length: int = 40
    units: int = 16
    radius: float = 2.0
    rate: float = 0.2


def _done(sizes: _Sizes, steps: int, starts: int, clip: float) -> tuple[str, ...]:
    return (
        f"An RNN of {sizes.units} units reads {sizes.length} numbers, the first ±1, the others "
        "small noise, and is to answer ±0.5 by the sign of the first. The read-out is fixed; its "
        f"own weights are learned by plain gradient descent, rate {sizes.rate:g}, {steps} batches "
        "of 32.",
        f"The recurrent matrix starts with eigenvalues of modulus up to {sizes.radius:g}. Trained "
        f"from {starts} starts, each once as it is, once with the norm of the gradient clipped at "
        f"{clip:g} (torch.nn.utils.clip_grad_norm_), on the same batches.",
    )


def _told(free: Fit, held: Fit, seed: int) -> str:
    """What happens where clipping makes the greatest difference."""
    worst = int(free.norms.argmax())
    after = free.norms[worst + 1 :]
    said = f": from then on the median norm is {number(float(np.median(after)))}" * bool(len(after))
    return (
        f"From start {seed}, without clipping, the norm of the gradient is "
        f"{number(free.norms[worst])} at batch {worst + 1}. One step that long throws the weights "
        f"far away{said}. The error ends at {number(free.end())}, with clipping at "
        f"{number(held.end())}."
    )


def train(seed: int, steps: int, clip: float, sizes: _Sizes | None = None) -> Fit:
    """One training; `clip` = inf leaves the gradient as it is, but measures its norm."""
    sizes = sizes or _Sizes()
    units, draw = sizes.units, torch.Generator().manual_seed(1000 + seed)
    weights = torch.rand(units, 1, generator=draw, dtype=torch.float64) * 2 - 1
    read = torch.randn(units, generator=draw, dtype=torch.float64) / math.sqrt(units)
    start = Given({"U": gaussian(units, sizes.radius, seed), "W": weights / math.sqrt(units)})
    layer = Recurrent(
        "rnn", 1, units, batch_first=True, dtype=torch.float64, init=start, engine="torch"
    )
    return fit(
        layer,
        lambda last: last @ read,
        lambda random: _batch(random, sizes.length),
        torch.optim.SGD(layer.parameters(), lr=sizes.rate),
        steps=steps,
        seed=seed,
        clip=clip,
    )


def _batch(random: torch.Generator, length: int) -> tuple[Tensor, Tensor]:
    x = 0.1 * torch.randn(32, length, 1, generator=random, dtype=torch.float64)
    sign = torch.randint(2, (32,), generator=random).to(x.dtype) * 2 - 1
    x[:, 0, 0] = sign
    return x, 0.5 * sign


def _telling(free: list[Fit], held: list[Fit]) -> int:
    """The start where clipping made the greatest difference."""
    return int(np.argmax([np.log(a.end() / b.end()) for a, b in zip(free, held, strict=True)]))


def _losses(free: Fit, held: Fit, seed: int) -> Curves:
    at = np.arange(1, len(free.losses) + 1)
    lines = {"without": Line.of(at, free.losses), "with clipping": Line.of(at, held.losses)}
    always = {"always answering 0": Line.of(at, 0 * at + GUESS)}
    return Curves(
        f"Error by batch, start {seed}", "batch", "squared error", lines, always, log=True
    )


def _norms(free: Fit, clip: float) -> Curves:
    at = np.arange(1, len(free.norms) + 1)
    return Curves(
        "Norm of the gradient without clipping",
        "batch",
        "norm",
        {"without": Line.of(at, free.norms, 1e-30)},
        {"where it would be clipped": Line.of(at, 0 * at + clip)},
        log=True,
    )
