"""`Loops`: a cell's loop over time, forward and backward, as an engine runs it on tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Buffer, Kept, Place
from gated.equations.graph import Graph
from gated.equations.loop import Backward, Forward, backward, forward
from gated.equations.symbols import Node

Sizes = Mapping[str, int]
Tensors = Sequence[Tensor | None]


class Loops(ABC):
    """A cell's loop over time and its way back.

    Args:
        graph: the cell's equations.
        traced: whether every named value is left for the caller to see.
        instead: whether a value may take the place of one that nothing reads any more.

    Attributes:
        engine: by which name an operator finds the engine's loops, see `find`.
        loop, back: what they compute; kept: where it stands.
        given: the buffers of the tensors that a call takes, in the order of `gather`.
        letters: the sizes that a call takes, in order.
    """

    engine: str

    def __init__(self, graph: Graph, traced: bool, *, instead: bool):
        self.traced = traced
        self.loop: Forward = forward(graph, traced)
        self.back: Backward = backward(self.loop)
        self.kept = Kept(self.loop, self.back, instead)
        self.given = _given(self.loop)
        self.letters = tuple(graph.letters)

    @cached_property
    def saved(self) -> list[Buffer]:
        """The buffers that the way back needs, the first state's among them."""
        return [*self.kept.streams, *self.kept.buffers]

    def type_of(self, buffer: Buffer, dtype: torch.dtype) -> torch.dtype:
        """The type of the numbers in a saved buffer, of a call in a type."""
        return dtype

    @property
    @abstractmethod
    def products(self) -> Mapping[Node, Place]:
        """Where the way back leaves the gradient of each product with a matrix."""

    @abstractmethod
    def infer(self, sizes: Sizes, rows: Rows, tensors: Tensors) -> list[Tensor]:
        """The first state at every step, and all states after each row's last."""

    @abstractmethod
    def train(
        self, sizes: Sizes, rows: Rows, tensors: Tensors
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """As `infer`, and the buffers that the way back needs, by name."""

    @abstractmethod
    def differentiate(
        self, sizes: Sizes, rows: Rows, tensors: Tensors, saved: Mapping[str, Tensor],
        arriving: Mapping[str, Tensor | None], final: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> list[Tensor | None]:  # fmt: skip
        """The gradients of what `train` took. It may write over what was saved.

        Args:
            sizes, rows, tensors: as `train` took them.
            saved: the buffers that it left.
            arriving: the gradients of what is wanted at every step, by name.
            final: those of the states after each row's last step.
            wanted: which of the tensors need a gradient.
        """

    @abstractmethod
    def transposed_times(self, matrix: Tensor, rows: Tensor) -> Tensor:
        """The matrix (H, D), transposed, times rows (N, H)."""

    @abstractmethod
    def outer_sum(
        self, d: Tensor, rows: Tensor, out: Tensor, *, add: bool, sums: Tensor | None = None
    ) -> None:
        """The sum of outer products of d (N, H) and rows (N, D) into `out`, or added to it.

        `sums` (H,) gets the sum of d.
        """


@dataclass(frozen=True)
class Inputs:
    """What a loop takes, by kind; `gather` tells the order."""

    streams: list[tuple[Tensor, Tensor, Tensor | None]]
    loose: list[Tensor]
    banks: list[Tensor]
    initial: list[Tensor]

    @classmethod
    def of(cls, loop: Forward, tensors: Tensors) -> Inputs:
        """The tensors of a call in their places."""
        n, m = 3 * len(loop.streams), len(loop.loose)
        several: list[Tensor] = [t for t in tensors[n:] if t is not None]
        streams = [(tensors[k], tensors[k + 1], tensors[k + 2]) for k in range(0, n, 3)]
        return cls(
            streams,  # type: ignore[arg-type]
            several[:m], several[m : m + len(loop.banks)], several[m + len(loop.banks) :],
        )  # fmt: skip


def _given(loop: Forward) -> list[str]:
    """The buffers in which the tensors of a call stand, by name."""
    found = [f"{n}_{k}" for k in range(len(loop.streams)) for n in ("operand", "matrix", "added")]
    found += [f"given_{k}" for k in range(len(loop.loose))]
    found += [f"bank_{k}" for k in range(len(loop.banks))]
    return found + [f"initial_{state.name}" for state in loop.graph.states]


Maker = Callable[[Graph, torch.dtype, bool], Loops]

# what makes the loops of a graph, for a type of numbers, traced or not, by the engine's name;
# EngineError if that engine cannot
MAKERS: dict[str, Maker] = {}
