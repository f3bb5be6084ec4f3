"""Clipping the gradient's norm, on a small training that explodes without it."""

from __future__ import annotations

import math

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
from gated.inspect.demonstrations.running import Fit, Given, fit, gaussian
from gated.inspect.words import number
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
    made = {"learning_rate": rate, "length": length, "units": units, "radius": radius}
    free = [train(seed, steps, math.inf, **made) for seed in seeds]  # type: ignore[arg-type]
    held = [train(seed, steps, clip, **made) for seed in seeds]  # type: ignore[arg-type]
    won, won_free = (sum(one.end() < LEARNED for one in kind) for kind in (held, free))
    rows = tuple(
        (seed, a.end(), float(a.norms.max()), b.end(), float(b.norms.max()))
        for seed, a, b in zip(seeds, free, held, strict=True)
    )
    shown = _telling(free, held)
    worst = int(free[shown].norms.argmax())
    return conclude(
        "clipping",
        won > won_free,
        done=(
            f"An RNN of {units} units reads {length} numbers, the first ±1, the others small "
            f"noise, and is to answer ±0.5 by the sign of the first. The read-out is fixed; its "
            f"own weights are learned by plain gradient descent, rate {rate:g}, {steps} batches of "
            "32.",
            f"The recurrent matrix starts with eigenvalues of modulus up to {radius:g}. Trained "
            f"from {len(seeds)} starts, each once as it is, once with the norm of the gradient "
            f"clipped at {clip:g} (torch.nn.utils.clip_grad_norm_), on the same batches.",
        ),
        found=(
            f"With clipping {won} of {len(seeds)} learn it (error below {LEARNED:g}), without "
            f"{won_free} of {len(seeds)}. Always answering 0 has the error {GUESS:g}.",
            f"From start {seeds[shown]}, without clipping, the gradient's norm is "
            f"{number(free[shown].norms[worst])} at batch {worst + 1}. One step that long throws "
            f"the weights far away: from then on the norm is {number(_after(free[shown], worst))} "
            f"in the middle, and the error ends at {number(free[shown].end())}. With clipping it "
            f"ends at {number(held[shown].end())}.",
            "Clipping shortens a step and keeps its direction. It brings back nothing that has "
            "vanished, and is no promise: "
            + (
                f"{len(seeds) - won} of {len(seeds)} still fail."
                if won < len(seeds)
                else "other rates and sizes still fail."
            ),
        ),
        tables=(
            Table(
                "error at the end, and the largest norm of the gradient",
                ("start", "free: error", "free: norm", "clipped: error", "clipped: norm"),
                rows,
            ),
        ),
        curves=(_losses(free[shown], held[shown], seeds[shown]), _norms(free[shown], clip)),
        numbers={"learned with": won, "learned without": won_free},
    )


def train(
    seed: int,
    steps: int,
    clip: float,
    *,
    learning_rate: float = 0.2,
    length: int = 40,
    units: int = 16,
    radius: float = 2.0,
) -> Fit:
    """One training; `clip` = inf leaves the gradient as it is, but measures its norm."""
    draw = torch.Generator().manual_seed(1000 + seed)
    weights = torch.rand(units, 1, generator=draw, dtype=torch.float64) * 2 - 1
    read = torch.randn(units, generator=draw, dtype=torch.float64) / math.sqrt(units)
    start = Given({"U": gaussian(units, radius, seed), "W": weights / math.sqrt(units)})
    layer = Recurrent(
        "rnn", 1, units, batch_first=True, dtype=torch.float64, init=start, engine="torch"
    )
    return fit(
        layer,
        lambda last: last @ read,
        lambda random: _batch(random, length),
        torch.optim.SGD(layer.parameters(), lr=learning_rate),
        steps=steps,
        seed=seed,
        clip=clip,
    )


def _batch(random: torch.Generator, length: int) -> tuple[Tensor, Tensor]:
    x = 0.1 * torch.randn(32, length, 1, generator=random, dtype=torch.float64)
    sign = torch.randint(2, (32,), generator=random).to(x.dtype) * 2 - 1
    x[:, 0, 0] = sign
    return x, 0.5 * sign


def _after(free: Fit, batch: int) -> float:
    """The median norm after a batch."""
    return float(np.median(free.norms[batch + 1 :])) if batch + 1 < len(free.norms) else math.nan


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
