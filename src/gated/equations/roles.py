"""What part each parameter plays in a cell's equations: what it reads, and in which shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from gated.equations.cell import Cell
from gated.equations.graph import Graph
from gated.equations.ops import PRODUCTS
from gated.equations.symbols import Node
from gated.equations.vocabulary import R, U, V, W

Kind = Literal["matrix", "heads", "kernel", "diagonal", "vector", "bias"]

_KINDS: dict[str, Kind] = {"matmul": "matrix", "blocks": "heads", "convolve": "kernel"}
_MATRICES = {family.letter for family in (W, U, V, R)}
_PASSING = ("add", "sub", "neg", "mul", "div", "select")
assert set(_KINDS) == set(PRODUCTS)


@dataclass(frozen=True)
class Role:
    """The part that a parameter plays.

    Attributes:
        kind: "matrix" (rows, columns), "heads" (N, rows, columns), "kernel" (rows, columns,
            *extent), "diagonal": a vector in the place of a matrix, "vector": any other, as a
            peephole's, or "bias".
        recurrent: whether what it multiplies comes from the cell's states, not from its inputs.
    """

    kind: Kind
    recurrent: bool = False


@lru_cache(maxsize=256)
def roles(cell: Cell) -> dict[str, Role]:
    """The role of each parameter, by key.

    A vector counts as a diagonal matrix if a map made it from a matrix, or if it is one of the
    families W, U, V and R, as the IndRNN's U. What multiplies x̂ = m ⊙ x + (1 - m) ⊙ x₋ reads the
    input, though x₋ is a state.

    Example:
        >>> from gated.cells import cell
        >>> found = roles(cell("lstm"))
        >>> found["W.i"], found["U.i"]
        (Role(kind='matrix', recurrent=False), Role(kind='matrix', recurrent=True))
    """
    graph = cell.stored
    moving = graph.depends_on_state()
    matrices = {p.key for p in _origin(cell).parameters if len(p.shape) > 1}
    kinds: dict[str, Kind] = {}
    recurrent: set[str] = set()
    for parameter, kind, operand in _read(graph):
        if kind == "diagonal" and parameter.label not in matrices and not _is_matrix(parameter):
            kind = "vector"
        kinds[parameter.label] = kind
        if operand in moving and not _reads_input(operand):
            recurrent.add(parameter.label)
    return {
        p.key: Role(
            "bias" if p.symbol.family.bias else kinds.get(p.key, "vector"), p.key in recurrent
        )
        for p in graph.parameters
    }


def _read(graph: Graph) -> Iterator[tuple[Node, Kind, Node]]:
    """Each parameter that multiplies something, in which way, and what it multiplies."""
    for node in graph.nodes():
        if node.op in PRODUCTS:
            yield node.args[0], _KINDS[node.op], node.args[1]
        elif node.op == "mul":
            for parameter, other in (node.args, node.args[::-1]):
                if parameter.op == "parameter":
                    yield parameter, "diagonal", other


def _is_matrix(parameter: Node) -> bool:
    return parameter.symbol is not None and parameter.symbol.family.letter in _MATRICES


def _origin(cell: Cell) -> Cell:
    """The cell as it was written, before maps and regularisers."""
    while cell.recipe is not None:
        cell = cell.recipe[1][0]
    return cell


def _reads_input(operand: Node) -> bool:
    """Whether an input passes into the operand by sums, products and choices, not as a gate."""
    waiting = [operand]
    while waiting:
        node = waiting.pop()
        if node.op == "input":
            return True
        waiting += node.args if node.op in _PASSING else ()
    return False
