"""Sums in the order in which a loop over time wants them."""

from __future__ import annotations

from gated.equations.graph import Graph
from gated.equations.ops import NORMALIZE_EPS, PRODUCTS
from gated.equations.rewrite import again, rewrite
from gated.equations.symbols import Node, apply

_Term = tuple[int, Node]  # a sign and what it stands before


def regrouped(graph: Graph) -> Graph:
    """The same equations; sums begin with what is known before the loop, then come the products.

    Layer normalisation is written out, so that its means are reductions like others.
    """

    def write_out(node: Node, args: list[Node]) -> Node | None:
        return _normalized(args[0]) if node.op == "normalize" else None

    graph = rewrite(graph, write_out)
    moving = graph.depends_on_state()
    found: dict[Node, bool] = {}  # whether a new node depends on the state

    def regroup(node: Node, args: list[Node]) -> Node | None:
        if node not in moving or node.op not in ("add", "sub"):
            return None
        return _sum(_terms(again(node, args), 1, root=True), found)

    return rewrite(graph, regroup)


def _normalized(v: Node) -> Node:
    centred = v - apply("mean", v)
    return centred / apply("sqrt", apply("mean", centred * centred) + NORMALIZE_EPS)


def _terms(node: Node, sign: int, *, root: bool = False) -> list[_Term]:
    """The terms of a sum with their signs; what has a name stays whole."""
    if node.op in ("add", "sub") and (root or node.name is None):
        left, right = node.args
        return [*_terms(left, sign), *_terms(right, sign if node.op == "add" else -sign)]
    if node.op == "neg" and node.name is None:
        return _terms(node.args[0], -sign)
    return [(sign, node)]


def _sum(terms: list[_Term], found: dict[Node, bool]) -> Node:
    groups: list[list[_Term]] = [[], [], []]
    for sign, node in terms:
        product = node.op in PRODUCTS and sign > 0
        groups[0 if not _moves(node, found) else 1 if product else 2].append((sign, node))
    sign, total = _added([_added(group) for group in groups if group])
    return total if sign > 0 else -total


def _added(terms: list[_Term]) -> _Term:
    """Terms as one, a positive one in front if there is one."""
    (sign, total), *others = sorted(terms, key=lambda term: -term[0])
    for other, node in others:
        total = total + node if other == sign else total - node
    return sign, total


def _moves(node: Node, found: dict[Node, bool]) -> bool:
    if node not in found:
        found[node] = node.op == "state" or any(_moves(arg, found) for arg in node.args)
    return found[node]
