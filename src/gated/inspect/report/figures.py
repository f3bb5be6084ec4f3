"""The house's look for Plotly: plain figure trees, model styles, legends.

Colours are written as ``var(--name)``: the page's script replaces them with the theme's colours, so
one figure serves light and dark. Every text that comes from data passes through ``plain``, because
Plotly reads a small HTML of its own in names and labels.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.io.json import to_json_plotly

__all__ = ["AXIS", "Chart", "Figure", "Key", "Styles", "figure", "guide", "plain", "times"]

Array = NDArray[Any]
Figure = dict[str, Any]
AXIS: Figure = {
    "gridcolor": "var(--grid)",
    "linecolor": "var(--grid)",
    "zeroline": False,
    "ticks": "",
    "automargin": True,
    "title": {"standoff": 8, "font": {"size": 13}},
}
# Plotly's dashes, and the same as SVG stroke-dasharray for the legend
_DASHES = {"dash": "7 4", "dot": "2 3", "dashdot": "8 3 2 3", "longdash": "11 3", "solid": "none"}
_GLYPHS = {
    "circle": "●",
    "diamond": "◆",
    "square": "■",
    "cross": "✚",
    "triangle-up": "▲",
    "circle-open": "○",
}
_BASELINES = ("dash", "dot", "dashdot", "longdash", "solid")


@dataclass(frozen=True)
class Key:
    """One entry of a legend, which the page draws itself: it wraps on a phone."""

    name: str
    kind: Literal["line", "band", "dot"]
    colour: str
    width: float = 2.0
    dash: str = "none"
    glyph: str = "●"


@dataclass(frozen=True)
class Chart:
    """One place on the page: a figure, or several to choose from. ``alt`` is read aloud."""

    id: str
    alt: str
    labels: tuple[str, ...]
    figures: tuple[Figure, ...]
    choose: str = "Show"

    @property
    def height(self) -> int:
        """Pixels of the tallest figure, so that the page does not jump when another is chosen."""
        return max(int(made["layout"]["height"]) for made in self.figures)

    @property
    def legend(self) -> list[Key]:
        """What is drawn, the line on top first; empty if there is nothing to tell apart."""
        keys = [
            _key(trace)
            for trace in reversed(self.figures[0]["data"])
            if "name" in trace and trace.get("showlegend", True)
        ]
        return keys if len(keys) > 1 else []


def _key(trace: Figure) -> Key:
    line = trace.get("line", {})
    name = html.unescape(trace["name"])
    if "fillcolor" in trace:
        return Key(name, "band", trace["fillcolor"])
    if trace["mode"] == "markers":
        marker = trace["marker"]
        return Key(name, "dot", marker["color"], glyph=_GLYPHS[marker["symbol"]])
    return Key(name, "line", line["color"], line["width"], _DASHES[line.get("dash", "solid")])


class Styles:
    """Colour and dash of every model: the network solid and thick, then the baselines."""

    def __init__(self, network: str, models: Iterable[str]) -> None:
        self.network = network
        self._rank = {name: k for k, name in enumerate(m for m in models if m != network)}

    def order(self, models: Iterable[str]) -> list[str]:
        """The network first, then the baselines as they came."""
        return sorted(models, key=lambda name: name != self.network)

    def line(self, model: str) -> Figure:
        """The line of a model."""
        if model == self.network:
            return {"color": "var(--net)", "width": 3}
        rank = self._rank.get(model, 0) % len(_BASELINES)
        return {"color": f"var(--base{rank + 1})", "width": 1.7, "dash": _BASELINES[rank]}


def plain(text: str) -> str:
    """Text that Plotly shows as it is: its pseudo-HTML and its templates are taken out.

    >>> plain("<b>%{x}")
    '&lt;b&gt;%&#123;x}'
    """
    return html.escape(text, quote=False).replace("%{", "%&#123;")


def times(values: Array) -> Array:
    """A time axis as Plotly reads it: short ISO strings, or numbers."""
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.datetime64):
        return array
    whole: NDArray[np.datetime64] = array.astype("datetime64[s]")
    unit: Literal["D", "s"] = "D" if np.array_equal(whole, whole.astype("datetime64[D]")) else "s"
    return np.asarray(np.datetime_as_string(whole, unit=unit))


def guide(x: object, text: str = "") -> tuple[Figure, Figure]:
    """A dotted vertical line, and its label above the plot."""
    line = {"color": "var(--soft)", "width": 1, "dash": "dot"}
    shape = {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}
    return shape, {**_LABEL, "x": x, "xanchor": "center", "text": plain(text)}


_LABEL: Figure = {
    "y": 1,
    "yref": "paper",
    "yanchor": "bottom",
    "showarrow": False,
    "font": {"size": 12, "color": "var(--soft)"},
}


def figure(traces: Sequence[Any], height: int, y_title: str = "", **layout: Any) -> Figure:
    """A figure in the house's look, checked by Plotly and turned into a plain tree.

    The title of the y axis stands above the axis, not beside it: a phone has no width to spare.
    """
    base = go.Layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "var(--soft)"},
        margin={"l": 4, "r": 10, "t": 26, "b": 4},
        showlegend=False,
        hovermode="x unified",
        hoverlabel={
            "bgcolor": "var(--card)",
            "bordercolor": "var(--grid)",
            "font": {"color": "var(--ink)", "size": 13},
        },
        xaxis=AXIS,
        yaxis=AXIS,
    )
    base.update(layout)
    if y_title:
        label = {**_LABEL, "x": 0, "xref": "paper", "xanchor": "left", "text": plain(y_title)}
        base.annotations = [*base.annotations, label]
    made = go.Figure(data=list(traces), layout=base).to_plotly_json()
    made["layout"].pop("template", None)
    return dict(json.loads(to_json_plotly(made)))
