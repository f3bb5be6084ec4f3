"""Which units of which gates and states are fixed, at what value: read, checked, put into jobs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gated.cells.probes import clamped, size
from gated.engines import Job
from gated.equations import Cell
from gated.equations.close import did_you_mean
from gated.equations.graph import State
from gated.errors import OptionError
from gated.inspect.cell.bounds import bounds, written
from gated.inspect.recording.surgery import find_layer, units, with_cell
from gated.layers import Recurrent
from gated.layers.arrangement import Arrangement

__all__ = [
    "Clamps",
    "Key",
    "Value",
    "as_number",
    "at_values",
    "held",
    "places",
    "read",
    "unit_states",
]

# a layer's path, or that with the index in its stack and the direction
Key = str | tuple[str, int, int]
# for all units, for some, or for each
Value = float | Mapping[int | tuple[int, ...], float] | Sequence[float] | Tensor
# what is kept (1) or fixed (0), and at which values, (n,) each, by gate or state
Fixed = dict[str, tuple[Tensor, Tensor]]


def places(layer: Recurrent) -> list[tuple[int, int]]:
    """(index, direction) of everything that is stacked in a layer, in the order of its weights."""
    return [(i, d) for i in range(layer.num_layers) for d in range(layer.num_directions)]


def unit_states(cell: Cell) -> tuple[str, ...]:
    """The states that make up a hidden unit: the memory, and those of as many units.

    Example:
        >>> from gated.cells import cell
        >>> unit_states(cell("lstm")), unit_states(cell("lstmp")), unit_states(cell("gru-d"))
        (('h', 'c'), ('c',), ('h',))
    """
    outside = set(cell.graph.input_sizes.values())
    sizes = {state.name: state.size for state in cell.states}
    kept = [name for name in cell.kept if sizes[name] not in outside]
    wanted = sizes[kept[0] if kept else cell.states[0].name]
    return tuple(name for name, found in sizes.items() if found == wanted)


class Clamps:
    """What is fixed in one layer of a model, by place."""

    def __init__(self, layer: Recurrent):
        self.layer = layer
        self.fixed: dict[int, Fixed] = {}

    def add(self, place: int, name: str, value: Value, what: str) -> None:
        """Fix units of a gate or state."""
        count = units(self.layer, place, size(self.layer.cell, name))
        keep, fixed = self.fixed.setdefault(place, {}).setdefault(
            name, (torch.ones(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64))
        )
        if isinstance(value, Mapping):
            for which, number in value.items():
                for unit in _numbers(which, count, what):
                    keep[unit], fixed[unit] = 0, as_number(number, what)
        elif isinstance(value, (int, float)):
            keep.zero_()
            fixed.fill_(as_number(value, what))
        else:
            given = _given(value, what)
            if given.shape != (count,):
                raise OptionError(
                    f"clamp: {what} got values of shape {tuple(given.shape)}, expected one number, "
                    f"{count} of them, or a dictionary such as {{3: 1.0}}"
                )
            for number in given.tolist():
                as_number(number, what)
            keep.zero_()
            fixed.copy_(given)
        _check_reach(self.layer.cell, name, fixed[keep == 0], what)

    def change(self, job: Job, arranged: Arrangement) -> Job:
        """The job with fixed values."""
        names = tuple(dict.fromkeys(name for one in self.fixed.values() for name in one))
        inside = job.form.cell.graph.inputs.keys() - self.layer.cell.graph.inputs.keys()
        new = tuple(name for name in names if f"keep_{name}" not in inside)  # not clamped around us
        like, lead = job.sequence, job.sequence.shape[:-1]

        def inputs(place: int) -> dict[str, Tensor]:
            found: dict[str, Tensor] = {}
            for name in names:
                keep, fixed = self._of(place, name, job.form.cell)
                keep = keep.to(like).expand(*lead, len(keep))
                fixed = fixed.to(like).expand(*lead, len(fixed))
                if name not in new and job.own:
                    outer = job.own[place]
                    fixed = torch.where(keep > 0, outer[f"fixed_{name}"], fixed)
                    keep = keep * outer[f"keep_{name}"]
                found |= {f"keep_{name}": keep, f"fixed_{name}": fixed}
            return found

        job = with_cell(job, lambda cell: clamped(cell, new) if new else cell, inputs)
        return job._replace(initial=tuple(map(self._start, job.cell.states, job.initial)))

    def _of(self, place: int, name: str, cell: Cell) -> tuple[Tensor, Tensor]:
        count = units(self.layer, place, size(cell, name))
        free = (torch.ones(count), torch.zeros(count))
        return self.fixed.get(place, {}).get(name, free)

    def _start(self, state: State, value: Tensor) -> Tensor:
        """A fixed state is so from the start."""
        rows = list(value)
        for place, one in self.fixed.items():
            if state.name in one:
                keep, fixed = (tensor.to(value) for tensor in one[state.name])
                rows[place] = torch.where(keep > 0, rows[place], fixed)
        return torch.stack(rows)


def read(model: nn.Module, what: Mapping[Key, Mapping[str, Value]]) -> list[Clamps]:
    """The clamps of each layer that is named.

    Raises:
        OptionError: there is no such layer, place, gate, state or unit.
    """
    named = isinstance(what, Mapping) and all(isinstance(k, (str, tuple)) and k for k in what)
    if not named or not all(isinstance(v, Mapping) for v in what.values()):
        raise OptionError(
            f"clamp: got {what!r}, expected layers with their gates, as "
            f"{{'rnn': {{'f': 1.0, 'c': {{3: 0.0}}}}}}"
        )
    found: dict[str, Clamps] = {}
    for key, gates in what.items():
        path = key if isinstance(key, str) else key[0]
        clamps = found.setdefault(path, Clamps(find_layer(model, path)))
        for place in _places(clamps.layer, key):
            for name, value in gates.items():
                _check_gate(clamps.layer.cell, name)
                _check_one_place(clamps.layer, key, name, value)
                clamps.add(place, name, value, f"{name} of {path!r}")
    return list(found.values())


def _places(layer: Recurrent, key: Key) -> list[int]:
    known = places(layer)
    if isinstance(key, str):
        return list(range(len(known)))
    if key[1:] not in known:
        raise OptionError(
            f"clamp: {key[0]!r} has no layer {key[1:]}: name (path, index, direction), with "
            f"{', '.join(map(str, known))}"
        )
    return [known.index(key[1:])]


def _check_gate(cell: Cell, name: str) -> None:
    if name not in cell.graph.equations:
        gates, states = ", ".join(cell.gates) or "none", ", ".join(s.name for s in cell.states)
        raise OptionError(
            f"clamp: {cell.name} has no gate or state {name!r}: "
            f"{did_you_mean(name, cell.graph.equations)}its gates are {gates}, its states {states}"
        )


def _check_reach(cell: Cell, name: str, values: Tensor, what: str) -> None:
    """Refuse what a squashed gate can never be; a state may be held anywhere."""
    low, high = reach = bounds(cell.graph.equations[name])
    outside = values[(values < low) | (values > high)]
    squashed = math.isfinite(low) and math.isfinite(high)
    if squashed and len(outside) and name not in {state.name for state in cell.states}:
        raise OptionError(
            f"clamp: {what} is to be {float(outside[0]):g}, expected {written(reach)}: no weights "
            f"and no input give another value to {name} of {cell.name}"
        )


def _check_one_place(layer: Recurrent, key: Key, name: str, value: Value) -> None:
    several = isinstance(key, str) and len(places(layer)) > 1
    if several and not isinstance(value, (int, float)):
        raise OptionError(
            f"clamp: {key!r} has {layer.num_layers} stacked layers in {layer.num_directions} "
            f"direction(s), whose unit of {name} is meant? Write ({key!r}, index, direction), each "
            f"counted from 0, in the place of {key!r}"
        )


def _numbers(which: Any, count: int, what: str) -> Sequence[int]:
    chosen = which if isinstance(which, (tuple, list, range)) else (which,)
    for unit in chosen:
        if isinstance(unit, bool) or not hasattr(unit, "__index__") or not 0 <= unit < count:
            raise OptionError(
                f"clamp: {what} has no unit {unit!r}: it has {count}, counted from 0 to {count - 1}"
            )
    return chosen


def _given(value: Any, what: str) -> Tensor:
    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise OptionError(
            f"clamp: {what} is to be {value!r}, expected one number, one for each unit, or a "
            f"dictionary such as {{3: 1.0}}"
        ) from None


def as_number(value: Any, what: str) -> float:
    """A value to clamp at.

    Raises:
        OptionError: it is no number, or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise OptionError(f"clamp: {what} is to be {value!r}, expected a number")
    return float(value)


def held(
    layer: Recurrent, path: str, where: tuple[int, int], at: str | float | Mapping[str, Any]
) -> dict[str, Tensor]:
    """The values at which the units of one place may be frozen, by state, (n,) each.

    Args:
        layer, path, where: the layer, its path in the model, and (index, direction).
        at: "initial", a number, or a recording for each unit's mean over the valid steps.

    Raises:
        OptionError: `at` is nothing of these, or the recording lacks the layer or a state.
    """
    if isinstance(at, Mapping):
        return {name: _mean(at, path, where, name) for name in unit_states(layer.cell)}
    if at != "initial":
        as_number(at, "a frozen unit")
    place, found = places(layer).index(where), {}
    for state in layer.cell.states:
        if state.name in unit_states(layer.cell):
            value = state.initial if isinstance(at, str) else at
            shape = (units(layer, place, state.size),)
            found[state.name] = torch.full(shape, float(value), dtype=torch.float64)
    return found


def at_values(values: Mapping[str, Tensor], numbers: Sequence[int]) -> dict[str, Value]:
    """States clamped at those of some units."""
    found: dict[str, Value] = {}
    for name, value in values.items():
        chosen = _numbers(tuple(numbers), len(value), f"{name} of a frozen unit")
        found[name] = {unit: float(value[unit]) for unit in chosen}
    return found


def _mean(recording: Mapping[str, Any], path: str, where: tuple[int, int], state: str) -> Tensor:
    if path not in recording or not recording[path].calls:
        raise OptionError(f"the recording has no call of {path!r}: record the model on its data")
    parts, steps = [], 0
    for call in recording[path].calls:
        values = call.values(*where)
        if state not in values:
            raise OptionError(f"the recording has no {state} of {path!r}: name it in only=, too")
        parts.append(values[state].detach().double().sum((0, 1)))  # 0 beyond a row's length
        steps += int(call.lengths.sum())
    return torch.stack(parts).sum(0) / max(steps, 1)
