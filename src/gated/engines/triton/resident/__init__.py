"""`Resident`: one kernel runs the whole loop over time; states and matrices stay on the chip.

A program has 16 rows, the fewest that tensor cores take, and all units of a head, or of a small
layer. It holds the states in registers and the matrices in shared memory, reads what it is given a
step ahead, and meets its other warps twice a step, about h. Each warp has eight units, so each
thread four numbers of a value: with twice as many, registers of an LSTM spill; with half, warps
compute the same twice.

Compiled for sm_90 (registers, bytes spilled, shared memory, instructions of a step; forward in
training and backward, 16 rows):

    LSTM, 24 heads of 32, bfloat16    4 warps    96, 0,   9 kB, 463    112, 0,  12 kB, 316
    LSTM, 12 heads of 64, bfloat16    8 warps   104, 0,  35 kB, 494    146, 0,  41 kB, 326
    LSTM, dense 128, bfloat16        16 warps   104, 0, 135 kB, 512    107, 0, 147 kB, 417
    LSTM, 24 heads of 32, float32     4 warps   164, 0,  37 kB, 584    255, 104, 37 kB, 555
    LSTM, dense 64, float32           8 warps   236, 0, 139 kB, 619    255, 88, 139 kB, 755
    sLSTM, 24 heads of 32, bfloat16   4 warps   158, 0,   9 kB, 646    236, 0,  12 kB, 562
    LSTM normalised, dense 64, bf16   8 warps   255, 72, 35 kB, 1688   255, 640, 41 kB, 2563
    IndRNN, 32 units, bfloat16        1 warp     40, 0,   0 kB, 23      62, 0,   0 kB, 48

Float32 runs on tensor cores too, each number as two of tf32 ("tf32x3"): products are as exact as
float32's own (3.3e-8 against 2.9e-8 of the terms' size, root mean square), where multiply-adds took
twice the instructions and 24 barriers a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from gated.engines.fused.leaving import Leaving
from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Kept
from gated.engines.indices import on_device
from gated.engines.triton.resident.ahead import Ahead
from gated.engines.triton.resident.astern import Astern
from gated.engines.triton.spelling import heading
from gated.equations.graph import Size, length
from gated.equations.schedule import REDUCTIONS, Stage, width_of

Sizes = Mapping[str, int]

ROWS = 16  # of a program whose products run on tensor cores
WIDEST = 128  # units of a head: 16 warps of 32 threads share out 65,536 registers
HOPPER = 232_448  # bytes of shared memory that a program may have


@dataclass(frozen=True)
class Share:
    """How the work is shared out: programs by rows and by units, and what both kernels know."""

    grid: tuple[int, int]
    warps: int
    constants: Mapping[str, int]


class Resident:
    """A cell's loops, each as one kernel.

    Args:
        kept: the loops, and where they leave their values, each in a place of its own.
        leaving: where the loop backwards leaves gradients.
        real: the type that is computed in, "float32" or "float64".
        dtype: the type of the matrices, which must fit on the chip; None: as `real`.

    Attributes:
        text: the source of the kernels.
    """

    def __init__(self, kept: Kept, leaving: Leaving, real: str, dtype: torch.dtype | None = None):
        self.kept, self.leaving, self.real = kept, leaving, real
        self.dtype = dtype or getattr(torch, real)
        loop = kept.loop
        stages = [*loop.stages, *kept.back.stages]
        self.widths = _widths(kept, stages)
        shapes = [matrix.shape for matrix in loop.matrices.values()]
        self.axes = {len(shape) for shape in shapes}
        self.blocks = {shape[0].value for shape in shapes if len(shape) == 3}
        nodes = [n for s in stages for p in s.passes for group in p.values() for n in group]
        self.reduces = any(n.op in REDUCTIONS and n.args[0].op != "ones" for n in nodes)
        self.ahead = Ahead(kept, self.widths)
        self.astern = Astern(kept, leaving, self.widths)
        parts = [*heading(loop.graph), "", "", self.ahead.text(), "", self.astern.text()]
        self.text = "\n".join(parts)

    def obstacle(self, sizes: Sizes) -> str | None:
        """Why it cannot run a cell of these sizes."""
        if not self.axes <= {2, 3} or len(self.axes) > 1 or len(self.blocks) > 1:
            return "its matrices are not all dense, or all of as many heads"
        if any(dim.value == 1 for m in self.kept.loop.matrices.values() for dim in m.shape[-2:]):
            return "a matrix has a single row or column"
        if self.blocks and self.reduces:
            return "a sum over the units goes beyond a head"
        if self.blocks and len(self.widths) > 1:
            return "its values have different sizes"
        if not self.axes:
            return None
        widest = max(share for _, share, _ in self._units(sizes))
        if widest > WIDEST:
            return f"a program has at most {WIDEST} units of a head or layer, here it has {widest}"
        needed, most = self._bytes(sizes), shared_memory()
        if needed > most:
            return f"its matrices take {needed} bytes of shared memory, a program has {most}"
        return None

    def _bytes(self, sizes: Sizes) -> int:
        """The shared memory for matrices, and for the operands of a step's products."""
        blocks = {width: block for width, (_, _, block) in zip(
            self.widths, self._units(sizes), strict=True)}  # fmt: skip
        found = 0
        for matrix in self.kept.loop.matrices.values():
            sides = ["H" if dim.value is None else dim.value for dim in matrix.shape[-2:]]
            rows, columns = (blocks.get(side, max(blocks.values())) for side in sides)
            found += (rows + ROWS) * columns
        # a number of float32 is two of tf32
        return found * self.dtype.itemsize * (2 if self._precision() == "tf32x3" else 1)

    def _precision(self) -> str:
        """How products compute: PyTorch's setting is obeyed."""
        if self.dtype is not torch.float32:
            return "ieee"
        return "tf32" if allows_tf32() else "tf32x3"

    def forward(
        self, buffers: Mapping[str, Tensor], sizes: Sizes, rows: Rows, *, training: bool
    ) -> None:
        """Run the loop; `buffers` by name, as the kernel's arguments are called.

        Without `training`, only the first state is left of every step.
        """
        held = [buffers.get(name) for name in self.ahead.buffers]
        self._launch("forward", held, sizes, rows, training=training)

    def backward(self, buffers: Mapping[str, Tensor | None], sizes: Sizes, rows: Rows) -> None:
        """Run the loop backwards; gradients that are None do not arrive."""
        like = buffers[f"carry_{self.kept.loop.graph.states[0].name}"]
        assert like is not None
        held = dict(buffers)
        programs = self.share(sizes, rows).grid[0]
        parts = {}
        for _, buffer in self.leaving.totals:
            part = like.new_empty((programs, length(buffer.widths[0], sizes)))
            held[f"parts_{buffer.name}"] = parts[buffer.name] = part
        arguments = [held.get(name) for name in self.astern.buffers]
        self._launch("backward", arguments, sizes, rows, training=True)
        for name, part in parts.items():
            result = buffers[name]
            assert result is not None
            result.copy_(part.sum(0))

    def _launch(
        self, name: str, arguments: Sequence[Tensor | None], sizes: Sizes, rows: Rows, *,
        training: bool,
    ) -> None:  # fmt: skip
        from gated.engines.triton.launch import REALS, kernels, launch

        device = next(one.device for one in arguments if one is not None)
        share = self.share(sizes, rows)
        constants = {
            **share.constants, "REAL": REALS[self.real], "FULL": rows.full,
            "REVERSE": rows.reverse, "TRAINING": training, "PRECISION": self._precision(),
        }  # fmt: skip
        index = () if rows.full else (rows.offsets, rows.lengths)
        places = [on_device(one, device) for one in index] or (None, None)
        launch(
            kernels(self.text)[name], share.grid, device,
            [*arguments, *places, rows.steps, rows.batch], constants, warps=share.warps,
        )  # fmt: skip

    def share(self, sizes: Sizes, rows: Rows) -> Share:
        """How the work is shared out."""
        units = self._units(sizes)
        constants = {"HEADS": self.heads, "ROWS": ROWS if self.axes else 1}
        for k, (size, part, block) in enumerate(units):
            constants |= {f"SIZE_{k}": size, f"PART_{k}": part, f"BLOCK_{k}": block}
        parts = max((-(-size // part) for size, part, _ in units), default=1)
        widest = max((block for _, _, block in units), default=1)
        warps = max(1, min(16, widest // (8 if self.axes else 32)))
        return Share((-(-rows.batch // constants["ROWS"]), parts), warps, constants)

    @property
    def heads(self) -> int:
        """How many heads the matrices have, 1 if they are dense."""
        return int(next(iter(self.blocks), 1) or 1)

    def _units(self, sizes: Sizes) -> list[tuple[int, int, int]]:
        """For each width: all units, those of a program, and how many it reckons with."""
        found = []
        for width in self.widths:
            size = length(width, sizes)
            part = size // self.heads
            if not self.axes and not self.reduces:
                part = min(part, 32)  # units that never meet: a warp for each 32
            found.append((size, part, max(16 if self.axes else 1, 1 << (part - 1).bit_length())))
        return found


def _widths(kept: Kept, stages: list[Stage]) -> list[Size]:
    """The widths of all values but numbers, the first state's first."""
    found = [state.size for state in kept.loop.graph.states]
    nodes = [n for s in stages for p in s.passes for group in p.values() for n in group]
    nodes += [one.target for s in stages for one in s.sums]
    nodes += [arg for node in nodes for arg in node.args if len(arg.shape) <= 1]
    found += [width_of(node) for node in [*kept.loop.given, *nodes]]
    return [width for width in dict.fromkeys(found) if width != 1]


@lru_cache(maxsize=1)
def shared_memory() -> int:
    """How much a program may have on this machine; without a GPU, what the widespread have."""
    if not torch.cuda.is_available():
        return HOPPER
    properties = torch.cuda.get_device_properties()
    return int(
        getattr(properties, "shared_memory_per_block_optin", properties.shared_memory_per_block)
    )


def allows_tf32() -> bool:
    """Whether PyTorch's setting lets products of float32 be rounded to tf32."""
    return bool(torch.backends.cuda.matmul.fp32_precision == "tf32")
