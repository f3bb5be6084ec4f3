"""The GPU engine: any cell, fused over time, forward and backward, from generated Triton.

What does not depend on the state is computed before the loop, for all steps at once, as one large
product; so are the gradients of matrices after it. The loop runs by one of two strategies:

    resident   a head fits one program: one kernel runs all steps, the weights held on the chip
    stepwise   any size: at each step a library's products, and one generated kernel a stage

`engine="triton"` takes the first that can run a call's sizes, `"triton-resident"` and
`"triton-stepwise"` are these alone. Where TRITON_INTERPRET=1 stood in the environment when Triton
was loaded, kernels run on tensors on the CPU, in Triton's interpreter: slow, and for tests.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from gated.engines.fused import run as fused
from gated.engines.fused.obstacles import obstacle, of_call
from gated.engines.job import Job, Result
from gated.engines.triton.loops import REALS, STRATEGIES, Generated, generated

_OLDEST = (8, 0)  # compute capability: bfloat16, and what Triton compiles for


class Engine:
    """The engine by all strategies, or by one alone."""

    def __init__(self, strategy: str | None = None):
        self.strategy = strategy

    def supports(self, job: Job) -> str | None:
        """None if a kernel can be generated for the job, else what stands in the way."""
        x = job.sequence
        against = _of_machine(x) or _of_type(x.dtype) or of_call(job) or obstacle(job.cell.graph)
        if against:
            return against
        reasons = self.strategies(job)
        if any(reason is None for reason in reasons.values()):
            return None
        return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())

    def strategies(self, job: Job) -> dict[str, str | None]:
        """For each strategy, in the order of the choice, why it cannot run the job."""
        return self._loops(job).against(job.sizes)

    def explain(self, job: Job) -> str:
        """The strategy that runs the job, and why not those before it."""
        found: list[str] = []
        for name, reason in self.strategies(job).items():
            if reason is None:
                return "; ".join([f"strategy {name}", *found])
            found.append(f"not {name}: {reason}")
        raise AssertionError("supports() was asked first")

    def run(self, job: Job) -> Result:
        """Run the job."""
        return fused.run(job, self._loops(job))

    def _loops(self, job: Job) -> Generated:
        return generated(job.cell.graph, job.sequence.dtype, job.trace, self.strategy)


ALL = Engine()
ONE = {f"triton-{name}": Engine(name) for name in STRATEGIES}


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter: what Triton takes for yes."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


@cache
def _missing() -> str | None:
    """Why Triton cannot be used here."""
    if find_spec("triton") is None:
        return "Triton is not installed: it comes with PyTorch for GPUs on Linux"
    return None


def _too_late() -> str | None:
    """Why the interpreter cannot run what was loaded for a GPU."""
    functions = sys.modules.get("gated.engines.triton.functions")
    if functions is None or functions.WIDER.value:
        return None
    return "TRITON_INTERPRET was set when its kernels had been loaded for a GPU: set it before"


def _of_machine(sequence: Tensor) -> str | None:
    device = sequence.device
    if device.type == "cpu" and interpreted():
        return _missing() or _too_late()
    if device.type == "cpu":
        return "it runs on a GPU, here only if TRITON_INTERPRET=1 is set"
    if device.type != "cuda":
        return f"it runs on a GPU, not on {device.type}"
    return _of_gpu(device) or _missing()


@cache
def _of_gpu(device: torch.device) -> str | None:
    """Why a GPU is too old; one that is not here, which tensors may only stand for, is not."""
    if torch.version.hip is not None or not torch.cuda.is_available():
        return None
    capability = torch.cuda.get_device_capability(device)
    if capability >= _OLDEST:
        return None
    has = ".".join(map(str, capability))
    return f"it takes a GPU of compute capability 8.0 or later, this one has {has}"


def _of_type(dtype: torch.dtype) -> str | None:
    if dtype in REALS:
        return None
    types = ", ".join(str(t).removeprefix("torch.") for t in REALS)
    return f"the Triton engine computes in {types}, not in {dtype}"
