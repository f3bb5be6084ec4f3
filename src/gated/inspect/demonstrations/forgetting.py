"""Partial forgetting: each unit keeps a share, every share fades, and what is kept is overlaid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from gated.inspect.demonstrations.demonstration import (
    Array,
    Curves,
    Demonstration,
    Line,
    Table,
    conclude,
)
from gated.inspect.demonstrations.numbers import number
from gated.inspect.demonstrations.running import network
from gated.inspect.measures.memory import half_life
from gated.inspect.words import percent

__all__ = ["kept", "overlaid", "run"]

OPEN = 40.0  # a bias at which σ is 1 in float64


def run(
    steps: int = 100,
    keeps: tuple[float, ...] = (0.5, 0.9, 0.99, 1.0),
    biases: tuple[float, ...] = (0.0, 1.0, 3.0, 5.0, 10.0),
    rows: int = 4000,
    seed: int = 0,
) -> Demonstration:
    """What an LSTM's units keep of what they held, and how well it can be told apart later.

    Args:
        steps: T.
        keeps: the forget gates of the units of one layer.
        biases: b.f of units that see no input.
        rows: B, sequences over which the overlaid memory is judged.
        seed: of what is held and of what comes later.
    """
    shares, lives = kept(keeps, steps)
    table = tuple((f, float(s), float(n)) for f, s, n in zip(keeps, shares[-1], lives, strict=True))
    gates = [_sigmoid(b) for b in biases]
    by_bias = zip(biases, gates, *_ends(gates, steps), strict=True)
    bias_table = tuple((b, f, float(s), float(n)) for b, f, s, n in by_bias)
    told = overlaid(steps, rows, seed)
    return conclude(
        "forgetting",
        all(0 < share < 1 for f, share, _ in table if f < 1) and told[-1] < 0.9,
        done=_done(len(keeps), steps, rows),
        found=_found(table, bias_table, float(told[-1]), steps),
        tables=(
            Table(f"what is kept after {steps} steps", ("f", "share", "half-life"), table),
            Table("the bias of the forget gate", ("b", "f", "share", "half-life"), bias_table),
        ),
        curves=(_fading(keeps, shares), _overlay(told)),
        numbers={f"kept {f:g}": share for f, share, _ in table}
        | {f"half-life {f:g}": life for f, _, life in table}
        | {"told apart": float(told[-1])},
    )


def _ends(gates: Sequence[float], steps: int) -> tuple[Array, Array]:
    shares, lives = kept(tuple(gates), steps)
    return shares[-1], lives


def _done(units: int, steps: int, rows: int) -> tuple[str, ...]:
    return (
        f"One LSTM layer of {units} units, each with its own forget gate, starts at c = 1 and runs "
        f"{steps} steps without writing.",
        "The same with the biases that people give the forget gate, in units that see nothing "
        "else: f = σ(b).",
        f"One unit with f = 1 holds a random number while random inputs are written into it, in "
        f"{rows:,} sequences: how much of the spread of the last c comes from the number that it "
        "held (R²).",
    )


def _found(
    table: tuple[tuple[float, ...], ...],
    biases: tuple[tuple[float, ...], ...],
    told: float,
    steps: int,
) -> tuple[str, ...]:
    shares = ", ".join(f"f = {f:g} keeps {_share(s)}" for f, s, _ in table)
    lives = ", ".join(f"{number(n)} (f = {f:g})" for f, _, n in table if f < 1)
    bias_lives = ", ".join(f"{number(n)} (b = {b:g})" for b, _, _, n in biases)
    return (
        f"In one layer, at the same time: {shares} after {steps} steps. Forgetting is by unit, and "
        "by shares.",
        f"Half-lives in steps: {lives}.",
        f"A bias is no promise. Half-lives in steps: {bias_lives}. σ(b) is below 1 for every b, so "
        "everything fades in the end.",
        f"With f = 1 exactly nothing fades, and yet: after {steps} steps of writing, only "
        f"{percent(told)} of what c shows is the number that it held. The rest is what came later. "
        "To keep it, i must close as well.",
    )


def _fading(keeps: tuple[float, ...], shares: Array) -> Curves:
    at = np.arange(len(shares))
    lines = {f"f = {f:g}": Line.of(at, shares[:, k]) for k, f in enumerate(keeps)}
    return Curves("What is left of c", "steps later", "share", lines)


def _overlay(told: Array) -> Curves:
    at = np.arange(len(told))
    return Curves(
        "f = 1 while the unit is written to: how much of c is what it held",
        "steps later",
        "R²",
        {"measured": Line.of(at, told)},
        {"1 / (1 + steps · variance written)": Line.of(at, 1 / (1 + at * _written()))},
    )


def kept(keeps: tuple[float, ...], steps: int) -> tuple[Array, Array]:
    """Shares of c after 0 to T steps, (T + 1, H), and half-lives (H,), one unit for each f.

    >>> shares, lives = kept((0.5, 1.0), 2)
    >>> shares.tolist(), lives.round(6).tolist()
    ([[1.0, 1.0], [0.5, 1.0], [0.25, 1.0]], [1.0, inf])
    """
    units = len(keeps)
    layer = network(
        "lstm", 1, units, {"b.f": torch.tensor([_bias(f) for f in keeps], dtype=torch.float64)}
    )
    start = torch.zeros(1, units, dtype=torch.float64), torch.ones(1, units, dtype=torch.float64)
    with torch.no_grad():
        trace = layer(torch.zeros(steps, 1, dtype=torch.float64), start, trace=True)[2].at()
    lives = half_life(trace["f"].numpy())
    return np.vstack([np.ones(units), trace["c"].numpy()]), lives.round(9)


def overlaid(steps: int, rows: int, seed: int, weight: float = 0.3) -> Array:
    """R² of the cell state by what it held at first, after 0 to T steps: (T + 1,).

    One unit with f = 1 and i = 0.5 writes g = tanh(weight * x), x from N(0, 1); it held a number
    from N(0, 1) at first.
    """
    draw = torch.Generator().manual_seed(seed)
    held = torch.randn(rows, 1, generator=draw, dtype=torch.float64)
    x = torch.randn(steps, rows, 1, generator=draw, dtype=torch.float64)
    layer = network("lstm", 1, 1, {"b.f": OPEN, "W.g": weight})
    with torch.no_grad():
        start = torch.zeros(1, rows, 1, dtype=torch.float64), held[None]
        trace = layer(x, start, trace=True)[2].at()
    c = np.vstack([held[None, :, 0].numpy(), trace["c"][..., 0].numpy()])
    return np.array([np.corrcoef(now, c[0])[0, 1] ** 2 for now in c])


def _written(weight: float = 0.3) -> float:
    """The variance of 0.5 tanh(weight x), x from N(0, 1), by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    return float((weights * (0.5 * np.tanh(weight * nodes)) ** 2).sum() / math.sqrt(2 * math.pi))


def _share(value: float) -> str:
    return percent(value) if value >= 0.001 else number(value)


def _bias(share: float) -> float:
    """The bias at which σ is that share."""
    return OPEN if share == 1 else math.log(share / (1 - share))


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))
