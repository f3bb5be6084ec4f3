"""A cell's equations as JavaScript, so that a page without a network computes with them.

The program is written from the cell's graph and the `javascript` column of the operation table,
as the engines' kernels are: no cell is written by hand a second time. Numbers are 64-bit.

Each entry of `gatedCells` has the cell's `name`, `states`, `inputs`, `equations` and `parameters`
with their sizes in letters, and three functions. They take and give objects of arrays by name,
matrices row by row; any array of numbers will do, and lengths follow from those of the arrays.

- `step(parameters, inputs, states)` gives every gate and new state.
- `back(parameters, inputs, states, values, gradients)` takes what `step` gave and the gradients
  that arrive at the new states, none counting as 0. It gives the gradients {equations, states,
  inputs, parameters}: of each equation in all, of the states before the step. Several of these
  may be one and the same array.
- `lines(parameters, inputs, states, unit, digits = 3)` gives a list of {name, unit, symbols,
  numbers, value, products}: an equation of one unit as MathML, in symbols and in numbers, and
  {symbols, numbers, value} for each product with a matrix in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gated.equations.cell import Cell
from gated.equations.javascript.lines import lines
from gated.equations.javascript.names import literal, quoted, runtime
from gated.equations.javascript.steps import back, step
from gated.errors import CellError

__all__ = ["program"]


def program(cells: Iterable[Cell] | Mapping[str, Cell]) -> str:
    """A script that adds to `globalThis.gatedCells`: each cell by its name, ready to be computed.

    It needs nothing, runs under a content-security policy that allows its hash alone, and holds no
    text that could end its element.

    Args:
        cells: the cells, or a dictionary of cells under names of one's own, where two cells share
            a name, as an LSTM and an LSTM with heads do.

    Raises:
        CellError: two cells share a name, or a cell holds a convolution.

    Example:
        >>> from gated.cells import cell
        >>> "i[u] = sigmoid(W_i_x[u] + U_i_last_h[u] + b_i[u])" in program([cell("lstm")])
        True
    """
    entries = [_entry(name, cell) for name, cell in _named(cells).items()]
    text = [
        "(() => {",
        '"use strict";',
        runtime(),
        "globalThis.gatedCells = Object.assign(globalThis.gatedCells ?? {}, {",
        *entries,
        "});",
        "})();",
    ]
    return "\n".join(text) + "\n"


def _named(cells: Iterable[Cell] | Mapping[str, Cell]) -> dict[str, Cell]:
    if isinstance(cells, Mapping):
        return dict(cells)
    found: dict[str, Cell] = {}
    for cell in cells:
        if found.setdefault(cell.name, cell).graph is not cell.graph:
            raise CellError(
                f"two cells are named {cell.name}, with other equations: give a dictionary, as "
                f"{{'{cell.name} 1': ..., '{cell.name} 2': ...}}"
            )
    return found


def _entry(name: str, cell: Cell) -> str:
    graph = cell.graph
    facts = {
        "name": quoted(cell.name),
        "states": _table(
            {"name": quoted(s.name), "size": quoted(s.size), "initial": literal(s.initial)}
            for s in graph.states
        ),
        "inputs": _table(
            {"name": quoted(n), "size": quoted(size)} for n, size in graph.input_sizes.items()
        ),
        "equations": quoted(list(graph.equations)),
        "parameters": _table(
            {"key": quoted(p.key), "shape": quoted(p.shape)} for p in graph.parameters
        ),
    }
    body = [f"{key}: {value}," for key, value in facts.items()]
    body += [*step(graph), *back(graph), *lines(graph)]
    return "\n".join([f"{quoted(name)}: {{", *(f"  {line}" for line in body), "},"])


def _table(rows: Iterable[dict[str, str]]) -> str:
    """An array of objects."""
    entries = (", ".join(f"{key}: {value}" for key, value in row.items()) for row in rows)
    return f"[{', '.join(f'{{ {entry} }}' for entry in entries)}]"
