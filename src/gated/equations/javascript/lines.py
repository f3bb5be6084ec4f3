"""Equations with the numbers of one unit filled in, as a JavaScript function."""

from __future__ import annotations

from collections.abc import Callable

from gated.equations.graph import Graph
from gated.equations.javascript import marks
from gated.equations.javascript.formula import Formula, Piece, joined, mark
from gated.equations.javascript.names import quoted
from gated.equations.javascript.steps import forward, function
from gated.equations.javascript.writer import WHOLE, Writer, size_of
from gated.equations.symbols import Node

__all__ = ["lines"]

_HEAD = "lines(parameters, inputs, states, unit, digits = 3)"


def lines(graph: Graph) -> list[str]:
    """`lines(parameters, inputs, states, unit, digits = 3)`: each equation of one unit.

    An equation comes as {name, unit, symbols, numbers, value, products}: MathML of its symbols and
    of its numbers, and for each matrix product in it {symbols, numbers, value}. The unit is 0 where
    an equation has but one; an equation that has fewer units than that is left out.
    """
    tools = ("number", "plus", "minus", "factor", "line")
    writer = forward(graph, "parameters", "inputs", "states", "unit", "digits", *tools)
    body = [*writer.lines, f"const {{ {', '.join(tools)} }} = inDigits(digits);"]
    body.append("return [")
    for name, node in graph.equations.items():
        body += [f"  {one}" for one in _line(writer, name, node)]
    return function(_HEAD, [*body, "].flat();"])


def _line(writer: Writer, name: str, node: Node) -> list[str]:
    products = (
        ", ".join([joined(_SYMBOLS.operation(one)), *map(writer.array, (*one.args, one))])
        for one in _products(node)
    )
    symbols = [mark(marks.value(name)), _SYMBOLS.operation(node)]
    return [
        f"line({quoted(name)}, {', '.join(map(joined, symbols))},",
        f"  {writer.array(node)}, unit, (u) => [{', '.join(map(joined, _stages(writer, node)))}],",
        f"  [{', '.join(f'[{one}]' for one in products)}]),",
    ]


def _stages(writer: Writer, node: Node) -> list[list[Piece]]:
    """The equation in numbers, the same with its parts computed, and the value."""
    numbers = _Numbers(writer, node)
    stages = [] if node.op in WHOLE else [numbers.stage(numbers.reads)]
    if node.op not in ("neg", "select", *WHOLE):
        stages.append(numbers.stage(numbers.parts))
    return [*stages, numbers.pieces(node, "", opens=True)]


class _Numbers:
    """An equation of one unit in numbers."""

    def __init__(self, writer: Writer, root: Node):
        self.writer, self.root = writer, root
        ops = next((ops for ops in (("add", "sub"), ("mul",)) if root.op in ops), ())
        self.chain, waiting = {root}, [root]
        while waiting:  # the sums of a sum, the products of a product
            inside = [arg for arg in waiting.pop().args if arg.op in ops and not arg.name]
            self.chain.update(inside)
            waiting += inside

    def reads(self, node: Node) -> bool:
        """Whether the equation reads a node as it is: a leaf, a gate, a product with a matrix."""
        return bool(node.name or not node.args or node.op in WHOLE)

    def parts(self, node: Node) -> bool:
        """Whether a node is a part of the equation: a term of a sum, a factor, an operand."""
        return node not in self.chain

    def stage(self, whole: Callable[[Node], bool]) -> list[Piece]:
        """The equation with what is `whole` as one number."""

        def stands(node: Node, sign: str, opens: bool) -> list[Piece] | None:
            return self.pieces(node, sign, opens) if whole(node) else None

        return Formula(stands, "·", self._branch).operation(self.root)

    def pieces(self, node: Node, sign: str, opens: bool) -> list[Piece]:
        """A node's value, as it stands in an equation."""
        how = {"+": "plus", "−": "minus"}.get(sign) or ("number" if opens else "factor")
        return [Piece(f"{how}({self.writer.at(node, self._unit)})", True)]

    @property
    def _unit(self) -> str:
        return "0" if size_of(self.root) == (1,) else "u"

    def _branch(self, node: Node, first: list[Piece], second: list[Piece]) -> list[Piece]:
        """The branch that a choice takes."""
        condition = self.writer.at(node.args[0], self._unit)
        return [Piece(f"({condition} > 0 ? {joined(first)} : {joined(second)})", True)]


def _symbol(node: Node, sign: str, opens: bool) -> list[Piece] | None:
    """A leaf or a named node as its symbol."""
    if node.name:
        found = marks.value(node.name)
    elif node.op == "constant":
        found = marks.number(node.value)
        if node.value < 0 and (sign or not opens):
            found = f"<mo>(</mo>{found}<mo>)</mo>"
    elif node.symbol is not None:
        found = marks.parameter(node.symbol)
    elif not node.args:
        found = marks.value(node.label, before=node.op == "state")
    else:
        return None
    return mark((f"<mo>{sign}</mo>" if sign else "") + found)


def _cases(node: Node, first: list[Piece], second: list[Piece]) -> list[Piece]:
    """Both branches of a choice and the condition."""
    condition = _SYMBOLS.operand(node.args[0], opens=True)
    cell = '<mtd style="text-align: left">'
    return [
        *mark(f'<mrow><mo form="prefix" stretchy="true">{{</mo><mtable><mtr>{cell}'), *first,
        *mark(f"</mtd>{cell}<mtext>if&#160;</mtext>"), *condition,
        *mark(f"<mo>&gt;</mo><mn>0</mn></mtd></mtr><mtr>{cell}"), *second,
        *mark(f"</mtd>{cell}<mtext>else</mtext></mtd></mtr></mtable></mrow>"),
    ]  # fmt: skip


_SYMBOLS = Formula(_symbol, "⊙", _cases)


def _products(node: Node) -> list[Node]:
    """The products with matrices in an equation, in its order."""
    found, waiting = [], [node]
    while waiting:
        one = waiting.pop()
        if one.op in ("matmul", "blocks"):
            found.append(one)
        waiting += [arg for arg in reversed(one.args) if not arg.name]
    return found
