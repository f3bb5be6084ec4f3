"""gated: the LSTM family for PyTorch, with its gates open.

A cell is its equations, written once in the paper's symbols; parameters, engines, traces and
LaTeX are derived from them. PyTorch is imported when a layer is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gated.cells import cell as cell
from gated.cells import cells as cells
from gated.cells.regularisers import (
    dropconnect,
    recurrent_dropout,
    variational_dropout,
    zoneout,
)
from gated.equations import Cell
from gated.equations.maps import Convolution, Dense, Diagonal, Heads
from gated.errors import GatedError

if TYPE_CHECKING:
    from gated.inspect.recording.record import record
    from gated.layers import GRU, LSTM, RNN, ConvLSTM, Recurrent
    from gated.layers.initialize import Chrono, initialize
    from gated.tasks.forecast import Forecaster

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "Chrono",
    "ConvLSTM",
    "Convolution",
    "Dense",
    "Diagonal",
    "Forecaster",
    "GatedError",
    "Heads",
    "Recurrent",
    "cell",
    "cells",
    "dropconnect",
    "initialize",
    "record",
    "recurrent_dropout",
    "variational_dropout",
    "zoneout",
]

_LAZY = {
    "GRU": "gated.layers",
    "LSTM": "gated.layers",
    "RNN": "gated.layers",
    "Chrono": "gated.layers.initialize",
    "ConvLSTM": "gated.layers",
    "Recurrent": "gated.layers",
    "initialize": "gated.layers.initialize",
    "record": "gated.inspect.recording.record",
    "Forecaster": "gated.tasks.forecast",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'gated' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
