"""`view`: from a model and what it reads to what the explorer shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gated.errors import OptionError
from gated.inspect.explorer.clamps import Clamps
from gated.inspect.explorer.meanings import meanings
from gated.inspect.explorer.places import Spot, place_of, spots
from gated.inspect.explorer.searching import Best, Search, activity_of
from gated.inspect.explorer.views import Curve, ExplorerView, PlaceView
from gated.inspect.measures.asked import predicting
from gated.inspect.measures.gradient import GradientFlow, gradient_flow
from gated.inspect.recording.record import record
from gated.inspect.recording.recordings import Recording

__all__ = ["view"]

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]
_MOST_INPUTS = 6


def view(
    model: nn.Module,
    x: Any,
    *,
    row: int = 0,
    title: str = "Inside the model",
    time: ArrayLike | None = None,
    step: str = "step",
    inputs: Mapping[str, ArrayLike] | None = None,
    loss: Callable[[nn.Module], Tensor] | None = None,
    loss_name: str = "the loss",
    clamps: Clamps | None = None,
    search: Search | None = None,
    progress: Progress | None = None,
) -> ExplorerView:
    """What the explorer shows of one sequence through any model made of layers of `gated`.

    The model runs in evaluation mode and is left as it was. Axes: B batch, T time, D features.

    Args:
        model: any module with layers of `gated` in it, or such a layer.
        x: what it is called with: a tensor, or a tuple of arguments.
        row: which sequence of the batch is shown.
        title: of the page.
        time: (T,) times or numbers; 0, 1, 2, ... if None.
        step: one time step as a countable noun.
        inputs: what to draw above the maps, name -> (T,); what the first layer reads if None.
        loss: takes the model and gives one number on its graph: the gradient of it is shown. As in
            `gated.inspect.measures.gradient_flow`; it must read the same sequences as `x`.
        loss_name: the loss in words, "the loss of the forecast".
        clamps: which metric is to be measured with single gates of single units fixed.
        search: the data in which the largest activations are looked for; only the sequence that is
            shown if None.
        progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        OptionError: the model has no layer that can be shown, or an argument does not fit.

    Example:
        >>> import torch, gated
        >>> from gated.inspect import explorer
        >>> model = gated.LSTM(2, 4, batch_first=True)
        >>> shown = explorer.view(model, torch.randn(1, 20, 2))
        >>> shown.places[0].label, list(shown.places[0].values)
        ('layer 1', ['i', 'f', 'g', 'o', 'c', 'h'])
    """
    tell = progress or (lambda what, done, total: None)
    with predicting(model):
        tell("recording", 0, 1)
        recording = _recorded(model, x)
        found = spots(recording, row)
        recording = recording.joined()
        places = {spot: place_of(recording, spot, step) for spot in found}
        if loss is not None:
            tell("gradient flow", 0, 1)
            _add_curves(places, gradient_flow(model, loss))
        _add_tops(model, places, search, tell)
        metric = None
        if clamps is not None:
            metric = clamps.add(model, places, tell)
    first = next(iter(places.values()))
    shown = _inputs(first, inputs)
    return ExplorerView(
        title=title,
        time=np.arange(len(first.x)) if time is None else np.asarray(time),
        inputs=shown,
        places=list(places.values()),
        subtitle=_subtitle(list(places.values()), step),
        step=step,
        meanings={k: v for place in places.values() for k, v in meanings(place.cell).items()},
        metric=metric,
        loss=loss_name if loss is not None else "",
        notes=_notes(found) if loss is not None else (),
    )


def _recorded(model: nn.Module, x: Any) -> Recording:
    with record(model, max_memory=None) as recording, torch.no_grad():
        model(*(x if isinstance(x, tuple) else (x,)))
    return recording


def _inputs(first: PlaceView, given: Mapping[str, ArrayLike] | None) -> dict[str, Array]:
    if given is not None:
        return {name: np.asarray(values) for name, values in given.items()}
    columns = np.asarray(first.x).T[:_MOST_INPUTS]
    return {f"x{k}": values for k, values in enumerate(columns)}


def _subtitle(places: Sequence[PlaceView], step: str) -> str:
    cells = ", ".join(dict.fromkeys(place.cell.name for place in places))
    widths = ", ".join(str(n) for n in dict.fromkeys(place.units for place in places))
    steps = len(places[0].x)
    return f"{cells}; {len(places)} × {widths} units; {steps:,} {step}s"


def _add_curves(places: dict[Spot, PlaceView], flow: GradientFlow) -> None:
    """The length of the gradient at each step, in total and along the direct path."""
    for spot, place in places.items():
        if spot.name not in flow:
            continue
        layer, at = flow[spot.name], (spot.layer, spot.direction)
        _check_calls(spot, [call.valid for call in layer.calls], len(place.x))
        curves = []
        for state in place.cell.states:
            paths = {"total": "total"}
            # that of a call ends where the call does, and is no part of the whole one
            if state.name in place.cell.kept and len(spot.calls) == 1:
                paths["direct"] = "direct path"
            for path, kind in paths.items():
                parts = [layer.norms(state.name, path, *at, k)[spot.row] for k in spot.calls]
                curves.append(Curve(state.name, kind, np.concatenate(parts)[: len(place.x)]))
        places[spot] = replace(place, curves=curves)


def _check_calls(spot: Spot, calls: Sequence[Array], steps: int) -> None:
    known = [calls[k] for k in spot.calls if k < len(calls)]
    read = sum(int(valid[spot.row].sum()) for valid in known if spot.row < len(valid))
    if len(known) < len(spot.calls) or read != steps:
        raise OptionError(
            f"{spot.name}: with loss= the layer reads {read} steps of row {spot.row} where with x "
            f"it reads {steps}: loss must call the model with what x is, as often"
        )


def _notes(found: Sequence[Spot]) -> list[str]:
    if all(len(spot.calls) == 1 for spot in found):
        return []
    return [
        "A layer was called chunk by chunk: the gradient is shown over all paths, and not along "
        "the direct path, which was followed within each chunk alone."
    ]


def _add_tops(
    model: nn.Module, places: dict[Spot, PlaceView], search: Search | None, tell: Progress
) -> None:
    if search is None:
        return
    best = {spot: Best(activity_of(place.cell), search) for spot, place in places.items()}
    for k, batch in enumerate(search.batches):
        tell("searching", k, len(search.batches))
        recording = _recorded(model, batch).joined()
        for spot, one in best.items():
            call = recording[spot.name].calls[-1]
            values = call.values(spot.layer, spot.direction)[one.name].double().cpu().numpy()
            one.add(values, call.lengths.numpy())
    for spot, one in best.items():
        places[spot] = replace(places[spot], tops=one.tops())
