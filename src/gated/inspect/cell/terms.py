"""The parts of which an equation is made: terms and factors, functions of one value, weights."""

from __future__ import annotations

import re
from dataclasses import replace

from gated.equations.facts import held, kept
from gated.equations.graph import Graph, sort
from gated.equations.ops import OPS, PRODUCTS
from gated.equations.render import expression
from gated.equations.symbols import Node
from gated.inspect.cell.labels import name_label

__all__ = ["Parts", "function_name"]


class Parts:
    """What the nodes of a graph are to one another.

    Attributes:
        varies: the nodes that depend on an input or a state; the others hold for every step.
        memory: the nodes through which what is kept passes, from the last states to the new ones.
    """

    def __init__(self, graph: Graph):
        self.varies: set[Node] = set()
        for node in graph.nodes():
            if node.op in ("input", "state") or any(arg in self.varies for arg in node.args):
                self.varies.add(node)
        self.memory = _memory(graph)

    def peeled(self, node: Node) -> tuple[Node, str]:
        """What a node's functions of one value act on, and the functions as text: "1 − ·"."""
        inner = node
        while inner.op in OPS and inner.op not in PRODUCTS and (inner is node or not inner.name):
            varying = {arg for arg in inner.args if arg in self.varies}
            fixed = sort(arg for arg in inner.args if arg not in self.varies)
            if len(varying) != 1 or any(below.op == "parameter" for below in fixed):
                break
            inner = varying.pop()
        return inner, "" if inner is node else _written(node, inner)

    def terms(self, node: Node) -> list[tuple[str, Node]]:
        """The terms of a sum, each with "−" if it is subtracted; a named one stays whole."""
        found, waiting = [], [("", node)]
        while waiting:
            sign, one = waiting.pop()
            if one.op not in ("add", "sub", "neg") or not (one is node or one.name is None):
                found.append((sign, one))
                continue
            turned = "" if sign else "−"
            signs = {"add": (sign, sign), "sub": (sign, turned), "neg": (turned,)}[one.op]
            waiting += reversed([*zip(signs, one.args, strict=True)])
        return found

    def factors(self, node: Node) -> list[Node]:
        """The factors of a product of values; a named one stays whole."""
        found, waiting = [], [node]
        while waiting:
            one = waiting.pop()
            whole = one.op != "mul" or not all(arg in self.varies for arg in one.args)
            if whole or not (one is node or one.name is None):
                found.append(one)
            else:
                waiting += reversed(one.args)
        return found

    def weighted(self, term: Node) -> tuple[Node, Node] | None:
        """The parameter and the value of a term W x or p ⊙ c."""
        if term.op not in (*PRODUCTS, "mul") or term not in self.varies:
            return None
        weight = next((arg for arg in term.args if arg.op == "parameter"), None)
        if weight is None:
            return None
        return weight, next(arg for arg in term.args if arg is not weight)

    def below(self, node: Node) -> tuple[list[Node], list[Node]]:
        """The unnamed nodes of an equation from its top, and the values that it reads."""
        inside: dict[Node, None] = {}
        read: dict[Node, None] = {}
        waiting = [node]
        while waiting:
            one = waiting.pop()
            if one is not node and (one.name or one.op in ("input", "state")):
                read[one] = None
            elif one in self.varies:
                inside[one] = None
                waiting += reversed(one.args)
        return list(inside), list(read)


def function_name(op: str) -> str:
    """How a function is called in a box.

    Example:
        >>> function_name("sigmoid"), function_name("abs")
        ('σ', 'abs')
    """
    return OPS[op].text.partition("(")[0].strip("|{0} ") or op


def _memory(graph: Graph) -> set[Node]:
    fixed = held(graph)
    found: set[Node] = set()
    for name in kept(graph):
        carries = {graph.previous[name]}
        for node in sort([graph.updates[name]]):
            if node not in fixed and any(arg in carries for arg in node.args):
                carries.add(node)
        waiting = [graph.updates[name]]
        while waiting:
            node = waiting.pop()
            found.add(node)
            waiting += [arg for arg in node.args if arg in carries]
    return found


def _written(node: Node, inner: Node) -> str:
    """The functions from `inner` to `node` as text: "σ", "1 − z", "exp(−max(0, ·))"."""
    name = "·"
    if inner.op != "state" and (inner.name or inner.label):
        ((letter, low),) = name_label(inner.name or inner.label).parts
        name = name if low else letter
    place = Node("input", shape=inner.shape, label=name)

    def again(one: Node) -> Node:
        if one is inner:
            return place
        if one.op == "constant":
            return replace(one, value=float(f"{one.value:.4g}"))
        return replace(one, args=tuple(map(again, one.args)), name=None)

    text = re.sub(r"(\d) ⊙ ", r"\1 ", expression(again(node)).replace("-", "−"))
    alone = f"({name})"
    return text.removesuffix(alone) if text.count("(") == 1 and text.endswith(alone) else text
