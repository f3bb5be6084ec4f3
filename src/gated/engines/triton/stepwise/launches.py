"""The kernel of a stage: how its work is cut, and its launch at a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from gated.engines.fused.rows import Rows
from gated.engines.triton.stepwise.stagetext import Kernel

_PROGRAMS = 132  # that a kernel should have: the processors of a large GPU


class Step(NamedTuple):
    """What differs from step to step, in the order of `stagetext.NUMBERS`."""

    at: int
    before: int
    rows: int
    joined: int
    goes: int
    turn: int
    batch: int


class Tiling(NamedTuple):
    """How a kernel's work is cut: rows of a program, units of each width, programs, warps."""

    rows: int
    blocks: tuple[int, ...]
    across: int
    warps: int

    @classmethod
    def of(cls, kernel: Kernel, units: Sequence[int], batch: int) -> Tiling:
        """Small programs that fill the chip; with all units where these are reduced."""
        blocks = tuple(map(_power, units))
        if not kernel.cut:
            most = max(blocks, default=1)
            rows = min(_power(batch), max(1, 128 // most))
            return cls(rows, blocks, 1, max(1, min(16, rows * most // 64)))
        fill = max(128, min(1024, _power(batch * units[0] // _PROGRAMS)))
        block = min(blocks[0], fill)
        rows = min(_power(batch), fill // block)
        return cls(rows, (block,), -(-units[0] // block), max(1, rows * block // 128))


class Launch:
    """A kernel with all that stays the same from step to step.

    Triton looks at every argument of a call. It does so at the first; in the others only numbers
    differ that no kernel is compiled for, so the compiled one is called.
    """

    def __init__(
        self, function: Any, buffers: Sequence[Tensor | None], constants: Mapping[str, object],
        tiling: Tiling,
    ):  # fmt: skip
        from gated.engines.triton.launch import interpreted

        self.function, self.buffers, self.constants = function, buffers, constants
        self.interpreted = interpreted()
        self.tiling = tiling
        self.compiled: Any = None
        self.launched: Any = None  # the compiled kernel on the grid of the step before
        self.grid = (0, 0, 0)
        self.rest: tuple[object, ...] = ()

    def __call__(self, step: Step) -> None:
        """Launch it for a step."""
        grid = (-(-step.rows // self.tiling.rows), self.tiling.across, 1)
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
            memory = (None if b is None else b.data_ptr() for b in self.buffers)
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


def _power(size: int) -> int:
    """The next power of two."""
    return 1 << max(0, size - 1).bit_length()
