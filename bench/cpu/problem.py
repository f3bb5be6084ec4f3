"""What is computed: a cell over one batch of sequences, and the tensors that all sides share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

import gated
from bench.cpu import counts
from gated.equations import Cell


@dataclass(frozen=True)
class Problem:
    """A cell, its sizes and what is asked of it; the input is as wide as the hidden state.

    Attributes:
        mode: "step" (one step of a stream), "inference", "training" (there and back, with the
            gradients of the weights), "training+x" (and of the sequence), "taped" (forward, so that
            a gradient could follow), or "trace" (that, and every gate).
        batch, steps, size: B, T and H.
        ragged: whether the rows' lengths run from T / 2 to T, 75% of T on average.
    """

    cell: str
    mode: str
    batch: int
    steps: int
    size: int
    ragged: bool = False

    @property
    def learns(self) -> bool:
        """Whether gradients are followed."""
        return self.mode in ("training", "training+x", "taped", "trace")

    @property
    def valid_steps(self) -> int:
        """The steps that count, all rows together."""
        return sum(lengths(self.batch, self.steps)) if self.ragged else self.batch * self.steps

    @property
    def sizes(self) -> dict[str, int]:
        """The value of each letter."""
        return {"D": self.size, "H": self.size, **own_sizes(self.cell, self.size)}

    @property
    def flops(self) -> int:
        """The operations of its matrix products; see `counts`."""
        graph = cell(self.cell).graph
        if not self.mode.startswith("training"):
            return counts.forward(graph, self.sizes, self.valid_steps)
        return counts.training(graph, self.sizes, self.valid_steps, self.mode == "training+x")

    @property
    def whole(self) -> Problem:
        """The problem whose results hold those of this one."""
        return self if self.mode == "step" else replace(self, mode="training+x")

    def __str__(self) -> str:
        return (
            f"{self.cell} {self.mode} B {self.batch} T {self.steps} H {self.size}"
            f"{' ragged' if self.ragged else ''}"
        )


@dataclass(frozen=True)
class Data:
    """The tensors of a problem, float32, the sequence first in time.

    Attributes:
        problem: whose they are.
        state: the parameters, as a state dict of `gated.Recurrent`.
        x: (T, B, D), or (B, D) for a step.
        inputs: the cell's further inputs.
        initial: for a step, the states before it.
        lengths: of the rows, None if all have T steps.
        d: the gradient of the output, 0 where a row has ended.
    """

    problem: Problem
    state: dict[str, Tensor]
    x: Tensor
    inputs: dict[str, Tensor]
    initial: tuple[Tensor, ...]
    lengths: list[int] | None
    d: Tensor

    def layer(self, engine: str, dtype: torch.dtype = torch.float32) -> gated.Recurrent:
        """A layer with these parameters."""
        asked = self.problem
        made = gated.Recurrent(
            asked.cell, asked.size, asked.size, dtype=dtype, engine=engine,
            **own_sizes(asked.cell, asked.size),
        )  # fmt: skip
        made.load_state_dict(self.state)
        return made


def cell(name: str) -> Cell:
    """A cell of the catalogue."""
    return gated.cell(name)


def own_sizes(name: str, size: int) -> dict[str, int]:
    """The letters that a cell has for itself: a projection has half the units."""
    return {letter: size // 2 for letter in cell(name).graph.letters if letter not in ("D", "H")}


def lengths(batch: int, steps: int) -> list[int]:
    """From T / 2 to T in equal parts, in no order."""
    half = steps // 2
    found = [steps - round(k * half / max(1, batch - 1)) for k in range(batch)]
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(1)).tolist()
    return [found[k] for k in order]


@lru_cache(maxsize=8)
def data(problem: Problem) -> Data:
    """The tensors of a problem, always the same ones."""
    torch.manual_seed(problem.batch + problem.steps + problem.size)
    graph = cell(problem.cell).graph
    layer = gated.Recurrent(
        problem.cell, problem.size, problem.size, **own_sizes(problem.cell, problem.size)
    )
    lead = (problem.batch,) if problem.mode == "step" else (problem.steps, problem.batch)
    x = torch.randn(*lead, problem.size)
    inputs = {
        name: _further(name, (*lead, problem.size if width == "D" else int(width)))
        for name, width in list(graph.input_sizes.items())[1:]
    }
    initial = tuple(
        torch.randn(problem.batch, problem.size) / 4 for _ in graph.states
    )  # used by the LSTM's step alone, whose states have H units
    long = lengths(problem.batch, problem.steps) if problem.ragged else None
    d = torch.randn(*lead, problem.sizes[graph.states[0].size])
    if long is not None:
        beyond = torch.arange(problem.steps).unsqueeze(1) >= torch.tensor(long)
        d[beyond] = 0
    return Data(problem, layer.state_dict(), x, inputs, initial, long, d)


def _further(name: str, shape: tuple[int, ...]) -> Tensor:
    """A mask of what was observed, or times since then."""
    drawn = torch.rand(shape)
    return (drawn < 0.7).float() if name == "mask" else 2 * drawn
