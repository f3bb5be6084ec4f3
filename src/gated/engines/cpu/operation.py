"""The loop over time of one layer and direction, forward and backward, as functions of tensors."""

from __future__ import annotations

import ctypes
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, cast

import torch
from torch import Tensor

from gated.engines.cpu import pool
from gated.engines.cpu.build import library
from gated.engines.cpu.frame import Kernel
from gated.engines.cpu.generate import Source, generate
from gated.engines.cpu.gradients import of_matrices
from gated.engines.cpu.rows import Rows
from gated.engines.cpu.storage import Kept
from gated.engines.cpu.threads import threads
from gated.equations.graph import Graph, length
from gated.equations.loop import Backward, Forward, backward, forward
from gated.equations.schedule import width_of

SMALL = 1 << 20  # multiplications below which one thread is quicker

REALS = {torch.float32: "float", torch.float64: "double"}
Sizes = Mapping[str, int]
Tensors = Sequence[Tensor | None]


class Measures(NamedTuple):
    """What follows from the lengths of a cell's letters.

    `letters` is what a kernel is passed, `work` about how many multiplications a row's step takes,
    `widths` the numbers in a row of each buffer.
    """

    letters: ctypes.Array[ctypes.c_int64]
    work: int
    widths: Mapping[str, int]


class Compiled:
    """A cell's loops for one type of numbers.

    Attributes:
        loop, back: what they compute; kept: where it stands.
        source: the C++, and what its functions are passed.
        given: the buffers of the tensors that a call takes, in the order of `gather`.
        traced: whether every named value is left for the caller to see.
    """

    def __init__(self, graph: Graph, real: str, traced: bool = False):
        self.real, self.traced = real, traced
        self.loop: Forward = forward(graph, traced)
        self.back: Backward = backward(self.loop)
        self.kept = Kept(self.loop, self.back)
        self.source: Source = generate(self.kept, real)
        self.library = library(self.source.text)
        self.given = _given(self.loop)
        self._measures: dict[tuple[int, ...], Measures] = {}
        self.kernels = (self.source.forward, self.source.training, self.source.backward)
        self.functions = {k.name: getattr(self.library, k.name) for k in self.kernels}
        for function in self.functions.values():
            function.restype = None
            function.argtypes = [
                ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                ctypes.c_void_p, ctypes.c_int, ctypes.c_int,
            ]  # fmt: skip
        self.library.transposed_times.restype = None
        self.library.transposed_times.argtypes = [
            ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_long,
            ctypes.c_void_p, ctypes.c_int,
        ]  # fmt: skip
        self.library.outer_sum.restype = None
        self.library.outer_sum.argtypes = [
            ctypes.c_void_p, ctypes.c_long, ctypes.c_void_p, ctypes.c_long, ctypes.c_long,
            ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p,
            ctypes.c_int,
        ]  # fmt: skip

    def call(
        self, kernel: Kernel, pointers: Mapping[str, int | None], sizes: Sizes, rows: Rows
    ) -> None:
        """Run one of the loops on the memory of its buffers, by name."""
        measures = self.measures(sizes)
        arrays = (ctypes.c_void_p * len(kernel.names))(*[pointers[n] for n in kernel.names])
        several = measures.work * rows.total > SMALL
        self.functions[kernel.name](
            arrays, measures.letters, rows.steps, rows.batch, *rows.memory, rows.reverse,
            threads() if several else 1,
        )  # fmt: skip

    def transposed_times(self, matrix: Tensor, rows: Tensor) -> Tensor:
        """The matrix (H, D), transposed, times rows (N, H)."""
        count, height = rows.shape
        depth = matrix.shape[1]
        out = pool.empty((count, depth), rows)
        self.library.transposed_times(
            matrix.data_ptr(), height, depth, rows.data_ptr(), count, out.data_ptr(),
            threads() if count * depth * height > SMALL else 1,
        )  # fmt: skip
        return out

    def outer_sum(
        self, d: Tensor, rows: Tensor, out: Tensor, *, add: bool, sums: Tensor | None = None
    ) -> None:
        """The sum of outer products of d (N, H) and rows (N, D) into `out`, or added to it.

        `sums` (H,) gets the sum of d.
        """
        (count, height), depth = d.shape, rows.shape[1]
        self.library.outer_sum(
            d.data_ptr(), d.stride(0), rows.data_ptr(), rows.stride(0), count, height, depth,
            out.data_ptr(), add, 0 if sums is None else sums.data_ptr(),
            threads() if count * depth * height > SMALL else 1,
        )  # fmt: skip

    def measures(self, sizes: Sizes) -> Measures:
        """What follows from the lengths of the letters."""
        key = tuple(sizes.values())
        found = self._measures.get(key)
        if found is None:
            found = self._measures[key] = self._measured(sizes)
        return found

    def _measured(self, sizes: Sizes) -> Measures:
        letters = [sizes[letter] for letter in self.source.letters]
        buffers = {b.name: b for k in self.kernels for b in k.buffers}
        buffers |= {b.name: b for b in (*self.kept.streams, *self.kept.buffers)}
        widths = {n: sum(length(w, sizes) for w in b.widths) for n, b in buffers.items()}
        products = [
            math.prod(length(dim.value or "H", sizes) for dim in matrix.shape)
            for matrix in self.loop.matrices.values()
        ]
        streams = [
            widths[buffer.name] * length(width_of(stream.operand), sizes)
            for stream, buffer in zip(self.loop.streams, self.kept.streams, strict=True)
        ]
        pointwise = 64 * length(self.loop.graph.states[0].size, sizes)
        return Measures(
            (ctypes.c_int64 * (len(letters) or 1))(*letters),
            sum(products) + sum(streams) + pointwise,
            widths,
        )


@lru_cache(maxsize=256)
def compiled(graph: Graph, real: str, traced: bool = False) -> Compiled:
    """The loops of a cell, compiled once."""
    return Compiled(graph, real, traced)


@dataclass(frozen=True)
class Inputs:
    """What a loop takes, by kind; `gather` tells the order."""

    streams: list[tuple[Tensor, Tensor, Tensor | None]]
    loose: list[Tensor]
    banks: list[Tensor]
    initial: list[Tensor]

    @classmethod
    def of(cls, compiled: Compiled, tensors: Tensors) -> Inputs:
        """The tensors of a call in their places."""
        loop = compiled.loop
        n, m = 3 * len(loop.streams), len(loop.loose)
        several: list[Tensor] = [t for t in tensors[n:] if t is not None]
        streams = [(tensors[k], tensors[k + 1], tensors[k + 2]) for k in range(0, n, 3)]
        return cls(
            streams,  # type: ignore[arg-type]
            several[:m], several[m : m + len(loop.banks)], several[m + len(loop.banks) :],
        )  # fmt: skip


def _given(loop: Forward) -> list[str]:
    """The buffers in which the tensors of a call stand, by name."""
    found = [f"{n}_{k}" for k in range(len(loop.streams)) for n in ("operand", "matrix", "added")]
    found += [f"given_{k}" for k in range(len(loop.loose))]
    found += [f"bank_{k}" for k in range(len(loop.banks))]
    return found + [f"initial_{state.name}" for state in loop.graph.states]


def _pointers(compiled: Compiled, tensors: Tensors) -> defaultdict[str, int | None]:
    """The memory of a call's tensors by the buffers' names, nothing for other buffers."""
    found: defaultdict[str, int | None] = defaultdict(_nothing)
    for name, tensor in zip(compiled.given, tensors, strict=True):
        if tensor is not None:
            found[name] = tensor.data_ptr()
    return found


def _nothing() -> None:
    return None


def infer(compiled: Compiled, sizes: Sizes, rows: Rows, tensors: Tensors) -> list[Tensor]:
    """The first state at every step, and all states after each row's last."""
    states = compiled.loop.graph.states
    initial = tensors[-len(states) :]
    first = cast(Tensor, initial[0])
    width = compiled.measures(sizes).widths[f"state_{states[0].name}"]
    output = pool.empty((rows.total, width), first)
    pointers = _pointers(compiled, tensors)
    pointers[f"state_{states[0].name}"] = output.data_ptr()
    finals = [torch.empty_like(cast(Tensor, state)) for state in initial]
    for state, final in zip(states, finals, strict=True):
        pointers[f"final_{state.name}"] = final.data_ptr()
    compiled.call(compiled.source.forward, pointers, sizes, rows)
    return [output, *finals]


def train(
    compiled: Compiled, sizes: Sizes, rows: Rows, tensors: Tensors
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """As `infer`, and the buffers that the way back needs, by name."""
    states, widths = compiled.loop.graph.states, compiled.measures(sizes).widths
    initial = [cast(Tensor, state) for state in tensors[-len(states) :]]
    pointers, saved = _pointers(compiled, tensors), {}
    for buffer in (*compiled.kept.streams, *compiled.kept.buffers):
        saved[buffer.name] = pool.empty((rows.total, widths[buffer.name]), initial[0])
        pointers[buffer.name] = saved[buffer.name].data_ptr()
    finals = [torch.empty_like(state) for state in initial]
    for state, final in zip(states, finals, strict=True):
        pointers[f"final_{state.name}"] = final.data_ptr()
    compiled.call(compiled.source.training, pointers, sizes, rows)
    return [saved[compiled.kept.buffers[0].name], *finals], saved


def back(
    compiled: Compiled, sizes: Sizes, rows: Rows, tensors: Tensors, saved: Mapping[str, Tensor],
    arriving: Mapping[str, Tensor | None], final: Sequence[Tensor | None], wanted: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of what `train` took. It writes over what was saved.

    Args:
        arriving: the gradients of what is wanted at every step, by name.
        final: those of the states after each row's last step.
        wanted: which of the tensors need a gradient.
    """
    given = Inputs.of(compiled, tensors)
    like, kernel = given.initial[0], compiled.source.backward
    widths, pointers = compiled.measures(sizes).widths, _pointers(compiled, tensors)
    for name, value in saved.items():
        pointers[name] = value.data_ptr()
    carries = []
    for state, first, gradient in zip(
        compiled.loop.graph.states, given.initial, final, strict=True
    ):
        carry = torch.zeros_like(first) if gradient is None else gradient.clone(
            memory_format=torch.contiguous_format)  # fmt: skip
        pointers[f"carry_{state.name}"] = carry.data_ptr()
        carries.append(carry)
    held = {name: d.contiguous() for name, d in arriving.items() if d is not None}
    for name, value in held.items():
        pointers[f"d_{name}"] = value.data_ptr()
    made = dict(saved)
    for buffer in kernel.buffers:
        if buffer.name in pointers or buffer.kind == "maybe" or buffer.name in compiled.given:
            continue
        shape = (
            (widths[buffer.name],) if buffer.kind == "vector" else (rows.total, widths[buffer.name])
        )
        made[buffer.name] = pool.empty(shape, like)
        pointers[buffer.name] = made[buffer.name].data_ptr()
    compiled.call(kernel, pointers, sizes, rows)
    found: list[Tensor | None] = []
    for k, (operand, matrix, _) in enumerate(given.streams):
        gradient = made.get(f"d_stream_{k}", made[f"stream_{k}"])
        x, w, b = wanted[3 * k : 3 * k + 3]
        found.append(compiled.transposed_times(matrix, gradient) if x else None)
        to_matrix = torch.empty_like(matrix) if w else None
        to_added = matrix.new_empty(len(matrix)) if b else None
        if to_matrix is not None:
            compiled.outer_sum(gradient, operand, to_matrix, add=False, sums=to_added)
        elif to_added is not None:
            torch.sum(gradient, 0, out=to_added)
        found += [to_matrix, to_added]
    found += [made.get(f"d_given_{k}") for k in range(len(given.loose))]
    found += of_matrices(compiled, sizes, rows, given, made, wanted[len(found) :])
    return [*found, *carries]
