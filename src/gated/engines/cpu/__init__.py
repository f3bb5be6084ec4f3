"""The CPU engine: any cell, fused over time, forward and backward, from generated C++.

What does not depend on the state is computed before the loop by PyTorch, for all steps at once; the
loop is one operation of autograd, and the gradients of its matrices are one large product each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gated.engines.cpu import operators
from gated.engines.cpu.autograd import apply, shown_values
from gated.engines.cpu.build import unavailable, warn_without_compiler
from gated.engines.cpu.gather import Values, gather
from gated.engines.cpu.obstacles import obstacle
from gated.engines.cpu.operation import REALS, Compiled, Sizes, compiled, infer, train
from gated.engines.cpu.rows import Rows
from gated.engines.cpu.stepping import Stepper
from gated.engines.job import PLAIN, Job, Result
from gated.engines.job import Values as Named
from gated.equations.graph import Graph
from gated.equations.layout import Slot
from gated.equations.symbols import Node
from gated.errors import EngineError

# given sizes and tensors, the first state at every step, the last states, and what is shown
Loop = Callable[[Sizes, Sequence[Tensor | None]], tuple[Tensor, ...]]
_transform: Callable[[], Any] = torch._C._functorch.peek_interpreter_stack


def supports(job: Job) -> str | None:
    """None if a kernel can be generated for the job, else what stands in the way."""
    sequence = job.sequence
    if sequence.device.type not in ("cpu", "meta"):
        return f"the CPU engine runs on the CPU, not on {sequence.device.type}"
    if sequence.dtype not in REALS:
        return f"the CPU engine computes in float32 and float64, not in {sequence.dtype}"
    if type(sequence) in PLAIN and any(type(weight) not in PLAIN for weight in job.weights):
        return "a parameter is a tensor of a kind of its own, which a kernel cannot read"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is on"
    if _transform() is not None:
        return "a transform of torch.func is on, as vmap or grad"
    if torch._C._get_tracing_state() is not None:
        return "torch.jit.trace is on, which cannot record its kernels"
    if torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export():
        return "ONNX has no operator for its kernels"
    graph = job.cell.graph
    return obstacle(graph) or _missing(graph, REALS[sequence.dtype], job.trace)


def _missing(graph: Graph, real: str, traced: bool) -> str | None:
    """Why there is no kernel for a cell here: no compiler and none came with gated, or it fails."""
    return _failure(graph, real, traced, unavailable())


@lru_cache(maxsize=256)
def _failure(graph: Graph, real: str, traced: bool, without: str | None) -> str | None:
    """As `_missing`, once for each answer to whether there is a compiler."""
    try:
        compiled(graph, real, traced)
    except EngineError as error:
        return str(error)
    return None


def warn_if_uncompiled(job: Job) -> None:
    """Warn, once in a process, if a job runs elsewhere only since its kernel cannot be compiled."""
    x, graph = job.sequence, job.cell.graph
    if x.device.type != "cpu" or x.dtype not in REALS or obstacle(graph):
        return
    if _missing(graph, REALS[x.dtype], job.trace):
        warn_without_compiler()


def stepper(
    graph: Graph, layout: tuple[Slot, ...], sizes: Mapping[str, int], dtype: torch.dtype
) -> Stepper | None:
    """What runs single steps of one layer without gradients; None if they need a whole call."""
    real = REALS.get(dtype)
    if real is None or obstacle(graph) or len(graph.inputs) > 1 or _missing(graph, real, False):
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
    loops = compiled(job.cell.graph, REALS[sequence.dtype], job.trace)
    directions = range(job.num_directions)
    over = [_over_time(job, loops, d == 1) for d in directions]
    for layer in range(job.num_layers):
        if layer and job.training and job.dropout:
            inputs[first] = torch.nn.functional.dropout(inputs[first], job.dropout)
        runs = [_direction(job, layer, d, inputs, loops, over[d]) for d in directions]
        finals += [final for _, final, _ in runs]
        traces.append([trace for *_, trace in runs])
        outputs = [output for output, *_ in runs]
        inputs[first] = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
    ends = list(zip(*finals, strict=True))
    final = tuple(torch.stack(e) if len(e) > 1 else e[0].unsqueeze(0) for e in ends)
    return Result(inputs[first], final, traces if job.trace else ())


def _over_time(job: Job, loops: Compiled, reverse: bool) -> Loop:
    """What runs the loop, given the sizes and the tensors of a layer."""
    sequence, sizes = job.sequence, job.batch_sizes
    if operators.needed(sequence):
        return partial(operators.run, job, loops, reverse)
    steps = len(sequence) if sizes is None else len(sizes)
    return partial(_call, loops, Rows(steps, sequence.shape[1], sizes, reverse))


def _call(
    loops: Compiled, rows: Rows, sizes: Sizes, tensors: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """The kernels called as they are."""
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return apply(loops, sizes, rows, *tensors)
    if not loops.traced:
        return tuple(infer(loops, sizes, rows, tensors))
    made, saved = train(loops, sizes, rows, tensors)
    return (*made, *shown_values(loops, sizes, saved))


def _direction(
    job: Job, layer: int, direction: int, inputs: Mapping[str, Tensor], loops: Compiled, over: Loop
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
