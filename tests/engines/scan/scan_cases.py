"""Cells whose state is linear, and scans with what a loop over single rows gives for them."""

from __future__ import annotations

import torch
from torch import Tensor

import gated
from gated.engines.scan.steps import Steps
from gated.equations import Cell, U, W, b, p, relu, sigmoid, tanh
from gated.equations.facts import linear

LINEAR = [name for name in gated.cells() if linear(gated.cell(name).graph)]


class Window(Cell):
    """The step before is read too, as a state; h is read by no step."""

    sizes = {"q": "D"}

    def step(self, x, h, c, q):
        g = tanh(W.g @ x + U.g @ q + b.g)
        f = sigmoid(W.f @ x + U.f @ q + b.f)
        o = sigmoid(W.o @ x + U.o @ q + b.o)
        c = f * c + (1 - f) * g
        h = o * c
        q = 1 * x
        return h, c, q


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


def by_hand(
    a: Tensor, b: Tensor, initial: Tensor, steps: Steps, shifted: bool = False
) -> Tensor:
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
