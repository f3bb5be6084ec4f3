"""The CPU engine: any cell, fused over time, forward and backward, from generated C++."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gated.engines import reference
from gated.engines.cpu.build import compiler, library
from gated.engines.cpu.generate import Kernel, Source, generate, width_of
from gated.engines.job import Job, Result
from gated.equations.graph import Graph, length
from gated.equations.loop import Backward, Forward, backward, forward

_REALS = {torch.float32: "float", torch.float64: "double"}


def supports(job: Job) -> str | None:
    """None if a kernel can be generated for the job, else what stands in the way."""
    sequence = job.sequence
    if sequence.device.type != "cpu":
        return f"the CPU engine runs on the CPU, not on {sequence.device.type}"
    if sequence.dtype not in _REALS:
        return f"the CPU engine computes in float32 and float64, not in {sequence.dtype}"
    if compiler() is None:
        return "there is no C++ compiler"
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


class Compiled:
    """A cell's loops for one type of numbers."""

    def __init__(self, graph: Graph, real: str):
        self.loop: Forward = forward(graph)
        self.back: Backward = backward(self.loop)
        self.source: Source = generate(self.loop, self.back, real)
        self.library = library(self.source.text)

    def call(
        self, kernel: Kernel, arrays: Sequence[Tensor | None], sizes: Mapping[str, int], rows: Rows
    ) -> None:
        """Run one of the loops on its arrays."""
        pointers = (ctypes.c_void_p * len(arrays))(
            *[None if array is None else array.data_ptr() for array in arrays]
        )
        letters = (ctypes.c_int64 * (len(self.source.letters) or 1))(
            *[sizes[letter] for letter in self.source.letters]
        )
        function = getattr(self.library, kernel.name)
        function.restype = None
        function(
            pointers, letters, ctypes.c_long(len(rows.sizes)), ctypes.c_long(rows.batch),
            ctypes.c_void_p(rows.sizes.data_ptr()), ctypes.c_void_p(rows.offsets.data_ptr()),
            ctypes.c_int(rows.reverse), ctypes.c_int(torch.get_num_threads()),
        )  # fmt: skip


@lru_cache(maxsize=256)
def _compiled(graph: Graph, real: str) -> Compiled:
    return Compiled(graph, real)


class Rows:
    """How many rows reach each step, and where the steps stand among the packed ones."""

    def __init__(self, job: Job, reverse: bool):
        x = job.sequence
        steps = x.shape[0]
        self.sizes = (
            torch.full((steps,), x.shape[1], dtype=torch.int64)
            if job.batch_sizes is None
            else job.batch_sizes.to(torch.int64)
        )
        self.offsets = torch.cumsum(self.sizes, 0) - self.sizes
        self.batch = int(self.sizes[0])
        self.total = int(self.sizes.sum())
        self.reverse = reverse

    def last(self) -> Tensor:
        """Where each row's last step in this direction stands."""
        rows = torch.arange(self.batch)
        if self.reverse:
            return rows
        lengths = (self.sizes.unsqueeze(1) > rows).sum(0)
        return self.offsets[lengths - 1] + rows

    def before(self) -> Tensor:
        """For each packed step, where the step before stands; beyond all, the initial states."""
        rows = torch.arange(self.batch)
        here = rows < self.sizes.unsqueeze(1)
        place = self.offsets.unsqueeze(1) + rows
        initial = (self.total + rows).expand(1, -1)
        if self.reverse:
            shifted = torch.cat([torch.where(here[1:], place[1:], initial), initial])
        else:
            shifted = torch.cat([initial, place[:-1]])
        return shifted[here]


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
            output, *final = _direction(job, layer, direction, inputs, compiled, rows[direction])
            outputs.append(output)
            finals.append(final)
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
    output, *final = Loop.apply(
        compiled, sizes, rows, keep, (len(given), len(matrices)), *tensors
    )
    return [output.view(*lead, -1), *final]


class Loop(torch.autograd.Function):
    """The loop over time as one operation: given values, matrices and initial states in."""

    @staticmethod
    def forward(
        ctx: Any, compiled: Compiled, sizes: dict[str, int], rows: Rows, keep: bool,
        counts: tuple[int, int], *tensors: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """The output at every packed step, and the states after each row's last."""
        kernel = compiled.source.training if keep else compiled.source.forward
        like = tensors[0] if tensors else None
        made = [
            like.new_empty((rows.total, length(array.width, sizes)))
            for array in kernel.arrays[len(tensors) :]
        ]
        compiled.call(kernel, [*tensors, *made], sizes, rows)
        states = made[: len(compiled.loop.updates)]
        last = rows.last()
        if keep:
            ctx.save_for_backward(*tensors, *made)
            ctx.compiled, ctx.sizes, ctx.rows = compiled, sizes, rows
            ctx.counts = (*counts, len(tensors))
        # a view or an input may not be returned
        return (states[0].clone() if keep else states[0], *[s.index_select(0, last) for s in states])

    @staticmethod
    def backward(ctx: Any, d_output: Tensor, *d_final: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of everything that went in."""
        compiled, sizes, rows = ctx.compiled, ctx.sizes, ctx.rows
        given, matrices, inputs = ctx.counts
        saved = ctx.saved_tensors
        tensors, made = saved[:inputs], saved[inputs:]
        kernel, back = compiled.source.backward, compiled.back
        arrays = dict(zip((a.name for a in kernel.arrays), saved, strict=False))
        like = tensors[0]
        for array in kernel.arrays[len(saved) :]:
            n = length(array.width, sizes)
            if array.name == "d_output":
                arrays[array.name] = d_output.contiguous()
            elif array.kind == "carry":
                place = [s.name for s in compiled.loop.graph.states].index(array.name[6:])
                arrays[array.name] = d_final[place].clone(memory_format=torch.contiguous_format)
            else:
                shape = (n,) if array.kind == "vector" else (rows.total, n)
                arrays[array.name] = like.new_empty(shape)
        compiled.call(kernel, [arrays[a.name] for a in kernel.arrays], sizes, rows)
        grads: list[Tensor | None] = []
        for node in compiled.loop.given:
            index = list(back.given).index(node) if node in back.given else None
            grads.append(None if index is None else arrays[f"d_given_{index}"])
        by_node = {a.node: arrays[a.name] for a in kernel.arrays
                   if a.node is not None and a.name.startswith(("d_", "kept_", "state_"))}  # fmt: skip
        shifted: dict[str, Tensor] = {}
        for key, matrix in zip(compiled.loop.matrices, tensors[given : given + matrices], strict=True):
            total = None
            for gradient, operand in back.outer.get(key, []):
                if operand.op == "state":
                    if operand.label not in shifted:
                        both = torch.cat([arrays[f"state_{operand.label}"],
                                          arrays[f"initial_{operand.label}"]])  # fmt: skip
                        shifted[operand.label] = both.index_select(0, rows.before())
                    value = shifted[operand.label]
                else:
                    value = by_node[operand]
                part = _outer(by_node[gradient], value, matrix)
                total = part if total is None else total + part
            grads.append(total)
        carries = [arrays[f"carry_{state.name}"] for state in compiled.loop.graph.states]
        return (None, None, None, None, None, *grads, *carries)


def _outer(gradient: Tensor, value: Tensor, like: Tensor) -> Tensor:
    """The sum over all steps of the outer products: the gradient of a matrix."""
    if like.dim() == 2:
        return gradient.T @ value
    heads = like.shape[0]
    return torch.einsum(
        "bnr,bnk->nrk", gradient.view(-1, heads, like.shape[1]), value.view(-1, heads, like.shape[2])
    )
