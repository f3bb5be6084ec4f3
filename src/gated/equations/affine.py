"""Which states are affine in themselves, unit by unit, so that time may be a scan.

s = a ⊙ s₋ + b,  a and b free of s₋ and of every state that is not known by then
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from gated.equations.graph import Graph, fold, sort
from gated.equations.ops import PRODUCTS
from gated.equations.shapes import describe
from gated.equations.symbols import Node, apply
from gated.errors import CellError

_ACROSS_UNITS = (*PRODUCTS, "mean", "normalize", "sum")


class Form(NamedTuple):
    """A value as coefficient ⊙ state + offset, each a node; None stands for 0."""

    coefficient: Node | None
    offset: Node | None


@dataclass(frozen=True, eq=False)
class Recurrence:
    """How a state follows from the one before: the coefficient may be None, for 0."""

    state: str
    coefficient: Node | None
    offset: Node


def recurrences(graph: Graph) -> tuple[Recurrence, ...]:
    """The states that a step reads, in an order in which each can be computed over all of time.

    A state's coefficient and offset read earlier ones alone, before the step and after it. States
    that no step reads are left out: they follow from the others.

    Raises:
        CellError: there is no such order, or a state is not affine in itself unit by unit; the
            message says why, as what follows "it cannot be scanned: ".

    Example:
        >>> from gated.cells import cell
        >>> [r.state for r in recurrences(cell("minlstm").graph)]
        ['h']
    """
    waiting = dict.fromkeys(s.name for s in graph.states if s.name in _read(graph))
    found: list[Recurrence] = []
    while waiting:
        unknown = {name: _states(graph, name) & waiting.keys() - {name} for name in waiting}
        ready = next((name for name, others in unknown.items() if not others), None)
        if ready is None:
            raise CellError(f"the states {' and '.join(waiting)} depend on one another")
        found.append(_recurrence(graph, ready))
        del waiting[ready]
    return tuple(found)


def _read(graph: Graph) -> set[str]:
    """The states that some equation reads as they were before the step."""
    return {node.label for node in graph.nodes() if node.op == "state"}


def _states(graph: Graph, name: str) -> set[str]:
    return {node.label for node in sort([graph.updates[name]]) if node.op == "state"}


def _recurrence(graph: Graph, name: str) -> Recurrence:
    before, update = graph.previous[name], graph.updates[name]

    def value(node: Node, args: list[Form]) -> Form:
        return Form(_number(1), None) if node is before else _form(name, node, args)

    coefficient, offset = fold([update], value)[update]
    return Recurrence(name, coefficient, _number(0) if offset is None else offset)


def _form(state: str, node: Node, args: list[Form]) -> Form:
    """The form of an operation from those of its operands."""
    if all(arg.coefficient is None for arg in args):
        return Form(None, node)
    first = args[0]
    if node.op in ("add", "sub", "neg"):
        return Form(*(_combined(node, parts) for parts in zip(*args, strict=True)))
    if node.op == "mul" and args[1].coefficient is None:
        return Form(*(_scaled("mul", part, args[1].offset) for part in first))
    if node.op == "mul" and first.coefficient is None:
        return Form(*(_scaled("mul", part, first.offset) for part in args[1]))
    if node.op == "div" and args[1].coefficient is None:
        return Form(*(_scaled("div", part, args[1].offset) for part in first))
    if node.op == "select" and first.coefficient is None:
        return Form(*(_selected(node.args[0], parts) for parts in zip(*args[1:], strict=True)))
    if node.op in _ACROSS_UNITS:
        what = describe(node.args[0]) if node.op in PRODUCTS else node.op
        raise CellError(f"{what} mixes the units of the state {state}")
    raise CellError(f"{_where(node)} is not linear in the state {state}")


def _where(node: Node) -> str:
    return node.op if node.name is None else f"{node.name} = {node.op}(...)"


def _combined(node: Node, parts: Iterable[Node | None]) -> Node | None:
    """A sum, a difference or what is negated, where some parts are 0."""
    one, *others = parts
    other = others[0] if others else None
    if node.op == "neg" or (one is None and node.op == "sub"):
        value = one if node.op == "neg" else other
        return None if value is None else apply("neg", value)
    if one is None or other is None:
        return other if one is None else one
    return apply(node.op, one, other)


def _scaled(op: str, part: Node | None, factor: Node | None) -> Node | None:
    if part is None or factor is None:
        return None
    if op == "mul" and part.op == "constant" and part.value == 1:
        return factor
    return apply(op, part, factor)


def _selected(condition: Node, parts: Iterable[Node | None]) -> Node | None:
    then, otherwise = parts
    if then is None and otherwise is None:
        return None
    return apply("select", condition, *(_number(0) if p is None else p for p in (then, otherwise)))


def _number(value: float) -> Node:
    return Node("constant", value=float(value))
