"""The loop over time as one operation of autograd."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gated.engines import reference
from gated.engines.cpu.build import library
from gated.engines.cpu.generate import Source, generate
from gated.engines.cpu.rows import Rows
from gated.engines.cpu.threads import threads
from gated.engines.cpu.writer import Kernel
from gated.equations.graph import Graph, length
from gated.equations.loop import Backward, Forward, backward, forward
from gated.equations.symbols import Node


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
            ctypes.c_int(rows.reverse), ctypes.c_int(threads()),
        )  # fmt: skip


class Loop(torch.autograd.Function):
    """The loop over time as one operation: given values, matrices and initial states in."""

    @staticmethod
    def forward(
        ctx: Any, compiled: Compiled, sizes: dict[str, int], rows: Rows, keep: bool,
        counts: tuple[int, int], *tensors: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """The output at every packed step, and the states after each row's last."""
        kernel = compiled.source.training if keep else compiled.source.forward
        like = tensors[0]
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
        final = [state.index_select(0, last) for state in states]
        # what is kept may not be returned as well
        return (states[0].clone() if keep else states[0], *final)

    @staticmethod
    def backward(ctx: Any, d_output: Tensor, *d_final: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of everything that went in."""
        compiled, rows = ctx.compiled, ctx.rows
        given, matrices, inputs = ctx.counts
        saved = ctx.saved_tensors
        tensors = saved[:inputs]
        if torch.is_grad_enabled():  # a second derivative is wanted
            return (None,) * 5 + _differentiable(
                compiled.loop, rows, tensors, ctx.counts, (d_output, *d_final)
            )
        back, kernel = compiled.back, compiled.source.backward
        arrays = dict(zip((array.name for array in kernel.arrays), saved, strict=False))
        finals = {f"carry_{name}": d for name, d in zip(back.seeds, d_final, strict=True)}
        for array in kernel.arrays[len(saved) :]:
            if array.name == "d_output":
                arrays[array.name] = d_output.contiguous()
            elif array.kind == "carry":  # the loop writes into it
                final = finals[array.name]
                arrays[array.name] = final.clone(memory_format=torch.contiguous_format)
            else:
                n = length(array.width, ctx.sizes)
                shape = (n,) if array.kind == "vector" else (rows.total, n)
                arrays[array.name] = tensors[0].new_empty(shape)
        compiled.call(kernel, [arrays[a.name] for a in kernel.arrays], ctx.sizes, rows)
        order = list(back.given)
        to_given = [
            arrays[f"d_given_{order.index(node)}"] if node in back.given else None
            for node in compiled.loop.given
        ]
        to_matrices = _matrix_gradients(compiled, arrays, rows, tensors[given : given + matrices])
        return (*(None,) * 5, *to_given, *to_matrices, *(arrays[name] for name in finals))


def _matrix_gradients(
    compiled: Compiled, arrays: Mapping[str, Tensor], rows: Rows, matrices: Sequence[Tensor]
) -> list[Tensor | None]:
    """One large product each: the gradients of what was multiplied, with what it was times."""
    recorded = {
        array.node: arrays[array.name]
        for array in compiled.source.backward.arrays
        if array.node is not None and array.name.startswith(("d_", "kept_", "state_"))
    }
    before: dict[str, Tensor] = {}

    def operand(node: Node) -> Tensor:
        if node.op != "state":
            return recorded[node]
        if node.label not in before:
            both = [arrays[f"state_{node.label}"], arrays[f"initial_{node.label}"]]
            before[node.label] = torch.cat(both).index_select(0, rows.before())
        return before[node.label]

    found: list[Tensor | None] = []
    for key, matrix in zip(compiled.loop.matrices, matrices, strict=True):
        parts = [
            _outer(recorded[gradient], operand(node), matrix)
            for gradient, node in compiled.back.outer.get(key, [])
        ]
        found.append(torch.stack(parts).sum(0) if len(parts) > 1 else parts[0] if parts else None)
    return found


def _differentiable(
    loop: Forward,
    rows: Rows,
    tensors: Sequence[Tensor],
    counts: tuple[int, int, int],
    gradients: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """The gradients as the reference computes them, so that they have gradients themselves."""
    given, matrices, _ = counts
    sizes = rows.sizes.tolist()
    known = dict(zip(loop.matrices.values(), tensors[given:], strict=False))
    timed = {}
    for (node, differs), value in zip(loop.given.items(), tensors, strict=False):
        if differs:
            timed[node] = torch.split(value, sizes)
        else:
            known[node] = value
    nodes = [node for node in loop.graph.nodes() if node in loop.moving and node.args]
    constants = [n for n in loop.graph.nodes() if n.op == "constant"]
    known |= {n: tensors[0].new_tensor(n.value) for n in constants}
    output: dict[Node, list[Tensor]] = {next(iter(loop.updates.values())): []}
    final = reference.unroll(
        loop.graph, nodes, known, timed, tensors[given + matrices :], sizes, rows.reverse, output
    )
    (values,) = output.values()
    whole = torch.cat(values[:: -1 if rows.reverse else 1])
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    found = iter(
        torch.autograd.grad(
            (whole, *final), wanted, gradients, create_graph=True, allow_unused=True
        )
    )
    return tuple(next(found) if tensor.requires_grad else None for tensor in tensors)


def _outer(gradient: Tensor, value: Tensor, like: Tensor) -> Tensor:
    """The sum over all steps of the outer products: the gradient of a matrix."""
    if like.dim() == 2:
        return gradient.T @ value
    heads = like.shape[0]
    return torch.einsum(
        "bnr,bnk->nrk",
        gradient.view(-1, heads, like.shape[1]),
        value.view(-1, heads, like.shape[2]),
    )
