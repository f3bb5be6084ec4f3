"""What a network loses when gates or units are fixed: its own metric, before and after.

A gate is clamped for good (f = 1: never forget; i = 0: write nothing; o = 1: show all), or a unit
is frozen: its states keep one value at every step. The change in the task's own metric is what the
gate or unit is worth to the task. This is ablation: a cause is set and an effect is seen, where a
correlation or a gradient only suggests one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from gated.equations.close import did_you_mean
from gated.errors import OptionError
from gated.inspect.measures.clamps import Key, Value, as_number, at_values, held, places, read
from gated.inspect.measures.effects import Effect, Importance, ImportanceInterrupted, What
from gated.inspect.measures.settings import settings
from gated.inspect.recording.surgery import changed, eager, find_layer, layers_of
from gated.layers import Recurrent
from gated.training.signals import Interrupted, StopSignals

__all__ = ["Effect", "Importance", "ImportanceInterrupted", "clamp", "freeze", "importance"]

Metric = Callable[[Any], Any]
Progress = Callable[[int, int], None]


@contextmanager
def clamp(model: nn.Module, what: Mapping[Key, Mapping[str, Value]]) -> Iterator[nn.Module]:
    """Within the block, gates and states of a model's layers have fixed values.

    The clamped value is seen by all that reads it, traces included, in calls and in `step()`. A
    clamped state has its value from the start, in the place of the initial state too. Afterwards
    the model is as it was, whatever happened. Clamps may stand within one another; where two of
    them fix the same unit, the inner one holds. The layers run `gated.cells.probes.clamped` cells
    on the engines that they run on anyway, with the same parameters; no gradient passes through a
    clamped value.

    Args:
        model: any module that has layers of gated in it, or is one.
        what: by the path of a layer ("layer" if the model is one; (path, index, direction) for one
            of a stack), by gate or state: a number for all units, a dictionary from unit to number,
            or a number for each unit.

    Yields:
        The model.

    Raises:
        OptionError: there is no such layer, gate, state or unit, or a gate's equation never gives
            that value: a sigmoid is between 0 and 1. A state may be held anywhere.

    Example:
        >>> import gated, torch
        >>> lstm, x = gated.LSTM(2, 4), torch.randn(7, 1, 2)
        >>> with clamp(lstm, {"layer": {"f": 1.0, "o": {2: 0.0}}}):
        ...     output, _, trace = lstm(x, trace=True)
        >>> bool((trace["f"] == 1).all()), bool((output[..., 2] == 0).all())
        (True, True)
    """
    clamps = read(model, what)
    with ExitStack() as block:
        block.enter_context(eager())
        for one in clamps:
            block.enter_context(changed(one.layer, one.change))
        yield model


@contextmanager
def freeze(
    model: nn.Module,
    what: Mapping[Key, int | Sequence[int]],
    at: str | float | Mapping[str, Any] = "initial",
) -> Iterator[nn.Module]:
    """Within the block, units are frozen: all their states keep one value.

    A unit's states are those of its memory and those of as many units: h and c of an LSTM, c alone
    where h is projected.

    Args:
        model: as for `clamp`.
        what: the numbers of the units, by layer.
        at: "initial" for the cell's initial values (0 for most), a number, or a recording
            (`gated.record`) for the unit's mean over its valid steps.

    Yields:
        The model.

    Raises:
        OptionError: there is no such layer or unit, or the recording lacks it.

    Example:
        >>> import gated, torch
        >>> gru, x = gated.GRU(2, 4), torch.randn(7, 1, 2)
        >>> with freeze(gru, {"layer": [0, 3]}):
        ...     output, _ = gru(x)
        >>> bool((output[..., [0, 3]] == 0).all())
        True
    """
    if not isinstance(what, Mapping):
        raise OptionError(f"freeze: got {what!r}, expected layers with units, as {{'rnn': [0, 3]}}")
    found: dict[Key, dict[str, Value]] = {}
    for key, chosen in what.items():
        path = key if isinstance(key, str) else key[0]
        layer, numbers = find_layer(model, path), _as_numbers(chosen)
        for index, direction in places(layer) if isinstance(key, str) else [key[1:]]:
            if isinstance(key, str) and len(places(layer)) > 1:
                raise OptionError(
                    f"freeze: {key!r} is a stack, whose unit is meant? Write ({key!r}, index, "
                    f"direction) in the place of {key!r}"
                )
            values = held(layer, path, (index, direction), at)
            found[path, index, direction] = at_values(values, numbers)
    with clamp(model, found):
        yield model


def importance(
    model: nn.Module,
    metric: Metric,
    *,
    layers: Sequence[str] | None = None,
    gates: Sequence[str] | Mapping[str, float] | None = None,
    units: Sequence[int] | None = None,
    each: bool = False,
    at: str | float | Mapping[str, Any] = "initial",
    better: str = "lower",
    progress: Progress | None = None,
    resume: Importance | None = None,
) -> Importance:
    """How much a metric changes when gates are clamped and units are frozen, one after the other.

    Computed are, for every stacked layer and direction: each gate in all its units, each unit
    frozen (all its states keep one value), and with `each` every gate of every unit by itself. The
    metric runs once for each, and once for the untouched model.

    Args:
        model: any module that has layers of gated in it, or is one; in the mode that it is in.
        metric: takes the model and gives a number; it must give the same for the same model.
        layers: the paths of the layers; all if not given.
        gates: names, or names with the values to clamp them at. If not given, what the equations
            say: the gate that keeps the memory at 1, that which writes at 0, that which shows at
            1; a name without a value means the same. () for none.
        units: the numbers of the units to freeze; all if not given, () for none.
        each: whether to clamp every gate of each of `units` alone, too.
        at: what frozen units are held at, as in `freeze`.
        better: whether a "lower" or a "higher" metric is better; for `harm` and the ranking.
        progress: called with the number done and the number in all.
        resume: what an interrupted run had computed, which is not computed again.

    Returns:
        An `Importance`.

    Raises:
        OptionError: a layer, gate or unit that is not there, a metric that is no number, or
            `resume` is the answer to another question.
        ImportanceInterrupted: Ctrl-C or SIGTERM came, after the effect then running; its
            `partial` has what was computed.

    Limits: units stand in for one another: where two carry the same, freezing either changes
    nothing, and neither is shown to matter. A unit at 0 is not a unit without information, and may
    put the network where training never was, so that what breaks is more than what the unit says;
    compare with `at=recording`, its mean. What is measured holds for the data that the metric uses.

    Source: ablation of single units: Y. LeCun, J. Denker, S. Solla, Optimal brain damage, NeurIPS
    1990 (saliency as the change in the objective on deletion); M. Mozer, P. Smolensky,
    Skeletonization, NeurIPS 1989 (relevance of a unit); of an LSTM's gates, by retraining:
    K. Greff et al., LSTM: a search space odyssey, arXiv:1503.04069.

    Example:
        >>> import gated, torch
        >>> _ = torch.manual_seed(0)
        >>> lstm, x = gated.LSTM(2, 3), torch.randn(7, 5, 2)
        >>> found = importance(lstm, lambda model: model(x)[0].square().mean())
        >>> [effect.clamp for effect in found.gates()], len(found.ranking())
        (['f = 1', 'i = 0', 'o = 1'], 3)
    """
    if better not in ("lower", "higher"):
        raise OptionError(f"better is {better!r}, expected 'lower' or 'higher'")
    paths = list(layers_of(model)) if layers is None else list(layers)
    plan = list(_plan(model, paths, gates, units, each, at))
    known = {effect.what: effect for effect in resume.effects} if resume else {}
    _check_resume(resume, plan, better)
    baseline = resume.baseline if resume else _measured(metric, model)
    done: list[Effect] = []

    def partial() -> Importance:
        return Importance(baseline, tuple(done), better, len(plan), clamps=tuple(plan))

    try:
        with StopSignals() as signals:
            for k, (what, values) in enumerate(plan, 1):
                if what not in known:
                    with clamp(model, {what[:3]: values}):
                        value = _measured(metric, model)
                    known[what] = Effect(*what, value, value - baseline)
                done.append(known[what])
                if progress:
                    progress(k, len(plan))
                signals.check(f"{len(done)} of {len(plan)} clamps are computed")
    except Interrupted as error:
        raise ImportanceInterrupted(
            f"{error}: they are in the error's `partial`, pass resume=error.partial to go on",
            error.signum, partial(),
        ) from None  # fmt: skip
    return partial()


def _check_resume(
    resume: Importance | None, plan: Sequence[tuple[What, Mapping[str, Value]]], better: str
) -> None:
    if resume is None:
        return
    before, way = dict(resume.clamps), "pass the arguments of that run, or leave resume= out"
    if resume.better != better:
        raise OptionError(f"resume was asked with better={resume.better!r}, not {better!r}: {way}")
    for what, values in plan:
        if what in before and before[what] != values:
            raise OptionError(
                f"resume was asked for other values: {what[4]} of unit {what[3]} of {what[0]!r} "
                f"meant {before[what]}, and now {values}: {way}"
            )


def _plan(
    model: nn.Module, paths: Sequence[str], gates: Any, chosen: Sequence[int] | None, each: bool,
    at: Any,
) -> Iterator[tuple[What, dict[str, Value]]]:  # fmt: skip
    """What is to be clamped, and how."""
    for path in paths:
        layer = find_layer(model, path)
        options = _gates(layer, gates)
        for index, direction in places(layer):
            values = held(layer, path, (index, direction), at)
            for label, gate_values in options.items():
                yield (path, index, direction, None, label), {**gate_values}
            count = len(next(iter(values.values())))
            for unit in range(count) if chosen is None else _as_numbers(chosen):
                yield (path, index, direction, unit, "frozen"), at_values(values, [unit])
                for label, gate_values in options.items() if each else ():
                    alone: dict[str, Value] = {g: {unit: v} for g, v in gate_values.items()}
                    yield (path, index, direction, unit, label), alone


def _gates(layer: Recurrent, gates: Any) -> dict[str, Mapping[str, float]]:
    """The clamps of whole gates, by label."""
    known = {one.label: one.values for one in settings(layer.cell)}
    if gates is None:
        return known
    found: dict[str, Mapping[str, float]] = {}
    for gate in (gates,) if isinstance(gates, str) else gates:
        if isinstance(gates, Mapping):
            value = as_number(gates[gate], gate)
            found[f"{gate} = {value:g}"] = {gate: value}
            continue
        match = [(label, values) for label, values in known.items() if gate in values]
        if not match:
            names = ", ".join(known) or "none"
            raise OptionError(
                f"importance: {layer.cell.name} has no plain meaning for a gate {gate!r}: "
                f"{did_you_mean(gate, layer.cell.graph.equations)}those that follow from the "
                f"equations are {names}; for another give the value, as gates={{{gate!r}: 0.0}}"
            )
        found |= match
    return found


def _measured(metric: Metric, model: nn.Module) -> float:
    with torch.no_grad():
        value = metric(model)
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise OptionError(
            f"metric(model) gave {type(value).__name__}, expected a number: average what you return"
        ) from None


def _as_numbers(chosen: int | Sequence[int]) -> list[int]:
    try:
        return [chosen] if isinstance(chosen, int) else list(chosen)
    except TypeError:
        raise OptionError(
            f"units are {chosen!r}, expected the number of a unit or several: [0, 3]"
        ) from None
