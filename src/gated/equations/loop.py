"""`Loop`: what of a cell's step must run in the loop over time, and in which order.

What does not depend on the state is computed before the loop, for all steps at once: it comes in as
*given*. The rest is cut into stages: each begins with matrix products, whose operands must be there
as whole vectors, and goes on with passes over the units. A reduction over the units ends a pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from gated.equations.backward import gradient
from gated.equations.graph import Graph, sort
from gated.equations.ops import PRODUCTS
from gated.equations.regroup import regrouped
from gated.equations.schedule import TRANSPOSED, Stage, schedule
from gated.equations.stacks import Bank, Stream, banks, is_stream, streams, timed
from gated.equations.symbols import Node

_OUTER = ("outer", "blocks_outer")
# cheap enough to be computed again in the backward pass instead of being kept
_CHEAP = ("add", "sub", "mul", "neg", "select", "maximum", "minimum", "relu", "abs", "heaviside")


@dataclass(frozen=True, eq=False)
class Forward:
    """The forward loop.

    Attributes:
        given: what is known before the loop, with whether it differs from step to step.
        matrices: the parameters that stand left of products, by key.
        previous: the states' leaves; updates: their new values.
        shown: named values that are computed in the loop and wanted at every step.
        stages: the work of a step; moving: what is computed in it.
        traced: whether all states, and what is shown, are wanted at every step.
    """

    graph: Graph
    given: Mapping[Node, bool]
    matrices: Mapping[str, Node]
    shown: Mapping[str, Node]
    stages: list[Stage]
    moving: set[Node]
    traced: bool = False

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        """The given values that are one product of stacked matrices, by operand."""
        return streams(self.graph, self.given)

    @cached_property
    def loose(self) -> tuple[Node, ...]:
        """The other given values."""
        stacked = {node for stream in self.streams for node in stream.nodes}
        return tuple(node for node in self.given if node not in stacked)

    @cached_property
    def banks(self) -> tuple[Bank, ...]:
        """The matrices of the loop, stacked as they are stored."""
        return banks(self.graph, self.matrices)

    @property
    def previous(self) -> Mapping[str, Node]:
        """The states of the step before, by name."""
        return self.graph.previous

    @property
    def updates(self) -> Mapping[str, Node]:
        """The new states, by name."""
        return self.graph.updates


@dataclass(frozen=True, eq=False)
class Backward:
    """The loop backwards.

    Attributes:
        kept: values of the forward loop that it reads, beside states and what is given.
        seeds: the gradients that arrive at the new states and at what is shown, by name.
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


def forward(graph: Graph, traced: bool = False) -> Forward:
    """The forward loop of a cell; with `traced`, every named value is wanted at every step."""
    graph = regrouped(graph)
    moving = graph.depends_on_state()
    nodes = [node for node in graph.nodes() if node in moving and node.op != "state"]
    matrices = {node.args[0].label: node.args[0] for node in nodes if node.op in PRODUCTS}
    given, inside = _frontier(graph, [arg for node in nodes for arg in node.args], matrices)
    moving = moving | inside
    known = {*given, *graph.previous.values()}
    shown = {
        name: node
        for name, node in graph.equations.items()
        if traced and node in moving and name not in graph.updates
    }
    stages = schedule([*graph.updates.values(), *shown.values()], known)
    return Forward(graph, given, matrices, shown, stages, moving, traced)


def _frontier(
    graph: Graph, wanted: Iterable[Node], matrices: Collection[str]
) -> tuple[dict[Node, bool], set[Node]]:
    """What is given to a loop, with whether it differs from step to step, and what it computes.

    Products with what is known are large products before the loop; what is made of them unit by
    unit is made in it, where it needs no memory of its own.
    """
    moving, differing = graph.depends_on_state(), timed(graph)
    given: dict[Node, bool] = {}
    inside: set[Node] = set()
    waiting = list(wanted)
    while waiting:
        node = waiting.pop(0)
        if node in moving or node.op == "constant" or node.label in matrices or node in inside:
            continue
        whole = node.op == "input" or node.op in PRODUCTS or is_stream(node, differing)
        if node not in differing or whole:
            given[node] = node in differing
        else:
            inside.add(node)
            waiting += node.args
    return given, inside


def backward(loop: Forward) -> Backward:
    """The loop backwards, from the table's derivative rows."""
    ends = {**loop.updates, **loop.shown}
    seeds = {name: Node("seed", shape=n.shape, label=f"d{name}") for name, n in ends.items()}
    fixed = set(loop.given)
    found = gradient([(node, seeds[name]) for name, node in ends.items()], fixed)
    found = {node: found[node] for node in _wanted(loop, found)}
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
    at_hand = {*loop.updates.values(), *loop.shown.values()}
    while waiting:
        node = waiting.pop()
        if node in seen or node in sources or not node.args:
            continue
        seen.add(node)
        if node in kept:
            continue
        inside = node in loop.moving
        if inside and (node.op not in _CHEAP or node in at_hand):
            kept.setdefault(node)
            continue
        # a matrix is no value of the loop
        products = (*PRODUCTS, *TRANSPOSED)
        waiting += node.args[1:] if node.op in products else node.args
    return [node for node in sort([*loop.updates.values(), *loop.shown.values()]) if node in kept]


def _pairs(root: Node) -> list[tuple[Node, Node]]:
    """The outer products whose sum is a matrix's gradient."""
    if root.op == "add":
        return [pair for arg in root.args for pair in _pairs(arg)]
    assert root.op in _OUTER, root.op
    return [(root.args[-2], root.args[-1])]
