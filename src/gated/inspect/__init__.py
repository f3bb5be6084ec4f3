"""Looking inside a trained network: measures on traces, and the offline HTML report.

    from gated.inspect import half_life, Report, write

The measures need NumPy alone; `render` and `write` import Jinja2 and Plotly when they are called.
"""

from gated.inspect.measures.memory import half_life, retention
from gated.inspect.report.render import render, write
from gated.inspect.report.views import (
    CurvesView,
    ForecastView,
    Outcome,
    Report,
    SeriesRow,
    TraceView,
)
from gated.inspect.words import verdict

__all__ = [
    "CurvesView",
    "ForecastView",
    "Outcome",
    "Report",
    "SeriesRow",
    "TraceView",
    "half_life",
    "render",
    "retention",
    "verdict",
    "write",
]
