"""The direct path of the gradient: from state to state by the factor that keeps, and no other way.

Everything but the recursion itself is computed for all steps at once, from what a run has shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from gated.engines import Job, Values, reference
from gated.equations import Cell
from gated.equations.backward import gradient
from gated.equations.facts import held
from gated.equations.graph import Graph
from gated.equations.symbols import Node

__all__ = ["Run", "direct_path"]


@dataclass(frozen=True)
class Run:
    """One layer in one direction, as it ran.

    Axes: T time, B rows, N all valid steps packed, n the units of a state.

    Attributes:
        cell: whose equations ran.
        job: of this layer alone; its further inputs are the cell's.
        direction: 0 forward, 1 reverse.
        values: every gate and state, (T, B, n) or (N, n).
        output: the gradient that arrives at the first state from outside the layer, the same.
        final: that which arrives at the states after each row's last step, each (B, n).
    """

    cell: Cell
    job: Job
    direction: int
    values: Values
    output: Tensor
    final: Sequence[Tensor]

    @property
    def rows(self) -> list[int]:
        """The number of rows at each step."""
        x, sizes = self.job.sequence, self.job.batch_sizes
        return [x.shape[1]] * x.shape[0] if sizes is None else sizes.tolist()

    @property
    def order(self) -> list[int]:
        """The steps, as they ran."""
        steps = list(range(len(self.rows)))
        return steps[::-1] if self.direction else steps

    def packed(self, value: Tensor) -> Tensor:
        """(T, B, n) as (N, n)."""
        return value.flatten(0, 1) if self.job.batch_sizes is None else value

    def split(self, value: Tensor) -> list[Tensor]:
        """A packed value step by step."""
        return list(torch.split(value, self.rows))

    def joined(self, steps: Sequence[Tensor]) -> Tensor:
        """Undo `split` and `packed`."""
        value, x = torch.cat(list(steps)), self.job.sequence
        if self.job.batch_sizes is None:
            return value.view(*x.shape[:2], *value.shape[1:])
        return value


def direct_path(run: Run) -> dict[str, Tensor]:
    """The gradient of the loss by each state that is kept, along the direct path.

    The recursion is d_t = e_t + k_(t+1) d_(t+1), unit by unit. k is the factor by which the cell
    keeps the state (`Cell.kept`), e_t what arrives at the state from its own step: from the
    layer's output at t, and after a row's last step from the final states, by all ways within the
    step's equations. No gradient passes through another unit or another state of a later step.
    Where a step's output reads the state on its way to the new one (a zoneout's h reads c_new),
    what arrives there is carried back, too, by the factor that led there.

    Returns:
        By state, laid out as `run.values`; states that no factor keeps are left out.
    """
    graph = run.cell.graph
    kept = run.cell.kept
    if not kept or not run.rows:
        return {name: torch.zeros_like(run.values[name]) for name in kept}
    known = _known(run)
    arriving, within = _within(graph)
    passing = _passing(graph, arriving)
    known.update(zip(arriving.values(), _arriving(run), strict=True))
    roots = [*kept.values(), *(within[name] for name in kept), *passing.values()]
    found = reference.evaluate(roots, known)
    paths = {}
    for name, factor in kept.items():
        like = run.packed(run.values[name])
        factors = run.split(found[factor].expand_as(like))
        left = found[passing[name]].expand_as(like) if name in passing else torch.zeros_like(like)
        own = run.split(found[within[name]])
        paths[name] = run.joined(_recursion(run, own, factors, run.split(left)))
    return paths


def _recursion(
    run: Run, own: Sequence[Tensor], factors: Sequence[Tensor], left: Sequence[Tensor]
) -> list[Tensor]:
    found = list(own)
    carried = own[0][:0]
    for t in reversed(run.order):
        # rows that end here carry nothing from later steps
        ending = torch.zeros_like(own[t][len(carried) :])
        found[t] = own[t] + torch.cat([carried[: len(own[t])], ending])
        carried = found[t] * factors[t] + left[t]
    return found


@lru_cache(maxsize=256)
def _within(graph: Graph) -> tuple[dict[str, Node], dict[str, Node]]:
    """The gradients that arrive at the new states, and from them those by each, within a step."""
    seeds = {
        name: Node("seed", shape=node.shape, label=f"d{name}")
        for name, node in graph.updates.items()
    }
    found = gradient((node, seeds[name]) for name, node in graph.updates.items())
    return seeds, {name: found[node] for name, node in graph.updates.items()}


def _passing(graph: Graph, seeds: Mapping[str, Node]) -> dict[str, Node]:
    """The gradient by each old state of what leaves its way to the new one before the end."""
    pairs, fixed, found = (
        [(node, seeds[name]) for name, node in graph.updates.items()],
        held(graph),
        {},
    )
    for name, new in graph.updates.items():
        way = _way(graph, name, fixed)
        leaving = {n: g for n, g in gradient(pairs, way).items() if n in way and n is not new}
        back = gradient(leaving.items(), fixed).get(graph.previous[name])
        if back is not None:
            found[name] = back
    return found


def _way(graph: Graph, name: str, fixed: Collection[Node]) -> set[Node]:
    """The sums and products that lead from an old state to the new one."""
    after = {graph.previous[name]}
    for node in graph.nodes():
        if node not in fixed and after.intersection(node.args):
            after.add(node)
    one = Node("constant", value=1.0)
    before = gradient([(graph.updates[name], one)], fixed)
    return {node for node in after if node in before} - {graph.previous[name]}


def _arriving(run: Run) -> list[Tensor]:
    """At each new state from outside the layer, packed."""
    found = []
    for k, state in enumerate(run.cell.states):
        like = run.packed(run.values[state.name])
        whole = torch.zeros_like(like) if k else run.packed(run.output).clone()
        steps, have = run.split(whole), 0  # views
        for t in reversed(run.order):
            steps[t][have:] += run.final[k][have : len(steps[t])]
            have = len(steps[t])
        found.append(whole)
    return found


def _known(run: Run) -> dict[Node, Tensor]:
    """What the run has shown, by node of the graph, packed."""
    graph, job = run.cell.graph, run.job
    own = job.own[run.direction] if job.own else {}
    inputs = {**job.inputs, **own}
    known = {node: run.packed(inputs[name]) for name, node in graph.inputs.items()}
    known |= {node: run.packed(run.values[name]) for name, node in graph.equations.items()}
    for k, state in enumerate(run.cell.states):
        known[graph.previous[state.name]] = _before(run, state.name, job.initial[k][run.direction])
    weights = reference.by_symbol(job.form, job.stored(0, run.direction), job.sequence)
    leaves = {node.label: node for node in graph.nodes() if node.op == "parameter"}
    known |= {leaf: weights[key] for key, leaf in leaves.items()}
    return {node: value.detach() for node, value in known.items()}


def _before(run: Run, name: str, initial: Tensor) -> Tensor:
    """A state before each step, packed."""
    values = run.split(run.packed(run.values[name]))
    found, state = list(values), initial[:0]
    for t in run.order:
        have, want = len(state), len(values[t])
        state = torch.cat([state, initial[have:want]]) if want > have else state[:want]
        found[t], state = state, values[t]
    return torch.cat(found)
