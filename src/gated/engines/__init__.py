"""Engines run any cell over time.

Each has `supports(job)`, which gives a reason or None, and `run(job)`. `choose` takes the first
that can, and says why; an engine asked for by name never silently falls back.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

from gated.engines import cpu, padded, pytorch, reference, scan, triton
from gated.engines.cpu import stepper
from gated.engines.job import Engine, Form, Job, Result, Values, any_number, nothing, traced
from gated.errors import EngineError, OptionError

# in the order in which `auto` tries them
ENGINES: dict[str, Engine] = {
    "cpu": cpu,
    "scan": scan,
    "torch": pytorch,
    "triton": triton.ALL,
    **triton.ONE,
    "reference": reference,
}
# those that run jobs of which no size depends on a length
_PADDED = ("cpu", "scan", "triton", *triton.ONE)
# parts of an engine that `auto` takes as a whole, each with the whole
PARTS = dict.fromkeys(triton.ONE, "triton")

# a call of so few steps and rows, and fewer multiplications, costs more than what a kernel saves
_FEW_ROWS, _LITTLE = 64, 10_000_000
# steps from which on a scan is quicker than a loop
_LONG = 256

__all__ = [
    "ENGINES", "PARTS", "Choice", "Form", "Job", "Result", "Values", "check_name", "choose", "run",
    "stepper", "traced",
]  # fmt: skip


def allowed(names: str | None) -> tuple[str, ...]:
    """The engines that `auto` may take, in its order, from names as in GATED_ENGINES.

    The reference is always one of them, since it runs everything.

    Raises:
        OptionError: there is no such engine.
    """
    if names is None:
        return tuple(name for name in ENGINES if name not in PARTS)
    wanted = {check_name(name.strip()) for name in names.split(",") if name.strip()}
    return tuple(name for name in ENGINES if name in wanted or name == "reference")


class Choice(NamedTuple):
    """The engine that runs a job, and why."""

    engine: str
    reason: str


def check_name(name: str) -> str:
    """Return the name of an engine or "auto".

    Raises:
        OptionError: there is no such engine.
    """
    if name not in ("auto", *ENGINES):
        raise OptionError(
            f"engine={name!r}: expected one of 'auto', {', '.join(map(repr, ENGINES))}"
        )
    return name


AUTOMATIC = allowed(os.environ.get("GATED_ENGINES"))


def choose(job: Job, engine: str = "auto") -> Choice:
    """The engine for a job.

    Raises:
        EngineError: the engine asked for by name cannot run it.
    """
    name, against = _pick(job, engine)
    reasons = against or ["it is the fastest that can run this"]
    if engine != "auto":
        reasons = ["asked for by name"]
    if name == "triton":
        reasons = [*reasons, triton.ALL.explain(job)]
    return Choice(name, "; ".join(reasons))


def run(job: Job, engine: str = "auto") -> Result:
    """Run a job on the engine asked for, or on the one that `choose` takes."""
    if torch.compiler.is_dynamo_compiling():
        from gated.engines import opaque  # loads the compiler, which stands ready here

        return opaque.run(job, engine)
    return run_here(job, engine)


def run_here(job: Job, engine: str) -> Result:
    """As `run`, by the engine's own Python code."""
    name, _ = _pick(job, engine)
    chosen = ENGINES[name]
    if not job.sequence.numel():
        return nothing(job)
    if job.padded and name not in _PADDED:
        return padded.run(job, chosen.run)
    return chosen.run(job)


def _against(name: str, job: Job) -> str | None:
    reason = ENGINES[name].supports(job)
    if reason is None and job.padded and name not in _PADDED:
        return padded.obstacle(job)
    return reason


def _pick(job: Job, engine: str) -> tuple[str, list[str]]:
    """The engine, and what stood in the way of those before it."""
    if engine != "auto":
        reason = _against(engine, job)
        if reason is not None:
            raise EngineError(f"engine {engine!r} cannot run this: {reason}; use engine='auto'")
        return engine, []
    against: list[str] = []
    for name in AUTOMATIC:
        quicker = _QUICKER_ELSEWHERE.get(name, _nothing)(job)
        reason = quicker or _against(name, job)
        if reason is None:
            if name == "reference" and "cpu" in AUTOMATIC:
                cpu.warn_if_uncompiled(job)
            return name, against
        against.append(f"{name}: {reason}")
    raise EngineError(f"no engine can run this: {'; '.join(against)}")


def _slower(job: Job) -> str | None:
    """Why PyTorch's operator, where it can run the job, is quicker than a kernel."""
    if job.sequence.is_cuda or pytorch.supports(job) is not None or job.batch_sizes is not None:
        return None
    if job.sequence.is_meta:
        return "no kernel is compiled for tensors without numbers"
    rows = job.sequence.numel() // job.sequence.shape[-1]
    if any_number(rows):
        return None
    work = rows * sum(weight.numel() for weight in job.weights if weight.dim() > 1)
    if rows > _FEW_ROWS or work >= _LITTLE:
        return None
    return "PyTorch's own operator is as quick for so little work"


def _too_short(job: Job) -> str | None:
    """Why a loop over time is quicker than a scan."""
    sizes = job.batch_sizes
    steps = len(job.sequence) if sizes is None else len(sizes)
    if job.padded or any_number(steps) or steps >= _LONG:  # padded, a loop cannot run it
        return None
    if scan.supports(job) is not None:  # which says more
        return None
    return f"a loop over {steps} steps takes no longer; from {_LONG} on it does"


def _interpreted(job: Job) -> str | None:
    """Why kernels for GPUs are slow."""
    device = job.sequence.device.type
    return None if device == "cuda" else f"it is for GPUs, the input is on {device}"


def _nothing(job: Job) -> None:
    """Nothing is quicker."""


_QUICKER_ELSEWHERE = {"cpu": _slower, "scan": _too_short, "triton": _interpreted}
