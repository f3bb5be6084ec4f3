"""Demonstrations as one offline HTML page, drawn as the report is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gated.errors import OptionError
from gated.inspect.demonstrations.demonstration import Curves, Demonstration, Line
from gated.inspect.demonstrations.numbers import number
from gated.inspect.pages import policy, script, template_file, write_whole

if TYPE_CHECKING:
    from gated.inspect.report.figures import Chart

__all__ = ["render", "write_page"]

_DASHES = ("solid", "dash", "dashdot")
_HEIGHT = 360


def write_page(found: Sequence[Demonstration], path: str | os.PathLike[str]) -> Path:
    """Write the page; a reader of `path` sees the old page or the new, whole one.

    Raises:
        OptionError: a package that it needs is not installed.
        OSError: the file cannot be written; what was there is untouched.
    """
    return write_whole(render(found), path)


def render(found: Sequence[Demonstration]) -> str:
    """The page as text: it loads nothing and runs its own scripts alone.

    Raises:
        OptionError: Jinja2 or Plotly is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
        from plotly.offline import get_plotlyjs

        from gated.inspect.report.render import chart_data

        charts = {one.name: [_drawn(one, k) for k in range(len(one.curves))] for one in found}
    except ImportError as error:
        raise OptionError(
            f"the page needs the package {error.name!r}, which is not installed; "
            "pip install 'gated[forecast]'"
        ) from error
    library, program = script(get_plotlyjs()), script(template_file("report.js"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template_file("demonstrations.html.j2")).render(
        title=found[0].question if len(found) == 1 else "Claims, put to the test",
        found=found,
        charts=charts,
        policy=policy(library, program),
        style=Markup(template_file("report.css")),
        library=Markup(library),
        program=Markup(program),
        data=Markup(chart_data([one.drawn for several in charts.values() for one in several])),
    )


@dataclass(frozen=True)
class _Drawn:
    title: str
    drawn: Chart


def _drawn(one: Demonstration, k: int) -> _Drawn:
    from gated.inspect.report.figures import Chart, figure, plain

    chart = one.curves[k]
    made = figure(
        _traces(chart),
        _HEIGHT,
        chart.y_label + (" (logarithmic)" if chart.log else ""),
        xaxis_title_text=plain(chart.x_label),
        yaxis_type="log" if chart.log else "linear",
        yaxis_exponentformat="power",
    )
    ends = [f"{name}: from {number(l.y[0])} to {number(l.y[-1])}." for name, l in _all(chart)]
    alt = f"Line chart. {chart.title}. {chart.y_label} by {chart.x_label}. " + " ".join(ends)
    return _Drawn(chart.title, Chart(f"{one.name}-{k}", alt, (chart.title,), (made,)))


def _all(chart: Curves) -> list[tuple[str, Line]]:
    return [*chart.lines.items(), *chart.bounds.items()]


def _traces(chart: Curves) -> list[Any]:
    """Bounds below, dotted and grey; the first line on top."""
    colours = ["var(--net)", *(f"var(--base{k})" for k in range(1, 5))]
    styles = {
        name: {"color": colours[k % 5], "width": 2.2, "dash": _DASHES[k % len(_DASHES)]}
        for k, name in enumerate(chart.lines)
    }
    dotted = {"color": "var(--soft)", "width": 1.6, "dash": "dot"}
    return [_trace(name, line, styles.get(name, dotted)) for name, line in reversed(_all(chart))]


def _trace(name: str, line: Line, style: dict[str, Any]) -> Any:
    import plotly.graph_objects as go

    from gated.inspect.report.figures import plain

    return go.Scatter(
        x=line.x,
        y=line.y,
        name=plain(name),
        mode="lines",
        line=style,
        hovertemplate="%{y:.3~g}",
    )
