"""The scan on a GPU, or in Triton's interpreter: how time is cut, and the calls of the kernels."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from gated.engines.indices import on_device
from gated.engines.scan import kernels
from gated.engines.scan.loop import GROWTH, real
from gated.engines.scan.steps import Steps
from gated.engines.triton.launch import REALS, launch

# Programs that each multiprocessor gets: with loads 7 steps ahead, 16 bytes a thread, they have 56
# kilobytes on the way, and 25 hide the memory's latency (about 700 ns at 4.8 terabytes a second).
_PROGRAMS = 8
_MULTIPROCESSORS = 132
_STAGES = 8
_SHORTEST = 32  # steps of a chunk


def scan(
    a: Tensor, b: Tensor, initial: Tensor, steps: Steps, shifted: bool, *,
    old: Tensor | None = None, first: Tensor | None = None, chunk: int | None = None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """The states after each step, (N, n), as `loop.scan`; and their products with other ones.

    Args:
        a, b: coefficients and offsets, packed.
        initial: the states before the first step.
        steps: which rows reach which step.
        shifted: whether a step has the coefficient of the one before.
        old: other states, (N, n), of time in the other direction, which start at `first`: the
            product of each state and of the one before among these is wanted too.
        chunk: the steps of a chunk; None chooses.
    """
    a, b, initial = (v.contiguous() for v in (a, b, initial))
    width = _width(b)
    count = len(steps.sizes) if steps.sizes is not None else steps.total // steps.batch
    if chunk is None:
        programs = steps.batch * math.ceil(b.shape[1] / width)
        chunk = chunk_length(count, programs, _multiprocessors(b.device))
    chunks = math.ceil(count / chunk)
    whole = _Call(b, steps, count, chunk)
    start = initial
    if chunks > 1:
        shape = (chunks, steps.batch, b.shape[1])
        product, end, start = (b.new_empty(shape, dtype=real(b)) for _ in range(3))
        parts = (a, b, product, end)
        whole(kernels.ends, chunks - 1, width, *parts, limit=GROWTH, SHIFTED=shifted)
        whole(kernels.starts, 1, min(width, 32), *parts, initial, start, limit=GROWTH,
              SHIFTED=shifted)  # fmt: skip
    make = torch.empty_like if steps.exact else torch.zeros_like
    out, products = make(b), None
    if old is not None and first is not None:
        products = make(a)
        others = (old.contiguous(), first.contiguous(), products)
    else:
        others = (b, b, b)  # not read
    whole(kernels.states, chunks, width, a, b, start, out, *others, SHIFTED=shifted,
          WITH_A=products is not None)  # fmt: skip
    return out, products


def chunk_length(count: int, programs: int, multiprocessors: int) -> int:
    """How many steps a chunk has: all, where rows and units fill the chip by themselves.

    Args:
        count: the steps.
        programs: those that each chunk needs.
        multiprocessors: of the chip.
    """
    chunks = min(multiprocessors * _PROGRAMS // programs, count // _SHORTEST)
    return math.ceil(count / max(chunks, 1))


def _width(value: Tensor) -> int:
    """The units of a program, 16 bytes for each of 32 threads, or as few as there are."""
    most: int = 128 if value.element_size() <= 4 else 64
    return min(most, 1 << (value.shape[1] - 1).bit_length())


@lru_cache(maxsize=16)
def _multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return _MULTIPROCESSORS
    found: int = torch.cuda.get_device_properties(device).multi_processor_count
    return found


class _Call:
    """What every kernel is told of the rows."""

    def __init__(self, like: Tensor, steps: Steps, count: int, chunk: int):
        self.full = steps.sizes is None
        # not read where all rows reach all steps
        self.offsets = like if self.full else on_device(steps.offsets, like.device)
        self.lengths = like if self.full else on_device(steps.lengths, like.device)
        self.numbers = {"count": count, "batch": steps.batch, "n": like.shape[1], "chunk": chunk}
        self.reverse = steps.reverse
        self.real = REALS["float64" if like.dtype == torch.float64 else "float32"]

    def __call__(
        self, kernel: Any, chunks: int, width: int, *tensors: Tensor, **given: Any
    ) -> None:
        programs = chunks * self.numbers["batch"] * math.ceil(self.numbers["n"] / width)
        constants = {
            **self.numbers, **given, "offsets": self.offsets, "lengths": self.lengths,
            "FULL": self.full, "REVERSE": self.reverse, "REAL": self.real, "WIDTH": width,
            "STAGES": _STAGES,
        }  # fmt: skip
        launch(
            kernel, (programs,), self.offsets.device, tensors, constants, warps=1, stages=_STAGES
        )
