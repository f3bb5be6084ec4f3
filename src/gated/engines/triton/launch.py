"""From generated text to kernels, and their launch on a device or in Triton's interpreter."""

from __future__ import annotations

import hashlib
import linecache
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from gated.engines.triton import functions

REALS = {"float32": tl.float32, "float64": tl.float64}

HEAD = f"""\
import triton
import triton.language as tl
from {functions.__name__} import (
    absolute, apart, exp, follows_one, heaviside, log, maximum, memory, minimum, offset_of, operand,
    product, reach, relu, rows_apart, select, sigmoid, softplus, sqrt, step_at, tanh, total,
    units_apart, whole,
)
"""


@lru_cache(maxsize=256)
def kernels(text: str) -> Mapping[str, Any]:
    """What a generated text defines, by name: its kernels.

    Triton reads the source of a kernel, so the text stands among the lines of files.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    place = f"<gated triton {digest}>"
    text = HEAD + text
    linecache.cache[place] = (len(text), None, text.splitlines(True), place)
    found: dict[str, Any] = {"__name__": f"gated_triton_{digest}"}
    exec(compile(text, place, "exec"), found)
    return found


def launch(
    kernel: Any, grid: tuple[int, ...], device: torch.device, arguments: Sequence[object],
    constants: Mapping[str, object], *, warps: int = 4, stages: int = 1,
) -> None:  # fmt: skip
    """Run a kernel on a grid of programs, with its constants by name."""
    # a GPU does not warn of infinities, nor of what is made of the padding of tiles
    quiet = np.errstate(all="ignore")
    with torch.cuda.device(device) if device.type == "cuda" else quiet:
        kernel[grid](
            *arguments, **constants, num_warps=warps, num_stages=stages,
            enable_fp_fusion=True,  # Triton 3.9 warns that its default will change
        )  # fmt: skip


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on tensors of a CPU.

    Triton asks when it decorates a kernel, so this is a property of the process.
    """
    return bool(triton.knobs.runtime.interpret)
