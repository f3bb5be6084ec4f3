"""The CPU engine: any cell, fused over time, forward and backward, from generated C++.

What does not depend on the state is computed before the loop by PyTorch, for all steps at once; the
loop is one operation of autograd, and the gradients of its matrices are one large product each.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch

from gated.engines.cpu.build import unavailable, warn_without_compiler
from gated.engines.cpu.operation import REALS, compiled
from gated.engines.cpu.stepping import Stepper
from gated.engines.fused import run as fused
from gated.engines.fused.obstacles import obstacle, of_call
from gated.engines.job import Job, Result
from gated.equations.graph import Graph
from gated.equations.layout import Slot
from gated.errors import EngineError


def supports(job: Job) -> str | None:
    """None if a kernel can be generated for the job, else what stands in the way."""
    sequence = job.sequence
    if sequence.device.type not in ("cpu", "meta"):
        return f"the CPU engine runs on the CPU, not on {sequence.device.type}"
    if sequence.dtype not in REALS:
        return f"the CPU engine computes in float32 and float64, not in {sequence.dtype}"
    graph = job.cell.graph
    return of_call(job) or obstacle(graph) or _missing(graph, REALS[sequence.dtype], job.trace)


def _missing(graph: Graph, real: str, traced: bool) -> str | None:
    """Why there is no kernel for a cell here: no compiler and none came with gated, or it fails."""
    return _failure(graph, real, traced, unavailable())


@lru_cache(maxsize=256)
def _failure(graph: Graph, real: str, traced: bool, without: str | None) -> str | None:
    """As `_missing`, once for each answer to whether there is a compiler."""
    try:
        compiled(graph, real, traced)
    except EngineError as error:
        return str(error)
    return None


def warn_if_uncompiled(job: Job) -> None:
    """Warn, once in a process, if a job runs elsewhere only since its kernel cannot be compiled."""
    x, graph = job.sequence, job.cell.graph
    if x.device.type != "cpu" or x.dtype not in REALS or obstacle(graph):
        return
    if _missing(graph, REALS[x.dtype], job.trace):
        warn_without_compiler()


def stepper(
    graph: Graph, layout: tuple[Slot, ...], sizes: Mapping[str, int], dtype: torch.dtype
) -> Stepper | None:
    """What runs single steps of one layer without gradients; None if they need a whole call."""
    real = REALS.get(dtype)
    if real is None or obstacle(graph) or len(graph.inputs) > 1 or _missing(graph, real, False):
        return None
    try:
        return Stepper(compiled(graph, real), layout, sizes)
    except ValueError:
        return None


def run(job: Job) -> Result:
    """Run the job."""
    loops = compiled(job.cell.graph, REALS[job.sequence.dtype], job.trace)
    return fused.run(job, loops)
