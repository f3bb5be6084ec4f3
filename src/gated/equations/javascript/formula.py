"""Equations as MathML, out of pieces: some known when the program is written, some when it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from gated.equations.ops import CALL, MATRIX, OPS, PRODUCT, PRODUCTS, SUM
from gated.equations.symbols import Node

__all__ = ["Formula", "Piece", "Stands", "joined", "mark"]

_SUMS = ("add", "sub", "neg")
_TOKENS = re.compile(r"\{(\d)\}|(\w+)|([^\s\w])")


@dataclass(frozen=True)
class Piece:
    """MathML, or a JavaScript expression that gives some."""

    text: str
    runs: bool = False


def mark(text: str) -> list[Piece]:
    """MathML as it is."""
    return [Piece(text)] if text else []


def joined(pieces: list[Piece]) -> str:
    """A JavaScript expression that gives all pieces, one after the other."""
    parts: list[Piece] = []
    for piece in pieces:
        if parts and not piece.runs and not parts[-1].runs:
            parts[-1] = Piece(parts[-1].text + piece.text)
        else:
            parts.append(piece)
    return " + ".join(p.text if p.runs else json.dumps(p.text, ensure_ascii=False) for p in parts)


# (a node, the sign before it, whether an expression opens with it) -> its pieces, None if it is
# written as its operation
Stands = Callable[[Node, str, bool], "list[Piece] | None"]
# (a choice, its two branches) -> its pieces
Chosen = Callable[[Node, "list[Piece]", "list[Piece]"], "list[Piece]"]


@dataclass(frozen=True)
class Formula:
    """How nodes are written: operations as the table's text has them, the rest as `stands` says.

    Attributes:
        stands: the pieces of a node that stands for itself.
        times: the sign between factors.
        chosen: the pieces of a choice.
    """

    stands: Stands
    times: str
    chosen: Chosen

    def operand(
        self, node: Node, sign: str = "", least: int = 0, opens: bool = False
    ) -> list[Piece]:
        """A node after a sign, in parentheses if it binds less than `least`."""
        found = self.stands(node, sign, opens)
        if found is not None:
            return found
        held = OPS[node.op].binds < least and node.op != "div"  # a bar holds its own together
        held |= node.op == "neg" and (sign != "" or not opens)  # no two signs in a row
        written = self.operation(node, opens=held or (opens and not sign))
        if held:
            written = [*mark("<mo>(</mo>"), *written, *mark("<mo>)</mo>")]
        return [*mark(f"<mo>{sign}</mo>" if sign else ""), *written]

    def operation(self, node: Node, *, opens: bool = True) -> list[Piece]:
        """A node as its operation on its operands; `opens`: no sign and no factor is before it."""
        if node.op in _SUMS:
            (sign, first), *others = self._terms(node, root=True)
            if sign == "−":
                found = [*mark('<mo form="prefix">−</mo>'), *self.operand(first, "", SUM + 1)]
            else:
                found = self.operand(first, "", SUM, opens)
            for sign, term in others:
                found += self.operand(term, sign, SUM + (sign == "−"))
            return found
        if node.op == "mul":
            first, *factors = self._factors(node, root=True)
            found = self.operand(first, "", PRODUCT, opens)
            for factor in factors:
                found += [*mark(f"<mo>{self.times}</mo>"), *self.operand(factor, "", PRODUCT)]
            return found
        if node.op == "div":
            over, under = (self.operand(arg, opens=True) for arg in node.args)
            bar = mark("</mrow><mrow>")
            return [*mark("<mfrac><mrow>"), *over, *bar, *under, *mark("</mrow></mfrac>")]
        if node.op == "sqrt":
            inside = self.operand(node.args[0], opens=True)
            return [*mark("<msqrt><mrow>"), *inside, *mark("</mrow></msqrt>")]
        if node.op in PRODUCTS:
            matrix, vector = node.args
            return [*self.operand(matrix, least=MATRIX), *self.operand(vector, "", MATRIX + 1)]
        if node.op == "select":
            yes, no = (self.operand(arg, opens=True) for arg in node.args[1:])
            return self.chosen(node, yes, no)
        return self._call(node)

    def _call(self, node: Node) -> list[Piece]:
        """A function of its operands, as the table's text has it: "max({0}, {1})"."""
        assert OPS[node.op].binds == CALL, node.op
        found: list[Piece] = []
        for place, word, other in _TOKENS.findall(OPS[node.op].text):
            if place:
                found += self.operand(node.args[int(place)], opens=True)
            else:
                found += mark(f"<mi>{word}</mi>" if word else f"<mo>{other}</mo>")
        return found

    def _terms(self, node: Node, *, root: bool = False) -> list[tuple[str, Node]]:
        """The terms of a sum, each with its sign."""
        if node.op not in _SUMS or not (root or self.stands(node, "+", False) is None):
            return [("+", node)]
        if node.op == "neg":
            return [("−", node.args[0])]
        a, b = node.args
        return [*self._terms(a), *(self._terms(b) if node.op == "add" else [("−", b)])]

    def _factors(self, node: Node, *, root: bool = False) -> list[Node]:
        """The factors of a product."""
        if node.op != "mul" or not (root or self.stands(node, "", False) is None):
            return [node]
        return [factor for arg in node.args for factor in self._factors(arg)]
