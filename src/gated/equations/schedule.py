"""The order of work within a step: stages of products, then passes over the units."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from gated.equations.graph import Size
from gated.equations.ops import PRODUCTS
from gated.equations.symbols import Node

REDUCTIONS = ("mean", "sum")
TRANSPOSED = ("matmul_t", "blocks_t")


@dataclass(frozen=True, eq=False)
class Sum:
    """A sum of products of matrices with vectors: the vector `target`."""

    target: Node
    products: tuple[Node, ...]


@dataclass
class Stage:
    """Products, then passes over units; `passes` maps a width to its nodes, in order, by pass."""

    sums: list[Sum] = field(default_factory=list)
    passes: list[dict[Size, list[Node]]] = field(default_factory=list)


def schedule(roots: Iterable[Node], known: Collection[Node]) -> list[Stage]:
    """The order of work: stages of products and passes."""
    roots = list(roots)
    needed = _needed(roots, known)
    used_by: dict[Node, int] = {}
    for node in needed:
        for arg in node.args:
            used_by[arg] = used_by.get(arg, 0) + 1
    inner = {  # additions within a sum of products
        arg
        for node in needed
        if _is_sum(node, known)
        for arg in node.args
        if _is_sum(arg, known) and arg.name is None and used_by[arg] == 1 and arg not in roots
    }
    place: dict[Node, tuple[int, int]] = dict.fromkeys(known, (0, 0))
    stages: list[Stage] = []

    def at(node: Node) -> tuple[int, int]:
        return place.get(node, (0, 0))

    for node in needed:
        if node in inner:
            continue
        if _is_sum(node, known):
            products = _products(node)
            computed = [p.args[1] for p in products if p.args[1] not in known]
            stage = max((at(v)[0] + 1 for v in computed), default=0)
            place[node] = (stage, 0)
            _stage(stages, stage).sums.append(Sum(node, tuple(products)))
            continue
        where = max((at(arg) for arg in node.args), default=(0, 0))
        if any(arg.op in REDUCTIONS and arg not in known for arg in node.args):
            # a reduction is ready once its pass is over
            late = [at(a) for a in node.args if a.op in REDUCTIONS and a not in known]
            where = max(where, max((stage, number + 1) for stage, number in late))
        place[node] = where
        passes = _stage(stages, where[0]).passes
        while len(passes) <= where[1]:
            passes.append({})
        width = node.args[0] if node.op in REDUCTIONS else node
        passes[where[1]].setdefault(width_of(width), []).append(node)
    return stages


def _stage(stages: list[Stage], number: int) -> Stage:
    while len(stages) <= number:
        stages.append(Stage())
    return stages[number]


def _needed(roots: Iterable[Node], known: Collection[Node]) -> list[Node]:
    """What must be computed, operands first."""
    order: dict[Node, None] = {}
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if node in order or node in known or not node.args:
            continue
        if ready:
            order.setdefault(node)
            continue
        stack.append((node, True))
        skip = 1 if node.op in (*PRODUCTS, *TRANSPOSED) else 0
        stack += [(arg, False) for arg in reversed(node.args[skip:])]
    return list(order)


def _is_sum(node: Node, known: Collection[Node]) -> bool:
    """Whether a node to compute is a product, or an addition of nothing but such."""
    if node in known:
        return False
    if node.op in PRODUCTS or node.op in TRANSPOSED:
        return True
    return node.op == "add" and all(_is_sum(arg, known) and arg.name is None for arg in node.args)


def _products(node: Node) -> list[Node]:
    if node.op == "add":
        return [p for arg in node.args for p in _products(arg)]
    return [node]


def width_of(node: Node) -> Size:
    """The units of a node; a number has one."""
    value = node.shape[0].value if node.shape else 1
    return "H" if value is None else value
