"""Engines run any cell over time.

Each is a module with `supports(job)`, which gives a reason or None, and `run(job)`. `choose` takes
the first that can, and says why; an engine asked for by name never silently falls back.
"""

from __future__ import annotations

from typing import NamedTuple

from torch.autograd import forward_ad

from gated.engines import pytorch, reference
from gated.engines.job import Engine, Job, Result
from gated.errors import EngineError, OptionError

# in the order in which `auto` tries them
ENGINES: dict[str, Engine] = {"torch": pytorch, "reference": reference}

__all__ = ["ENGINES", "Choice", "Job", "Result", "check_name", "choose", "run", "supports_packed"]


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


def choose(job: Job, engine: str = "auto") -> Choice:
    """The engine for a job.

    Raises:
        EngineError: the engine asked for by name cannot run it.
    """
    if engine != "auto":
        reason = ENGINES[engine].supports(job)
        if reason is not None:
            raise EngineError(f"engine {engine!r} cannot run this: {reason}; use engine='auto'")
        return Choice(engine, "asked for by name")
    if forward_ad._current_level >= 0:
        return Choice("reference", "forward-mode differentiation is on: fused operators lack it")
    against: list[str] = []
    for name, candidate in ENGINES.items():
        reason = candidate.supports(job)
        if reason is None:
            why = "; ".join(against) or f"the fastest that computes {job.cell.name}"
            return Choice(name, why)
        against.append(f"{name}: {reason}")
    raise EngineError(f"no engine can run this: {'; '.join(against)}")


def supports_packed(job: Job, engine: str = "auto") -> bool:
    """Whether the packed job can run as it is; if not, the layer unpacks it."""
    names = ENGINES if engine == "auto" else [engine]
    return any(ENGINES[name].supports(job) is None for name in names)


def run(job: Job, engine: str = "auto") -> Result:
    """Run a job on the engine asked for, or on the one that `choose` takes."""
    return ENGINES[choose(job, engine).engine].run(job)
