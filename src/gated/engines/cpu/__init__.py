"""The CPU engine: any cell, fused over time, forward and backward, from generated C++.

What does not depend on the state is computed before the loop by PyTorch, for all steps at once; the
loop is one operation of autograd, and the gradients of its matrices are one large product each.

It is taken when asked for by name. Not there yet: gates (`trace=True`), convolutions,
`torch.compile`, and the tuning that would let `auto` choose it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gated.engines import reference
from gated.engines.cpu.build import unavailable
from gated.engines.cpu.operation import Compiled, Loop
from gated.engines.cpu.rows import Rows
from gated.engines.job import Job, Result
from gated.equations.graph import Graph, length
from gated.equations.schedule import width_of

_REALS = {torch.float32: "float", torch.float64: "double"}
_apply: Callable[..., Any] = Loop.apply


def supports(job: Job) -> str | None:
    """None if a kernel can be generated for the job, else what stands in the way."""
    if torch.compiler.is_compiling():
        return "torch.compile and torch.export cannot look into its kernels"
    sequence = job.sequence
    if sequence.device.type != "cpu":
        return f"the CPU engine runs on the CPU, not on {sequence.device.type}"
    if sequence.dtype not in _REALS:
        return f"the CPU engine computes in float32 and float64, not in {sequence.dtype}"
    missing = unavailable()
    if missing is not None:
        return missing
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is on"
    if job.trace:
        return "it shows no gates"
    if any(node.op == "convolve" for node in job.cell.graph.nodes()):
        return "it has no convolution"
    moving = job.cell.graph.depends_on_state()
    if not all(node in moving for node in job.cell.graph.updates.values()):
        return "a state does not depend on the state before"
    return None


@lru_cache(maxsize=256)
def _compiled(graph: Graph, real: str) -> Compiled:
    return Compiled(graph, real)


def run(job: Job) -> Result:
    """Run the job, layer by layer, one direction after the other."""
    with torch.autocast("cpu", enabled=False):
        return _run(job)


def _run(job: Job) -> Result:
    inputs, finals = dict(job.inputs), []
    first = next(iter(inputs))
    compiled = _compiled(job.cell.graph, _REALS[job.sequence.dtype])
    rows = [Rows(job, reverse=d == 1) for d in range(job.num_directions)]
    for layer in range(job.num_layers):
        if layer and job.training and job.dropout:
            inputs[first] = torch.nn.functional.dropout(inputs[first], job.dropout)
        outputs = []
        for direction in range(job.num_directions):
            output, *last = _direction(job, layer, direction, inputs, compiled, rows[direction])
            outputs.append(output)
            finals.append(last)
        inputs[first] = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
    final = tuple(torch.stack(states) for states in zip(*finals, strict=True))
    return Result(inputs[first], final)


def _direction(
    job: Job,
    layer: int,
    direction: int,
    inputs: Mapping[str, Tensor],
    compiled: Compiled,
    rows: Rows,
) -> list[Tensor]:
    graph, loop = compiled.loop.graph, compiled.loop
    place = layer * job.num_directions + direction
    own = job.own[place] if job.own else {}
    known = {graph.inputs[name]: value for name, value in (*inputs.items(), *own.items())}
    parameters = reference.parameters(job, layer, direction)
    leaves = {n.label: n for n in graph.nodes() if n.op == "parameter"}
    known |= {leaves[key]: value for key, value in parameters.items() if key in leaves}
    sequence = next(iter(inputs.values()))
    values = reference.evaluate(loop.given, known)
    lead = sequence.shape[:-1]
    sizes = {**job.sizes, "D": sequence.shape[-1]}
    given = []
    for node, timed in loop.given.items():
        width = length(width_of(node), sizes)
        value = values[node]
        value = value.expand(*lead, width).reshape(-1, width) if timed else value.expand(width)
        given.append(value.contiguous())
    matrices = [parameters[key].contiguous() for key in loop.matrices]
    initial = [state[place].contiguous() for state in job.initial]
    tensors = [*given, *matrices, *initial]
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    counts = (len(given), len(matrices))
    output, *final = _apply(compiled, sizes, rows, keep, counts, *tensors)
    return [output.view(*lead, -1), *final]
