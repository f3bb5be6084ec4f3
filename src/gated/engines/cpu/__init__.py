"""The CPU engine: any cell, fused over time, forward and backward, from generated C++.

What does not depend on the state is computed before the loop by PyTorch, for all steps at once; the
loop is one operation of autograd, and the gradients of its matrices are one large product each.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gated.engines.cpu.autograd import apply, shown_values
from gated.engines.cpu.build import warn_without_compiler
from gated.engines.cpu.gather import Values, gather
from gated.engines.cpu.operation import Compiled, infer, train
from gated.engines.cpu.rows import Rows
from gated.engines.cpu.stepping import Stepper
from gated.engines.job import Job, Result
from gated.engines.job import Values as Named
from gated.equations.graph import Graph
from gated.equations.layout import Slot
from gated.equations.symbols import Node
from gated.errors import EngineError

_REALS = {torch.float32: "float", torch.float64: "double"}


def supports(job: Job) -> str | None:
    """None if a kernel can be generated for the job, else what stands in the way."""
    if torch.compiler.is_compiling():
        return "torch.compile and torch.export cannot look into its kernels"
    sequence = job.sequence
    if sequence.device.type != "cpu":
        return f"the CPU engine runs on the CPU, not on {sequence.device.type}"
    if sequence.dtype not in _REALS:
        return f"the CPU engine computes in float32 and float64, not in {sequence.dtype}"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is on"
    graph = job.cell.graph
    return _obstacle(graph) or _missing(graph, _REALS[sequence.dtype], job.trace)


@lru_cache(maxsize=256)
def _missing(graph: Graph, real: str, traced: bool) -> str | None:
    """Why there is no kernel for a cell here: no compiler and none came with gated, or it fails."""
    try:
        compiled(graph, real, traced)
    except EngineError as error:
        return str(error)
    return None


@lru_cache(maxsize=256)
def _obstacle(graph: Graph) -> str | None:
    """What of a cell's equations the engine has no kernel for."""
    if any(node.op == "convolve" for node in graph.nodes()):
        return "it has no convolution"
    moving = graph.depends_on_state()
    for name, node in graph.equations.items():
        if name in graph.updates and node not in moving:
            return f"the state {name} does not depend on the state before"
        if node.op == "state":
            return f"{name} is a state of the step before as it stands"
    return None


@lru_cache(maxsize=256)
def compiled(graph: Graph, real: str, traced: bool = False) -> Compiled:
    """The loops of a cell, compiled once."""
    return Compiled(graph, real, traced)


def warn_if_uncompiled(job: Job) -> None:
    """Warn, once in a process, if a job runs elsewhere only since its kernel cannot be compiled."""
    x, graph = job.sequence, job.cell.graph
    if x.device.type != "cpu" or x.dtype not in _REALS or _obstacle(graph):
        return
    if _missing(graph, _REALS[x.dtype], job.trace):
        warn_without_compiler()


def stepper(
    graph: Graph, layout: tuple[Slot, ...], sizes: Mapping[str, int], dtype: torch.dtype
) -> Stepper | None:
    """What runs single steps of one layer without gradients; None if they need a whole call."""
    real = _REALS.get(dtype)
    if real is None or _obstacle(graph) or len(graph.inputs) > 1 or _missing(graph, real, False):
        return None
    try:
        return Stepper(compiled(graph, real), layout, sizes)
    except ValueError:
        return None


def run(job: Job) -> Result:
    """Run the job, layer by layer, one direction after the other."""
    if not torch.is_autocast_enabled("cpu"):
        return _run(job)
    with torch.autocast("cpu", enabled=False):
        return _run(job)


def _run(job: Job) -> Result:
    inputs, finals, traces = dict(job.inputs), [], []
    first, sequence = next(iter(inputs.items()))
    loops = compiled(job.cell.graph, _REALS[sequence.dtype], job.trace)
    steps = len(sequence) if job.batch_sizes is None else len(job.batch_sizes)
    directions = range(job.num_directions)
    rows = [Rows(steps, sequence.shape[1], job.batch_sizes, d == 1) for d in directions]
    for layer in range(job.num_layers):
        if layer and job.training and job.dropout:
            inputs[first] = torch.nn.functional.dropout(inputs[first], job.dropout)
        runs = [_direction(job, layer, d, inputs, loops, rows[d]) for d in directions]
        finals += [final for _, final, _ in runs]
        traces.append([trace for *_, trace in runs])
        outputs = [output for output, *_ in runs]
        inputs[first] = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
    ends = list(zip(*finals, strict=True))
    final = tuple(torch.stack(e) if len(e) > 1 else e[0].unsqueeze(0) for e in ends)
    return Result(inputs[first], final, traces if job.trace else ())


def _direction(
    job: Job, layer: int, direction: int, inputs: Mapping[str, Tensor], loops: Compiled, rows: Rows
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
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        found = apply(loops, sizes, rows, *tensors)
    elif job.trace:
        made, saved = train(loops, sizes, rows, tensors)
        found = (*made, *shown_values(loops, sizes, rows, saved))
    else:
        found = tuple(infer(loops, sizes, rows, tensors))
    output, *final = (t for t in found[:count])
    output = output.view(*lead, -1)
    return output, final, _named(loops, values, found, lead) if job.trace else {}


def _named(
    loops: Compiled, values: Values, found: tuple[Tensor, ...], lead: tuple[int, ...]
) -> Named:
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
