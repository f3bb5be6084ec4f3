"""Engines timed in turn on one call of a layer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch import Tensor

from gated.errors import EngineError
from gated.inspect.doctor.samples import Sample
from gated.layers import Recurrent

_SECONDS = 4.0  # for all engines together, unless three rounds take longer
_ROUNDS = (3, 201)
_LONG = 10.0  # seconds of a round that is not repeated
# calls that are not counted: the first compiles, the second may record a graph of a GPU's work
_BEFORE = 2


@dataclass(frozen=True)
class Run:
    """One engine on the layer.

    Attributes:
        engine: its name.
        strategy: the way that it takes, None if it has one alone.
        same_as: the engine that takes this strategy here, so that this one is not timed.
        reason: why it cannot run this, None if it can.
        failure: what it raised instead of running it, None if it ran.
        seconds: how long each run took; empty if it was not timed.
    """

    engine: str
    strategy: str | None = None
    same_as: str | None = None
    reason: str | None = None
    failure: str | None = None
    seconds: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """The middle of the times, in seconds."""
        return median(self.seconds)

    @property
    def middle(self) -> tuple[float, float]:
        """Between these lies the middle half of the times."""
        if len(self.seconds) < 2:
            return self.median, self.median
        low, _, high = quantiles(self.seconds, n=4, method="inclusive")
        return low, high


def times_of(
    calls: dict[str, Callable[[], None]], tell: Callable[[str], None]
) -> dict[str, tuple[float, ...] | str]:
    """For each call how long its runs took, in turn with the others; or why it failed."""
    found: dict[str, tuple[float, ...] | str] = {}
    first = {}
    for name, call in calls.items():
        tell(name)
        try:
            for _ in range(_BEFORE):
                first[name] = seconds(call)
        except EngineError as fault:
            found[name] = str(fault)
        except Exception as fault:  # as of a kernel's compiler
            if too_large(fault):
                raise
            found[name] = f"{type(fault).__name__}: {fault}"
    good = [name for name in calls if name not in found]
    rounds = _rounds(sum(first[name] for name in good))
    tell("all in turn")
    times: dict[str, list[float]] = {name: [] for name in good}
    for _ in range(rounds):
        for name in good:
            times[name].append(seconds(calls[name]))
    return found | {name: tuple(each) for name, each in times.items()}


def too_large(fault: Exception) -> bool:
    """Whether memory did not suffice."""
    signs = ("allocate memory", "overflow", "out of memory")
    return isinstance(fault, RuntimeError) and any(sign in str(fault) for sign in signs)


def _rounds(taken: float) -> int:
    """How often to repeat what takes so long, in seconds."""
    if taken > _LONG:
        return 1
    fewest, most = _ROUNDS
    return min(most, max(fewest, int(_SECONDS / max(1e-6, taken))))


def call_of(
    module: Recurrent, given: Sample, engine: str, *, trace: bool, train: bool
) -> Callable[[], None]:
    """A run of the layer on an engine to its end: forward, in training back to its parameters."""
    weights: Sequence[Tensor] = list(module.parameters())

    def run() -> None:
        module.engine = engine
        output: Tensor = module(
            given.x, given.hx, lengths=given.lengths, trace=trace, **given.others
        )[0]
        if train:
            torch.autograd.grad(output, weights, torch.ones_like(output), allow_unused=True)
        if given.x.is_cuda:  # which works on while Python does
            torch.cuda.synchronize(given.x.device)

    return run


def seconds(call: Callable[[], None]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
