"""The explorer: one offline page on which every gate and state of a recorded model can be read.

from gated.inspect import explorer
explorer.write(explorer.view(model, x), "explorer.html")
"""

from gated.inspect.explorer.build import view
from gated.inspect.explorer.clamps import Clamps
from gated.inspect.explorer.page import render, write
from gated.inspect.explorer.searching import Search
from gated.inspect.explorer.views import Curve, ExplorerView, Metric, PlaceView, Tops, UnitMeasure

__all__ = [
    "Clamps",
    "Curve",
    "ExplorerView",
    "Metric",
    "PlaceView",
    "Search",
    "Tops",
    "UnitMeasure",
    "render",
    "view",
    "write",
]
