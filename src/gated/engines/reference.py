"""The reference engine: interprets a cell's graph with PyTorch operations.

It runs any cell on any device and dtype, with autograd, double backward and forward mode, and is
the truth that every other engine is tested against. What does not depend on the state is computed
for all steps at once; the rest in a loop over time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from gated.engines.job import Form, Job, Result, Values
from gated.engines.products import SCOPE
from gated.equations.graph import Graph, length
from gated.equations.ops import OPS
from gated.equations.symbols import Node

_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    name: eval(f"lambda a, b=None, c=None: {op.torch.format(*'abc')}", SCOPE)
    for name, op in OPS.items()
}


def supports(job: Job) -> str | None:
    """None: the reference runs everything."""
    return None


def run(job: Job) -> Result:
    """Run the job, layer by layer, one direction after the other, in the type of its inputs."""
    with torch.autocast(job.sequence.device.type, enabled=False):
        return _run(job)


def _run(job: Job) -> Result:
    inputs, finals, traces = dict(job.inputs), [], []
    sequence = next(iter(inputs))
    for layer in range(job.num_layers):
        if layer and job.training and job.dropout:
            inputs[sequence] = torch.nn.functional.dropout(inputs[sequence], job.dropout)
        runs = [_Direction(job, layer, d, inputs) for d in range(job.num_directions)]
        finals += [run.loop() for run in runs]
        traces.append([run.trace() for run in runs] if job.trace else [])
        inputs[sequence] = torch.cat([run.output() for run in runs], dim=-1)
    final = tuple(torch.stack(states) for states in zip(*finals, strict=True))
    return Result(inputs[sequence], final, traces if job.trace else ())


def evaluate(roots: Iterable[Node], known: Mapping[Node, Tensor]) -> dict[Node, Tensor]:
    """The values of graph nodes from those of the nodes in `known`.

    Args:
        roots: the nodes wanted.
        known: values of leaves, or of any nodes below which nothing need be computed.
    """
    like = next(iter(known.values()))
    values = dict(known)
    waiting = list(roots)
    while waiting:
        node = waiting[-1]
        missing = [arg for arg in node.args if arg not in values and node not in values]
        if missing:
            waiting += missing
            continue
        if node not in values:
            values[node] = _value(node, values, like)
        waiting.pop()
    return values


def _value(node: Node, values: Mapping[Node, Tensor], like: Tensor) -> Tensor:
    if node.op == "constant":
        # not like.new_tensor, which has no meaning where the negative bit is set, nor torch.tensor,
        # which copies to a GPU, and cannot while a CUDA graph is captured
        return torch.full((), node.value, dtype=like.dtype, device=like.device)
    return _FUNCTIONS[node.op](*[values[arg] for arg in node.args])


class _Plan:
    """A graph's nodes by when they are computed: before the loop over time, or in each step."""

    def __init__(self, graph: Graph):
        moving = graph.depends_on_state()
        nodes = graph.nodes()
        self.leaves = {n.label: n for n in nodes if n.op == "parameter"}
        self.before = [n for n in nodes if n not in moving and (n.op in OPS or n.op == "constant")]
        self.each_step = [n for n in nodes if n in moving and n.op in OPS]
        timed: set[Node] = set(graph.inputs.values())
        for node in self.before:
            if any(arg in timed for arg in node.args):
                timed.add(node)
        used = {arg for node in self.each_step for arg in node.args}
        self.sliced = [n for n in nodes if n in timed and n in used]
        self.sliced += [n for n in graph.updates.values() if n not in moving and n not in used]


@lru_cache(maxsize=256)
def _plan(graph: Graph) -> _Plan:
    return _Plan(graph)


class _Direction:
    """One layer in one direction: values known before the loop, and values that it records."""

    def __init__(self, job: Job, layer: int, direction: int, inputs: Mapping[str, Tensor]):
        self.graph = job.cell.graph
        self.plan = _plan(self.graph)
        self.reverse = direction == 1
        self.packed = job.batch_sizes is not None
        place = layer * job.num_directions + direction
        self.initial = [state[place] for state in job.initial]
        sequence = next(iter(inputs.values()))
        self.lead = sequence.shape[:-1]
        # the number of rows that reach each step
        self.rows = (
            [sequence.shape[1]] * sequence.shape[0]
            if job.batch_sizes is None
            else job.batch_sizes.tolist()
        )
        own = job.own[place] if job.own else {}
        self.known = {self.graph.inputs[n]: value for n, value in (*inputs.items(), *own.items())}
        for key, value in parameters(job, layer, direction).items():
            self.known[self.plan.leaves[key]] = value
        for node in self.plan.before:
            self.known[node] = _value(node, self.known, sequence)
        named = [self.graph.updates[self.graph.states[0].name]]
        named += self.graph.equations.values() if job.trace else ()
        self.recorded: dict[Node, list[Tensor]] = {n: [] for n in named if n not in self.known}

    def loop(self) -> tuple[Tensor, ...]:
        """Run over time; return the states after each row's last step."""
        parts = {node: self._steps(self.known[node]) for node in self.plan.sliced}
        return unroll(
            self.graph, self.plan.each_step, self.known, parts, self.initial, self.rows,
            self.reverse, self.recorded,
        )  # fmt: skip

    def output(self) -> Tensor:
        """The first state at every step."""
        return self._over_time(self.graph.updates[self.graph.states[0].name])

    def trace(self) -> Values:
        """Every gate and state at every step."""
        return {name: self._over_time(node) for name, node in self.graph.equations.items()}

    def _steps(self, value: Tensor) -> tuple[Tensor, ...]:
        return torch.split(value, self.rows) if self.packed else value.unbind(0)

    def _over_time(self, node: Node) -> Tensor:
        if node not in self.recorded:
            return self._everywhere(node)
        values = self.recorded[node][:: -1 if self.reverse else 1]
        return torch.cat(values) if self.packed else torch.stack(values)

    def _everywhere(self, node: Node) -> Tensor:
        """A value known before the loop, for every step and row."""
        value = self.known[node]
        return value.expand(*self.lead, value.shape[-1])


def unroll(
    graph: Graph,
    nodes: Sequence[Node],
    known: Mapping[Node, Tensor],
    timed: Mapping[Node, Sequence[Tensor]],
    initial: Sequence[Tensor],
    rows: Sequence[int],
    reverse: bool,
    recorded: Mapping[Node, list[Tensor]],
) -> tuple[Tensor, ...]:
    """Evaluate nodes at every step; return the states after each row's last step.

    Args:
        graph: whose states go from step to step.
        nodes: what to compute in a step, operands first.
        known: the values that hold at every step.
        timed: the values that differ from step to step, one for each step.
        initial: the states before the first step, each (B, n).
        rows: the number of rows that reach each step.
        reverse: whether to begin at the end.
        recorded: lists to which the values of their nodes are appended at every step.
    """
    previous, updates = graph.previous.values(), graph.updates.values()
    order = range(len(rows))
    now, states, ended = dict(known), [s[:0] for s in initial], []
    for t in reversed(order) if reverse else order:
        have, want = len(states[0]), rows[t]
        if want > have:
            starting = [s[have:want] for s in initial]
            states = [torch.cat(both) for both in zip(states, starting, strict=True)]
        elif want < have:
            ended.append([s[want:] for s in states])
            states = [s[:want] for s in states]
        now.update((node, values[t]) for node, values in timed.items())
        now.update(zip(previous, states, strict=True))
        for node in nodes:
            now[node] = _FUNCTIONS[node.op](*[now[arg] for arg in node.args])
        states = [now[node] for node in updates]
        for node, values in recorded.items():
            values.append(now[node])
    ended.append(states)
    return tuple(torch.cat(part) for part in zip(*reversed(ended), strict=True))


def parameters(job: Job, layer: int, direction: int) -> Values:
    """The value of each parameter symbol in one layer and direction of a job."""
    return by_symbol(job.form, job.stored(layer, direction), job.sequence)


def by_symbol(form: Form, stored: Mapping[str, Tensor], like: Tensor) -> Values:
    """The value of each parameter symbol: the sum of the blocks that hold it, 0 if none does.

    Args:
        form: the cell, and how its parameters are stored.
        stored: the stored tensors of one layer and direction, by name.
        like: what a value of 0 takes type and device from.
    """
    values: Values = {}
    for slot in form.layout:
        blocks = stored[slot.name].chunk(len(slot.keys))
        for key, block in zip(slot.keys, blocks, strict=True):
            values[key] = values[key] + block if key in values else block
    for parameter in form.cell.parameters:
        if parameter.key not in values:
            shape = [length(size, form.sizes) for size in parameter.shape]
            values[parameter.key] = like.new_zeros(shape)
    return values
