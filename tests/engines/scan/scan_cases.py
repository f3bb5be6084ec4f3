"""Cells whose state is linear, and scans with what a loop over single rows gives for them."""

from __future__ import annotations

import torch
from torch import Tensor

from gated.engines.scan.steps import Steps
from gated.equations import Cell, U, W, b, p, relu, tanh
from linear_cells import Window

LARGE = 3e38


class Chain(Cell):
    """The second state reads the first, through a matrix; the first's coefficient is a vector."""

    def step(self, x, h, s):
        s = tanh(p.s) * s + W.s @ x
        kept = h / (1 + relu(s))
        h = kept - tanh(U @ s + b.h)
        return h, s


class Late(Cell):
    """A sum over time, and a state that reads it as it was before the step."""

    def step(self, x, h, s):
        h = tanh(s)
        s = s + W @ x
        return h, s


OWN = [Window, Chain, Late]


def by_hand(a: Tensor, b: Tensor, initial: Tensor, steps: Steps, shifted: bool = False) -> Tensor:
    """The states after each step, row by row and step by step."""
    sizes = steps.sizes
    reach = [steps.batch] * (steps.total // steps.batch) if sizes is None else sizes.tolist()
    starts = [sum(reach[:t]) for t in range(len(reach))]
    out = torch.zeros_like(b)
    for row in range(steps.batch):
        places = [start + row for start, size in zip(starts, reach, strict=True) if row < size]
        state, factor = initial[row], torch.ones_like(initial[row])
        for place in reversed(places) if steps.reverse else places:
            state = (factor if shifted else a[place]) * state + b[place]
            out[place], factor = state, a[place]
    return out


def line(*numbers: float) -> Tensor:
    return torch.tensor(numbers).unsqueeze(1)


# coefficients, offsets and a first state whose products leave the range of float32
HARD = {
    "grows, but stays in its place": (line(*[2.0] * 200), line(*[-1.0] * 200), 1.0),
    "no state to grow": (line(*[1e30] * 8), line(*[0.0] * 8), 0.0),
    "up and down": (line(1e30, 1e30, 1e-30, 1e-30).repeat(2, 1), line(*[0.0] * 8), 1e-30),
    "down and up": (line(1e-25, 1e-25, 1e25, 1e25).repeat(2, 1), line(*[0.0] * 8), 1e20),
    "a large state fades": (line(*[1e-20] * 8), line(*[0.0] * 8), 1e38),
    "large ends, both signs": (line(*[1.0] * 6), line(LARGE, 0, -LARGE, LARGE, -LARGE, 0), -LARGE),
    "it overflows": (line(*[3.0] * 100), line(*[1.0] * 100), 1.0),
    "the first state is infinite": (line(*[0.5] * 8), line(*[1.0] * 8), torch.inf),
    "an offset is infinite": (line(*[0.5] * 8), line(1, 1, 1, torch.inf, 1, 1, 1, 1), 1.0),
    "an offset is NaN": (line(*[0.5] * 8), line(1, 1, 1, torch.nan, 1, 1, 1, 1), 1.0),
    "a coefficient is NaN": (line(1, 1, 1, torch.nan, 1, 1, 1, 1), line(*[1.0] * 8), 1.0),
}  # fmt: skip
