"""Reading a cell's flow from its graph."""

from __future__ import annotations

from dataclasses import replace

from gated.equations import Cell
from gated.equations.ops import CALL, OPS, PRODUCTS
from gated.equations.roles import roles
from gated.equations.symbols import Node
from gated.inspect.cell.bundles import grouped, joined
from gated.inspect.cell.flow import Flow, Line, LineKind, Vertex, VertexKind
from gated.inspect.cell.terms import Parts, function_name

__all__ = ["flow"]

# an equation with more parts of its own than this is one box
_DETAIL = 4
_SIGNS = {"add": "+", "mul": "×", "div": "÷", "select": "?", "maximum": "max", "minimum": "min"}
_MARKS = {"select": ("?", "yes", "no"), "div": ("", "÷")}
_PRODUCT_KINDS: dict[str, LineKind] = {"matmul": "matrix", "blocks": "heads", "convolve": "kernel"}


def flow(cell: Cell) -> Flow:
    """Read the flow of a cell.

    Example:
        >>> from gated.cells import cell
        >>> found = flow(cell("rnn"))
        >>> [(line.source, line.target, line.kind) for line in found.lines]
        [('x', 'h', 'matrix'), ('last.h', 'h', 'matrix'), ('h', 'new.h', 'plain')]
    """
    return joined(grouped(_Reader(cell).read()))


class _Reader:
    """Goes through the equations in order and notes a vertex for each part."""

    def __init__(self, cell: Cell):
        self.graph = cell.graph
        self.parts = Parts(cell.graph)
        self.roles = roles(cell)
        self.vertices: dict[str, Vertex] = {}
        self.lines: list[Line] = []
        self.made: dict[Node, str] = {}
        self.owner = ""

    def read(self) -> Flow:
        """All vertices and lines."""
        for name, node in self.graph.inputs.items():
            self.made[node] = self._add(Vertex(name, "input", name, name))
        for name, node in self.graph.previous.items():
            self.made[node] = self._add(Vertex(f"last.{name}", "last", name, name))
        for name, node in self.graph.equations.items():
            self._equation(name, node)
        for name, node in self.graph.updates.items():
            new = self._add(Vertex(f"new.{name}", "new", name, name))
            self._line(node, new, memory=node in self.parts.memory)
        read = {line.source for line in self.lines}
        used = {id: v for id, v in self.vertices.items() if v.kind != "last" or id in read}
        return Flow(used, tuple(self.lines))

    def _equation(self, name: str, node: Node) -> None:
        """The parts of an equation; if they are many, one box that reads all that it needs."""
        self.owner = name
        vertices, lines, made = dict(self.vertices), list(self.lines), dict(self.made)
        self._make(node)
        if name in self.graph.updates or len(self.vertices) - len(vertices) <= _DETAIL:
            return
        self.vertices, self.lines, self.made = vertices, lines, made
        inside, read = self.parts.below(node)
        calls = list(dict.fromkeys(n.op for n in inside if OPS[n.op].binds == CALL))
        kind: VertexKind = "function"
        if any(arg.op == "parameter" for n in inside for arg in n.args):
            kind = "gate" if calls[:1] == ["sigmoid"] else "candidate"
            calls = calls[:1]
        note = " ".join(map(function_name, calls))
        self.made[node] = self._add(Vertex(name, kind, name, name, note))
        for value in read:
            self._line(value, name)

    def _make(self, node: Node) -> str:
        """The vertex of a node, with all that it needs."""
        core, function = self.parts.peeled(node)
        if core in self.made:
            id = self._box("function", node, function)
            self._line(core, id)
        elif self._is_neuron(core, bool(function)):
            id = self._neuron(core, node, function)
        elif function:
            self.made[core] = self._operation(core)
            id = self._box("function", node, function)
            self._line(core, id)
        else:
            id = self._operation(core)
        self.made[node] = id
        return id

    def _is_neuron(self, core: Node, squashed: bool) -> bool:
        """Whether it is a weighted sum that a box stands for."""
        terms = [term for _, term in self.parts.terms(core)]
        weighted = [term for term in terms if self.parts.weighted(term)]
        if any(term.op in PRODUCTS for term in weighted):
            return True
        varying = [term for term in terms if term in self.parts.varies]
        bias = len(varying) < len(terms)
        return (bool(weighted or bias) and squashed) or weighted == varying != []

    def _neuron(self, core: Node, node: Node, function: str) -> str:
        kind: VertexKind = "linear"
        if function:
            kind = "gate" if node.op == "sigmoid" else "candidate"
        terms = self.parts.terms(core)
        weights = [w[0].label for _, term in terms if (w := self.parts.weighted(term))]
        id = self._box(kind, node, function, " ".join(weights))
        for sign, term in terms:
            if term in self.parts.varies:
                self._line(term, id, "" if self.parts.weighted(term) else sign)
        return id

    def _operation(self, node: Node) -> str:
        """A circle."""
        op = "add" if node.op in ("add", "sub", "neg") else node.op
        id = self._add(
            Vertex(node.name or self._free(), "operation", self.owner, _SIGNS.get(op, op))
        )
        if op == "add":
            terms = self.parts.terms(node)
        else:
            args = self.parts.factors(node) if op == "mul" else node.args
            terms = list(zip(_MARKS.get(op, ("",) * len(args)), args, strict=True))
        for mark, term in terms:
            if term in self.parts.varies:
                weighted = self.parts.weighted(term) if op == "add" else None
                mark = mark or (weighted[0].label if weighted else "")
                keeps = {node, term} <= self.parts.memory
                self._line(term, id, mark, memory=keeps, through=op == "add")
        return id

    def _box(self, kind: VertexKind, node: Node, function: str, weights: str = "") -> str:
        """A box for a node: labelled with its name, else with what it does."""
        if node.name:
            note = function or ("linear" if kind == "linear" else "")
            return self._add(Vertex(node.name, kind, node.name, node.name, note))
        label, note = (function, weights) if function else (weights, "")
        return self._add(Vertex(self._free(), kind, self.owner, label, note))

    def _free(self) -> str:
        """An id for a part of an equation."""
        return f"{self.owner}.{sum(v.name == self.owner for v in self.vertices.values())}"

    def _add(self, vertex: Vertex) -> str:
        self.vertices[vertex.id] = vertex
        return vertex.id

    def _line(
        self, term: Node, target: str, mark: str = "", memory: bool = False, through: bool = True
    ) -> None:
        """A line to `target` from the value of a term, `through` its weight if it has one."""
        weighted = self.parts.weighted(term) if through and term not in self.made else None
        value, weights = term, tuple[str, ...]()
        kind: LineKind = "plain"
        if weighted:
            weight, value = weighted
            kind, weights = self._kind(term, weight), (weight.label,)
            mark = mark or _map_mark(kind, weight)
        source = self.made[value] if value in self.made else self._make(value)
        same = [line for line in self.lines if kind != "plain"
                and (line.source, line.target, line.kind) == (source, target, kind)]  # fmt: skip
        if same:  # two weights on one way are one line
            at = self.lines.index(same[0])
            self.lines[at] = replace(same[0], weights=(*same[0].weights, *weights))
            return
        name = value.name or value.label or self.vertices[source].name
        self.lines.append(Line(source, target, name, kind, weights, mark, memory))

    def _kind(self, term: Node, weight: Node) -> LineKind:
        if term.op in _PRODUCT_KINDS:
            return _PRODUCT_KINDS[term.op]
        return "diagonal" if self.roles[weight.label].kind == "diagonal" else "vector"


def _map_mark(kind: LineKind, weight: Node) -> str:
    shape = [dim.value for dim in weight.shape]
    if kind == "heads":
        return f"{shape[0]} heads"
    return "∗ " + "×".join(map(str, shape[2:])) if kind == "kernel" else ""
