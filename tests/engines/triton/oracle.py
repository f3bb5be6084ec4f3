"""A loop over time by hand, step by step and row by row, and its gradients by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gated.engines import reference
from gated.engines.fused.leaving import Leaving
from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Buffer, Kept
from gated.equations.graph import Graph, Size, length
from gated.equations.loop import backward, forward
from gated.equations.schedule import width_of
from gated.equations.symbols import Node

Sizes = Mapping[str, int]


@dataclass
class Case:
    """A cell's loop, its sizes and lengths of rows; buffers are filled at random."""

    graph: Graph
    sizes: Sizes
    lengths: tuple[int, ...]
    reverse: bool = False
    traced: bool = False
    dtype: torch.dtype = torch.float64
    given: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        loop = forward(self.graph, self.traced)
        self.kept = Kept(loop, backward(loop), instead=False)
        self.leaving = Leaving(self.kept)
        steps = torch.arange(max(self.lengths))
        reach = (torch.tensor(self.lengths) > steps.unsqueeze(1)).sum(1)
        full = len(set(self.lengths)) == 1
        self.rows = Rows(len(steps), len(self.lengths), None if full else reach.cpu(), self.reverse)
        for name, shape in self.shapes().items():
            self.given[name] = torch.randn(shape, dtype=self.dtype) * 0.7

    @property
    def real(self) -> torch.dtype:
        """The type that is computed in."""
        return torch.float64 if self.dtype is torch.float64 else torch.float32

    def units(self, width: Size) -> int:
        return length(width, self.sizes)

    def empty(self, buffer: Buffer) -> Tensor:
        """Memory for a buffer of every step, NaN as nothing has been written."""
        others = [place.buffer for place in self.kept.states.values()][1:]
        kind = self.real if buffer in others else self.dtype
        width = sum(self.units(width) for width in buffer.widths)
        return torch.full((self.rows.total, width), torch.nan, dtype=kind)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What the loop is given."""
        loop, total = self.kept.loop, self.rows.total
        found: dict[str, tuple[int, ...]] = {
            buffer.name: (total, sum(map(self.units, buffer.widths)))
            for buffer in self.kept.streams
        }
        for k, node in enumerate(loop.loose):
            width = self.units(width_of(node))
            found[f"given_{k}"] = (total, width) if loop.given[node] else (width,)
        for k, bank in enumerate(loop.banks):
            first = loop.matrices[bank.keys[0]]
            *heads, rows, columns = (self.units(dim.value or "H") for dim in first.shape)
            count = len(bank.keys)
            found[f"bank_{k}"] = (
                (count * heads[0], rows, columns) if heads else (count * rows, columns)
            )
        for state in self.graph.states:
            found[f"initial_{state.name}"] = (len(self.lengths), self.units(state.size))
        return found

    def leaves(self) -> dict[str, Tensor]:
        """What is given, as leaves that get gradients."""
        return {name: t.double().clone().requires_grad_() for name, t in self.given.items()}

    def by_hand(self, leaves: Mapping[str, Tensor]) -> dict[str | Node, Tensor]:
        """States after each row's last step, and the values of all nodes to keep, packed."""
        loop = self.kept.loop
        states = {s.name: list(leaves[f"initial_{s.name}"]) for s in self.graph.states}
        steps_of: dict[Node, dict[int, Tensor]] = {node: {} for node in self.kept.at}
        matrices = {}
        for k, bank in enumerate(loop.banks):
            for key, part in zip(bank.keys, leaves[f"bank_{k}"].chunk(len(bank.keys)), strict=True):
                matrices[loop.matrices[key]] = part
        for row, steps in enumerate(self.lengths):
            for t in range(steps)[:: -1 if self.reverse else 1]:
                at = self.rows.start(t) + row
                known = {loop.previous[name]: values[row] for name, values in states.items()}
                known |= matrices
                for k, stream in enumerate(loop.streams):
                    widths = [self.units(width_of(node)) for node in stream.nodes]
                    parts = leaves[f"stream_{k}"][at].split(widths)
                    known |= dict(zip(stream.nodes, parts, strict=True))
                for k, node in enumerate(loop.loose):
                    value = leaves[f"given_{k}"]
                    known[node] = value[at] if loop.given[node] else value
                values = reference.evaluate([*loop.updates.values(), *self.kept.at], known)
                for name, node in loop.updates.items():
                    states[name][row] = values[node]
                for node in self.kept.at:
                    steps_of[node][at] = values[node]
        found: dict[str | Node, Tensor] = {
            f"final_{name}": torch.stack(values) for name, values in states.items()
        }
        for node, parts in steps_of.items():
            found[node] = torch.stack([parts[at] for at in range(self.rows.total)])
        return found
