"""Inside the network: the input and every gate and state on one time axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from gated.inspect.report.figures import AXIS, Chart, Figure, figure, plain, times
from gated.inspect.report.thin import average_steps, middle_times, pick_units
from gated.inspect.report.views import TraceView
from gated.inspect.words import number, plural

__all__ = ["inside"]

Array = NDArray[Any]
STEP_LIMIT = 240  # columns of a heat map
UNIT_LIMIT = 64  # rows of a heat map
CELL_LIMIT = 150_000  # cells of all heat maps together, 0.8 MB of the page
INPUT_LIMIT = 3  # inputs drawn above the maps
POINT_LIMIT = 800  # points of an input's line
CHANGES = "changes"
_INPUT, _MAP, _GAP, _FOOT = 78, 92, 27, 46  # heights in pixels

# matplotlib's cividis: even steps of lightness, the same to colour-blind eyes
CIVIDIS = [
    "#00224e",
    "#123570",
    "#3b496c",
    "#575d6d",
    "#707173",
    "#8a8678",
    "#a59c74",
    "#c3b369",
    "#e1cc55",
    "#fee838",
]
SIGNED = ["var(--minus)", "var(--zero)", "var(--plus)"]


def inside(
    view: TraceView, half_life: Mapping[str, Array | None] | None
) -> tuple[Chart, list[str]]:
    """Two figures a layer, and notes on what was averaged or left out to keep the page small.

    The first figure shows the values, the second each unit's difference from its own average: a
    unit's level hides how little of it moves.
    """
    units = [np.shape(gate)[1] for gates in view.layers.values() for gate in gates.values()]
    rows = 2 * sum(min(count, UNIT_LIMIT) for count in units)
    columns = max(24, min(STEP_LIMIT, CELL_LIMIT // max(1, rows)))
    width = -(-len(view.time) // columns)
    figures = []
    labels = []
    for label, gates in view.layers.items():
        memory = (half_life or {}).get(label)
        for changes in (False, True):
            figures.append(_layer(view, gates, memory, width, changes))
            labels.append(f"{label}: {CHANGES if changes else 'values'}")
    names = ", ".join(next(iter(view.layers.values())))
    alt = (
        f"The input over {plural(len(view.time), 'step')}, and below it one heat map for each of "
        f"{names}: time runs to the right, each row is one unit."
    )
    return Chart("trace", alt, tuple(labels), tuple(figures)), _notes(view, width)


def _notes(view: TraceView, width: int) -> list[str]:
    notes = [
        "“Changes” shows how far each unit is from its own average over the window: "
        "what moves, whatever its level."
    ]
    if width > 1:
        notes.append(f"Each column is the average of {width} of the {len(view.time)} steps.")
    if len(view.inputs) > INPUT_LIMIT:
        notes.append(f"{INPUT_LIMIT} of the {len(view.inputs)} inputs are drawn.")
    for label, gates in view.layers.items():
        units = max((np.shape(values)[1] for values in gates.values()), default=0)
        if units > UNIT_LIMIT:
            notes.append(f"{label}: {UNIT_LIMIT} of its {units} units are drawn, evenly spaced.")
    return notes


def _layer(
    view: TraceView, gates: Mapping[str, Array], memory: Array | None, width: int, changes: bool
) -> Figure:
    thin = -(-len(view.time) // POINT_LIMIT)
    panels = [
        _input(middle_times(np.asarray(view.time), thin), average_steps(np.asarray(v), thin), name)
        for name, v in list(view.inputs.items())[:INPUT_LIMIT]
    ]
    at = times(middle_times(np.asarray(view.time), width))
    for name, values in gates.items():
        cells = np.asarray(values, np.float64)
        cells = cells - cells.mean(axis=0) if changes else cells
        heat, scale = _map(at, cells, memory, width, signed=changes)
        words = [f"<b>{plain(name)}</b>", plain(view.meanings.get(name, "")), scale]
        panels.append((heat, " · ".join(filter(None, words))))
    return _stack(panels, view.time)


def _stack(panels: list[tuple[Any, str]], time: Array) -> Figure:
    """Panels under one another on the one x axis that they all share."""
    heights = [_MAP if trace.type == "heatmap" else _INPUT for trace, _ in panels]
    total = sum(height + _GAP for height in heights) + _FOOT
    layout: dict[str, Any] = {"annotations": []}
    top = total
    for k, ((trace, caption), height) in enumerate(zip(panels, heights, strict=True)):
        number_ = "" if k == 0 else str(k + 1)
        trace.yaxis = f"y{number_}"
        top -= _GAP
        layout[f"yaxis{number_}"] = {
            "domain": [(top - height) / total, top / total],
            "showticklabels": False,
            "showgrid": False,
            "zeroline": False,
        }
        layout["annotations"].append(_caption(caption, top / total))
        top -= height
    return figure(
        [trace for trace, _ in panels],
        total,
        hovermode="closest",
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        xaxis={
            **AXIS,
            "automargin": False,
            "anchor": "free",
            "position": (_FOOT - 6) / total,
            "range": _span(time),
            "showspikes": True,
            "spikemode": "across",
            "spikesnap": "cursor",
            "spikethickness": 1,
            "spikedash": "solid",
            "spikecolor": "var(--soft)",
        },
        **layout,
    )


def _span(time: Array) -> list[Any]:
    """The time axis from half a step before the first to half a step after the last."""
    ends = np.asarray(time)[[0, -1]]
    dates = np.issubdtype(ends.dtype, np.datetime64)
    first, last = ends.astype("datetime64[ms]").astype(np.float64) if dates else ends
    half = (last - first) / (2 * max(1, len(time) - 1)) or 0.5
    if dates:
        return [str(np.datetime64(round(end), "ms")) for end in (first - half, last + half)]
    return [float(first - half), float(last + half)]


def _caption(text: str, top: float) -> Figure:
    return {
        "text": text,
        "x": 0,
        "xref": "paper",
        "xanchor": "left",
        "y": top,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 13, "color": "var(--ink)"},
    }


def _input(time: Array, values: Array, name: str) -> tuple[Any, str]:
    line = go.Scatter(
        x=times(time),
        y=np.asarray(values, np.float64),
        mode="lines",
        line={"color": "var(--ink)", "width": 1.6},
        hovertemplate="%{y:.4~g}<extra>%{x}</extra>",
    )
    finite = np.asarray(values, np.float64)[np.isfinite(values)]
    scale = f"{number(finite.min())} to {number(finite.max())}" if finite.size else "no value"
    return line, f"<b>{plain(name)}</b> · input · {scale}"


def _map(
    at: Array, values: Array, memory: Array | None, width: int, signed: bool
) -> tuple[Any, str]:
    """A heat map with the longest memory on top, and its scale in words."""
    units = values.shape[1]
    known = memory if memory is not None and len(memory) == units else None
    order = pick_units(known, units, UNIT_LIMIT)
    cells = average_steps(values, width).T[order]
    names = [f"unit {u}" for u in order]
    if known is not None:
        names = [
            f"{name}, half-life {number(known[u])}" for name, u in zip(names, order, strict=True)
        ]
    low, high, words = _scale(cells[np.isfinite(cells)], signed)
    heat = go.Heatmap(
        x=at,
        y=names,
        z=cells.astype(np.float32),
        zmin=low,
        zmax=high,
        colorscale=CIVIDIS if low == 0 else SIGNED,
        showscale=False,
        hoverongaps=False,
        hovertemplate="%{z:.3f}<br>%{y}<extra>%{x}</extra>",
    )
    return heat, words


def _scale(finite: Array, signed: bool) -> tuple[float, float, str]:
    """0 to 1 for what looks like a gate; else symmetric, and blind to the few largest values."""
    if not signed and (not finite.size or (finite.min() >= 0 and finite.max() <= 1)):
        return 0.0, 1.0, "0 to 1"
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    reach = float(np.quantile(np.abs(finite), 0.97)) if finite.size else 0.0
    reach = reach or largest or 1.0
    beyond = " and beyond" if largest > 1.05 * reach else ""
    return -reach, reach, f"±{number(reach, 2)}{beyond}"
