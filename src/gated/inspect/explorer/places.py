"""From a recording to the layers and directions that the explorer shows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gated.errors import OptionError
from gated.inspect.explorer.measured import memories, saturated
from gated.inspect.explorer.views import PlaceView
from gated.inspect.recording.recordings import Recording
from gated.inspect.recording.symbols import by_symbol

__all__ = ["Spot", "place_of", "spots"]


class Spot(NamedTuple):
    """Where in a recording: a layer of the model, one of its stack, a direction, calls, a row.

    ``calls`` are those of the layer, of which each goes on from the one before.
    """

    name: str
    layer: int
    direction: int
    calls: range
    row: int


def spots(recording: Recording, row: int) -> list[Spot]:
    """Every layer and direction of the last call of each layer, with those that it goes on from.

    Args:
        recording: as it was made, its calls not joined.
        row: of the batch.

    Raises:
        OptionError: nothing ran, there is no such row, or nothing can be drawn of what there is.
    """
    found = []
    for name, one in recording.items():
        if not one.calls:
            continue
        calls, call = one.streams()[-1], one.joined().calls[-1]
        if not 0 <= row < len(call.lengths) or not int(call.lengths[row]):
            raise OptionError(
                f"{name}: row {row} has no step, the batch has {len(call.lengths)} rows of "
                f"{call.lengths.tolist()[:8]} steps: pass row= of one that has"
            )
        if call.resets is not None and bool(call.resets[row].any()):
            raise OptionError(
                f"{name}: row {row} is reset on its way; pass one episode, without resets="
            )
        if any(value.dim() > 3 for value in call.values().values()):
            raise OptionError(
                f"{name}: its states are images, and the explorer draws one row a unit; it shows "
                f"layers whose states are vectors"
            )
        found += [
            Spot(name, index, direction, calls, row)
            for index in range(one.layer.num_layers)
            for direction in range(one.layer.num_directions)
        ]
    if not found:
        raise OptionError("no layer of gated ran in this call, so there is nothing to explain")
    return found


def place_of(recording: Recording, spot: Spot, step: str) -> PlaceView:
    """What one layer did in one direction, in the last call of a recording that is joined."""
    one = recording[spot.name]
    call, layer = one.calls[-1], one.layer
    steps = int(call.lengths[spot.row])

    def of_row(value: Tensor) -> NDArray[Any]:
        shown: NDArray[Any] = value[spot.row, :steps].detach().cpu().double().numpy()
        return shown

    values = {name: of_row(v) for name, v in call.values(spot.layer, spot.direction).items()}
    values = {name: values[name] for name in one.cell.graph.equations if name in values}
    read = {name: of_row(v) for name, v in call.inputs(spot.layer).items()}
    first = next(iter(read))
    symbols = by_symbol(layer, spot.layer, spot.direction)
    parameters = {key: v.detach().cpu().double().numpy() for key, v in symbols.items()}
    place = spot.layer * layer.num_directions + spot.direction
    return PlaceView(
        label=_label(recording, spot),
        cell=one.cell,
        x=read.pop(first),
        values=values,
        initial={
            name: np.asarray(state[place, spot.row].detach().cpu().float())
            for name, state in call.starts.items()
        },
        parameters=parameters,
        further=read,
        reverse=spot.direction == 1,
        measures=memories(
            values, {**read, **parameters}, one.cell, step, reverse=spot.direction == 1
        ),
        saturation=saturated(values, one.cell),
    )


def _label(recording: Recording, spot: Spot) -> str:
    layer = recording[spot.name].layer
    words = [spot.name] if len(recording) > 1 else []
    if not words or layer.num_layers > 1:
        words.append(f"layer {spot.layer + 1}")
    if layer.num_directions > 1:
        words.append("backward" if spot.direction else "forward")
    return ", ".join(words)
