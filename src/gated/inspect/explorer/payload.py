"""From an `ExplorerView` to what the page carries: one JSON document, and arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.equations import Cell
from gated.equations.render import latex_lines
from gated.inspect.explorer.quantise import quantised
from gated.inspect.explorer.views import ExplorerView, PlaceView, Tops, UnitMeasure

__all__ = ["cells_by_name", "payload"]

Array = NDArray[Any]
Arrays = dict[str, Array]
_WORK = 16_000_000  # multiplications that the page may do again to reach a step: below 50 ms
_MOST_BETWEEN = 128  # steps between two stored states
SATURATED = (
    "The share of steps at which a gate is within 0.1 of the low or the high end of its range "
    "(Karpathy, Johnson & Fei-Fei 2015)."
)


def payload(view: ExplorerView) -> tuple[dict[str, Any], Arrays]:
    """The page's JSON document, and its arrays by name."""
    arrays: Arrays = {}
    content = {
        "title": view.title,
        "subtitle": view.subtitle,
        "notes": list(view.notes),
        "command": view.command,
        "step": view.step,
        "steps": len(view.time),
        "dates": np.issubdtype(np.asarray(view.time).dtype, np.datetime64),
        "inputs": list(view.inputs),
        "loss": view.loss,
        "saturated": SATURATED,
        "size": 0,
        "context": view.context,
        "metric": None,
        "places": [_place(k, place, view, arrays) for k, place in enumerate(view.places)],
    }
    if view.metric is not None:
        metric = view.metric
        content["metric"] = {"name": metric.name, "value": _finite(metric.value),
                             "lower": metric.lower_is_better, "source": metric.source}  # fmt: skip
    arrays["time"] = _numbers(np.asarray(view.time))
    for k, values in enumerate(view.inputs.values()):
        arrays[f"input.{k}"] = np.asarray(values, np.float32)
    return content, arrays


def cells_by_name(view: ExplorerView) -> dict[str, Cell]:
    """The cells under names of their own: two with the name "lstm" and other maps are told apart.

    Example:
        >>> import numpy as np
        >>> from gated.cells import cell
        >>> from gated.equations.maps import mapped
        >>> x, none = np.zeros((1, 1)), {}
        >>> cells = [cell("lstm"), mapped(cell("lstm"), {"U": "diagonal"}), cell("lstm")]
        >>> places = [PlaceView("l", one, x, {"h": x, "c": x}, none, none) for one in cells]
        >>> list(cells_by_name(ExplorerView("t", np.arange(1), none, places)))
        ['lstm', 'lstm, 2']
    """
    found: dict[str, Cell] = {}
    for place in view.places:
        if all(one.graph is not place.cell.graph for one in found.values()):
            alike = sum(one.name == place.cell.name for one in found.values())
            name = place.cell.name
            found[f"{name}, {alike + 1}" if alike else name] = place.cell
    return found


def _numbers(time: Array) -> Array:
    """Times as milliseconds since 1970, or as they are."""
    if np.issubdtype(time.dtype, np.datetime64):
        return time.astype("datetime64[ms]").astype(np.float64)
    return time.astype(np.float64)


def _place(k: int, place: PlaceView, view: ExplorerView, arrays: Arrays) -> dict[str, Any]:
    from gated.inspect.mathml import mathml  # needs the extra `pages`

    graph = place.cell.graph
    every = _between(place)
    arrays[f"{k}.x"] = _single(place.x)
    for name, values in place.further.items():
        arrays[f"{k}.in.{name}"] = _single(values)
    for key, value in place.parameters.items():
        arrays[f"{k}.p.{key}"] = _single(value)
    for state in graph.states:
        arrays[f"{k}.at.{state.name}"] = _checkpoints(place, state.name, every)
    for j, curve in enumerate(place.curves):
        arrays[f"{k}.curve.{j}"] = _single(curve.values)
    for what, values in place.clamped.items():
        arrays[f"{k}.clamped.{what}"] = _single(values)
    for gate, shares in place.saturation.items():
        arrays[f"{k}.saturation.{gate}"] = _single(shares)
    return {
        "label": place.label,
        "cell": place.cell.name,
        "program": next(n for n, c in cells_by_name(view).items() if c.graph is graph),
        "units": place.units,
        "reverse": place.reverse,
        "every": every,
        "maps": [_map(k, name, v, view.meanings, arrays) for name, v in place.values.items()],
        "states": [state.name for state in graph.states],
        "further": list(place.further),
        "parameters": list(place.parameters),
        "measures": [_measure(k, j, m, arrays) for j, m in enumerate(place.measures)],
        "curves": [{"state": c.state, "kind": c.kind} for c in place.curves],
        "clamped": list(place.clamped),
        "whole": [[what, _finite(change)] for what, change in place.whole.items()],
        "saturation": list(place.saturation),
        "tops": None if place.tops is None else _tops(k, place.tops, arrays),
        "equations": [mathml(line) for line in latex_lines(graph)],
        "source": place.cell.source,
    }


def _between(place: PlaceView) -> int:
    """Steps between two stored states: so many that the page can run them while a person waits."""
    work = sum(np.size(value) for value in place.parameters.values())
    return max(1, min(_MOST_BETWEEN, _WORK // max(1, work)))


def _checkpoints(place: PlaceView, state: str, every: int) -> Array:
    """The state before every K-th step, in the order in which the layer ran, (N, n)."""
    values = np.asarray(place.values[state], np.float32)
    values = values[::-1] if place.reverse else values
    start = np.asarray(place.initial[state], np.float32)[None]
    return np.concatenate([start, values[every - 1 : -1 : every]])


def _map(
    k: int, name: str, values: Array, meanings: Mapping[str, str], arrays: Arrays
) -> dict[str, Any]:
    found = quantised(values)
    arrays[f"{k}.map.{name}"] = found.codes
    arrays[f"{k}.low.{name}"], arrays[f"{k}.high.{name}"] = found.low, found.high
    low, high = float(found.low.min(initial=0)), float(found.high.max(initial=0))
    return {
        "name": name,
        "meaning": meanings.get(name, ""),
        "size": int(np.shape(values)[1]),
        "delta": found.delta,
        "wild": found.wild,
        "share": low >= 0 and high <= 1,
        "reach": _reach(values, max(-low, high)),
        "largest": max(-low, high),
    }


def _reach(values: Array, largest: float) -> float:
    """What the colours reach to: blind to the 1 % largest values, if these are far out."""
    thin = np.abs(np.asarray(values)[:: max(1, len(values) // 1000)])
    thin = thin[np.isfinite(thin)]
    reach = float(np.quantile(thin, 0.99)) if thin.size else 0.0
    return reach if 0 < reach < largest / 1.5 else largest or 1.0


def _measure(k: int, j: int, measure: UnitMeasure, arrays: Arrays) -> dict[str, Any]:
    arrays[f"{k}.measure.{j}"] = _single(measure.values)
    return {"name": measure.name, "text": measure.text, "limits": measure.limits,
            "unit": measure.unit}  # fmt: skip


def _tops(k: int, tops: Tops, arrays: Arrays) -> dict[str, Any]:
    arrays[f"{k}.top.value"] = _single(tops.values)
    arrays[f"{k}.top.activity"] = _single(tops.activity)
    arrays[f"{k}.top.input"] = _single(tops.inputs)
    return {
        "of": tops.of,
        "labels": [list(row) for row in tops.labels],
        "middle": tops.middle,
        "source": tops.source,
        "steps": None if tops.steps is None else [list(row) for row in tops.steps],
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _single(values: Any) -> Array:
    found: Array = np.ascontiguousarray(values, np.float32)
    return found
