"""The flow of a cell: boxes, circles, and the lines between them.

A gate is one box, in which its matrices, its bias and its squashing function are folded; what is
done unit by unit is a circle. `gated.inspect.cell.reading` finds them in a cell's graph,
`gated.inspect.cell.flowchart` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BOXES", "Flow", "Line", "LineKind", "Vertex", "VertexKind"]

VertexKind = Literal[
    "input", "last", "new", "gate", "candidate", "linear", "function", "operation", "join"
]
LineKind = Literal["plain", "matrix", "heads", "kernel", "diagonal", "vector"]
BOXES = ("gate", "candidate", "linear", "function")


@dataclass(frozen=True)
class Vertex:
    """A box, a circle, or the end of a line.

    Attributes:
        id: unique in its flow.
        kind: "input", "last" and "new" are the values that enter and leave; "gate" has the
            sigmoid, "candidate" another function of a weighted sum, "linear" none; "function" is
            a box without weights, "operation" a circle, "join" a place where lines go on together.
        name: the equation, input or state that it belongs to; "" for a join.
        label: what stands in it: a name, a function, or a sign such as "×".
        note: what stands beside the name: the function, as "σ".
        members: the equations of a box that stands for several.
    """

    id: str
    kind: VertexKind
    name: str
    label: str
    note: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A value on its way from one vertex to another.

    Attributes:
        source, target: ids.
        name: the equation, input or state whose value it is.
        kind: what it is multiplied by on its way: nothing ("plain"), a matrix, one of "heads", a
            convolution's "kernel", a "diagonal" one, or a "vector", as a peephole's.
        weights: the parameters that it is multiplied by.
        mark: what stands beside its end or start: "−" for what is subtracted, "4 heads".
        memory: whether it carries what a state keeps from step to step.
    """

    source: str
    target: str
    name: str
    kind: LineKind = "plain"
    weights: tuple[str, ...] = ()
    mark: str = ""
    memory: bool = False


@dataclass(frozen=True)
class Flow:
    """A cell's vertices by id, in the order of the equations, and the lines between them."""

    vertices: dict[str, Vertex]
    lines: tuple[Line, ...]
