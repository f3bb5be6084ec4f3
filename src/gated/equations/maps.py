"""What a matrix means in `W @ x`: dense, diagonal, one block a head, or a convolution.

The choice stands beside the equations. A map puts another operation in the place of a product of
the cell's graph, and gives its parameter another shape; what is derived from the graph follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from gated.equations.cell import Cell, derived
from gated.equations.close import did_you_mean
from gated.equations.dims import Size, shape, sizes
from gated.equations.graph import Graph
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
        rows, columns = sizes(matrix.shape)
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
        rows, columns = (self._part(size, matrix) for size in sizes(matrix.shape))
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
        return apply("convolve", _leaf(matrix, *sizes(matrix.shape), *self.kernel_size), vector)


_NAMED: dict[str, type[Dense] | type[Diagonal]] = {"dense": Dense, "diagonal": Diagonal}
Maps = str | Map | Mapping[str, "str | Map"]


def mapped(cell: Cell, maps: Maps) -> Cell:
    """The cell with other meanings of its matrix products.

    Args:
        cell: the cell.
        maps: "dense", "diagonal", `Heads(n)` or `Convolution(k)`: a convolution is for all
            matrices, the others are for those that see a state, the recurrent ones. Or a dictionary
            of such by family or parameter: {"U": "diagonal", "W": Heads(4)}; a parameter goes
            before its family.

    Raises:
        CellError: a map is not known, has no meaning for a matrix, or names none; or a matrix has
            another map already.

    Example:
        >>> from gated.cells import cell
        >>> print(mapped(cell("rnn"), "diagonal"))
        h = tanh(W x + U ⊙ h₋ + b)
        >>> mapped(cell("rnn"), Heads(4)).parameter_count(input_size=8, hidden_size=8)
        88
    """
    try:
        new = _new(cell, maps)
        if not new:
            return cell
        recipe = (mapped, (cell, dict(maps) if isinstance(maps, Mapping) else maps))
        return derived(cell, lambda graph: _with_products(graph, new), recipe, maps=new)
    except CellError as error:
        raise CellError(f"cell {cell.name}: {error}") from None


def _with_products(graph: Graph, maps: Mapping[str, Map]) -> Graph:
    # a parameter that is used twice stays one node
    leaves: dict[str, Node] = {}

    def visit(node: Node, args: list[Node]) -> Node | None:
        if node.op != "matmul" or node.args[0].label not in maps:
            return None
        found = maps[node.args[0].label].product(args[0], args[1])
        leaf = leaves.setdefault(found.args[0].label, found.args[0])
        return replace(found, args=(leaf, *found.args[1:]), line=node.line)

    return rewrite(graph, visit)


def _new(cell: Cell, maps: Maps) -> dict[str, Map]:
    """The maps of the matrices that get another than they have."""
    new = {}
    for key, which in _asked(cell, maps).items():
        before = cell.maps.get(key, Dense())
        if which != before:
            if key in cell.maps:
                raise CellError(
                    f"{key} has the map {before} already, it cannot get {which} too: give all maps "
                    f"at once, as {{'U': Heads(4), 'W': 'dense'}}"
                )
            new[key] = which
    return new


def _asked(cell: Cell, maps: Maps) -> dict[str, Map]:
    """The map of each matrix for which one is asked."""
    dense = [node.args[0].label for node in cell.graph.nodes() if node.op == "matmul"]
    matrices = [p.key for p in cell.parameters if p.key in dense or p.key in cell.maps]
    if isinstance(maps, Mapping):
        return _by_name(cell, maps, matrices)
    chosen = _as_map(maps)
    known = roles(cell)
    keys = [key for key in matrices if chosen.everywhere or known[key].recurrent]
    if not keys and not (
        isinstance(chosen, Dense) or (isinstance(chosen, Diagonal) and cell.diagonal)
    ):
        raise CellError(
            f"there is no recurrent matrix that could be {chosen}: name others, as "
            f"{{'W': {chosen}}}"
        )
    return dict.fromkeys(keys, chosen)


def _by_name(cell: Cell, maps: Mapping[str, str | Map], matrices: list[str]) -> dict[str, Map]:
    found: dict[str, Map] = {}
    for key in sorted(maps, key=lambda key: str(key).count(".")):
        keys = [k for k in matrices if key in (k, k.partition(".")[0])]
        if not keys:
            raise CellError(_no_matrix(key, cell.graph, matrices))
        found |= dict.fromkeys(keys, _as_map(maps[key]))
    if not found:
        raise CellError(f"maps is {maps!r}: name a matrix, of {', '.join(matrices)}")
    return found


def _as_map(which: object) -> Map:
    if isinstance(which, (Dense, Diagonal, Heads, Convolution)):
        return which
    if isinstance(which, str) and which in _NAMED:
        return _NAMED[which]()
    name = which.__name__ if isinstance(which, type) else which
    raise CellError(
        f"there is no map {name!r}: {did_you_mean(name, _NAMED)}known are 'dense', 'diagonal', "
        f"Heads(count) and Convolution(kernel_size)"
    )


def _no_matrix(key: object, graph: Graph, matrices: list[str]) -> str:
    known = ", ".join(matrices)
    if any(key in (p.key, p.family) for p in graph.parameters):
        return (
            f"{key} is a vector, it multiplies or adds unit by unit and takes no map: maps are for "
            f"what stands left of @, which is {known}"
        )
    families = dict.fromkeys(k.partition(".")[0] for k in matrices)
    hint = did_you_mean(key, [*families, *matrices])
    return f"there is no matrix {key!r}: {hint}the cell's matrices are {known}"


def _leaf(matrix: Node, *sizes: Size) -> Node:
    """The parameter with another shape."""
    return replace(matrix, shape=shape(*sizes))


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise CellError(f"{name} is {value!r}, expected an integer of at least {least}")
