"""The reference engine: interprets a cell's graph with PyTorch operations.

It runs any cell on any device and dtype, with autograd, double backward and forward mode, and is
the truth that every other engine is tested against. What does not depend on the state is computed
for all steps at once; the rest in a loop over time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from gated.engines.job import Job, Result
from gated.equations import Cell
from gated.equations.graph import Graph, sort
from gated.equations.layout import Slot
from gated.equations.ops import OPS
from gated.equations.symbols import Node

_SCOPE = {"torch": torch, "linear": torch.nn.functional.linear}
_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    name: eval(f"lambda a, b=None: {op.torch.format('a', 'b')}", _SCOPE) for name, op in OPS.items()
}


def supports(job: Job) -> str | None:
    """None: the reference runs everything, but packed data the layer unpacks first."""
    return "it runs on padded data" if job.batch_sizes is not None else None


def run(job: Job) -> Result:
    """Run the job, one direction after the other."""
    valid = _valid(job)
    inputs = {
        name: value if valid is None else value.masked_fill(~valid, 0)
        for name, value in job.inputs.items()
    }
    directions = [
        _direction(job, direction, inputs, valid) for direction in range(len(job.weights))
    ]
    return Result(
        output=torch.cat([run.output for run in directions], dim=-1),
        final=tuple(torch.cat(parts) for parts in zip(*(r.final for r in directions), strict=True)),
        trace=tuple(run.trace[0] for run in directions if run.trace) if job.trace else None,
    )


def evaluate(roots: Iterable[Node], known: Mapping[Node, Tensor]) -> dict[Node, Tensor]:
    """The values of graph nodes from those of the nodes in `known`.

    Args:
        roots: the nodes wanted.
        known: values of leaves, or of any nodes below which nothing need be computed.
    """
    like = next(iter(known.values()))
    values = dict(known)
    for node in _needed(roots, known):
        if node.op == "constant":
            values[node] = like.new_tensor(node.value)
        else:
            values[node] = _FUNCTIONS[node.op](*(values[arg] for arg in node.args))
    return values


def parameter_values(
    cell: Cell, layout: tuple[Slot, ...], weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The value of each parameter symbol: the sum of the blocks that hold it, 0 if none does."""
    values: dict[str, Tensor] = {}
    for slot in layout:
        if slot.name not in weights:
            continue
        blocks = weights[slot.name].chunk(len(slot.keys))
        for key, block in zip(slot.keys, blocks, strict=True):
            values[key] = values[key] + block if key in values else block
    zero = next(iter(weights.values())).new_zeros(())
    return {p.key: values.get(p.key, zero) for p in cell.parameters}


class _Plan:
    """A graph's nodes in three parts: once for all, for all steps at once, step by step."""

    def __init__(self, graph: Graph):
        moving = graph.depends_on_state()
        nodes = graph.nodes()
        timed: set[Node] = set(graph.inputs.values())
        for node in nodes:
            if node not in moving and any(arg in timed for arg in node.args):
                timed.add(node)
        self.leaves = {node.label: node for node in nodes if node.op == "parameter"}
        self.all_steps = [n for n in nodes if n.op in OPS and n in timed]
        self.each_step = [n for n in nodes if n.op in OPS and n in moving]
        self.fixed = [n for n in nodes if n.op in OPS and n not in timed and n not in moving]
        self.constants = [n for n in nodes if n.op == "constant"]
        used = {arg for node in self.each_step for arg in node.args}
        outputs = set(graph.updates.values())
        self.sliced = [n for n in nodes if n in timed and n in used | outputs]


@lru_cache(maxsize=256)
def _plan(graph: Graph) -> _Plan:
    return _Plan(graph)


def _valid(job: Job) -> Tensor | None:
    """(T, B, 1): which steps count; None if all do."""
    if job.lengths is None:
        return None
    x = job.inputs["x"] if "x" in job.inputs else next(iter(job.inputs.values()))
    steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    return (steps < job.lengths.to(x.device)).unsqueeze(-1)


def _direction(
    job: Job, direction: int, inputs: Mapping[str, Tensor], valid: Tensor | None
) -> Result:
    graph = job.cell.graph
    plan = _plan(graph)
    values = _leaves(job, direction, inputs, plan)
    for node in plan.fixed + plan.all_steps:
        values[node] = _FUNCTIONS[node.op](*(values[arg] for arg in node.args))
    states = tuple(state[direction] for state in job.initial)
    steps = len(next(iter(inputs.values())))
    recorded, final = _loop(job, plan, values, states, range(steps), valid, reverse=direction == 1)
    trace = None
    if job.trace:
        trace = ({name: _over_time(name, graph, recorded, values, steps, states, valid)
                  for name in graph.equations},)  # fmt: skip
    output = graph.states[0].name
    return Result(
        output=_stacked(recorded[output], states[0], valid),
        final=tuple(state.unsqueeze(0) for state in final),
        trace=trace,
    )


def _leaves(
    job: Job, direction: int, inputs: Mapping[str, Tensor], plan: _Plan
) -> dict[Node, Tensor]:
    graph = job.cell.graph
    parameters = parameter_values(job.cell, job.layout, job.weights[direction])
    values = {plan.leaves[key]: value for key, value in parameters.items()}
    values |= {node: inputs[name] for name, node in graph.inputs.items()}
    like = next(iter(inputs.values()))
    return values | {node: like.new_tensor(node.value) for node in plan.constants}


def _loop(
    job: Job,
    plan: _Plan,
    values: dict[Node, Tensor],
    states: tuple[Tensor, ...],
    steps: range,
    valid: Tensor | None,
    *,
    reverse: bool,
) -> tuple[dict[str, list[Tensor]], tuple[Tensor, ...]]:
    """The loop over time: every value that depends on the state, by name and step."""
    graph = job.cell.graph
    wanted = [n for n, node in graph.equations.items() if job.trace and node not in values]
    recorded: dict[str, list[Tensor]] = {name: [] for name in {graph.states[0].name, *wanted}}
    sliced = {node: values[node].unbind(0) for node in plan.sliced}
    shortest = int(job.lengths.min()) if job.lengths is not None and len(job.lengths) else 0
    previous, updates = list(graph.previous.values()), list(graph.updates.values())
    for t in reversed(steps) if reverse else steps:
        now = values | {node: parts[t] for node, parts in sliced.items()}
        now.update(zip(previous, states, strict=True))
        for node in plan.each_step:
            now[node] = _FUNCTIONS[node.op](*[now[arg] for arg in node.args])
        new = tuple(now[node] for node in updates)
        for name, parts in recorded.items():
            parts.append(now[graph.equations[name]])
        if valid is not None and t >= shortest:
            new = tuple(torch.where(valid[t], n, s) for n, s in zip(new, states, strict=True))
        states = new
    if reverse:
        for parts in recorded.values():
            parts.reverse()
    return recorded, states


def _stacked(parts: list[Tensor], like: Tensor, valid: Tensor | None) -> Tensor:
    """(T, B, n) from the steps, 0 where a row has ended."""
    if not parts:
        return like.new_zeros((0, *like.shape))
    whole = torch.stack(parts)
    return whole if valid is None else whole.masked_fill(~valid, 0)


def _over_time(
    name: str,
    graph: Graph,
    recorded: Mapping[str, list[Tensor]],
    values: Mapping[Node, Tensor],
    steps: int,
    states: tuple[Tensor, ...],
    valid: Tensor | None,
) -> Tensor:
    """A named value for all steps, (T, B, n)."""
    node = graph.equations[name]
    if node not in values:
        return _stacked(recorded[name], states[0], valid)
    known = values[node]
    if known.dim() < 3:
        known = known.expand(steps, states[0].shape[0], known.shape[-1])
    return known if valid is None else known.masked_fill(~valid, 0)


def _needed(roots: Iterable[Node], known: Mapping[Node, Tensor]) -> list[Node]:
    """The nodes to compute for `roots`, operands first, stopping at what is known."""
    wanted: set[Node] = set()
    stack = [node for node in roots if node not in known]
    while stack:
        node = stack.pop()
        if node not in wanted:
            wanted.add(node)
            stack += [arg for arg in node.args if arg not in known]
    return [node for node in sort(wanted) if node in wanted]
