"""Equations: the language that cells are written in, and what is derived from them.

Nothing here imports PyTorch.
"""

from gated.equations.backward import Backward, backward
from gated.equations.cell import Cell
from gated.equations.graph import Graph, Parameter, State
from gated.equations.symbols import Family
from gated.equations.vocabulary import (
    R,
    U,
    V,
    W,
    absolute,
    b,
    b_h,
    exp,
    log,
    maximum,
    mean,
    minimum,
    normalize,
    p,
    relu,
    select,
    sigmoid,
    softplus,
    sqrt,
    tanh,
)

__all__ = [
    "Backward",
    "Cell",
    "Family",
    "Graph",
    "Parameter",
    "R",
    "State",
    "U",
    "V",
    "W",
    "absolute",
    "b",
    "b_h",
    "backward",
    "exp",
    "log",
    "maximum",
    "mean",
    "minimum",
    "normalize",
    "p",
    "relu",
    "select",
    "sigmoid",
    "softplus",
    "sqrt",
    "tanh",
]
