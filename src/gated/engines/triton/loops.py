"""`Loops` in Triton: buffers, what is computed before and after the loop, the strategy in it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Protocol

import torch
from torch import Tensor

from gated.engines.fused.gather import dense
from gated.engines.fused.gradients import of_matrices, of_streams
from gated.engines.fused.leaving import Leaving
from gated.engines.fused.loops import MAKERS, Inputs, Loops, Sizes, Tensors
from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Buffer, Kept, Place, reads_of
from gated.equations.graph import Graph, length
from gated.equations.symbols import Node
from gated.errors import EngineError

# the types of a call, and what is computed in
REALS = {
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
}


class Strategy(Protocol):
    """A way to run the loop on buffers by name."""

    def obstacle(self, sizes: Sizes) -> str | None:
        """Why it cannot run a cell of these sizes."""

    def forward(
        self, buffers: Mapping[str, Tensor], sizes: Sizes, rows: Rows, *, training: bool
    ) -> None:
        """Run the loop."""

    def backward(self, buffers: Mapping[str, Tensor | None], sizes: Sizes, rows: Rows) -> None:
        """Run it backwards."""


# what they import loads Triton, which takes longer than PyTorch itself
def _resident(kept: Kept, leaving: Leaving, real: str, dtype: torch.dtype) -> Strategy:
    from gated.engines.triton.resident import Resident

    return Resident(kept, leaving, real, dtype)


def _stepwise(kept: Kept, leaving: Leaving, real: str, dtype: torch.dtype) -> Strategy:
    from gated.engines.triton.stepwise import Stepwise

    return Stepwise(kept, leaving, real)


STRATEGIES: dict[str, Callable[[Kept, Leaving, str, torch.dtype], Strategy]] = {
    "resident": _resident,
    "stepwise": _stepwise,
}


class Generated(Loops):
    """A cell's loops in Triton for a type of numbers.

    Args:
        graph, traced: as for all loops.
        dtype: the type of the numbers that a call brings.
        strategy: the only one to use, None for the first that can run a call's sizes.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype, traced: bool, strategy: str | None):
        super().__init__(graph, traced, instead=False)
        self.engine = f"triton-{strategy}" if strategy else "triton"
        self.dtype, self.real = dtype, REALS[dtype]
        self.leaving = Leaving(self.kept)
        names = [strategy] if strategy else list(STRATEGIES)
        real = str(self.real).removeprefix("torch.")
        self.strategies = {n: STRATEGIES[n](self.kept, self.leaving, real, dtype) for n in names}
        self._against: dict[Hashable, dict[str, str | None]] = {}  # each call asks twice

    @cached_property
    def saved(self) -> list[Buffer]:
        """The buffers that the way back reads."""
        read = set(reads_of(self.back.stages)) | {node for node, _ in self.leaving.places}
        read |= {node for node, _ in self.leaving.totals} | set(self.back.carried.values())
        pairs = zip(self.loop.streams, self.kept.streams, strict=True)
        streams = [buffer for stream, buffer in pairs if read.intersection(stream.nodes)]
        return [*streams, *self.kept.buffers]

    def type_of(self, buffer: Buffer, dtype: torch.dtype) -> torch.dtype:
        """States but the first are kept as they are computed."""
        others = [place.buffer for place in self.kept.states.values()][1:]
        return self.real if buffer in others else dtype

    @property
    def products(self) -> Mapping[Node, Place]:
        """Where the way back leaves the gradient of each product with a matrix."""
        return self.leaving.products

    def against(self, sizes: Sizes) -> dict[str, str | None]:
        """What stands in the way of each strategy for a cell of these sizes, None if nothing."""
        # the setting of tf32 decides how much memory a matrix takes
        key = (*sizes.items(), torch.backends.cuda.matmul.fp32_precision)
        found = self._against.get(key)
        if found is None:
            found = {name: one.obstacle(sizes) for name, one in self.strategies.items()}
            self._against[key] = found
        return found

    def strategy(self, sizes: Sizes) -> Strategy:
        """The first that can run a cell of these sizes.

        Raises:
            EngineError: none can.
        """
        against = self.against(sizes)
        for name, reason in against.items():
            if reason is None:
                return self.strategies[name]
        raise EngineError("; ".join(f"{name}: {reason}" for name, reason in against.items()))

    def infer(self, sizes: Sizes, rows: Rows, tensors: Tensors) -> list[Tensor]:
        """The first state at every step, and all states after each row's last."""
        buffers = self._ahead(sizes, rows, tensors, training=False)
        return [buffers[self.kept.buffers[0].name], *self._finals(buffers)]

    def train(
        self, sizes: Sizes, rows: Rows, tensors: Tensors
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """As `infer`, and the buffers that the way back needs, by name."""
        buffers = self._ahead(sizes, rows, tensors, training=True)
        saved = {buffer.name: buffers[buffer.name] for buffer in self.saved}
        return [saved[self.kept.buffers[0].name], *self._finals(buffers)], saved

    def _ahead(
        self, sizes: Sizes, rows: Rows, tensors: Tensors, *, training: bool
    ) -> dict[str, Tensor]:
        given = Inputs.of(self.loop, tensors)
        buffers = self._passed(given, rows)
        for k, (operand, matrix, added) in enumerate(given.streams):
            buffers[f"stream_{k}"] = torch.nn.functional.linear(operand, matrix, added)
        made = self.kept.buffers if training else self.kept.buffers[:1]
        like = given.initial[0]
        for buffer in made:
            buffers[buffer.name] = self._timed(buffer, sizes, rows, like)
        for state, initial in zip(self.loop.graph.states, given.initial, strict=True):
            # of a row without a step it is the first
            buffers[f"final_{state.name}"] = initial.to(self.real, copy=True)
        finals = {name: value for name, value in buffers.items() if name.startswith("final_")}
        reached = {name: value[: rows.batch] for name, value in finals.items()}
        self.strategy(sizes).forward({**buffers, **reached}, sizes, rows, training=training)
        return buffers

    def _passed(self, given: Inputs, rows: Rows) -> dict[str, Tensor]:
        """The tensors of a call that the loop reads as they are."""
        found = {f"given_{k}": value for k, value in enumerate(given.loose)}
        found |= {f"bank_{k}": value for k, value in enumerate(given.banks)}
        states = self.loop.graph.states
        named = zip(states, given.initial, strict=True)
        return found | {f"initial_{state.name}": v[: rows.batch] for state, v in named}

    def _timed(self, buffer: Buffer, sizes: Sizes, rows: Rows, like: Tensor) -> Tensor:
        width = sum(length(n, sizes) for n in buffer.widths)
        return like.new_empty((rows.total, width), dtype=self.type_of(buffer, self.dtype))

    def _finals(self, buffers: Mapping[str, Tensor]) -> list[Tensor]:
        states = self.loop.graph.states
        return [buffers[f"final_{state.name}"].to(self.dtype) for state in states]

    def differentiate(
        self, sizes: Sizes, rows: Rows, tensors: Tensors, saved: Mapping[str, Tensor],
        arriving: Mapping[str, Tensor | None], final: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> list[Tensor | None]:  # fmt: skip
        """The gradients of what `train` took."""
        given = Inputs.of(self.loop, tensors)
        like = given.initial[0]
        made = {**self._passed(given, rows), **saved}
        for buffer in self.leaving.buffers:
            made[buffer.name] = self._timed(buffer, sizes, rows, like)
        for _, buffer in self.leaving.totals:
            made[buffer.name] = like.new_empty(length(buffer.widths[0], sizes), dtype=self.real)
        carries: list[Tensor] = []
        for state, gradient in zip(self.loop.graph.states, final, strict=True):
            carry = torch.zeros_like(given.initial[len(carries)], dtype=self.real)
            carries.append(carry if gradient is None else carry.copy_(gradient))
            made[f"carry_{state.name}"] = carries[-1][: rows.batch]
        d = {f"d_{n}": None if v is None else dense(v) for n, v in arriving.items()}
        self.strategy(sizes).backward({**d, **made}, sizes, rows)
        found = of_streams(self, given, made, wanted)
        for k in range(len(given.loose)):
            gradient = made.get(f"grad_given_{k}")
            found.append(None if gradient is None else gradient.to(self.dtype))
        found += of_matrices(self, sizes, rows, given, made, wanted[len(found) :])
        return [*found, *(carry.to(self.dtype) for carry in carries)]

    def transposed_times(self, matrix: Tensor, rows: Tensor) -> Tensor:
        """The matrix (H, D), transposed, times rows (N, H)."""
        return rows @ matrix

    def outer_sum(
        self, d: Tensor, rows: Tensor, out: Tensor, *, add: bool, sums: Tensor | None = None
    ) -> None:
        """The sum of outer products of d (N, H) and rows (N, D) into `out`, or added to it."""
        rows = rows.to(d.dtype)
        if add:
            out.addmm_(d.T, rows)
        else:
            torch.mm(d.T, rows, out=out)
        if sums is not None:
            torch.sum(d, 0, out=sums)


@lru_cache(maxsize=256)
def generated(
    graph: Graph, dtype: torch.dtype, traced: bool, strategy: str | None = None
) -> Generated:
    """The loops of a cell, generated once.

    Raises:
        EngineError: it does not compute in this type.
    """
    if dtype not in REALS:
        types = ", ".join(str(t).removeprefix("torch.") for t in REALS)
        raise EngineError(f"the Triton engine computes in {types}, not in {dtype}")
    return Generated(graph, dtype, traced, strategy)


MAKERS["triton"] = generated
for _name in STRATEGIES:
    MAKERS[f"triton-{_name}"] = partial(generated, strategy=_name)
