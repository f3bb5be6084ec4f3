"""Probes and clamps as wrappers of a cell: what is added to a named value, or put in its place.

Each takes a cell and gives a cell with further inputs, so every engine runs it, and they combine
with maps, regularisers and each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from gated.cells import cell as find
from gated.equations.cell import Cell, derived
from gated.equations.close import did_you_mean
from gated.equations.dims import Size, sizes
from gated.equations.graph import Graph
from gated.equations.ops import OPS
from gated.equations.rewrite import again, rewrite
from gated.equations.symbols import Node, apply, leaf
from gated.errors import OptionError

__all__ = ["clamped", "probed", "size"]

Which = str | Cell | type[Cell]


def probed(which: Which, names: str | Sequence[str]) -> Cell:
    """Add an input `probe_c` to the value of a gate or state c, to be 0 in use.

    What the step computes from c reads c + probe_c, and so does the next step if c is a state. The
    gradient of a loss with respect to probe_c at a step is therefore its total gradient with
    respect to c at that step, over all paths.

    Args:
        which: a cell's name, a `Cell` or its class.
        names: gates and states, as the equations name them.

    Raises:
        OptionError: the cell has no equation of that name, or has the probe's name already.

    Example:
        >>> print(probed("rnn", "h"))
        h = tanh(W x + U h₋ + b) + probe_h
    """
    return _probed(find(which), _names(names))


def clamped(which: Which, names: str | Sequence[str]) -> Cell:
    """Let a gate or state c be fixed unit by unit: c where the input `keep_c` is above 0, else
    `fixed_c`.

    What is fixed passes no gradient on to what the equation says. Fixed values may be infinite.

    Args:
        which: a cell's name, a `Cell` or its class.
        names: gates and states, as the equations name them.

    Raises:
        OptionError: the cell has no equation of that name, or has the inputs' names already.

    Example:
        >>> print(clamped("rnn", "h"))
        h = select(keep_h, tanh(W x + U h₋ + b), fixed_h)
    """
    return _clamped(find(which), _names(names))


def size(cell: Cell, name: str) -> Size:
    """How many units a gate or state of a cell has, as a letter or a number."""
    return sizes(cell.graph.equations[name].shape)[0]


# cached, so that a cell's engines find what they have compiled for it
@lru_cache(maxsize=256)
def _probed(cell: Cell, names: tuple[str, ...]) -> Cell:
    def probe(value: Node, leaves: Sequence[Node]) -> Node:
        return apply("add", value, leaves[0])

    return _derived(_probed, "probed", cell, names, ("probe",), probe)


@lru_cache(maxsize=256)
def _clamped(cell: Cell, names: tuple[str, ...]) -> Cell:
    def clamp(value: Node, leaves: Sequence[Node]) -> Node:
        # no sum of products: a fixed value may be infinite, as the sLSTM's first m is
        return apply("select", leaves[0], value, leaves[1])

    return _derived(_clamped, "clamped", cell, names, ("keep", "fixed"), clamp)


Put = Callable[[Node, Sequence[Node]], Node]


def _derived(
    function: Callable[..., Cell], word: str, cell: Cell, names: tuple[str, ...],
    prefixes: tuple[str, ...], put: Put,
) -> Cell:  # fmt: skip
    _check(word, cell, names, prefixes)

    def transform(graph: Graph) -> Graph:
        return _with_inputs(graph, names, prefixes, put)

    # the parameters stay as they are, as with a regulariser
    return derived(cell, transform, (function, (cell, names)), training=transform)


def _with_inputs(
    graph: Graph, names: tuple[str, ...], prefixes: tuple[str, ...], put: Put
) -> Graph:
    """The graph in which named values are `put(value, the inputs that are for it)`."""
    leaves = {
        name: [
            leaf("input", f"{prefix}_{name}", sizes(graph.equations[name].shape)[0])
            for prefix in prefixes
        ]
        for name in names
    }
    places = {graph.equations[name]: name for name in names}

    def visit(node: Node, args: list[Node]) -> Node | None:
        if node not in places:
            return None
        value = replace(again(node, args), name=None)
        return replace(put(value, leaves[places[node]]), name=node.name, line=node.line)

    inputs = {one.label: one for both in leaves.values() for one in both}
    return rewrite(graph, visit, inputs=inputs)


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def _check(word: str, cell: Cell, names: tuple[str, ...], prefixes: tuple[str, ...]) -> None:
    graph = cell.graph
    if not names:
        raise OptionError(f"{word}: no name is given; {_known(cell)}")
    for name in names:
        if name not in graph.equations:
            hint = did_you_mean(name, graph.equations)
            raise OptionError(f"{word}: {cell.name} has no equation {name!r}: {hint}{_known(cell)}")
        if graph.equations[name].op not in OPS:
            raise OptionError(
                f"{word}: {name} of {cell.name} is only another name for what was there before "
                f"the step; name a gate or a state"
            )
        for prefix in prefixes:
            if f"{prefix}_{name}" in {*graph.inputs, *graph.previous, *graph.equations}:
                raise OptionError(
                    f"{word}: {cell.name} has a symbol {prefix}_{name} already: {word} once for "
                    f"each name"
                )


def _known(cell: Cell) -> str:
    states = ", ".join(state.name for state in cell.states)
    gates = ", ".join(cell.gates)
    return f"its states are {states}" + (f", its gates {gates}" if gates else "")
