"""`Passed`: the arguments of an operator, checked, since they may come from anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gated.engines.fused import transcript
from gated.engines.fused.loops import MAKERS, Inputs, Loops, Tensors
from gated.engines.fused.obstacles import obstacle
from gated.engines.fused.rows import Rows
from gated.equations.graph import Size, length
from gated.equations.schedule import width_of
from gated.equations.symbols import Node
from gated.errors import EngineError


class Passed:
    """The arguments of an operator.

    Axes: B batch, n the size of a state, N the steps of all rows. More steps than that may follow
    in each timed tensor: no row has them, they count for nothing and come out as 0.

    Args:
        engine: whose loops they are.
        cell: the cell's equations as text.
        sizes: the lengths of its letters, in their order.
        reverse: whether the loop begins at the end.
        traced: whether every named value is wanted.
        total: the steps in each timed tensor, N or more.
        batch_sizes: the number of rows that reach each step, 0 where none does; None if all rows
            reach all.
        tensors: what the loop takes, in the order of `gather`.
    """

    def __init__(
        self, engine: str, cell: str, sizes: Sequence[int], reverse: bool, traced: bool, total: int,
        batch_sizes: Tensor | None, tensors: Tensors,
    ):  # fmt: skip
        last = tensors[-1] if tensors else None
        if last is None:
            raise EngineError("the last tensor is nothing, expected a state")
        if engine not in MAKERS:
            raise EngineError(f"engine {engine!r} has no loops, expected {sorted(MAKERS)}")
        graph = transcript.read(cell)
        against = obstacle(graph)
        if against is not None:
            raise EngineError(f"{graph.cell} has no kernel: {against}")
        self.loops: Loops = MAKERS[engine](graph, last.dtype, traced)
        letters = self.loops.letters
        if len(sizes) != len(letters) or any(size < 1 for size in sizes):
            raise EngineError(f"sizes is {list(sizes)}, expected those of {', '.join(letters)}")
        self.sizes = dict(zip(letters, sizes, strict=True))
        self.total, self.reverse, self.batch_sizes = total, reverse, batch_sizes
        self.tensors, self.batch = tensors, last.shape[0]
        loop = self.loops.loop
        self.timed = [k % 3 == 0 for k in range(3 * len(loop.streams))]
        self.timed += [loop.given[node] for node in loop.loose]
        self.timed += [False] * (len(loop.banks) + len(loop.graph.states))
        self._check(last)
        self.initial = Inputs.of(self.loops.loop, tensors).initial

    def _check(self, like: Tensor) -> None:
        wanted = self._shapes()
        if len(wanted) != len(self.tensors):
            raise EngineError(f"{len(self.tensors)} tensors, expected {len(wanted)}")
        for k, (tensor, (shape, optional)) in enumerate(zip(self.tensors, wanted, strict=True)):
            if tensor is None and optional:
                continue
            if tensor is None or tuple(tensor.shape) != shape or tensor.dtype != like.dtype:
                got = "None" if tensor is None else f"{tuple(tensor.shape)} of {tensor.dtype}"
                raise EngineError(f"tensor {k} is {got}, expected {shape} of {like.dtype}")

    def _shapes(self) -> list[tuple[tuple[int, ...], bool]]:
        """What shape each tensor must have, and whether it may be None."""
        loop, found = self.loops.loop, []
        for stream in loop.streams:
            rows = sum(self._length(width_of(node)) for node in stream.nodes)
            columns = self._length(width_of(stream.operand))
            found += [((self.total, columns), False), ((rows, columns), False), ((rows,), True)]
        for node in loop.loose:
            width = self._length(width_of(node))
            found.append(((self.total, width) if loop.given[node] else (width,), False))
        for bank in loop.banks:
            first, *others = self._matrix(loop.matrices[bank.keys[0]])
            found.append(((first * len(bank.keys), *others), False))
        for state in loop.graph.states:
            found.append(((self.batch, self._length(state.size)), False))
        return found

    def _length(self, size: Size) -> int:
        return length(size, self.sizes)

    def _matrix(self, matrix: Node) -> tuple[int, ...]:
        return tuple(self._length(dim.value or "H") for dim in matrix.shape)

    def rows(self) -> Rows | None:
        """Which rows reach which step, None if none has any."""
        if self.batch_sizes is None:
            steps, rest = divmod(self.total, max(self.batch, 1))
            if rest:
                raise EngineError(f"{self.total} steps are not as many for each of {self.batch}")
            return Rows(steps, self.batch, None, self.reverse) if self.total else None
        reach = self.batch_sizes.to(torch.int64)
        falling = bool((reach[1:] <= reach[:-1]).all()) and bool((reach >= 0).all())
        if not falling or bool((reach > self.batch).any()) or int(reach.sum()) > self.total:
            raise EngineError(
                f"batch_sizes is {reach.tolist()}, expected numbers that never rise, of at most "
                f"{self.batch} rows, {self.total} in all"
            )
        reach = reach[reach > 0]
        return Rows(len(reach), self.batch, reach, self.reverse) if len(reach) else None

    def valid(self, rows: Rows) -> list[Tensor | None]:
        """The tensors as a kernel reads them: dense, and without the steps that no row has."""
        return [
            None if t is None else (t[: rows.total] if timed else t).contiguous()
            for t, timed in zip(self.tensors, self.timed, strict=True)
        ]

    def whole(self, value: Tensor) -> Tensor:
        """A timed result, and 0 for the steps that no row has."""
        rest = self.total - len(value)
        return torch.cat([value, value.new_zeros((rest, value.shape[1]))]) if rest else value

    def buffers(self) -> dict[str, tuple[tuple[int, int], torch.dtype]]:
        """What the way back needs: the shapes and types of the buffers by name."""
        types = {b.name: self.loops.type_of(b, self.initial[0].dtype) for b in self.loops.saved}
        return {
            b.name: ((self.total, sum(map(self._length, b.widths))), types[b.name])
            for b in self.loops.saved
        }

    def output(self, saved: Mapping[str, Tensor]) -> Tensor:
        """The first state at every step."""
        return saved[self.loops.kept.buffers[0].name]

    def widths(self) -> list[int]:
        """The units of what comes out at every step: the first state, and what is shown."""
        loop = self.loops.loop
        first, *others = (self._length(state.size) for state in loop.graph.states)
        if not self.loops.traced:
            return [first]
        return [first, *(self._length(width_of(n)) for n in loop.shown.values()), *others]
