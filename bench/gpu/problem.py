"""What is computed on the GPU: a layer over one batch of sequences, in a type of numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import gated
from bench.cpu.problem import lengths as ragged_lengths
from bench.cpu.problem import own_sizes
from gated.equations.graph import length

# what runs where there is no GPU
SMALL = {"batch": 2, "steps": 2, "size": 16}
ZONEOUT = {"h": 0.05, "c": 0.5}
_EPS = {"tf32": 2.0**-11, "bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}


@dataclass(frozen=True)
class Problem:
    """A cell, its sizes and what is asked of it; the input is as wide as the hidden state.

    Attributes:
        mode: "forward" (inference, without gradients), "training" (there and back, with the
            gradients of weights and sequence), "taped" (forward, so that a gradient could follow),
            or "trace" (that, and every gate).
        batch, steps, size: B, T and H.
        dtype: "float32", "tf32" (float32, products in tf32), "bfloat16" or "float16".
        heads: into how many blocks the recurrent matrices fall, 0 if they are dense.
        directions: 1 or 2.
        ragged: whether the rows' lengths run from T / 2 to T, 75% of T on average.
        zoneout: whether units keep their last state at random.
    """

    cell: str
    mode: str
    batch: int
    steps: int
    size: int
    dtype: str = "float32"
    heads: int = 0
    directions: int = 1
    ragged: bool = False
    zoneout: bool = False

    @property
    def learns(self) -> bool:
        """Whether gradients are followed."""
        return self.mode != "forward"

    @property
    def kind(self) -> torch.dtype:
        """The type of the tensors."""
        return torch.float32 if self.dtype == "tf32" else getattr(torch, self.dtype)

    @property
    def eps(self) -> float:
        """Half a unit in the last place of the operands of products, relative."""
        return _EPS[self.dtype]

    @property
    def lengths(self) -> list[int] | None:
        """Of the rows, None if all have T steps."""
        return ragged_lengths(self.batch, self.steps) if self.ragged else None

    @property
    def valid_steps(self) -> int:
        """The steps that count, all rows together, in one direction."""
        return sum(self.lengths) if self.lengths else self.batch * self.steps

    @property
    def draws(self) -> bool:
        """Whether a call draws at random."""
        return self.zoneout and self.learns

    @property
    def small(self) -> Problem:
        """The same at sizes that an interpreter can run."""
        return replace(self, **SMALL, heads=min(self.heads, 2))

    def __str__(self) -> str:
        options = [f"{self.heads} heads"] * bool(self.heads)
        options += ["two directions"] * (self.directions > 1)
        options += ["packed"] * self.ragged + ["zoneout"] * self.zoneout
        sizes = f"B {self.batch} T {self.steps} H {self.size} {self.dtype}"
        return " ".join([self.cell, self.mode, sizes, *options])


@dataclass(frozen=True, eq=False)
class Data:
    """The tensors of a problem, on the device, the sequence first in time.

    Attributes:
        problem: whose they are.
        device: where.
        state: the parameters, as a state dict of `gated.Recurrent`.
        x: (T, B, D).
        d: the gradient of the output, 0 where a row has ended.
    """

    problem: Problem
    device: str
    state: dict[str, Tensor]
    x: Tensor
    d: Tensor

    def layer(self, engine: str, dtype: torch.dtype | None = None) -> gated.Recurrent:
        """A layer with these parameters; without gradients it is one in evaluation."""
        made = layer(self.problem, engine, self.device, dtype or self.problem.kind)
        made.load_state_dict(self.state)
        return made.train(self.problem.learns)


def layer(problem: Problem, engine: str, device: str, dtype: torch.dtype) -> gated.Recurrent:
    """A layer for a problem."""
    cell: Any = problem.cell
    if problem.zoneout:
        cell = gated.zoneout(cell, **ZONEOUT)
    return gated.Recurrent(
        cell, problem.size, problem.size, bidirectional=problem.directions == 2, dtype=dtype,
        device=device, engine=engine, maps=gated.Heads(problem.heads) if problem.heads else None,
        **own_sizes(problem.cell, problem.size),
    )  # fmt: skip


@lru_cache(maxsize=2)
def data(problem: Problem, device: str) -> Data:
    """The tensors of a problem: others for each, the same ones for each of its modes."""
    torch.manual_seed(problem.batch + problem.steps + problem.size)
    made = layer(problem, "reference", device, problem.kind)
    x = torch.randn(problem.steps, problem.batch, problem.size, device=device).to(problem.kind)
    letters = {"H": problem.size, **made.sizes}
    width = problem.directions * length(made.cell.graph.states[0].size, letters)
    d = torch.randn(problem.steps, problem.batch, width, device=device).to(problem.kind)
    if problem.lengths is not None:
        beyond = torch.arange(problem.steps).unsqueeze(1) >= torch.tensor(problem.lengths)
        d[beyond.to(device)] = 0
    return Data(problem, device, made.state_dict(), x, d)
