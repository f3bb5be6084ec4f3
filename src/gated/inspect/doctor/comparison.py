"""For one layer and call: the engine that `auto` takes, and how long each one takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from gated import engines
from gated.engines import ENGINES, PARTS, Job, choose
from gated.equations import Cell
from gated.equations.maps import Maps
from gated.errors import EngineError, OptionError
from gated.inspect.doctor.samples import (
    Sample,
    asked,
    elsewhere,
    letters,
    sample,
    seeded,
    strategies,
)
from gated.inspect.doctor.timing import Run, call_of, times_of, too_large
from gated.layers import Recurrent

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
class Comparison:
    """What `auto` chooses for a layer, and every engine beside it.

    Attributes:
        layer: what was asked about.
        engine, reason: what `auto` takes and why, as `layer.choice(...)` gives them.
        runs: one for each engine; those that run it first, the fastest before the others.
        order: the engines that `auto` tries, one after another.
        absent: whether the device is not here, so that nothing ran.
        tf32: whether PyTorch's settings let an LSTM of cuDNN, and products of matrices, round
            float32; None if that does not matter here.
    """

    layer: Layer
    engine: str
    reason: str
    runs: tuple[Run, ...]
    order: tuple[str, ...] = ()
    absent: bool = False
    tf32: tuple[bool, bool] | None = None

    @property
    def strategy(self) -> str | None:
        """The way that the engine takes, None if it has one alone."""
        return next((run.strategy for run in self.runs if run.engine == self.engine), None)

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

    Engines run in turn, several times, after runs that are not counted. Where there is no GPU it
    can be asked what one would run, and nothing is timed.

    Raises:
        OptionError: the sizes are more than memory holds, or the device is not there.
        CellError: the maps do not fit the cell.
    """
    try:
        with seeded():
            return _compare(layer, timed, tell)
    except RuntimeError as error:
        if isinstance(error, EngineError) or not too_large(error):
            raise
        raise OptionError(
            "the layer or its batch does not fit into memory: lower --batch, --steps or"
            " --hidden-size"
        ) from None


def _compare(layer: Layer, wanted: bool, tell: Callable[[str], None]) -> Comparison:
    absent = _absent(layer.device)
    module = _module(layer, torch.device("meta") if absent else device_of(layer.device))
    given = sample(module, layer.steps, layer.batch, _lengths(layer))
    with torch.set_grad_enabled(layer.train):
        job = asked(module, given, trace=layer.trace)
        if absent:
            job = elsewhere(job, layer.device)
        engine, reason = choose(job)
        runs = _asked(job)
        if wanted and not absent:
            runs = _timed(layer, module, given, runs, tell)
    order = sorted(
        runs.values(), key=lambda run: (run.reason is not None, run.median if run.seconds else 0)
    )
    return Comparison(layer, engine, reason, tuple(order), engines.AUTOMATIC, absent, _tf32(given))


def _asked(job: Job) -> dict[str, Run]:
    """For each engine whether it can run the job, and by which strategy."""
    found: dict[str, Run] = {}
    for name, engine in ENGINES.items():
        run = Run(name, reason=engine.supports(job))
        if run.reason is None:
            ways = strategies(name, job)
            run = replace(run, strategy=next((way for way, no in ways.items() if no is None), None))
            whole = found.get(PARTS.get(name, ""))
            if whole is not None and run.strategy == whole.strategy:
                run = replace(run, same_as=whole.engine)
        found[name] = run
    return found


def _timed(
    layer: Layer, module: Recurrent, given: Sample, runs: dict[str, Run],
    tell: Callable[[str], None],
) -> dict[str, Run]:  # fmt: skip
    """The runs, with the times of those that can."""
    calls = {
        name: call_of(module, given, name, trace=layer.trace, train=layer.train)
        for name, run in runs.items()
        if run.reason is None and run.same_as is None
    }
    found = dict(runs)
    for name, each in times_of(calls, tell).items():
        if isinstance(each, str):
            found[name] = replace(runs[name], failure=each)
        else:
            found[name] = replace(runs[name], seconds=each)
    return found


def _tf32(given: Sample) -> tuple[bool, bool] | None:
    if not given.x.is_cuda or given.x.dtype != torch.float32:
        return None
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision() != "highest"


def _module(layer: Layer, device: torch.device) -> Recurrent:
    own: dict[str, Any] = letters(layer.cell, layer.hidden_size)
    return Recurrent(
        layer.cell, layer.input_size, layer.hidden_size, layer.num_layers,
        bidirectional=layer.bidirectional, maps=layer.maps, device=device,
        dtype=getattr(torch, layer.dtype), **own,
    ).train(layer.train)  # fmt: skip


def _absent(name: str) -> bool:
    """Whether this names a GPU, and there is none at all."""
    return re.fullmatch(r"cuda(:\d+)?", name) is not None and not torch.cuda.is_available()


def device_of(name: str) -> torch.device:
    """A device that can be used here.

    Raises:
        OptionError: it is not one, or it is not here.
    """
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
