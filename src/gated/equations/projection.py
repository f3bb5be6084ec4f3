"""A projected cell: its output has P units, read from the H units of its memory by a matrix."""

from __future__ import annotations

from dataclasses import replace

from gated.equations.cell import Cell, derived
from gated.equations.dims import shape
from gated.equations.graph import Graph, sort
from gated.equations.ops import PRODUCTS
from gated.equations.render import expression
from gated.equations.rewrite import again, rewrite
from gated.equations.symbols import Family, Node, Symbol, apply, leaf
from gated.equations.vocabulary import R
from gated.errors import CellError

# the second where the equations have an R of their own, as the sLSTM's
_LETTERS = (R, Family("W_p", latex="W_{p}"))


def projected(cell: Cell) -> Cell:
    """The cell whose output has P units: h = o ⊙ tanh(c) becomes h = R (o ⊙ tanh(c)).

    The matrices that read h become (rows, P). A cell with maps or regularisers is projected below
    them: they act on the h of P units.

    Raises:
        CellError: the output is the cell's memory too, as in the GRU, or is projected already.

    Source: H. Sak, A. Senior, F. Beaufays, Long short-term memory recurrent neural network
    architectures for large scale acoustic modeling, Interspeech 2014.

    Example:
        >>> from gated.cells import cell
        >>> print(projected(cell("lstm")).text().splitlines()[-1])
        h = R (o ⊙ tanh(c))
    """
    output = cell.states[0]
    if output.size != "H":
        raise CellError(
            f"cell {cell.name}: its output {output.name} has {output.size} units already: only an "
            f"output of H units can be projected"
        )
    if cell.recipe is not None:
        function, (base, *options) = cell.recipe
        return function(projected(base), *options)
    try:
        return derived(cell, _projected, (projected, (cell,)))
    except CellError as error:
        raise CellError(f"cell {cell.name} cannot be projected: {error}") from None


def _projected(graph: Graph) -> Graph:
    family = _letter(graph)
    name = graph.states[0].name
    old = leaf("state", name, "P")
    narrow = {m: replace(m, shape=(m.shape[0], old.shape[0])) for m in _readers(graph)}
    symbol = Symbol(family, "")
    matrix = Node("parameter", shape=shape("P", "H"), label=symbol.key, symbol=symbol)

    def visit(node: Node, args: list[Node]) -> Node | None:
        if node is graph.previous[name]:
            return old
        if node is graph.updates[name]:
            return replace(
                apply("matmul", matrix, replace(again(node, args), name=None)), name=name
            )
        return narrow.get(node)

    new = rewrite(graph, visit)
    return replace(
        new,
        previous={**graph.previous, name: old},
        states=(replace(graph.states[0], size="P"), *graph.states[1:]),
    )


def _readers(graph: Graph) -> list[Node]:
    """The matrices that read the output, of this step or the last.

    Raises:
        CellError: something else reads it.
    """
    name = graph.states[0].name
    outputs = (graph.previous[name], graph.updates[name])
    both = f"its {name} is both memory and output"
    found: dict[Node, None] = {}
    others: set[Node] = set()
    for node in graph.nodes():
        matrix = node.args[0] if node.op in PRODUCTS else None
        if matrix is not None and node.args[1] in outputs:
            found[matrix] = None
        elif any(arg in outputs for arg in node.args):
            raise CellError(
                f"{both}, {expression(node)} reads it unit by unit: there is no output gate behind "
                f"which {name} could get another size"
            )
        elif matrix is not None:
            others.add(matrix)
    if not _remembered(graph):
        raise CellError(f"{both}, no other state carries the memory for an output gate to read")
    for matrix in found:
        if matrix in others:
            raise CellError(f"{matrix.label} multiplies {name} and what keeps H units")
    if not _gated(graph.updates[name]):
        raise CellError(
            f"its output {name} = {_right_side(graph.updates[name])} has no output gate"
        )
    return list(found)


def _gated(output: Node) -> bool:
    """Whether something multiplies what the output shows."""
    if output.op == "mul":
        return True
    return output.op in ("add", "sub", "neg", "div") and any(map(_gated, output.args))


def _right_side(node: Node) -> str:
    return expression(replace(node, name=None))


def _remembered(graph: Graph) -> bool:
    """Whether a state beside the output sees its own last value."""
    others = [state.name for state in graph.states[1:]]
    return any(graph.previous[name] in sort([graph.updates[name]]) for name in others)


def _letter(graph: Graph) -> Family:
    if "P" in graph.letters:
        raise CellError("P is a size of its own there, it would be the projection's")
    for family in _LETTERS:
        if family.letter not in graph.families:
            return family
    raise CellError(f"its parameters take the letters {' and '.join(f.letter for f in _LETTERS)}")
