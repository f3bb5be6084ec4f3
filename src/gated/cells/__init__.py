"""The catalogue of cells, one file per family. Nothing here imports PyTorch.

To add a cell, write its file and add its class to `_CATALOGUE`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from gated.cells.gru import GRU, GRUResetBefore
from gated.cells.indrnn import IndRNN
from gated.cells.irregular import GRUD, TLSTM
from gated.cells.lstm import LSTM, LSTM1997, LSTMP
from gated.cells.minimal import MinGRU, MinLSTM
from gated.cells.mut import MUT1, MUT2, MUT3
from gated.cells.normalised import LayerNormLSTM
from gated.cells.peephole import CIFG, FGR, NFG, NIAF, NIG, NOAF, NOG, NP, Peephole
from gated.cells.rnn import RNN, RNNReLU
from gated.cells.sru import SRU
from gated.cells.xlstm import SLSTM
from gated.equations import Cell
from gated.errors import CellError

_CATALOGUE: tuple[type[Cell], ...] = (
    *(RNN, RNNReLU),
    *(LSTM1997, LSTM, Peephole, NIG, NFG, NOG, NIAF, NOAF, NP, CIFG, FGR, LSTMP),
    *(GRU, GRUResetBefore, MUT1, MUT2, MUT3),
    *(LayerNormLSTM, IndRNN, MinLSTM, MinGRU, SRU, SLSTM),
    *(GRUD, TLSTM),
)
_BY_NAME: dict[str, Cell] = {cls.name: cls() for cls in _CATALOGUE}

__all__ = ["cell", "cells", "nearest"]


def cells() -> list[str]:
    """The names of the cells in the catalogue.

    Example:
        >>> import gated
        >>> "lstm" in gated.cells()
        True
    """
    return list(_BY_NAME)


def cell(which: str | Cell | type[Cell]) -> Cell:
    """The cell of a name; a cell or a cell's class is passed through.

    Raises:
        CellError: there is no such cell; the message gives the nearest name.

    Example:
        >>> import gated
        >>> gated.cell("gru-reset-before").successive_products
        2
    """
    if isinstance(which, Cell):
        return which
    if isinstance(which, type) and issubclass(which, Cell):
        if which.step is Cell.step:
            raise CellError(f"{which.__name__} has no step: write `def step(self, x, h): ...`")
        return which()
    if not isinstance(which, str):
        raise CellError(f"a cell is a name, a Cell or its class, got {type(which).__name__}")
    found = _BY_NAME.get(which.lower().replace("_", "-"))
    if found is None:
        raise CellError(f"there is no cell {which!r}{nearest(which, cells())}")
    return found


def nearest(name: str, known: Sequence[str]) -> str:
    """The part of a message that leads from a wrong name to a right one."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f": did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
