"""`Loop`: what of a cell's step must run in the loop over time, and in which order.

What does not depend on the state is computed before the loop, for all steps at once: it comes in as
*given*. The rest is cut into stages: each begins with matrix products, whose operands must be there
as whole vectors, and goes on with passes over the units. A reduction over the units ends a pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from gated.equations.backward import gradient
from gated.equations.graph import Graph, Size, fold, sort
from gated.equations.ops import NORMALIZE_EPS, PRODUCTS
from gated.equations.rewrite import again, rewrite
from gated.equations.symbols import Node, apply

_REDUCTIONS = ("mean", "sum")
_TRANSPOSED = ("matmul_t", "blocks_t")
_OUTER = ("outer", "blocks_outer")
# cheap enough to be computed again in the backward pass instead of being kept
_CHEAP = ("add", "sub", "mul", "neg", "select", "maximum", "minimum", "relu", "abs", "heaviside")


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


@dataclass(frozen=True, eq=False)
class Forward:
    """The forward loop.

    Attributes:
        given: what is known before the loop, with whether it differs from step to step.
        matrices: the parameters that stand left of products, by key.
        previous: the states' leaves; updates: their new values.
        stages: the work of a step.
    """

    graph: Graph
    given: Mapping[Node, bool]
    matrices: Mapping[str, Node]
    stages: list[Stage]

    @property
    def previous(self) -> Mapping[str, Node]:
        """The states of the step before, by name."""
        return self.graph.previous

    @property
    def updates(self) -> Mapping[str, Node]:
        """The new states, by name."""
        return self.graph.updates

    @cached_property
    def moving(self) -> set[Node]:
        """What is computed in the loop."""
        return self.graph.depends_on_state()


@dataclass(frozen=True, eq=False)
class Backward:
    """The loop backwards.

    Attributes:
        kept: values of the forward loop that it reads, beside states and what is given.
        seeds: the gradients that arrive at the new states, by name.
        carried: the gradients of the previous states, by name, None for zero.
        given: the gradient of each given value that has one.
        outer: for each matrix, pairs (gradient of the product, operand).
        stages: the work of a step.
    """

    kept: list[Node]
    seeds: Mapping[str, Node]
    carried: Mapping[str, Node | None]
    given: Mapping[Node, Node]
    outer: Mapping[str, list[tuple[Node, Node]]]
    stages: list[Stage]


def forward(graph: Graph) -> Forward:
    """The forward loop of a cell."""
    graph = regrouped(graph)
    moving = graph.depends_on_state()
    nodes = [node for node in graph.nodes() if node in moving and node.op != "state"]
    matrices = {
        node.args[0].label: node.args[0] for node in nodes if node.op in PRODUCTS
    }
    timed = _timed(graph)
    given = {
        arg: arg in timed
        for node in nodes
        for arg in node.args
        if arg not in moving and arg.op != "constant" and arg.label not in matrices
    }
    known = {*given, *graph.previous.values()}
    return Forward(graph, given, matrices, schedule(graph.updates.values(), known))


def backward(loop: Forward) -> Backward:
    """The loop backwards, from the table's derivative rows."""
    seeds = {
        name: Node("seed", shape=node.shape, label=f"d{name}")
        for name, node in loop.updates.items()
    }
    fixed = set(loop.given)
    found = gradient([(node, seeds[name]) for name, node in loop.updates.items()], fixed)
    found = {node: found[node] for node in _wanted(loop, found)}
    rewritten = _expanded(found.values())
    found = {node: rewritten[value] for node, value in found.items()}
    carried = {name: found.get(node) for name, node in loop.previous.items()}
    given = {node: found[node] for node in loop.given if node in found}
    outer = {key: _pairs(found[m]) for key, m in loop.matrices.items() if m in found}
    roots = [node for node in carried.values() if node is not None]
    roots += [*given.values(), *(g for pairs in outer.values() for g, _ in pairs)]
    sources = {*loop.given, *loop.previous.values(), *seeds.values()}
    operands = [v for pairs in outer.values() for _, v in pairs if v.op != "state"]
    kept = _kept(roots, operands, loop, sources)
    known = {*sources, *kept}
    return Backward(kept, seeds, carried, given, outer, schedule(roots, known))


def _wanted(loop: Forward, found: Mapping[Node, Node]) -> list[Node]:
    leaves = [*loop.given, *loop.previous.values(), *loop.matrices.values()]
    return [node for node in leaves if node in found]


def _kept(
    roots: Iterable[Node], operands: Iterable[Node], loop: Forward, sources: Collection[Node]
) -> list[Node]:
    """The forward values to keep: operands of products, and what is costly to compute again."""
    kept: dict[Node, None] = dict.fromkeys(operands)
    seen: set[Node] = set()
    waiting = list(roots)
    new_states = set(loop.updates.values())
    while waiting:
        node = waiting.pop()
        if node in seen or node in sources or not node.args:
            continue
        seen.add(node)
        if node in kept:
            continue
        inside = node in loop.moving
        if inside and (node.op not in _CHEAP or node in new_states):
            kept.setdefault(node)
            continue
        # a matrix is no value of the loop
        products = (*PRODUCTS, *_TRANSPOSED)
        waiting += node.args[1:] if node.op in products else node.args
    return [node for node in sort(loop.updates.values()) if node in kept]


def _pairs(root: Node) -> list[tuple[Node, Node]]:
    """The outer products whose sum is a matrix's gradient."""
    if root.op == "add":
        return [pair for arg in root.args for pair in _pairs(arg)]
    assert root.op in _OUTER, root.op
    return [(root.args[-2], root.args[-1])]


def _timed(graph: Graph) -> set[Node]:
    """The nodes that differ from step to step without the state."""
    found: set[Node] = set(graph.inputs.values())
    for node in graph.nodes():
        if any(arg in found for arg in node.args):
            found.add(node)
    return found


def regrouped(graph: Graph) -> Graph:
    """The same equations, sums ordered: what is known before the loop, then products, then the rest.

    Layer normalisation is written out, so that its means are reductions like others.
    """
    moving = graph.depends_on_state()

    def visit(node: Node, args: list[Node]) -> Node | None:
        if node.op == "normalize":
            return _normalized(args[0])
        return None

    graph = rewrite(graph, visit)
    moving = graph.depends_on_state()

    def regroup(node: Node, args: list[Node]) -> Node | None:
        if node not in moving or node.op not in ("add", "sub"):
            return None
        return _sum(_terms(again(node, args), 1, root=True), moving, replaced)

    replaced: dict[Node, bool] = {}
    return rewrite(graph, regroup)


def _normalized(v: Node) -> Node:
    centred = v - apply("mean", v)
    spread = apply("sqrt", apply("mean", centred * centred) + NORMALIZE_EPS)
    return apply("div", centred, spread)


def _terms(node: Node, sign: int, *, root: bool = False) -> list[tuple[int, Node]]:
    """The terms of a sum with their signs; what has a name stays whole."""
    if node.op in ("add", "sub") and (root or node.name is None):
        left, right = node.args
        return [
            *_terms(left, sign),
            *_terms(right, sign if node.op == "add" else -sign),
        ]
    if node.op == "neg" and node.name is None:
        return _terms(node.args[0], -sign)
    return [(sign, node)]


def _sum(
    terms: list[tuple[int, Node]], moving: Collection[Node], cache: dict[Node, bool]
) -> Node:
    def inside(node: Node) -> bool:
        if node not in cache:
            cache[node] = node.op == "state" or any(inside(arg) for arg in node.args)
        return cache[node]

    def rank(term: tuple[int, Node]) -> int:
        sign, node = term
        if not inside(node):
            return 0
        return 1 if node.op in PRODUCTS and sign > 0 else 2

    groups: list[Node] = []
    for place in range(3):
        part = [term for term in terms if rank(term) == place]
        if part:
            groups.append((place, _added(part)))  # type: ignore[arg-type]
    result: Node | None = None
    for _, (sign, node) in groups:  # type: ignore[misc]
        if result is None:
            result = node if sign > 0 else -node
        else:
            result = result + node if sign > 0 else result - node
    assert result is not None
    return result


def _added(terms: list[tuple[int, Node]]) -> tuple[int, Node]:
    """The sum of terms as one node, the first positive one in front."""
    ordered = sorted(terms, key=lambda term: -term[0])
    sign, total = ordered[0]
    for other, node in ordered[1:]:
        total = total + node if other == sign else total - node
    return sign, total


def _expanded(roots: Iterable[Node]) -> dict[Node, Node]:
    """Gradients with the number of units in the place of sums of ones."""

    def value(node: Node, args: list[Node]) -> Node:
        return again(node, args)

    return fold(roots, value)


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
        if _is_sum(node)
        for arg in node.args
        if _is_sum(arg) and arg.name is None and used_by[arg] == 1 and arg not in roots
    }
    place: dict[Node, tuple[int, int]] = dict.fromkeys(known, (0, 0))
    stages: list[Stage] = []

    def at(node: Node) -> tuple[int, int]:
        return place.get(node, (0, 0))

    for node in needed:
        if node in inner:
            continue
        if _is_sum(node):
            products = _products(node)
            computed = [p.args[1] for p in products if p.args[1] not in known]
            stage = max((at(v)[0] + 1 for v in computed), default=0)
            place[node] = (stage, 0)
            _stage(stages, stage).sums.append(Sum(node, tuple(products)))
            continue
        where = max((at(arg) for arg in node.args), default=(0, 0))
        if any(arg.op in _REDUCTIONS and arg not in known for arg in node.args):
            # a reduction is ready once its pass is over
            late = [at(a) for a in node.args if a.op in _REDUCTIONS and a not in known]
            where = max(where, max((stage, number + 1) for stage, number in late))
        place[node] = where
        passes = _stage(stages, where[0]).passes
        while len(passes) <= where[1]:
            passes.append({})
        width = node.args[0] if node.op in _REDUCTIONS else node
        passes[where[1]].setdefault(_width(width), []).append(node)
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
        skip = 1 if node.op in (*PRODUCTS, *_TRANSPOSED) else 0
        stack += [(arg, False) for arg in reversed(node.args[skip:])]
    return list(order)


def _is_sum(node: Node) -> bool:
    """Whether a node is a product, or an addition of nothing but such."""
    if node.op in PRODUCTS or node.op in _TRANSPOSED:
        return True
    return node.op == "add" and all(_is_sum(arg) and arg.name is None for arg in node.args)


def _products(node: Node) -> list[Node]:
    if node.op == "add":
        return [p for arg in node.args for p in _products(arg)]
    return [node]


def _width(node: Node) -> Size:
    value = node.shape[0].value if node.shape else 1
    return "H" if value is None else value
