"""Noise in equations: where a regulariser's random numbers stand in a cell's graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from gated.equations.cell import Cell
from gated.equations.facts import held
from gated.equations.graph import Graph, Size
from gated.equations.noise import Noise
from gated.equations.ops import OPS, PRODUCTS
from gated.equations.rewrite import again, assemble, rewrite
from gated.equations.roles import Role, roles
from gated.equations.symbols import Node, apply, leaf

Masks = Mapping[str, Node]


def leaves(noise: Collection[Noise]) -> dict[str, Node]:
    """The inputs that take the noise, by name."""
    return {n.name: leaf("input", n.name, n.size) for n in noise}


def mixed(
    graph: Graph,
    states: Collection[str],
    mix: Callable[[str, Node, Node], Node],
    inputs: Masks | None = None,
) -> Graph:
    """The graph with `mix(state, old, new)` for a state's new value, which is called h_new then."""
    renamed = {graph.updates[name]: _free_name(graph, name) for name in states}

    def visit(node: Node, args: list[Node]) -> Node | None:
        return replace(again(node, args), name=renamed[node]) if node in renamed else None

    equations: dict[str, Node] = {}
    for name, node in rewrite(graph, visit).equations.items():
        if name not in states:
            equations[name] = node
            continue
        assert node.name is not None, "it was renamed"
        equations[node.name] = node
        equations[name] = replace(mix(name, graph.previous[name], node), name=name)
    return assemble(graph, equations, inputs=inputs)


def _free_name(graph: Graph, state: str) -> str:
    name = f"{state}_new"
    while name in {*graph.equations, *graph.inputs, *graph.previous}:
        name += "_new"
    return name


def written(graph: Graph, state: str) -> dict[tuple[Node, int], Node]:
    """The terms that a step adds to a state: i g of f c₋ + i g, by sum and place in it."""
    old, fixed = graph.previous[state], held(graph)
    found: dict[tuple[Node, int], Node] = {}

    def holds(root: Node) -> bool:
        """Whether the last value passes to it by neither a gate nor a matrix product."""
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if node is old:
                return True
            waiting += node.args if node not in fixed else ()
        return False

    def gather(node: Node) -> None:
        for place, term in enumerate(node.args):
            if node.op == "select" and place == 0:
                continue
            if not holds(term):
                found[node, place] = term
            # what has a name is a memory of its own, but for the new value that a state may take
            elif term.op in _SUMS and (node.op == "select" or term.name is None):
                gather(term)

    if graph.updates[state].op in _SUMS:
        gather(graph.updates[state])
    return found


def with_masked_terms(graph: Graph, masks: Masks) -> Graph:
    """The graph in which what a step adds to some states is multiplied by their masks.

    Args:
        graph: the equations.
        masks: the mask's input for each state.
    """
    places = {place: mask for name, mask in masks.items() for place in written(graph, name)}
    return _with_masked_operands(graph, places, masks)


def operands(cell: Cell) -> dict[str, Size]:
    """What the cell's matrices read: its first input and its states, with the sizes."""
    return {
        label: node.args[place].shape[0].value or "H"
        for node, place, label in _reads(cell.stored, roles(cell))
    }


def with_masked_reads(graph: Graph, cell: Cell, masks: Masks) -> Graph:
    """The graph in which what matrices read of an input or a state is multiplied by its mask."""
    places = {
        (node, place): masks[label]
        for node, place, label in _reads(graph, roles(cell))
        if label in masks
    }
    return _with_masked_operands(graph, places, masks)


def _with_masked_operands(
    graph: Graph, places: Mapping[tuple[Node, int], Node], masks: Masks
) -> Graph:
    def visit(node: Node, args: list[Node]) -> Node:
        masked = [
            apply("mul", arg, places[node, i]) if (node, i) in places else arg
            for i, arg in enumerate(args)
        ]
        return again(node, masked)

    return rewrite(graph, visit, inputs={mask.label: mask for mask in masks.values()})


def _reads(graph: Graph, known: Mapping[str, Role]) -> Iterator[tuple[Node, int, str]]:
    """Each product of a matrix, the place of what it reads, and the input or state that this is."""
    sequence = next(iter(graph.inputs.values()))
    last = set(graph.previous.values())
    ends = {*graph.updates.values(), *_gates(graph)}
    for node in graph.nodes():
        for place, operand in enumerate(node.args):
            parameter = node.args[1 - place] if node.op in (*PRODUCTS, "mul") else None
            if parameter is None or parameter.op != "parameter":
                continue
            role = known[parameter.label]
            if node.op == "mul" and role.kind != "diagonal":
                continue
            label = _source(operand, last if role.recurrent else {sequence}, ends)
            if label is not None:
                yield node, place, label


def _source(operand: Node, wanted: set[Node], ends: set[Node]) -> str | None:
    """The leaf that passes to an operand, unit by unit and not as a gate: h of r ⊙ h₋."""
    waiting = [operand]
    while waiting:
        node = waiting.pop(0)
        if node in wanted and node.shape[0].value == operand.shape[0].value:
            return node.label
        if node.op in OPS and OPS[node.op].shape == "elementwise":
            waiting += [arg for arg in node.args if arg not in ends]
    return None


def _gates(graph: Graph) -> set[Node]:
    """The named values that are no sums or products of others."""
    fixed = held(graph)
    return {node for node in graph.equations.values() if node in fixed}


_SUMS = ("add", "sub", "select")
