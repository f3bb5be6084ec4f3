"""A job on a fused engine: layer by layer, one direction after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from gated.engines.fused import operators
from gated.engines.fused.autograd import apply, shown_values
from gated.engines.fused.gather import Values, gather
from gated.engines.fused.loops import Loops, Sizes
from gated.engines.fused.rows import Rows
from gated.engines.job import Job, Result
from gated.engines.job import Values as Named
from gated.equations.symbols import Node

# given sizes and tensors, the first state at every step, the last states, and what is shown
Loop = Callable[[Sizes, Sequence[Tensor | None]], tuple[Tensor, ...]]


# given layer, direction and the layer's inputs: the first state at every step, the last states,
# and every named value if it is wanted
Direction = Callable[[int, int, Mapping[str, Tensor]], tuple[Tensor, Sequence[Tensor], Named]]


def run(job: Job, loops: Loops) -> Result:
    """Run the job by the loops of its cell."""
    over = [_over_time(job, loops, d == 1) for d in range(job.num_directions)]
    return layered(job, lambda layer, d, inputs: _direction(job, layer, d, inputs, loops, over[d]))


def layered(job: Job, run_one: Direction) -> Result:
    """Run the job, layer by layer, in the type of its inputs."""
    device = job.sequence.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return _layered(job, run_one)
    with torch.autocast(device, enabled=False):
        return _layered(job, run_one)


def _layered(job: Job, run_one: Direction) -> Result:
    inputs, finals, traces = dict(job.inputs), [], []
    first = next(iter(inputs))
    for layer in range(job.num_layers):
        if layer and job.training and job.dropout:
            inputs[first] = torch.nn.functional.dropout(inputs[first], job.dropout)
        runs = [run_one(layer, d, inputs) for d in range(job.num_directions)]
        finals += [final for _, final, _ in runs]
        traces.append([trace for *_, trace in runs])
        outputs = [output for output, *_ in runs]
        inputs[first] = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
    ends = list(zip(*finals, strict=True))
    final = tuple(torch.stack(e) if len(e) > 1 else e[0].unsqueeze(0) for e in ends)
    return Result(inputs[first], final, traces if job.trace else ())


def _over_time(job: Job, loops: Loops, reverse: bool) -> Loop:
    """What runs the loop, given the sizes and the tensors of a layer."""
    sequence, sizes = job.sequence, job.batch_sizes
    if operators.needed(sequence):
        return partial(operators.run, job, loops, reverse)
    steps = len(sequence) if sizes is None else len(sizes)
    return partial(_call, loops, Rows(steps, sequence.shape[1], sizes, reverse))


def _call(
    loops: Loops, rows: Rows, sizes: Sizes, tensors: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """The loops called as they are."""
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return apply(loops, sizes, rows, *tensors)
    if not loops.traced:
        return tuple(loops.infer(sizes, rows, tensors))
    made, saved = loops.train(sizes, rows, tensors)
    return (*made, *shown_values(loops, sizes, saved))


def _direction(
    job: Job, layer: int, direction: int, inputs: Mapping[str, Tensor], loops: Loops, over: Loop
) -> tuple[Tensor, list[Tensor], Named]:
    """The first state at every step, the last states, and every named value if it is wanted."""
    loop = loops.loop
    own = job.own[layer * job.num_directions + direction] if job.own else {}
    known = {loop.graph.inputs[name]: value for name, value in (*inputs.items(), *own.items())}
    values = Values(loop, job, layer, direction, known)
    tensors = gather(loop, job, values)
    lead = job.sequence.shape[:-1]
    sizes = {**job.sizes, "D": next(iter(inputs.values())).shape[-1]}
    count = 1 + len(loop.graph.states)
    found = over(sizes, tensors)
    output, *final = (t for t in found[:count])
    output = output.view(*lead, output.shape[-1])
    return output, final, _named(loops, values, found, lead) if job.trace else {}


def _named(loops: Loops, values: Values, found: tuple[Tensor, ...], lead: tuple[int, ...]) -> Named:
    """Every gate and state at every step by name."""
    loop, names = loops.loop, [state.name for state in loops.loop.graph.states]
    shown = [*loop.shown, *names[1:]]
    at = dict(zip(shown, found[1 + len(names) :], strict=True)) | {names[0]: found[0]}
    named: Named = {}
    for name, node in loop.graph.equations.items():
        value = at[name] if name in at else _spread(values, node, lead)
        named[name] = value.reshape(*lead, value.shape[-1])
    return named


def _spread(values: Values, node: Node, lead: tuple[int, ...]) -> Tensor:
    """A value that was known before the loop, for every step and row."""
    value = values.of(node)
    return value.expand(*lead, value.shape[-1])
