"""What a matrix means in `W @ x`: dense, diagonal, one block a head, or a convolution.

The choice stands beside the equations. A map puts another operation in the place of a product of
the cell's graph, and gives its parameter another shape; what is derived from the graph follows.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from gated.equations.cell import Cell, derived
from gated.equations.dims import Dim
from gated.equations.graph import Graph, Size
from gated.equations.rewrite import rewrite
from gated.equations.roles import roles
from gated.equations.symbols import Node, apply
from gated.errors import CellError


class Map(Protocol):
    """A meaning of `W @ x`."""

    # whether it is meant for all matrices, or for those that see a state
    everywhere: bool

    def product(self, matrix: Node, vector: Node) -> Node:
        """What stands in the place of the product of a (rows, columns) matrix and a vector."""


@dataclass(frozen=True)
class Dense:
    """Every unit sees every unit: a full matrix."""

    everywhere = False

    def product(self, matrix: Node, vector: Node) -> Node:
        """The matrix product."""
        return apply("matmul", matrix, vector)


@dataclass(frozen=True)
class Diagonal:
    """Each unit sees itself alone: a vector in the place of the matrix (IndRNN, ParaRNN)."""

    everywhere = False

    def product(self, matrix: Node, vector: Node) -> Node:
        """The product unit by unit."""
        rows, columns = _letters(matrix)
        if rows != columns:
            raise CellError(
                f"{matrix.label} is ({rows}, {columns}): a diagonal map needs as many rows as "
                f"columns; give {matrix.label} a dense map"
            )
        return apply("mul", _leaf(matrix, rows), vector)


@dataclass(frozen=True)
class Heads:
    """Units see the units of their own head: a block-diagonal matrix of `count` equal blocks."""

    count: int
    everywhere = False

    def __post_init__(self) -> None:
        _check_whole("Heads", self.count, 1)

    def product(self, matrix: Node, vector: Node) -> Node:
        """The product head by head."""
        rows, columns = (self._part(size, matrix) for size in _letters(matrix))
        return apply("blocks", _leaf(matrix, self.count, rows, columns), vector)

    def _part(self, size: Size, matrix: Node) -> Size:
        if isinstance(size, str):
            return f"{size}/{self.count}"
        if size % self.count:
            raise CellError(
                f"{matrix.label} has an axis of {size}, which does not divide into {self.count} "
                f"heads"
            )
        return size // self.count


@dataclass(frozen=True)
class Convolution:
    """Units are the channels of an image or a signal: a convolution that keeps its extent.

    Args:
        kernel_size: odd, one number for a square kernel of two axes, or one for each axis: (3,)
            for signals, (3, 5) for images.
    """

    kernel_size: int | tuple[int, ...] = 3
    everywhere = True

    def __post_init__(self) -> None:
        kernel = self.kernel_size
        if not isinstance(kernel, (tuple, list)):
            kernel = (kernel, kernel)
        if not 1 <= len(kernel) <= 3:
            raise CellError(f"kernel_size is {self.kernel_size}: expected one to three axes")
        for extent in kernel:
            _check_whole("kernel_size", extent, 1)
            if extent % 2 == 0:
                raise CellError(
                    f"kernel_size is {self.kernel_size}: an even extent cannot keep the image's "
                    f"size, use an odd one"
                )
        object.__setattr__(self, "kernel_size", tuple(kernel))

    def product(self, matrix: Node, vector: Node) -> Node:
        """The convolution."""
        assert isinstance(self.kernel_size, tuple)
        return apply("convolve", _leaf(matrix, *_letters(matrix), *self.kernel_size), vector)


_NAMED: dict[str, type[Dense] | type[Diagonal]] = {"dense": Dense, "diagonal": Diagonal}
Maps = str | Map | Mapping[str, "str | Map"]


def mapped(cell: Cell, maps: Maps) -> Cell:
    """The cell with other meanings of its matrix products.

    Args:
        cell: the cell.
        maps: "dense", "diagonal", `Heads(n)` or `Convolution(k)`: a convolution is for all
            matrices, the others are for those that see a state, the recurrent ones. Or a dictionary
            of such by family or parameter: {"U": "diagonal", "W": Heads(4)}.

    Raises:
        CellError: a map is not known, has no meaning for a matrix, or names none.

    Example:
        >>> from gated.cells import cell
        >>> print(mapped(cell("rnn"), "diagonal"))
        h = tanh(W x + U ⊙ h₋ + b)
        >>> mapped(cell("rnn"), Heads(4)).parameter_count(input_size=8, hidden_size=8)
        88
    """
    by_key = _by_key(cell, maps)

    def transform(graph: Graph) -> Graph:
        # a parameter that is used twice stays one node
        leaves: dict[str, Node] = {}

        def visit(node: Node, args: list[Node]) -> Node | None:
            if node.op != "matmul" or node.args[0].label not in by_key:
                return None
            found = by_key[node.args[0].label].product(args[0], args[1])
            leaf = leaves.setdefault(found.args[0].label, found.args[0])
            return replace(found, args=(leaf, *found.args[1:]), line=node.line)

        return rewrite(graph, visit)

    try:
        return derived(cell, transform, (mapped, (cell, maps)))
    except CellError as error:
        raise CellError(f"cell {cell.name}: {error}") from None


def _by_key(cell: Cell, maps: Maps) -> dict[str, Map]:
    """The map of each matrix that gets one."""
    matrices, recurrent = _matrices(cell)
    if not isinstance(maps, Mapping):
        chosen = _as_map(maps, cell)
        return dict.fromkeys(matrices if chosen.everywhere else recurrent, chosen)
    found: dict[str, Map] = {}
    for key, which in maps.items():
        keys = [k for k in matrices if key in (k, k.partition(".")[0])]
        if not keys:
            raise CellError(f"cell {cell.name}: {_no_matrix(key, cell.graph, matrices)}")
        found |= dict.fromkeys(keys, _as_map(which, cell))
    return found


def _matrices(cell: Cell) -> tuple[list[str], list[str]]:
    """The parameters that stand left of @, and those of them that see a state."""
    products = [node for node in cell.graph.nodes() if node.op == "matmul"]
    keys = list(dict.fromkeys(node.args[0].label for node in products))
    known = roles(cell)
    return keys, [key for key in keys if known[key].recurrent]


def _as_map(which: object, cell: Cell) -> Map:
    if isinstance(which, (Dense, Diagonal, Heads, Convolution)):
        return which
    if isinstance(which, str) and which in _NAMED:
        return _NAMED[which]()
    close = difflib.get_close_matches(str(which), _NAMED, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise CellError(
        f"cell {cell.name}: there is no map {which!r}: {hint}known are 'dense', 'diagonal', "
        f"Heads(count) and Convolution(kernel_size)"
    )


def _no_matrix(key: str, graph: Graph, matrices: list[str]) -> str:
    if any(key in (p.key, p.family) for p in graph.parameters):
        return (
            f"{key} is no dense matrix here: a map is for what stands left of @, which is "
            f"{', '.join(matrices)}"
        )
    return f"there is no matrix {key}: the cell's matrices are {', '.join(matrices)}"


def _letters(matrix: Node) -> tuple[Size, ...]:
    sizes = [dim.value for dim in matrix.shape]
    return tuple("H" if size is None else size for size in sizes)


def _leaf(matrix: Node, *shape: Size) -> Node:
    """The parameter with another shape."""
    return replace(matrix, shape=tuple(Dim(size) for size in shape))


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise CellError(f"{name} is {value!r}, expected an integer of at least {least}")
