"""A plan prepared for a call: its memory between kernels, and what is launched step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Buffer, Place
from gated.engines.triton.stepwise.merged import Product
from gated.engines.triton.stepwise.multiplied import multiplier
from gated.engines.triton.stepwise.plan import Plan
from gated.engines.triton.stepwise.stagetext import Kernel
from gated.equations.graph import length

_PROGRAMS = 132  # that a kernel should have: the processors of a large GPU

Buffers = Mapping[str, Tensor | None]
Views = list[list[tuple[Tensor, Tensor]]]  # by stage and product: what it multiplies, its result


class Tiling(NamedTuple):
    """How a kernel's work is cut: rows of a program, units of each width, programs, warps."""

    rows: int
    blocks: tuple[int, ...]
    across: int
    warps: int


class Step(NamedTuple):
    """What differs from step to step, in the order of `stagetext.NUMBERS`."""

    at: int
    before: int
    rows: int
    joined: int
    goes: int
    turn: int
    batch: int


class Course:
    """The loop of a plan for given sizes, rows and types.

    Args:
        plan, text: what is computed, and the source of its kernels.
        real: the type that is computed in.
        sizes, rows: of the call.
        buffers: the plan's external ones, of which the types count.
        like: has the job's type, and is where it runs.

    Attributes:
        memory: what stands between kernels, by name; size: its bytes.
        lock: held by whoever uses the memory.
    """

    def __init__(
        self, plan: Plan, text: str, real: str, sizes: Mapping[str, int], rows: Rows,
        buffers: Buffers, like: Tensor,
    ):  # fmt: skip
        from gated.engines.triton.launch import kernels

        self.plan, self.real, self.batch = plan, real, rows.batch
        self.typed, self.device = like.dtype, like.device
        self.width = {width: length(width, sizes) for width in (1, *plan.sizes)}
        self.functions = kernels(text)
        self.lock = threading.Lock()
        self.memory = self._memory()
        self.size = sum(value.numel() * value.element_size() for value in self.memory.values())
        self.steps = steps(rows, backward=plan.name == "backward")
        self._views: dict[tuple[int, int], Views] = {}
        self._tilings = {k.name: self._tiling(k) for k in plan.kernels if k is not None}
        self._types = {
            name: "" if given is None else str(given.dtype).removeprefix("torch.")
            for name, given in buffers.items()
        }

    # -- memory

    def _memory(self) -> dict[str, Tensor]:
        found = {}
        # a later call may write it outside of inference mode
        with torch.inference_mode(False):
            for name, buffer in self.plan.scratch.items():
                shape = (self.batch, self.row(buffer))
                found[name] = torch.empty(
                    (2, *shape) if buffer.kind == "turn" else shape, device=self.device,
                    dtype=self.typed if name in self.plan.typed else getattr(torch, self.real),
                )  # fmt: skip
        return found

    def row(self, buffer: Buffer, values: slice = slice(None)) -> int:
        """The numbers of some values in a row of a buffer."""
        return sum(self.width[width] for width in buffer.widths[values])

    def at(self, place: Place) -> Tensor:
        """A value between kernels."""
        start = self.row(place.buffer, slice(place.index))
        return self.memory[place.buffer.name].narrow(-1, start, self.width[place.width])

    # -- kernels

    def _tiling(self, kernel: Kernel) -> Tiling:
        """Small programs that fill the chip; with all units where these are reduced."""
        units = [self.width[width] for width in kernel.widths]
        blocks = tuple(map(_power, units))
        if not kernel.cut:
            most = max(blocks, default=1)
            rows = min(_power(self.batch), max(1, 128 // most))
            return Tiling(rows, blocks, 1, max(1, min(16, rows * most // 64)))
        fill = max(128, min(1024, _power(self.batch * units[0] // _PROGRAMS)))
        block = min(blocks[0], fill)
        rows = min(_power(self.batch), fill // block)
        return Tiling(rows, (block,), -(-units[0] // block), max(1, rows * block // 128))

    def constants(self, kernel: Kernel) -> dict[str, object]:
        """What a kernel is compiled for, in the order in which its text declares it."""
        import triton.language as tl

        plan, tiling = self.plan, self._tilings[kernel.name]
        found: dict[str, object] = {
            f"W{k}": self.width[width] for k, width in enumerate([*plan.sizes][: kernel.sizes])
        }
        for k, (width, block) in enumerate(zip(kernel.widths, tiling.blocks, strict=True)):
            found |= {f"SIZE_{k}": self.width[width], f"BLOCK_{k}": block}
        for name in kernel.buffers:
            if name in plan.external:
                found[f"TYPE_{name}"] = getattr(tl, self._types[name], None)
        buffers = (*plan.scratch.values(), *plan.external.values())
        beyond = max(map(self.row, buffers)) * (self.batch + tiling.rows)
        found["ROWS"] = tiling.rows
        found["INDEX"] = tl.int32 if beyond < 2**31 else tl.int64
        return found | {"REAL": getattr(tl, self.real)}

    def launch(self, kernel: Kernel, buffers: Mapping[str, object]) -> Launch:
        """A kernel with its buffers."""
        given = {**self.memory, **buffers}
        return Launch(
            self.functions[kernel.name], [given[name] for name in kernel.buffers],
            self.constants(kernel), self._tilings[kernel.name],
        )  # fmt: skip

    # -- products

    def matrices(self, product: Product, banks: Sequence[Tensor]) -> Tensor:
        """The matrices of a product as its second factor."""
        bank, keys = banks[product.bank], self.plan.loop.banks[product.bank].keys
        if product.batched and bank.dim() == 2:
            bank = bank.view(len(keys), -1, bank.shape[-1])
        each = len(bank) // len(keys)
        found = bank[product.first * each : (product.first + product.count) * each]
        return found if product.transposed else found.mT

    def views(self, rows: int, turn: int) -> Views:
        """What products of the first rows multiply, and their results."""
        found = self._views.get((rows, turn))
        if found is None:
            found = self._views[rows, turn] = [
                [self._view(product, rows, turn) for product in products]
                for products in self.plan.products
            ]
        return found

    def _view(self, product: Product, rows: int, turn: int) -> tuple[Tensor, Tensor]:
        operand = self.memory[product.operand.buffer.name]
        if product.operand.buffer.kind == "turn":
            operand = operand[turn]
        result = self.memory[product.target.buffer.name]
        if not product.batched:
            return operand[:rows], result[:rows]
        matrix = self.plan.loop.matrices[self.plan.loop.banks[product.bank].keys[0]]
        heads = int(matrix.shape[0].value or 1) if len(matrix.shape) == 3 else 1
        batch = product.count * heads
        left, right = (t.view(self.batch, batch, -1)[:rows] for t in (operand, result))
        return left.transpose(0, 1), right.transpose(0, 1)

    # -- running

    def load(self, buffers: Mapping[str, object]) -> None:
        """Have the kernels compiled and loaded, which cannot be done while a graph is captured."""
        with np.errstate(all="ignore"):  # no number of it is left
            for kernel in self.plan.kernels:
                if kernel is not None:
                    self.launch(kernel, buffers)(Step(0, 0, 0, 0, 0, 0, self.batch))

    def run(self, buffers: Mapping[str, object], banks: Sequence[Tensor]) -> None:
        """Launch all steps; `buffers` are tensors, or the entries of a table of addresses."""
        multiply = multiplier(self.typed, getattr(torch, self.real), self.device)
        stages: list[tuple[list[Tensor], Callable[[Step], None]]] = [
            (
                [self.matrices(product, banks) for product in products],
                _nothing if kernel is None else self.launch(kernel, buffers),
            )
            for products, kernel in zip(self.plan.products, self.plan.kernels, strict=True)
        ]
        with np.errstate(all="ignore"):  # what is made of a tile's padding does not matter
            for step in self.steps:
                for (matrices, launch), pairs in zip(
                    stages, self.views(step.rows, step.turn), strict=True
                ):
                    for matrix, (operand, result) in zip(matrices, pairs, strict=True):
                        multiply(operand, matrix, result)
                    launch(step)


class Launch:
    """A kernel with all that stays the same from step to step.

    Triton looks at every argument of a call. It does so at the first; in the others only numbers
    differ that no kernel is compiled for, so the compiled one is called.
    """

    def __init__(
        self, function: Any, buffers: list[object], constants: dict[str, object], tiling: Tiling
    ):
        from gated.engines.triton.launch import interpreted

        self.function, self.buffers, self.constants = function, buffers, constants
        self.interpreted = interpreted()
        self.tiling = tiling
        self.compiled: Any = None
        self.launched: Any = None  # the compiled kernel on the grid of the step before
        self.grid = (0, 0, 0)
        self.rest: tuple[object, ...] = ()

    def __call__(self, step: Step) -> None:
        """Launch it for a step; without rows, to have it compiled and loaded."""
        grid = (max(1, -(-step.rows // self.tiling.rows)), self.tiling.across, 1)
        if self.compiled is not None:
            if grid != self.grid:
                self.launched, self.grid = self.compiled[grid], grid
            self.launched(*step, *self.rest)
            return
        found = self.function[grid](
            *step, *self.buffers, **self.constants, num_warps=self.tiling.warps, num_stages=1,
            enable_fp_fusion=True,  # Triton 3.9 warns that its default will change
        )  # fmt: skip
        if not self.interpreted:
            self.compiled = found
            memory = (b.data_ptr() if isinstance(b, Tensor) else b for b in self.buffers)
            self.rest = (*memory, *self.constants.values())


def steps(rows: Rows, *, backward: bool) -> list[Step]:
    """The steps in the order of the loop; those that no row reaches are left out."""
    sizes, starts = rows.sizes.tolist(), rows.offsets.tolist()
    order = [t for t, size in enumerate(sizes) if size]
    if rows.reverse:
        order.reverse()
    found = []
    for k, (before, t, after) in enumerate(
        zip([None, *order], order, [*order[1:], None], strict=False)
    ):
        joined = 0 if before is None else min(sizes[t], sizes[before])
        goes = 0 if after is None else min(sizes[t], sizes[after])
        start = 0 if before is None else starts[before]
        found.append(Step(starts[t], start, sizes[t], joined, goes, k % 2, rows.batch))
    return found[::-1] if backward else found


def _nothing(step: Step) -> None:
    """A stage of products alone."""


def _power(size: int) -> int:
    """The next power of two."""
    return 1 << max(0, size - 1).bit_length()
