"""For one layer and call: the engine that `auto` takes, and how long each one takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from gated.engines import check_name
from gated.equations import Cell
from gated.equations.maps import Maps
from gated.errors import EngineError, OptionError
from gated.inspect.doctor.samples import Sample, against, letters, sample, seeded
from gated.layers import Recurrent

_SECONDS = 4.0  # for all engines together, unless three rounds take longer
_ROUNDS = (3, 201)
_LONG = 10.0  # seconds of a round that is not repeated
# within this share of the fastest an engine counts as the fastest: timings repeat no better
_NEAR = 1.05
_MOSTLY = 0.75  # the share of rounds that a faster engine wins


@dataclass(frozen=True)
class Layer:
    """A layer and a call of it, to be asked about.

    Attributes:
        cell: the cell.
        input_size, hidden_size, num_layers, bidirectional, maps, dtype, device: of the layer.
        batch, steps: B and T of the call.
        train: whether gradients of the parameters are wanted.
        lengths: whether rows end early, three quarters of the steps on average.
        trace: whether every gate is wanted.
    """

    cell: Cell
    input_size: int = 64
    hidden_size: int = 64
    batch: int = 16
    steps: int = 100
    num_layers: int = 1
    bidirectional: bool = False
    maps: Maps | None = None
    dtype: str = "float32"
    device: str = "cpu"
    train: bool = False
    lengths: bool = False
    trace: bool = False


@dataclass(frozen=True)
class Run:
    """One engine on the layer.

    Attributes:
        engine: its name.
        reason: why it cannot run this, None if it can.
        failure: what it raised instead of running it, None if it ran.
        seconds: how long each run took; empty if it was not timed.
    """

    engine: str
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


@dataclass(frozen=True)
class Comparison:
    """What `auto` chooses for a layer, and every engine beside it.

    Attributes:
        layer: what was asked about.
        engine, reason: what `auto` takes and why, as `layer.choice(...)` gives them.
        runs: one for each engine; those that run it first, the fastest before the others.
    """

    layer: Layer
    engine: str
    reason: str
    runs: tuple[Run, ...]

    @property
    def fastest(self) -> Run | None:
        """The fastest engine, or what `auto` takes if none is clearly faster; None if not timed."""
        timed = [run for run in self.runs if run.seconds]
        if not timed:
            return None
        best = min(timed, key=lambda run: run.median)
        own = next((run for run in timed if run.engine == self.engine), best)
        # they ran in turn, so what slows a round slows both
        pairs = list(zip(best.seconds, own.seconds, strict=True))
        won = sum(one < other for one, other in pairs) / len(pairs)
        return best if own.median > _NEAR * best.median and won >= _MOSTLY else own


def compare(
    layer: Layer, timed: bool = True, tell: Callable[[str], None] = lambda _: None
) -> Comparison:
    """Ask which engine `auto` takes for a layer and, if `timed`, time all that can run it.

    Engines run in turn, several times, after one run each that is not counted.

    Raises:
        OptionError: the sizes are more than memory holds, or the device is not there.
        CellError: the maps do not fit the cell.
    """
    try:
        with seeded():
            return _compare(layer, timed, tell)
    except RuntimeError as error:
        if isinstance(error, EngineError):
            raise
        if any(sign in str(error) for sign in ("allocate memory", "overflow", "out of memory")):
            raise OptionError(
                "the layer or its batch does not fit into memory: lower --batch, --steps or"
                " --hidden-size"
            ) from None
        raise


def _compare(layer: Layer, timed: bool, tell: Callable[[str], None]) -> Comparison:
    module = _module(layer)
    given = sample(module, layer.steps, layer.batch, _lengths(layer))
    with torch.set_grad_enabled(layer.train):
        engine, reason = module.choice(
            given.x, given.hx, lengths=given.lengths, trace=layer.trace, **given.others
        )
        reasons = against(module, given, trace=layer.trace)
        runs = {name: Run(name, reason=why) for name, why in reasons.items()}
        if timed:
            runs |= _timed(layer, module, given, [n for n, why in reasons.items() if not why], tell)
    order = sorted(
        runs.values(), key=lambda run: (run.reason is not None, run.median if run.seconds else 0)
    )
    return Comparison(layer, engine, reason, tuple(order))


def _module(layer: Layer) -> Recurrent:
    device = _device(layer.device)
    own: dict[str, Any] = letters(layer.cell, layer.hidden_size)
    return Recurrent(
        layer.cell, layer.input_size, layer.hidden_size, layer.num_layers,
        bidirectional=layer.bidirectional, maps=layer.maps, device=device,
        dtype=getattr(torch, layer.dtype), **own,
    ).train(layer.train)  # fmt: skip


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(f"there is no device {name!r}: expected cpu, cuda, or cuda:1") from None
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as fault:
        told = str(fault).partition("\n")[0]
        raise OptionError(f"device {name!r} cannot be used here: {told}") from None


def _lengths(layer: Layer) -> list[int] | None:
    """Lengths from all of the steps down to half of them."""
    if not layer.lengths:
        return None
    lost, last = layer.steps // 2, max(1, layer.batch - 1)
    return [layer.steps - lost * row // last for row in range(layer.batch)]


def _timed(
    layer: Layer, module: Recurrent, given: Sample, names: list[str], tell: Callable[[str], None]
) -> dict[str, Run]:
    """The engines that run, each timed in turn with the others."""
    calls: dict[str, Callable[[], None]] = {}
    found, first = {}, {}
    for name in names:
        tell(name)
        call = _call(layer, module, given, check_name(name))
        try:
            call()  # compiles, if need be
            first[name] = _seconds(call)
        except EngineError as fault:
            found[name] = Run(name, failure=str(fault))
        else:
            calls[name] = call
    rounds = _rounds(sum(first.values()))
    tell("all in turn")
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(_seconds(call))
    return found | {name: Run(name, seconds=tuple(each)) for name, each in times.items()}


def _rounds(seconds: float) -> int:
    """How often to repeat what takes so long."""
    if seconds > _LONG:
        return 1
    fewest, most = _ROUNDS
    return min(most, max(fewest, int(_SECONDS / max(1e-6, seconds))))


def _call(layer: Layer, module: Recurrent, given: Sample, engine: str) -> Callable[[], None]:
    """A run of the layer on an engine: forward, and backward to its parameters in training."""
    weights = list(module.parameters())

    def run() -> None:
        module.engine = engine
        output: Tensor = module(
            given.x, given.hx, lengths=given.lengths, trace=layer.trace, **given.others
        )[0]
        if layer.train:
            torch.autograd.grad(output, weights, torch.ones_like(output), allow_unused=True)
        if given.x.is_cuda:
            torch.cuda.synchronize(given.x.device)

    return run


def _seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
