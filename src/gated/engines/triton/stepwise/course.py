"""A plan prepared for a call: its memory between kernels, and what is launched step by step."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Buffer, Place
from gated.engines.triton.stepwise.launches import Launch, Tiling, steps
from gated.engines.triton.stepwise.merged import Product
from gated.engines.triton.stepwise.multiplied import multiplier
from gated.engines.triton.stepwise.plan import Plan
from gated.engines.triton.stepwise.stagetext import Kernel
from gated.equations.graph import length

Buffers = Mapping[str, Tensor | None]
Views = list[list[tuple[Tensor, Tensor]]]  # by stage and product: what it multiplies, its result


class Course:
    """The loop of a plan for given sizes, rows and types.

    Its kernels read the addresses of a call's buffers from a table: so the same launches serve all
    calls that differ in nothing else, and a graph of them can be replayed.

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
        self.lock = threading.Lock()
        with torch.inference_mode(False):  # a later call may write it outside of this mode
            self.memory = self._memory()
            self.table = torch.empty(len(buffers), dtype=torch.int64, device=self.device)
        self.size = sum(value.nbytes for value in self.memory.values())
        self.steps = steps(rows, backward=plan.name == "backward")
        functions = kernels(text)
        self._fill = functions[f"{plan.name}_addresses"]
        self.kernels = [
            None if kernel is None else self._launch(kernel, functions[kernel.name], buffers)
            for kernel in plan.kernels
        ]
        self._views: dict[tuple[int, int], Views] = {}

    # -- memory

    def _memory(self) -> dict[str, Tensor]:
        found = {}
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

    def _launch(self, kernel: Kernel, function: object, buffers: Buffers) -> Launch:
        """A kernel with what it is compiled for, in the order in which its text declares it."""
        import triton.language as tl

        plan = self.plan
        tiling = Tiling.of(kernel, [self.width[width] for width in kernel.widths], self.batch)
        constants: dict[str, object] = {
            f"W{k}": self.width[width] for k, width in enumerate([*plan.sizes][: kernel.sizes])
        }
        for k, (width, block) in enumerate(zip(kernel.widths, tiling.blocks, strict=True)):
            constants |= {f"SIZE_{k}": self.width[width], f"BLOCK_{k}": block}
        given = dict[str, Tensor | None](self.memory)
        for k, (name, value) in enumerate(buffers.items()):
            given[name] = None if value is None else self.table[k : k + 1]
            if name in kernel.buffers:
                of = None if value is None else str(value.dtype).removeprefix("torch.")
                constants[f"TYPE_{name}"] = of and getattr(tl, of)
        every = (*plan.scratch.values(), *plan.external.values())
        beyond = max(map(self.row, every)) * (self.batch + tiling.rows)
        constants["ROWS"] = tiling.rows
        constants["INDEX"] = tl.int32 if beyond < 2**31 else tl.int64
        constants["REAL"] = getattr(tl, self.real)
        return Launch(function, [given[name] for name in kernel.buffers], constants, tiling)

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

    def fill(self, buffers: Buffers) -> None:
        """Write the addresses of a call's buffers into the table, in the order of the work."""
        from gated.engines.triton.launch import launch

        launch(self._fill, (1,), self.device, [self.table, *buffers.values()], {}, warps=1)

    def run(self, banks: Sequence[Tensor]) -> None:
        """Launch all steps, on the buffers in the table and these matrices."""
        multiply = multiplier(self.typed, getattr(torch, self.real), self.device)
        matrices = [[self.matrices(one, banks) for one in some] for some in self.plan.products]
        with np.errstate(all="ignore"):  # what is made of a tile's padding does not matter
            for step in self.steps:
                views = self.views(step.rows, step.turn)
                for seconds, pairs, launch in zip(matrices, views, self.kernels, strict=True):
                    for second, (operand, result) in zip(seconds, pairs, strict=True):
                        multiply(operand, second, result)
                    if launch is not None:
                        launch(step)
