"""What each gate of a cell can be set to, read from the equations: kept for good, shut, open."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from gated.equations import Cell
from gated.equations.noising import written
from gated.equations.ops import PRODUCTS
from gated.equations.symbols import Node
from gated.inspect.cell.bounds import bounds

__all__ = ["Setting", "settings"]


@dataclass(frozen=True)
class Setting:
    """Gates set to fixed values.

    Attributes:
        values: by gate, as {"f": 1.0}.
        meaning: what it does: "keep c", "write nothing to c", "show all of h".
    """

    values: Mapping[str, float]
    meaning: str

    @property
    def label(self) -> str:
        """How it is written: "f = 1"."""
        return ", ".join(f"{gate} = {value:g}" for gate, value in self.values.items())


@lru_cache(maxsize=256)
def settings(cell: Cell) -> tuple[Setting, ...]:
    """The settings of a cell's gates that have a plain meaning.

    The factor by which a state keeps its value becomes 1, what writes to it 0, and what multiplies
    the output on its way out 1. A gate that does two of these is given once.

    Example:
        >>> from gated.cells import cell
        >>> [one.label for one in settings(cell("lstm"))]
        ['f = 1', 'i = 0', 'o = 1']
        >>> [(one.label, one.meaning) for one in settings(cell("mut1"))]
        [('z = 0', 'keep h')]
    """
    found: dict[str, Setting] = {}
    for values, meaning in _all(cell):
        if values and not any(gate in one.values for one in found.values() for gate in values):
            one = Setting(values, meaning)
            found.setdefault(one.label, one)
    return tuple(found.values())


def _all(cell: Cell) -> Iterator[tuple[dict[str, float] | None, str]]:
    graph = cell.graph
    for state, factor in cell.kept.items():
        yield _solve(factor, 1.0), f"keep {state}"
    for state in cell.kept:
        for term in written(graph, state).values():
            for factor in _factors(term):
                if _is_gate(factor):
                    yield _solve(factor, 0.0), f"write nothing to {state}"
    output = cell.states[0].name
    if output not in cell.kept:
        shown = graph.updates[output]
        for factor in _factors(shown.args[1] if shown.op in PRODUCTS else shown):
            if _is_gate(factor):
                yield _solve(factor, 1.0), f"show all of {output}"


def _factors(node: Node) -> Iterator[Node]:
    """The factors of a product; those of a named value are its own business."""
    waiting = [*reversed(node.args)] if node.op == "mul" else []
    while waiting:
        one = waiting.pop()
        if one.op == "mul" and one.name is None:
            waiting += reversed(one.args)
        else:
            yield one


def _is_gate(node: Node) -> bool:
    """Whether a value lets more or less through: it is never negative."""
    return bounds(node)[0] >= 0 or _is_share(node)


def _is_share(node: Node) -> bool:
    """Whether it is a part of a sum of which no part is negative."""
    return node.op == "div" and min(bounds(arg)[0] for arg in node.args) >= 0


def _solve(node: Node, value: float) -> dict[str, float] | None:
    """The values of gates that give a node a value, {} if it has it, None if none are known."""
    if node.op == "constant":
        return {} if math.isclose(node.value, value) else None
    if node.name is not None:
        return {node.name: value}
    if node.op == "sub" and node.args[0].op == "constant":
        return _solve(node.args[1], node.args[0].value - value)
    if node.op == "mul":
        parts = [_solve(arg, value) for arg in node.args]
        if value == 1 and None not in parts:
            return {gate: v for part in parts if part for gate, v in part.items()}
        if value == 0:
            return next((part for part in parts if part), None)
    return None
